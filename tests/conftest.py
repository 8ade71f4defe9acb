"""What every test stands on: the installed package, nobody's configuration, no network."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import selectors
import signal
import socket
import traceback
from pathlib import Path

import pytest
from blockbuster import BlockingError, blockbuster_ctx
from hypothesis import HealthCheck, settings

import iri_common

# From the root of an uninstalled checkout `import iri_common` finds the directory of that name, an empty
# namespace package, and every later import fails with words that mislead.
assert iri_common.__file__ is not None, (
    "iri_common is not installed: run `make setup` and use .venv/bin/pytest"
)

# A shell script that starts the tests in its background has them, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

settings.register_profile(
    "iri",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    # What CI says is said of a change, not of the dice; whoever works here throws them.
    derandomize="IRI_SAME_EXAMPLES" in os.environ,
)
settings.load_profile("iri")


@pytest.fixture(scope="session", autouse=True)
def nobodys_home(tmp_path_factory: pytest.TempPathFactory):
    """Configuration, state and IRI_* variables of the person who runs the tests stay out of them."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("IRI_")]:
        patch.delenv(name)
    for name, folder in {
        "XDG_CONFIG_HOME": "config",
        "XDG_STATE_HOME": "state",
        "XDG_DATA_HOME": "data",
        "XDG_CACHE_HOME": "cache",
    }.items():
        (home / folder).mkdir()
        patch.setenv(name, str(home / folder))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        patch.delenv(name, raising=False)
    yield home
    patch.undo()


def _is_here(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback or str(host) in ("0.0.0.0", "::")
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """A name to look up or an address beyond loopback fails at once and says so."""
    patch = pytest.MonkeyPatch()
    lookup, connect = socket.getaddrinfo, socket.socket.connect

    def guarded_lookup(host, *args, **kwargs):
        if not _is_here(host):
            raise socket.gaierror(socket.EAI_NONAME, f"tests do not use the network ({host})")
        return lookup(host, *args, **kwargs)

    def guarded_connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
            raise OSError(f"tests do not use the network ({address[0]})")
        return connect(self, address)

    patch.setattr(socket, "getaddrinfo", guarded_lookup)
    patch.setattr(socket.socket, "connect", guarded_connect)
    yield
    patch.undo()


@pytest.fixture
def config_home(nobodys_home: Path) -> Path:
    """Where profiles would be read from."""
    return nobodys_home / "config"


class VirtualTime:
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        outer = self

        class Selector(selectors.SelectSelector):
            def select(self, timeout=None):
                ready = super().select(0)
                if not ready and timeout is not None and timeout > 0:
                    outer.now += timeout
                return ready

        class Loop(asyncio.SelectorEventLoop):
            def time(self) -> float:
                return outer.now

        self._loop = Loop(Selector())

    def time(self) -> float:
        """Seconds, as this loop counts them."""
        return self.now

    def run(self, main):
        """Run a coroutine to its end."""
        return self._loop.run_until_complete(main)

    def close(self) -> None:
        self._loop.close()


@pytest.fixture
def virtual():
    """Virtual time: ``virtual.run(coroutine)`` costs no waiting, ``virtual.time()`` is its clock."""
    time = VirtualTime()
    yield time
    time.close()


@pytest.fixture
def calm_loop(monkeypatch: pytest.MonkeyPatch):
    """No call of the core blocks an event loop; a few would be caught on the way, so all are noted here."""
    met: list[str] = []

    class Noted(BlockingError):
        def __init__(self, what: str) -> None:
            met.append("".join(traceback.format_stack(limit=12)))
            super().__init__(what)

    monkeypatch.setattr("blockbuster.blockbuster.BlockingError", Noted)
    with blockbuster_ctx("iri_common") as watch:
        for each in watch.functions.values():
            each.can_block_in("logging/__init__.py", "handle")  # where a log goes is its owner's affair
            each.can_block_in("coverage/collector.py", "lock_data")  # lines are counted around us, not by us
        yield
    assert not met, "a blocking call on an event loop:\n" + met[0]
