"""``iri ls``, ``cat``, ``get`` and their like in a Globus collection that need not be any facility's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import COMMAND, Shell

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(data_access=True) as facility:
        yield facility


@pytest.fixture
def globus(place: LocalFacility, iri: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command as somebody runs it who speaks to Globus, and has no profile."""
    variables = {
        **place.globus_env,
        "IRI_GLOBUS_CLIENT_ID": place.globus_client_id,
        "IRI_GLOBUS_CLIENT_SECRET": place.globus_client_secret,
    }
    for name in iri.variables:
        if name.startswith("IRI_FACILITY_"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return iri


def test_a_collection_is_looked_at_and_tidied(globus: Shell, place: LocalFacility, tmp_path: Path) -> None:
    own = place.home / tmp_path.name
    url = f"globus://{place.collection}{own}"
    assert globus("mkdir", "-p", f"{url}/deep/er").code == 0
    content = bytes(range(256)) * 5000
    (own / "two words").write_bytes(content)
    assert globus("ls", url).out.splitlines() == ["deep", "two words"]
    assert " 1280000 " in globus("ls", "-l", url).out
    done = subprocess.run([COMMAND, "cat", f"{url}/two words"], capture_output=True, timeout=60, check=True)
    assert done.stdout == content
    assert globus("get", f"{url}/two words", "here").code == 0
    assert (tmp_path / "here").read_bytes() == content
    (own / "to nothing").symlink_to("nothing")
    assert globus("rm", f"{url}/to nothing").code == 0
    assert globus("rm", f"{url}/deep").code == 2
    assert globus("rm", "-r", f"{url}/deep", f"{url}/two words").code == 0
    assert not list(own.iterdir())
    assert globus("cat", f"{url}/nothing").code == 10


def test_without_anybody_who_speaks_to_globus(iri: Shell, place: LocalFacility) -> None:
    said = iri("ls", f"globus://{place.collection}/home")
    assert said.code == 2
    assert "iri globus login" in said.err
