"""The core is tested on loops that nothing may block; its roads, before a facility of each module's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from roads_world import Roads, hurry

from iri_local_facility import LocalFacility


@pytest.fixture(autouse=True)
def on_a_calm_loop(calm_loop: None) -> None:
    """For every test: the I/O loop runs beside those that are not async themselves."""


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    """A facility whose jobs end at once when they are told to."""
    with LocalFacility(kill_grace=0.2) as facility:
        yield facility


@pytest.fixture
def roads(place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roads:
    """To that facility, in a hurry."""
    place.clear_faults()
    place.reset_requests()
    hurry(monkeypatch)
    return Roads(place, tmp_path / "state")
