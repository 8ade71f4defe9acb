"""Credentials that no login writes: ``iri login`` looks at keys and commands, and says what a person does."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import Shell

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


@pytest.fixture
def key(place: LocalFacility, tmp_path: Path) -> Path:
    file = tmp_path / "key.pem"
    file.touch(0o600)
    file.write_text(place.superfacility_key.read_text())
    return file


@pytest.fixture
def iri(place: LocalFacility, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Shell:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("IRI_FACILITY_NERSC_URL", place.superfacility_url)
    monkeypatch.setenv("IRI_FACILITY_NERSC_DIALECT", "superfacility")
    monkeypatch.setenv("IRI_FACILITY_NERSC_TOKEN_URL", place.superfacility_token_url)
    monkeypatch.setenv("IRI_FACILITY_NERSC_CLIENT_KEY_FILE", str(key))
    return Shell({}, capsys)


def test_a_key_is_tried_and_stays(iri: Shell, key: Path) -> None:
    said = iri("login", "nersc")
    assert (said.code, "renewable" in said.out) == (0, True), said.err
    assert f"what it has is the key {key}" in said.err
    before = key.read_bytes()
    said = iri("logout", "nersc", "--yes", "--json")
    assert f"the key {key}" in said.document["stays"][0]
    assert key.read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "why"),
    [(Path.unlink, "cannot be read"), (lambda key: key.write_text("nothing"), "holds no private key")],
    ids=["none", "another file"],
)
def test_a_key_that_cannot_be_used_leads_to_the_page_that_makes_one(iri: Shell, key, wrong, why) -> None:
    wrong(key)
    said = iri("login", "nersc")
    told = " ".join(said.out.split())
    assert (said.code, "needs a person" in told) == (8, True)
    assert why in told
    assert "-> make a new client (at NERSC: in Iris, Superfacility API Clients)" in told


def test_a_key_that_others_may_read_needs_no_new_client(iri: Shell, key: Path) -> None:
    key.chmod(0o640)
    said = iri("login", "nersc")
    told = "".join(said.out.split())  # long words are folded
    assert (said.code, "needsaperson" in told) == (8, True)
    assert told.endswith(f"->run:chmod600{key}")


def test_a_command_is_run_and_stays(iri: Shell, place: LocalFacility, monkeypatch) -> None:
    command = shlex.join([sys.executable, "-c", f"print({place.token!r})"])
    monkeypatch.setenv("IRI_FACILITY_SITE_URL", place.base_url)
    monkeypatch.setenv("IRI_FACILITY_SITE_TOKEN_COMMAND", command)
    said = iri("login", "site")
    assert (said.code, place.token in said.out + said.err) == (0, False)
    assert "the command" in iri("logout", "site", "--json").document["stays"][0]


def test_a_profile_without_a_credential_is_told_what_to_add(
    iri: Shell, place: LocalFacility, monkeypatch
) -> None:
    monkeypatch.setenv("IRI_FACILITY_OPEN_URL", place.base_url)
    said = iri("login", "open")
    assert (said.code, "add token" in said.out) == (8, True)
    assert "nothing was there" in iri("logout", "open", "--json").document["stays"][0]
