"""The model of a facility and the real clients lie beside the tests, the relay with the contracts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from iri_local_facility import LocalFacility

if TYPE_CHECKING:
    from transfer_world import Ends

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "contract")]


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    """A facility for a module; its jobs go quickly when they are told to."""
    with LocalFacility(nodes=16, kill_grace=0.2) as facility:
        yield facility


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    """A facility, its collection, a store, and clients that move files between them and here."""
    from transfer_world import open_ends

    with open_ends(tmp_path_factory.mktemp("ends")) as ends:
        yield ends


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of the core stay; only its pauses are short."""
    from asking_client import HURRY

    for where, name, value in HURRY:
        monkeypatch.setattr(where, name, value)
