"""A local facility that hands its jobs to a real Slurm: whatever API they came by, Slurm runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS
from real_slurm import RealSlurm, missing

from iri_common import Facility, JobFailed, JobKey, JobState
from iri_local_facility import LocalFacility

pytestmark = [pytest.mark.timeout(90), pytest.mark.skipif(bool(missing()), reason=str(missing()))]


@pytest.fixture(scope="module")
def slurm() -> Iterator[RealSlurm]:
    with RealSlurm() as running:
        yield running


@pytest.fixture(scope="module")
def place(slurm: RealSlurm) -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.5, slurm=slurm.conf) as facility:
        yield facility


@pytest.fixture
def facility(place: LocalFacility, tmp_path: Path) -> Facility:
    return DOORS["iri-v2"].open(place, tmp_path)


def in_slurm(slurm: RealSlurm, number: str) -> dict[str, Any]:
    """The job that Slurm has for one of the facility's."""
    (job,) = [job for job in slurm.jobs("local-") if job["name"].endswith(f"-{number}-0")]
    return job


def shell(text: str, **words: Any) -> dict[str, Any]:
    return {"executable": "/bin/sh", "arguments": ["-c", text], **words}


def test_slurm_runs_it(slurm: RealSlurm, place: LocalFacility, facility: Facility) -> None:
    told = place.home / "told"
    text = f'echo "$MINE" >{told}; echo said'
    out = place.home / "a b.out"
    spec = shell(text, environment={"MINE": "it's"}, stdout_path=str(out), resources={"process_count": 2})
    ref = facility.jobs.submit(spec, key=JobKey.of("handover", time.time_ns()))
    status = facility.jobs.wait(ref)
    assert (status.state, status.succeeded) == (JobState.COMPLETED, True)
    assert (told.read_text(), out.read_text()) == ("it's\n", "said\n")
    theirs = in_slurm(slurm, str(ref.job_id))
    assert (theirs["job_state"], theirs["tasks"]) == ("COMPLETED", 2)


def test_how_it_ends(slurm: RealSlurm, place: LocalFacility, facility: Facility) -> None:
    with pytest.raises(JobFailed) as failed:
        facility.jobs.run(shell("echo why >&2; exit 3"), key=JobKey.of("handover", time.time_ns()))
    status = failed.value.job_status
    assert status is not None
    assert status.exit_code == 3
    assert "why" in failed.value.stderr_tail
    ref = facility.jobs.submit(shell("sleep 60"), key=JobKey.of("handover", time.time_ns()))
    _until_running(slurm, str(ref.job_id))
    facility.jobs.cancel(ref)
    assert facility.jobs.wait(ref, timeout=60).state is JobState.CANCELED
    assert in_slurm(slurm, str(ref.job_id))["job_state"] in ("CANCELLED", "FAILED", "COMPLETING")


def test_it_outlives_the_facility_and_slurmctld(
    slurm: RealSlurm, place: LocalFacility, facility: Facility
) -> None:
    ref = facility.jobs.submit(shell("sleep 3; exit 5"), key=JobKey.of("handover", time.time_ns()))
    _until_running(slurm, str(ref.job_id))
    place.kill()
    slurm.stop_controller()
    place.restart()
    time.sleep(0.5)
    assert [job["state"] for job in place.jobs() if job["id"] == ref.job_id] == ["active"]
    slurm.start_controller()
    status = facility.jobs.wait(ref, timeout=60)
    assert (status.reported, status.exit_code) == (JobState.FAILED, 5)
    _until(slurm, str(ref.job_id), lambda job: job["exit_code"] >> 8 == 5)  # which slurmctld may learn later


def _until_running(slurm: RealSlurm, number: str) -> None:
    _until(slurm, number, lambda job: job["job_state"] == "RUNNING")


def _until(slurm: RealSlurm, number: str, true: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + 60
    while True:
        found = [job for job in slurm.jobs("local-") if job["name"].endswith(f"-{number}-0")]
        if found and true(found[0]):
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
