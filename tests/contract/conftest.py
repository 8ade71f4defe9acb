"""The core is tested on loops that nothing may block; what several modules of contracts stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cli_shell import Shell, variables_of
from misbehaving_relay import Relay
from parts_world import PART
from s3_server import KEYS, Store, s3_server

from iri_common import Facility, FileLedger
from iri_common.apis.s3 import parts as s3_module
from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import WireSettings
from iri_common.policy import asking
from iri_common.transfers import parts as parts_module
from iri_common.transfers import spans as spans_module
from iri_local_facility import LocalFacility


@pytest.fixture(autouse=True)
def on_a_calm_loop(calm_loop: None) -> None:
    """For every test: the I/O loop runs beside those that are not async themselves."""


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of a submit stay; only its pauses go."""
    monkeypatch.setattr(asking, "look_pause", lambda looks: 0.05)
    monkeypatch.setattr(asking, "send_pause", lambda sends: 0.05)
    monkeypatch.setattr(asking, "LISTED_WITHIN", 0.2)
    monkeypatch.setattr(asking, "GRACE", 0.2)


@pytest.fixture
def iri(
    place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """The ``iri`` command before the facility ``place`` of the test's module."""
    place.reset_requests()
    variables = variables_of(place, tmp_path / "state")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Shell(variables, capsys)


@pytest.fixture
def facility(place: LocalFacility, relay: Relay, tmp_path: Path) -> Facility:
    """A door of its own, behind the module's ``relay``."""
    return Facility(
        relay.base_url,
        token=place.new_token(),
        poll_seconds=0.1,
        directory=str(place.home),
        ledger=FileLedger(tmp_path / "ledger"),
    )


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An S3 server that every test of this process shares."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def store(store_server: Store) -> Store:
    """The shared server, emptied: which tests ran before in this process is chance."""
    store_server.empty()
    return store_server


@pytest.fixture
def relay(store: Store) -> Iterator[Relay]:
    """What stands before the shared server and misbehaves; modules with a facility have one before that."""
    with Relay(store.url) as between:
        yield between


@pytest.fixture
def store_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of somebody whom the shared server knows."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def small_parts(store_keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files go to the shared server in small parts, and pauses are short."""
    monkeypatch.setattr(s3_module, "PART_SIZE", PART)
    for module in (parts_module, spans_module):
        monkeypatch.setattr(module, "backoff", lambda attempt, chance, limits: 0.01)


@pytest.fixture
async def wire() -> AsyncIterator[HttpBytes]:
    """For the bytes of files."""
    one = HttpBytes(WireSettings(read_seconds=20.0))
    yield one
    await one.close()
