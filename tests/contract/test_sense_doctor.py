"""``iri doctor`` before a network, with a person's password; and what the other commands say there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import Shell

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as running:
        yield running


@pytest.fixture
def iri(place: LocalFacility, tmp_path: Path, monkeypatch, capsys) -> Shell:
    told = {
        "URL": place.sense_url,
        "DIALECT": "sense",
        "USER": place.sense_user,
        "CLIENT_ID": place.sense_client,
        "CLIENT_SECRET": place.client_secret,
        "TOKEN_URL": place.sense_token_url,
        "CLIENT_USER": place.sense_user,
        "CLIENT_PASSWORD": place.sense_password,
    }
    variables = {f"IRI_FACILITY_NET_{name}": value for name, value in told.items()}
    variables["XDG_STATE_HOME"] = str(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Shell(variables, capsys)


def test_doctor_tells_what_paths_go_through(place: LocalFacility, iri: Shell) -> None:
    said = iri("doctor", "-f", "net", "--json")
    found = {each["topic"]: each for each in said.document["findings"]}
    assert said.document["ok"], said
    assert {each["mark"] for each in found.values()} == {"ok"}
    assert "speaks for alice" in found["token"]["says"]
    assert found["network"]["says"] == "paths go through ESnet, NERSC, Fermilab"
    assert found["profiles"]["says"] == "coast-to-coast"
    assert place.sense_password not in str(said)


def test_doctor_finds_a_wrong_password(iri: Shell, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_NET_CLIENT_PASSWORD", "guessed")
    said = iri("doctor", "-f", "net")
    assert said.code == 8
    assert "Invalid user credentials" in " ".join(said.out.split())


def test_a_job_is_for_somebody_else(iri: Shell) -> None:
    said = iri("run", "-f", "net", "--", "/bin/true")
    assert said.code == 2
    assert "leases the path" in " ".join(said.err.split())
