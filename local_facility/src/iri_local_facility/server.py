"""Running a facility: bind to loopback, say where it is, serve until told to stop, leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from .app import make_app
from .connections import TrackedProtocol
from .facility import Facility
from .settings import Settings

HOST = "127.0.0.1"


class AlreadyServed(Exception):
    """Another server runs this facility."""


class _Server(uvicorn.Server):
    on_ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept requests, and say so."""
        await super().startup(sockets)
        if self.started:
            self.on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`: uvicorn would end the process before the jobs are ended."""
        yield


@dataclass(frozen=True)
class Listening:
    """What someone needs to know to use a facility that has just started."""

    url: str
    base_url: str
    token: str
    client_id: str
    client_secret: str
    token_url: str
    pid: int
    root: str
    user: str
    name: str
    token_file: str
    client_secret_file: str
    collection: str
    globus_client_id: str
    globus_client_secret: str
    globus_client_secret_file: str
    globus_native_client_id: str


def serve(
    settings: Settings, port: int, announce: Callable[[Listening], None], *, until_stdin_closes: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT, or the end of standard input.

    Args:
        settings: The facility.
        port: TCP port, 0 for any.
        announce: Called once requests are accepted.
        until_stdin_closes: Stop when whoever started us is gone, however they went.
    """
    asyncio.run(_serve(settings, port, announce, until_stdin_closes))


async def _serve(
    settings: Settings, port: int, announce: Callable[[Listening], None], until_stdin_closes: bool
) -> None:
    # With the protocol named, asyncio turns Nagle's algorithm off: it costs 40 ms per answer otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    settings.make_directories()
    with _only_server(settings):
        await _serve_facility(Facility(settings), listener, announce, until_stdin_closes)


@contextlib.contextmanager
def _only_server(settings: Settings) -> Iterator[None]:
    """Two servers over one state would both start its jobs."""
    with (settings.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServed(f"a facility in {settings.root} is running already") from None
        yield


async def _serve_facility(
    facility: Facility,
    listener: socket.socket,
    announce: Callable[[Listening], None],
    until_stdin_closes: bool,
) -> None:
    server = _Server(
        uvicorn.Config(
            make_app(facility),
            loop="asyncio",
            lifespan="off",
            log_level=logging.WARNING,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            # Faults can break connections and shift the clock.
            http=TrackedProtocol,
            date_header=False,
        )
    )

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if until_stdin_closes:
        threading.Thread(target=_wait_for_stdin, args=(loop, stop), daemon=True).start()
    facility.start()
    server.on_ready = lambda: announce(_listening(facility, listener.getsockname()[1]))
    try:
        await server.serve(sockets=[listener])
    finally:
        await facility.stop()


def _listening(facility: Facility, port: int) -> Listening:
    url = f"http://{HOST}:{port}"
    user = facility.settings.default_user
    token = facility.accounts.issue(user, None)
    state = facility.settings.state
    # For the commands that speak to a running facility.
    write_private(state / "url", url)
    # Profiles point to secrets instead of holding them.
    write_private(state / "token", token)
    write_private(state / "client-secret", facility.accounts.client_secret)
    write_private(state / "globus-client-secret", facility.globus.grants.client_secret)
    return Listening(
        url=url,
        base_url=f"{url}/api/v2",
        token=token,
        client_id=facility.accounts.client_id,
        client_secret=facility.accounts.client_secret,
        token_url=f"{url}/oauth/token",
        pid=os.getpid(),
        root=str(facility.settings.root),
        user=user,
        name=facility.settings.name,
        token_file=str(state / "token"),
        client_secret_file=str(state / "client-secret"),
        collection=facility.globus.collections.own.id,
        globus_client_id=facility.globus.grants.client_id,
        globus_client_secret=facility.globus.grants.client_secret,
        globus_client_secret_file=str(state / "globus-client-secret"),
        globus_native_client_id=facility.globus.grants.native_client_id,
    )


def _wait_for_stdin(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stop)


def write_private(path: Path, text: str) -> None:
    """Write a file that holds secrets: all of it or nothing, and for its owner only."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
