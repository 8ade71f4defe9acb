"""The state of a credential before every API, with tokens of seconds, revoked and delayed ones."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell
from doors import DOORS, Door

from iri_common import CredentialState, Facility, JobFailed, JobKey, Principal
from iri_common.auth.client_key import key_from_file
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.auth.static import token_from_file
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(90)

S = CredentialState
REVOCABLE = ["iri-v2", "iri-v1", "firecrest", "slurm", "s3m"]


STARTED: dict[str, Any] = {
    "nodes": 100,
    **{name: value for each in DOORS.values() for name, value in each.start.items()},
}


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(**STARTED) as facility:
        yield facility


def with_file(door: Door, place: LocalFacility, folder: Path) -> tuple[Facility, Path, str]:
    """The door with its token in a file that can be replaced."""
    file = folder / "token"
    token = str(dict(door.words(place))["token"])
    file.touch(mode=0o600)
    file.write_text(token)
    return door.open(place, folder, token=token_from_file(file)), file, token


@pytest.mark.parametrize("name", DOORS)
def test_a_good_credential_works_before_every_api(place: LocalFacility, name: str, tmp_path: Path) -> None:
    facility = DOORS[name].open(place, tmp_path)
    told = facility.accounts.credential()
    assert told.state is (S.RENEWABLE if name == "superfacility" else S.OK)
    assert not told.mend
    assert (told.until is not None) is (name in {"superfacility", "slurm", "slurm-v38", "s3m"})


def test_it_costs_one_request(place: LocalFacility, tmp_path: Path) -> None:
    for name in ("iri-v2", "iri-v1", "firecrest", "s3m"):
        facility = DOORS[name].open(place, tmp_path / name)
        place.reset_requests()
        facility.accounts.credential()
        assert len(place.requests()) == 1, name


@pytest.mark.parametrize("name", REVOCABLE)
def test_a_revoked_token_needs_a_person_until_its_file_is_replaced(
    place: LocalFacility, name: str, tmp_path: Path
) -> None:
    door = DOORS[name]
    token = dict(door.words(place))["token"]
    if name == "slurm":  # the one of the module stays
        token = place.new_slurm_token()
    facility, file, _ = with_file(door, place, tmp_path)
    file.write_text(token)
    assert facility.accounts.credential().state is S.OK
    assert place.revoke(token)
    told = facility.accounts.credential()
    assert told.state is S.NEEDS_PERSON
    assert str(file) in told.mend
    file.write_text(str(dict(door.words(place))["token"]))
    assert facility.accounts.credential().state is S.OK


def test_a_token_of_seconds_that_tells_its_end_expires(place: LocalFacility, tmp_path: Path) -> None:
    token = place.new_slurm_token(lifetime=2)
    facility = DOORS["slurm"].open(place, tmp_path, token=token)
    told = facility.accounts.credential()
    assert told.state is S.OK
    assert told.until is not None
    while time.time() < told.until.timestamp() + 1.1:  # Slurm counts whole seconds
        time.sleep(0.1)
    after = facility.accounts.credential()
    assert after.state is S.EXPIRED
    assert after.since == told.until
    assert "start again" in after.mend


def test_s3m_tells_the_end_of_a_token_that_does_not_and_it_is_remembered(
    place: LocalFacility, tmp_path: Path
) -> None:
    facility = DOORS["s3m"].open(place, tmp_path, token=place.new_s3m_token("beamline", lifetime=2))
    told = facility.accounts.credential()
    assert told.state is S.OK
    assert told.until is not None
    while time.time() < told.until.timestamp() + 0.1:
        time.sleep(0.1)
    assert facility.accounts.credential().state is S.EXPIRED


def test_a_token_with_a_delayed_start_is_not_yet_valid(place: LocalFacility, tmp_path: Path) -> None:
    token = place.new_s3m_token("beamline", starts_in=3600)
    told = DOORS["s3m"].open(place, tmp_path, token=token).accounts.credential()
    assert told.state is S.NOT_YET_VALID
    assert told.until is not None
    assert 3500 < told.until.timestamp() - time.time() < 3700


def test_a_client_that_dies_is_mended_by_another_ones_key(place: LocalFacility, tmp_path: Path) -> None:
    file = tmp_path / "client.pem"
    file.touch(mode=0o600)
    file.write_text(place.new_superfacility_key(lifetime=0.0).read_text())
    source = PrivateKeyJwt(place.superfacility_token_url, key_from_file(file))
    facility = DOORS["superfacility"].open(place, tmp_path, token=source)
    dead = facility.accounts.credential()
    assert dead.state is S.NEEDS_PERSON, "a dead client cannot ask when it died"
    assert str(file) in dead.mend
    file.write_text(place.new_superfacility_key(lifetime=3600).read_text())
    told = facility.accounts.credential()
    assert told.state is S.RENEWABLE
    assert told.until is not None
    assert told.until.timestamp() - time.time() <= 3600


def test_in_whose_name_jobs_run(place: LocalFacility, tmp_path: Path) -> None:
    told = {
        name: DOORS[name].open(place, tmp_path / name).accounts.principal()
        for name in ("iri-v2", "superfacility", "firecrest", "slurm", "s3m")
    }
    own = told.pop("s3m")
    assert (own.name, own.owner) == ("project BEAMLINE", "beamline_auser")
    assert "group access" in own.why
    assert all(each.owner == each.name == place.user and not each.why for each in told.values())


def test_a_result_tells_whose_job_it_was_without_a_request_of_its_own(tmp_path: Path) -> None:
    with LocalFacility(**STARTED) as place:  # nobody else's requests are in its log
        _asked_nothing(place, tmp_path)


def _asked_nothing(place: LocalFacility, tmp_path: Path) -> None:
    def ran(facility: Facility) -> Principal | None:
        return facility.jobs.run({"executable": "/bin/true", "attributes": {"duration": 60}}).principal

    slurm = DOORS["slurm"].open(place, tmp_path / "slurm")
    firecrest = DOORS["firecrest"].open(place, tmp_path / "firecrest")
    project = DOORS["s3m"].open(place, tmp_path / "s3m")
    asked = DOORS["iri-v2"].open(place, tmp_path / "iri")
    project.accounts.principal()
    firecrest.accounts.projects()  # each system tells the user beside
    place.reset_requests()
    assert ran(slurm) == ran(firecrest) == Principal(place.user, place.user)
    assert (told := ran(project)) is not None
    assert (told.name, told.owner) == ("project BEAMLINE", "beamline_auser")
    assert ran(asked) is None, "nobody has told it"
    asking = {"firecrestUserinfo", "s3mIntrospect", "whoami"}
    assert not asking & {each["operation"] for each in place.requests()}
    asked.accounts.principal()
    assert ran(asked) == Principal(place.user, place.user)
    with pytest.raises(JobFailed) as failed:
        slurm.jobs.run({"executable": "/bin/false", "attributes": {"duration": 60}})
    assert failed.value.principal == Principal(place.user, place.user), "a failure tells no less"


# ------------------------------------------------------------------------------------- under those who wait


async def test_a_hundred_waits_go_on_when_their_key_is_replaced(
    place: LocalFacility, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facility, file, old = await asyncio.to_thread(with_file, DOORS["iri-v2"], place, tmp_path)
    new, go = tmp_path / "new", tmp_path / "go"
    spec = {"executable": "/bin/sh", "arguments": ["-c", f"while [ ! -e {go} ]; do sleep 0.3; done"]}
    keys = [JobKey.of("under a hundred waits", tmp_path.name, n) for n in range(100)]
    jobs = [await facility.aio.jobs.submit(spec, key=key, guard=False) for key in keys]
    with caplog.at_level(logging.INFO, "iri_common"):
        waits = [asyncio.create_task(facility.aio.jobs.result(each, timeout=80)) for each in jobs]
        await until(lambda: len(place.requests("getJobs")) > 0)
        assert await asyncio.to_thread(place.revoke, old)
        await until(lambda: "does not take the credential any more" in caplog.text)
        assert not any(each.done() for each in waits), "no wait is lost"
        new.touch(mode=0o600)
        new.write_text(place.new_token())
        new.replace(file)
        go.touch()
        ends = await asyncio.gather(*waits)
    assert all(each.status.succeeded for each in ends)
    assert caplog.text.count("does not take the credential any more") == 1
    assert caplog.text.count(f"put a new token into the token file {file}; it is read again by itself") == 1
    assert caplog.text.count("works again") == 1


async def until(seen: Callable[[], bool]) -> None:
    def look() -> None:
        limit = time.monotonic() + 60
        while not seen():
            assert time.monotonic() < limit
            time.sleep(0.05)

    await asyncio.to_thread(look)


# ------------------------------------------------------------------------------- iri whoami and iri doctor


@pytest.fixture
def iri(
    place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """With the profiles v2, s3m and sf."""
    for name in [each for each in os.environ if each.startswith("IRI_")]:
        monkeypatch.delenv(name)
    variables = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    for profile, door in (("V2", "iri-v2"), ("S3M", "s3m"), ("SF", "superfacility")):
        told = DOORS[door].variables(place, tmp_path)
        variables |= {
            each.replace("_PLACE_", f"_{profile}_"): value
            for each, value in told.items()
            if each.startswith("IRI_FACILITY_")
        }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Shell(variables, capsys)


def unfolded(text: str) -> str:
    """As it is on a terminal without an edge."""
    return " ".join(text.split())


def test_whoami_tells_of_all_profiles(iri: Shell, place: LocalFacility) -> None:
    said = iri("whoami", "--json")
    assert said.code == 0, said.out
    told = {each["name"]: each for each in said.document["profiles"]}
    assert {name: each["state"] for name, each in told.items()} == {
        "s3m": "ok", "sf": "renewable", "v2": "ok",
    }  # fmt: skip
    assert told["s3m"]["owner"] == "beamline_auser"
    assert told["v2"]["principal"] == place.user
    assert told["sf"]["unattended"].startswith("until ")
    words = iri("whoami")
    assert "jobs and their files belong to beamline_auser" in unfolded(words.out)
    assert "unattended as long as it counts; its end is not told" in unfolded(words.out)
    assert place.token not in words.out + words.err + said.out + json.dumps(told)


def test_whoami_tells_what_mends_and_exits_for_a_person(iri: Shell, monkeypatch, place) -> None:
    token = place.new_token()
    # A variable of its own: doors are shared in a process by what their tokens are read from.
    monkeypatch.setenv("IRI_FACILITY_OLD_URL", place.base_url)
    monkeypatch.setenv("IRI_FACILITY_OLD_TOKEN", token)
    assert place.revoke(token)
    said = iri("whoami")
    assert said.code == 8
    assert "needs a person" in said.out
    mend = "-> get a new token, put it into the environment variable IRI_FACILITY_OLD_TOKEN"
    assert mend in unfolded(said.out)
    assert iri("whoami", "s3m").code == 0, "one that is not asked about does not count"
    monkeypatch.delenv("IRI_FACILITY_OLD_TOKEN")
    assert iri("whoami", "old", "--json").document["profiles"][0]["why"].startswith("none is configured")


def test_whoami_tells_of_a_profile_that_cannot_be_used_beside_the_others(iri: Shell, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_ODD_URL", "ftp://nowhere")
    monkeypatch.setenv("IRI_FACILITY_GONE_URL", "http://127.0.0.1:9/api/v2")
    monkeypatch.setenv("IRI_FACILITY_GONE_TOKEN", "x")
    monkeypatch.setattr("iri_common.cli.whoami.PATIENCE", 2.0)
    told = iri("whoami", "--json", "odd", "gone", "s3m")
    assert [each["exit"] for each in told.document["profiles"]] == [2, 12, 0]
    assert told.code == 2
    assert "ftp://nowhere" in told.document["profiles"][0]["error"]
    assert iri("whoami", "nobody").code == 2


def test_whoami_tells_of_globus_beside_the_facilities(iri: Shell, monkeypatch, place) -> None:
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_ID", place.globus_native_client_id)
    said = iri("whoami", "globus")
    assert said.code == 8
    assert "-> run: iri globus login" in unfolded(said.out)
    assert [each["name"] for each in iri("whoami", "--json").document["profiles"]] == [
        "s3m", "sf", "v2", "globus",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["firecrest", "slurm", "iri-v2", "s3m"])
def test_doctor_tells_a_refusal_once(
    iri: Shell, place: LocalFacility, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each, value in DOORS[name].variables(place, tmp_path).items():
        monkeypatch.setenv(each.replace("_PLACE_", "_SHUT_"), value)
    monkeypatch.setenv("IRI_FACILITY_SHUT_TOKEN", f"no-token-of-{name}")
    said = iri("doctor", "-f", "shut", "--json")
    assert said.code == 8
    assert [each["topic"] for each in said.document["findings"] if each["mark"] == "fail"] == ["token"]


def test_doctor_sends_nobody_to_another_resource_where_the_url_is_wrong(
    iri: Shell, place, monkeypatch
) -> None:
    words = {
        "URL": f"{place.slurm_url}/astray",
        "DIALECT": "slurm",
        "USER": "alice",
        "TOKEN": place.slurm_token,
    }
    for name, value in words.items():
        monkeypatch.setenv(f"IRI_FACILITY_ASTRAY_{name}", value)
    findings = iri("doctor", "-f", "astray", "--json").document["findings"]
    assert [each for each in findings if "--resource" in each["remedy"]] == []
    assert "is the base URL right?" in iri("whoami", "astray", "--json").document["profiles"][0]["why"]


def test_whoami_and_doctor_mend_a_readable_file_by_its_mode(iri: Shell, monkeypatch, place, tmp_path) -> None:
    file = tmp_path / "my token"
    file.write_text(place.new_token())
    file.chmod(0o644)
    monkeypatch.setenv("IRI_FACILITY_OPEN_URL", place.base_url)
    monkeypatch.setenv("IRI_FACILITY_OPEN_TOKEN_FILE", str(file))
    words = "".join(iri("whoami", "open").out.split())  # long words are folded
    assert words.endswith(f"othersmayreadthetokenfile{file}->run:chmod600'{file}'".replace(" ", ""))
    [token] = [each for each in iri("doctor", "-f", "open", "--json").document["findings"] if each["remedy"]]
    assert token["remedy"] == f"run: chmod 600 '{file}'"
    file.chmod(0o600)
    assert iri("whoami", "open").code == 0


def test_doctor_tells_who_owns_jobs_and_why_that_is_another(iri: Shell) -> None:
    told = {each["topic"]: each for each in iri("doctor", "-f", "s3m", "--json").document["findings"]}
    assert "speaks for project BEAMLINE" in told["token"]["says"]
    assert told["owner"]["says"].startswith("jobs and their files belong to beamline_auser; jobs run as")


def test_doctor_takes_one_token(iri: Shell, place: LocalFacility) -> None:
    place.reset_requests()
    said = iri.apart("doctor", "-f", "sf", "--json")
    assert {"token", "client", "owner"} <= {each["topic"] for each in said.document["findings"]}
    assert len(place.requests("sfToken")) == 1


def test_doctor_says_of_a_slurm_token_what_whoami_says(
    iri: Shell, place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "slurm.token"
    file.touch(mode=0o600)
    words = {"URL": place.slurm_url, "DIALECT": "slurm", "USER": "alice", "TOKEN_FILE": str(file)}
    for name, value in words.items():
        monkeypatch.setenv(f"IRI_FACILITY_HEAD_{name}", value)

    def told() -> list[dict[str, str]]:
        return iri.apart("doctor", "-f", "head", "--json").document["findings"]

    mend = f"put a new token into the token file {file}; it is read again by itself. iri login head"
    file.write_text(place.new_slurm_token(lifetime=600))
    [token] = [each for each in told() if each["topic"] == "token"]
    assert token["mark"] == "warn"
    assert "renewed" not in token["says"]
    assert token["remedy"].startswith(mend)
    file.write_text(place.new_slurm_token(lifetime=-600))
    token, *others = [each for each in told() if each["mark"] == "fail"]
    assert token["says"].startswith("it ended on ")
    assert token["remedy"].startswith(mend)
    assert [each["remedy"] for each in others if "--resource" in each["remedy"]] == []


def test_whoami_without_a_profile_says_how_to_make_one(monkeypatch, tmp_path: Path, capsys) -> None:
    for name in [each for each in os.environ if each.startswith("IRI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    said = Shell({}, capsys)("whoami")
    assert said.code == 2
    assert "iri doctor" in said.err
