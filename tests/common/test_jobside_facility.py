"""The guard where jobs really run: plain, under a launcher, as a script, as a double."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iri_common import Facility, FileLedger, JobFailed, JobKey, JobSpec
from iri_common.jobside.codes import GuardCode
from iri_common.jobside.guard import Guard
from iri_common.jobside.journal import Journal, read_journal, read_owner
from iri_common.jobside.wrap import wrap_spec
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16) as facility:
        yield facility


@pytest.fixture
def facility(place: LocalFacility, tmp_path: Path) -> Facility:
    return Facility(
        place.base_url,
        token=place.token,
        poll_seconds=0.1,
        directory=str(place.home),
        ledger=FileLedger(tmp_path / "ledger"),
    )


def guarded(guard: Guard, **words) -> dict:
    return wrap_spec(JobSpec(**words).sent(), guard)


def files(place: LocalFacility, guard: Guard) -> Path:
    return Path(str(guard.directory_at(str(place.home))))


def journal(place: LocalFacility, guard: Guard) -> Journal:
    return read_journal((files(place, guard) / guard.journal_name()).read_text())


def test_a_plain_job(place: LocalFacility, facility: Facility) -> None:
    guard = Guard(JobKey.random())
    words = ["a  b", "$HOME", "'\"", "*", ""]
    spec = guarded(guard, executable="printf", arguments=["%s|", *words], environment={"X": "1"})
    result = facility.jobs.run(spec)
    assert result.status.succeeded
    assert facility.jobs.tail(result.ref) == "|".join([*words, ""])
    owner = read_owner((files(place, guard) / guard.owner_name).read_text())
    assert owner == result.ref.job_id == journal(place, guard).attempts[0].job_id
    assert journal(place, guard).certain
    with pytest.raises(JobFailed) as caught:
        facility.jobs.run(spec)
    assert caught.value.job_status.exit_code == GuardCode.DOUBLE
    assert "is a double" in caught.value.stderr_tail


def test_commands_before_and_after(place: LocalFacility, facility: Facility) -> None:
    guard = Guard(JobKey.random())
    spec = guarded(
        guard,
        executable="/bin/sh",
        arguments=["-c", 'echo "$X"; exit 3'],
        pre_launch="export X='a  b'",
        post_launch="echo after $?",
    )
    with pytest.raises(JobFailed) as caught:
        facility.jobs.run(spec)
    assert caught.value.job_status.exit_code == 3
    assert facility.jobs.tail(caught.value.ref) == "a  b\nafter 3\n"
    assert journal(place, guard).exit_code == 3


@pytest.mark.parametrize("launcher", ["srun", "mpiexec"])
def test_eight_processes_under_a_launcher(place: LocalFacility, facility: Facility, launcher: str) -> None:
    guard = Guard(JobKey.random())
    spec = guarded(
        guard,
        executable="/bin/sh",
        arguments=["-c", 'echo "$IRI_PROCESS_ID"; [ "$IRI_PROCESS_ID" -ne 5 ] || exit 9'],
        launcher=launcher,
        pre_launch="echo before",
        resources={"process_count": 8},
    )
    with pytest.raises(JobFailed) as caught:
        facility.jobs.run(spec)
    assert caught.value.job_status.exit_code == 9
    lines = facility.jobs.tail(caught.value.ref).split()
    assert (lines[0], sorted(lines[1:])) == ("before", [str(n) for n in range(8)])
    (attempt,) = journal(place, guard).attempts
    assert (attempt.exit_code, attempt.failed_ranks, attempt.parallel, attempt.code) == (0, {5: 9}, True, 9)
    with pytest.raises(JobFailed) as double:
        facility.jobs.run(spec)
    assert double.value.job_status.exit_code == GuardCode.DOUBLE
    assert facility.jobs.tail(double.value.ref) == "before\n"


def test_a_canceled_job_tells_its_journal(place: LocalFacility, facility: Facility) -> None:
    guard = Guard(JobKey.random())
    ref = facility.jobs.submit(guarded(guard, executable="/bin/sleep", arguments=["600"]))
    path = files(place, guard) / guard.journal_name()
    deadline = 200
    while not (path.exists() and journal(place, guard).began):
        deadline -= 1
        assert deadline, f"it never began: {facility.jobs.status(ref)}"
        time.sleep(0.05)
    assert len(list(files(place, guard).iterdir())) == 2
    facility.jobs.cancel(ref)
    facility.jobs.wait(ref)
    assert journal(place, guard).exit_code == 143
