"""``iri select``: facilities in the order in which they should be asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import Shell

from iri_common.cli.exits import Exit
from iri_common.policy import retry
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as running:
        yield running


def test_facilities_in_their_order(iri: Shell, place: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "backoff", lambda attempt, chance, limits: 0.01)  # nobody is there anyway
    monkeypatch.setenv("IRI_FACILITY_PLACE_ACCOUNT", "demo")
    monkeypatch.setenv("IRI_FACILITY_AWAY_URL", "http://127.0.0.1:9/api/v2")
    monkeypatch.setenv("IRI_FACILITY_AWAY_TOKEN", "any")
    said = iri("select", "--nodes", "2", "-t", "30:00")
    lines = [line.strip() for line in said.out.splitlines()]
    assert said.code == Exit.OK
    assert [line for line in lines if line.startswith(("place", "away"))] == [
        "place        cluster",
        "away         (closed)",
    ]
    assert "the machine is up" in lines
    assert any("node hours are left" in line for line in lines)
    document = iri("select", "--json").document
    assert [(each["facility"], each["open"]) for each in document["facilities"]] == [
        ("place", True),
        ("away", False),
    ]
    assert document["facilities"][0]["waiting"] == 0


def test_nothing_open_is_a_code_of_its_own(iri: Shell, place: LocalFacility) -> None:
    place.order("maintenance", seconds=600)
    said = iri("select", "place")
    place.clear_faults()
    assert (said.code, "the machine is down" in said.out) == (Exit.DOWN, True)


def test_what_makes_no_sense(iri: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert iri("select", "nobody").code == Exit.USAGE
    assert iri("select", "--time", "soon").code == Exit.USAGE
    monkeypatch.setenv("IRI_FACILITY_INNER_URL", "https://amsc-moderate.s3m.olcf.ornl.gov/api/v1")
    said = iri("select", "place", "inner")
    assert (said.code, "different enclaves" in said.err) == (Exit.USAGE, True)
