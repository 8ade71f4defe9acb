"""What is said before a transfer that jobs of another account could not read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import Shell

from iri_common import Facility, FileLedger, Road, Transfers
from iri_common.apis.globus import GlobusCredential
from iri_common.apis.globus.login import Login
from iri_common.apis.globus.rules import Needs, transfer_scope
from iri_common.facility.collections import GlobusSettings
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFacility]:
    beam = tmp_path_factory.mktemp("beam")
    (beam / "scan").write_bytes(b"data")
    with LocalFacility(collections={"beam": beam}) as running:
        yield running


@pytest.fixture
def person(place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GlobusCredential:
    """Who has logged in, and speaks for every collection."""
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_ID", place.globus_native_client_id)
    credential = GlobusCredential(place.globus_native_client_id)
    login = Login(credential, [transfer_scope()], Needs())
    login.finish(place.globus_login(login.url))
    place.reset_requests()
    return credential


def program(place: LocalFacility) -> GlobusCredential:
    return GlobusCredential(place.globus_client_id, lambda: place.globus_client_secret)


def olcf(place: LocalFacility, folder: Path, speaks: GlobusCredential, account: str | None) -> Facility:
    """S3M with the files of the collection."""
    return Facility(
        place.s3m_url,
        token=place.new_s3m_token("beamline"),
        name="olcf",
        dialect="slurm",
        site="s3m",
        resource="cluster",
        globus=GlobusSettings(place.collection, "/", credential=speaks, account=account),
        ledger=FileLedger(folder / "ledger"),
        poll_seconds=0.1,
    )


def source(place: LocalFacility) -> str:
    return f"globus://{place.collection_of('beam')}/scan"


def test_it_is_said_once_with_what_to_do(
    place: LocalFacility, person: GlobusCredential, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = olcf(place, tmp_path, person, None)
    target = there.files.at(str(place.home / "scan"))
    plan = Transfers().plan(source(place), target, road=Road.GLOBUS)
    (said,) = plan.cautions
    assert "jobs there run as beamline_auser" in said
    assert "setfacl -m u:beamline_auser:rX" in said
    assert f"before: {said}" in plan.explain()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert Transfers().copy(source(place), target, road=Road.GLOBUS).cautions == (said,)
    assert caplog.messages.count(said) == 1
    assert len(place.requests("s3mIntrospect")) == 1, "one request a token"


@pytest.mark.parametrize(
    ("logged_in", "account", "said", "asked"),
    [(False, None, "", 0), (True, "beamline_auser", "", 1), (False, "alice", "belongs to alice", 1)],
)
def test_nothing_is_guessed(
    place: LocalFacility, person: GlobusCredential, tmp_path: Path, logged_in, account, said, asked
) -> None:
    there = olcf(place, tmp_path, person if logged_in else program(place), account)
    plan = Transfers().plan(source(place), there.files.at(str(place.home / "scan")), road=Road.GLOBUS)
    assert (said in "".join(plan.cautions)) if said else plan.cautions == ()
    assert len(place.requests("s3mIntrospect")) == asked


def test_a_program_reads_it(
    place: LocalFacility, person: GlobusCredential, tmp_path: Path, monkeypatch, capsys
) -> None:
    told = {
        "URL": place.base_url,
        "TOKEN": place.token,
        "GLOBUS_COLLECTION": place.collection,
        "GLOBUS_LEND": "true",
        "GLOBUS_ACCOUNT": "bob",
    }
    for name, value in told.items():
        monkeypatch.setenv(f"IRI_FACILITY_PLACE_{name}", value)
    iri = Shell({}, capsys)
    ends = ("--road", "globus", source(place), f"iri://place//{str(place.home / 'told').lstrip('/')}")
    (plan,) = iri("cp", "--plan", "--json", *ends).document["plans"]
    (said,) = plan["cautions"]
    assert "belongs to bob, and jobs there run as alice" in said
    (moved,) = iri("cp", "--json", *ends).document["transfers"]
    assert moved["cautions"] == [said]
