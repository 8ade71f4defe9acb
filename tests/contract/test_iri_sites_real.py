"""Jobs at facilities that serve the IRI API as single sites do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from misbehaving_relay import Fault, Relay, http, lose

from iri_common import Facility, FileLedger, JobFailed, JobKey, JobState, NotOffered, UsageError
from iri_local_facility import LocalFacility

SUBMIT = r"^POST .*/compute/job/"
OUT_OF_TIME = b'{"title": "Request Timeout", "detail": "timed out", "status": 408}'
pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("short_pauses")]


@pytest.fixture(scope="module", params=["alcf", "nersc", "olcf", "slac"])
def site(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def place(site: str) -> Iterator[LocalFacility]:
    with LocalFacility(site=site, kill_grace=0.2) as facility:
        yield facility


@pytest.fixture
def relay(place: LocalFacility) -> Iterator[Relay]:
    with Relay(f"{place.url}/api/v1") as between:
        yield between


@pytest.fixture
def facility(place: LocalFacility, relay: Relay, site: str, tmp_path: Path) -> Facility:
    return Facility(
        relay.base_url,
        token=place.new_token(),
        site=site,
        poll_seconds=0.1,
        directory=str(place.home),
        guard_directory=str(place.home / "guards"),
        ledger=FileLedger(tmp_path / "ledger"),
    )


def shell(text: str, **words: Any) -> dict[str, Any]:
    return {"executable": "/bin/sh", "arguments": ["-c", text], "name": "site", **words}


def key_of(tmp_path: Path) -> JobKey:
    return JobKey.of("sites", tmp_path.name, time.time_ns())


def test_one_spec_runs_everywhere(place: LocalFacility, facility: Facility, tmp_path: Path) -> None:
    key, odd = key_of(tmp_path), "a \"b\" 'c' \\ $d\ne"
    told = place.home / key.digest
    spec = {
        "executable": "/bin/sh",
        "arguments": ["-c", f'test -n "$PATH" && printf "%s|%s|%s" "$1" "$ODD" "$PRE" > {told}', "sh", odd],
        "environment": {"ODD": odd},
        "pre_launch": "PRE=before; export PRE",
        "attributes": {"duration": 90},
    }
    assert facility.jobs.run(spec, key=key).status.succeeded
    assert told.read_text() == f"{odd}|{odd}|before"


def test_a_failure_is_told_as_one(facility: Facility, tmp_path: Path) -> None:
    with pytest.raises(JobFailed) as caught:
        facility.jobs.run(shell("exit 3"), key=key_of(tmp_path))
    assert caught.value.job_status is not None
    assert caught.value.job_status.exit_code == 3


def test_a_lost_reply_makes_no_second_job(
    place: LocalFacility, facility: Facility, relay: Relay, site: str, tmp_path: Path
) -> None:
    faults = [lose(SUBMIT)]
    if site == "alcf":  # it gives up on PBS after a while, and PBS goes on
        faults.append(Fault(SUBMIT, reply=http(408, OUT_OF_TIME, "application/problem+json")))
    for fault in faults:
        key = key_of(tmp_path)
        marks = place.scratch / key.digest
        relay.faults.append(fault)
        ref = facility.jobs.submit(shell(f"echo $$ >> {marks}; sleep 0.5"), key=key)
        assert facility.jobs.result(ref).status.succeeded
        assert facility.jobs.submit(shell(f"echo $$ >> {marks}; sleep 0.5"), key=key).key == key
        until = time.monotonic() + 60
        while any(each["state"] not in ("completed", "failed", "canceled") for each in place.jobs()):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert len(marks.read_text().splitlines()) == 1


def test_a_job_that_is_not_there_is_missing(facility: Facility, tmp_path: Path) -> None:
    ref = facility.jobs.run(shell("true"), key=key_of(tmp_path)).ref
    other = str(ref).replace(f"job={ref.job_id}", "job=7654321")
    assert facility.jobs.status(other).state is JobState.MISSING


def test_what_a_site_refuses_never_reaches_it(
    place: LocalFacility, facility: Facility, site: str, tmp_path: Path
) -> None:
    if site != "alcf":
        pytest.skip("its words are not as poor as that")
    place.reset_requests()
    with pytest.raises(UsageError, match="mpiexec"):
        facility.jobs.submit(shell("true", resources={"process_count": 4}), key=key_of(tmp_path))
    assert not place.requests("launchJob")


def test_files_are_where_a_site_has_them(facility: Facility, site: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    if site in {"alcf", "olcf"}:
        with pytest.raises(NotOffered, match=r"takes no files|moves no files"):
            facility.files.put(tmp_path / "x", "/x")
    else:
        assert facility.grades.files == "direct"


def test_what_a_site_serves_not_at_all_is_said_without_asking(
    place: LocalFacility, facility: Facility, site: str
) -> None:
    if site != "olcf":
        pytest.skip("only there whole services are missing")
    place.reset_requests()
    for call, instead in (
        (facility.accounts.check_token, "S3M"),
        (facility.accounts.projects, "S3M"),
        (facility.accounts.capabilities, "S3M"),
        (lambda: facility.files.ls("/x"), "collection"),
        (lambda: facility.files.chown("/x", owner="o"), "collection"),
    ):
        with pytest.raises(NotOffered, match=instead):
            call()
    assert {each["operation"] for each in place.requests()} <= {"getResources"}


def test_a_suspended_job_is_waited_for(
    place: LocalFacility, facility: Facility, site: str, tmp_path: Path
) -> None:
    if site != "slac":
        pytest.skip("only there it looks as if it had ended")
    ref = facility.jobs.submit(shell("sleep 1.5"), key=key_of(tmp_path))
    place.order("unknown_state", job=ref.job_id, word="SUSPENDED", lasts=1.0)
    seen = list[JobState]()
    status = facility.jobs.wait(ref, on_change=lambda status: seen.append(status.state))
    assert status.state is JobState.COMPLETED
    assert JobState.CANCELED not in seen
