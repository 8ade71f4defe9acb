"""The slurm dialect, and the core over it, at a real slurmrestd with a real Slurm behind it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import real_slurm
from misbehaving_relay import Relay, lose, page, told
from real_slurm import RealSlurm

from iri_common import (
    AuthError,
    Facility,
    FileLedger,
    JobFailed,
    JobKey,
    JobRef,
    JobState,
    NodesIntent,
    NotFound,
    NotOffered,
    Refused,
    UsageError,
)
from iri_common.jobside.codes import GuardCode
from iri_common.model.facility import Availability
from iri_common.model.reason import JobReason
from iri_common.model.ref import origin_of

pytestmark = [
    pytest.mark.usefixtures("short_pauses"),
    pytest.mark.skipif(real_slurm.missing() is not None, reason=f"no Slurm here: {real_slurm.missing()}"),
    pytest.mark.xdist_group("real slurm"),
    pytest.mark.timeout(120),
]

T = TypeVar("T")

SUBMIT = "^POST .*/job/submit"


@pytest.fixture(scope="module")
def slurm() -> Iterator[RealSlurm]:
    with RealSlurm() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def overdue(slurm: RealSlurm) -> str:
    """The name of a job whose time is over soon; slurmctld looks at that every half minute."""
    return slurm.overdue()


@pytest.fixture
def relay(slurm: RealSlurm) -> Iterator[Relay]:
    with Relay(slurm.url) as between:
        yield between


@pytest.fixture
def facility(slurm: RealSlurm, tmp_path: Path) -> Facility:
    return door(slurm, tmp_path)


@pytest.fixture
def key(tmp_path: Path) -> JobKey:
    return JobKey.of("real slurm", tmp_path.name, time.time_ns())


def door(slurm: RealSlurm, folder: Path, url: str | None = None, **words: Any) -> Facility:
    told = {
        "name": "slurm",
        "dialect": "slurm",
        "user": slurm.user,
        "token": slurm.token(),
        "poll_seconds": 0.2,
        "directory": str(slurm.work),
        "guard_directory": str(slurm.work / "guards"),
        "ledger": FileLedger(folder / "ledger"),
    }
    return Facility(url or slurm.url, **{**told, **words})


def reference(slurm: RealSlurm, job_id: str) -> JobRef:
    """A job that was not submitted from here."""
    return JobRef(origin_of(slurm.url), "slurm", "cluster", JobKey.random(), job_id)


def shell(text: str, **words: Any) -> dict[str, Any]:
    return {"executable": "/bin/sh", "arguments": ["-c", text], "name": "a job", **words}


# ---------------------------------------------------------------------------------------------- jobs


def test_a_job_gets_what_its_spec_asks_for(slurm: RealSlurm, facility: Facility, key: JobKey) -> None:
    odd = "a,b='c' \"d\" $HOME `e` \\ ü\n=f"
    told = 'printf "%s" "$ODD|$1|$(pwd)|$SLURM_NTASKS|$SLURM_JOB_CPUS_PER_NODE|$SLURM_GPUS_ON_NODE|$PATH"'
    spec = {
        "executable": "/bin/sh",
        "arguments": ["-c", told, "sh", odd],
        "environment": {"ODD": odd},
        "name": "ä b,c",
        "stdout_path": "out-%j",
        "resources": {
            "node_count": 1,
            "process_count": 2,
            "cpu_cores_per_process": 2,
            "gpu_cores_per_process": 1,
            "memory": 300 * 2**20,
        },
        "attributes": {
            "duration": 61,
            "queue_name": "batch",
            "custom_attributes": {"comment": "of a test"},
        },
    }
    ref = facility.jobs.run(spec, key=key).ref
    out = slurm.work / f"out-{ref.job_id}"
    assert out.read_text() == f"{odd}|{odd}|{slurm.work}|2|4|2|/usr/local/bin:/usr/bin:/bin"
    (job,) = slurm.jobs(key.tag)
    told_of = {name: job[name] for name in ("time_limit", "memory_per_node", "comment", "partition", "tasks")}
    assert told_of == {
        "time_limit": 2,
        "memory_per_node": 300,
        "comment": "of a test",
        "partition": "batch",
        "tasks": 2,
    }


@pytest.mark.parametrize(
    ("text", "code"), [("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_how_a_program_ended(facility: Facility, key: JobKey, text: str, code: int) -> None:
    with pytest.raises(JobFailed) as caught:
        facility.jobs.run(shell(text), key=key)
    status = caught.value.job_status
    assert (status.state, status.exit_code, status.reason) == (JobState.FAILED, code, JobReason.EXIT_CODE)


def test_a_directory_that_is_not_there(facility: Facility, key: JobKey) -> None:
    with pytest.raises(JobFailed, match=r"0:53.*directory") as caught:
        facility.jobs.run(shell("exit 0", directory="/no/such"), key=key)
    assert caught.value.job_status.exit_code is None
    assert not caught.value.transient


def test_a_cancel_ends_a_job_and_finds_it_over(slurm: RealSlurm, facility: Facility, key: JobKey) -> None:
    ref = facility.jobs.submit(shell("sleep 60"), key=key)
    until(lambda: facility.jobs.status(ref).state is JobState.ACTIVE)
    facility.jobs.cancel(ref)
    assert facility.jobs.wait(ref).state is JobState.CANCELED
    facility.jobs.cancel(ref)
    nobody = ref.with_job("7654321")
    with pytest.raises(NotFound):
        facility.jobs.cancel(nobody)
    assert facility.jobs.status(nobody).state is JobState.MISSING


def test_a_held_job_is_let_go(slurm: RealSlurm, facility: Facility, key: JobKey) -> None:
    held = shell("exit 0", attributes={"custom_attributes": {"hold": ""}})
    ref = facility.jobs.submit(held, key=key)
    status = facility.jobs.status(ref)
    assert (status.state, status.reason) == (JobState.HELD, JobReason.HELD)
    facility.jobs.update(ref, {"attributes": {"custom_attributes": {"hold": "false"}}})
    assert facility.jobs.wait(ref).succeeded


def test_what_slurm_refuses_it_refuses_at_once(facility: Facility, key: JobKey) -> None:
    with pytest.raises(Refused, match="Invalid partition") as caught:
        facility.jobs.submit(shell("true", attributes={"queue_name": "nope"}), key=key)
    assert caught.value.outcome == "invalid"
    with pytest.raises(UsageError, match="array"):
        facility.jobs.submit(
            shell("true", attributes={"custom_attributes": {"array": "0-3"}}), key=key.next()
        )


def array(text: str, indices: str) -> dict[str, Any]:
    return shell(f"i=$SLURM_ARRAY_TASK_ID; {text}", attributes={"array": indices})


def test_an_array_is_one_job(slurm: RealSlurm, facility: Facility, key: JobKey) -> None:
    ref = facility.jobs.submit(array("echo $i; exit $((i - 1))", "1-5:2%2"), key=key)
    then = facility.jobs.submit({"executable": "/bin/true", "attributes": {"after": {"failure": [ref]}}})
    status = facility.jobs.wait(ref)
    assert (status.state, status.exit_code, status.exit_codes) == (JobState.FAILED, 2, {1: 0, 3: 2, 5: 4})
    assert facility.jobs.wait(then).succeeded
    guards = slurm.work / "guards" / key.digest
    assert {each.name for each in guards.iterdir()} == {"1.owner", *(f"1.journal.{i}" for i in (1, 3, 5))}
    name = next(iter(slurm.jobs(key.tag)))["name"]
    assert [(slurm.work / f"{name}.{i}.out").read_text() for i in (1, 3, 5)] == ["1\n", "3\n", "5\n"]


def test_a_whole_array_is_canceled(facility: Facility, key: JobKey) -> None:
    ref = facility.jobs.submit(array("sleep 60", "0-3%2"), key=key)
    until(lambda: facility.jobs.status(ref).state is JobState.ACTIVE)
    facility.jobs.cancel(ref)
    status = facility.jobs.wait(ref, timeout=60)
    assert (status.state, list(status.tasks)) == (JobState.CANCELED, [0, 1, 2, 3])


def test_a_lost_reply_makes_no_second_array(
    slurm: RealSlurm, relay: Relay, key: JobKey, tmp_path: Path
) -> None:
    relay.faults.append(lose(SUBMIT))
    facility = door(slurm, tmp_path, relay.base_url)
    ref = facility.jobs.submit(array("sleep 1", "0-2"), key=key)
    assert facility.jobs.result(ref).exit_codes == {0: 0, 1: 0, 2: 0}
    assert {each["array_job_id"] for each in slurm.jobs(key.tag)} == {int(ref.job_id or 0)}


# ---------------------------------------------------------------------------------------------- once


@pytest.mark.parametrize("fault", [lose(SUBMIT), page(SUBMIT, 502)], ids=["lost", "502"])
def test_a_reply_that_goes_astray_makes_no_second_job(
    slurm: RealSlurm, relay: Relay, tmp_path: Path, key: JobKey, fault: Any
) -> None:
    facility, marks = door(slurm, tmp_path, relay.base_url), slurm.work / key.digest
    relay.faults.append(fault)
    ref = facility.jobs.submit(shell(f"echo $SLURM_JOB_ID >> {marks}"), key=key)
    assert facility.jobs.wait(ref).succeeded
    assert marks.read_text() == f"{ref.job_id}\n"
    assert [str(job["job_id"]) for job in slurm.jobs(key.tag)] == [ref.job_id]
    assert relay.asked(SUBMIT) == 1
    assert relay.asked("^GET .*/ping") == 7  # v0.0.44 to v0.0.38, and then it is known


def test_of_two_jobs_with_one_key_one_works(slurm: RealSlurm, tmp_path: Path, key: JobKey) -> None:
    marks = slurm.work / key.digest
    with Relay(slurm.url) as blind:
        blind.faults.append(told("^GET .*/jobs$", {"jobs": [], "errors": []}, times=99))
        doors = [door(slurm, tmp_path / "a"), door(slurm, tmp_path / "b", blind.base_url)]
        refs = [each.jobs.submit(shell(f"echo $SLURM_JOB_ID >> {marks}; sleep 1"), key=key) for each in doors]
    assert len({ref.job_id for ref in refs}) == 2
    until(lambda: all(job["job_state"] in ("COMPLETED", "FAILED") for job in slurm.jobs(key.tag)))
    assert len(marks.read_text().splitlines()) == 1
    assert sorted(job["exit_code"] >> 8 for job in slurm.jobs(key.tag)) == [0, GuardCode.DOUBLE]


# ------------------------------------------------------------------------------------------- outages


def test_a_slurmrestd_that_dies_under_a_wait(slurm: RealSlurm, facility: Facility, key: JobKey) -> None:
    ref = facility.jobs.submit(shell("sleep 2; exit 4"), key=key)
    with meanwhile(lambda: facility.jobs.wait(ref, timeout=60)) as waited:
        slurm.kill_rest()
        time.sleep(1.5)
        slurm.start_rest()
    status = waited.result()
    assert (status.state, status.exit_code) == (JobState.FAILED, 4)
    assert len(slurm.jobs(key.tag)) == 1


def test_a_slurmctld_that_is_restarted_in_mid_job(slurm: RealSlurm, facility: Facility, key: JobKey) -> None:
    ref = facility.jobs.submit(shell("sleep 2; exit 5"), key=key)
    until(lambda: facility.jobs.status(ref).state is JobState.ACTIVE)
    with meanwhile(lambda: facility.jobs.wait(ref, timeout=60)) as waited:
        slurm.stop_controller()
        time.sleep(1.0)
        slurm.start_controller()
    status = waited.result()
    assert (status.state, status.exit_code) == (JobState.FAILED, 5)
    slurm.until_idle()


def test_a_job_over_its_time(slurm: RealSlurm, facility: Facility, overdue: str) -> None:
    status = facility.jobs.wait(reference(slurm, overdue), timeout=60)
    assert (status.state, status.raw_state, status.reason) == (
        JobState.FAILED,
        "TIMEOUT",
        JobReason.TIME_LIMIT,
    )


# ------------------------------------------------------------------------------------------ standing


@pytest.mark.parametrize("what", ["expired", "foreign", "nonsense"])
def test_a_bad_token_is_told_as_one(slurm: RealSlurm, tmp_path: Path, key: JobKey, what: str) -> None:
    token = {
        "expired": slurm.token(seconds=-60),
        "foreign": slurm.token("nobody"),
        "nonsense": "no.token.atall",
    }[what]
    stranger = door(slurm, tmp_path, token=token)
    for ask in (
        stranger.accounts.check_token,
        lambda: stranger.jobs.status(reference(slurm, "1")),
        lambda: stranger.jobs.cancel(reference(slurm, "1")),
        stranger.status.resources,
        lambda: stranger.jobs.submit(shell("true"), key=key),
    ):
        with pytest.raises(AuthError):
            ask()
    assert not slurm.jobs(key.tag)


def test_a_missing_slurmctld_is_no_bad_token(slurm: RealSlurm, facility: Facility) -> None:
    facility.accounts.check_token()
    slurm.stop_controller()
    with meanwhile(facility.accounts.whoami) as asked:
        time.sleep(1.0)
        slurm.start_controller()
    assert asked.result() == slurm.user
    slurm.until_idle()


def test_the_cluster_and_its_partitions(slurm: RealSlurm, facility: Facility) -> None:
    found = {each.id: each for each in facility.status.resources()}
    assert {name: each.status for name, each in found.items()} == {
        "cluster": Availability.UP,
        "batch": Availability.UP,
        "short": Availability.UP,
        "closed": Availability.DOWN,
    }
    assert [each.id for each in found.values() if each.offers("compute")] == ["cluster"]
    with slurm.reserved("servicing"):
        (incident,) = facility.status.incidents()
    assert (incident.id, incident.type, incident.status) == ("servicing", "planned", Availability.DOWN)
    assert incident.start is not None
    assert incident.end is not None


def test_reservations_are_seen_where_they_cannot_be_made(slurm: RealSlurm, facility: Facility) -> None:
    name = NodesIntent(1, 60).reservation_name(JobKey.of("scan", 12))
    with slurm.reserved(name):
        (there,) = facility.reservations.all()
        now, then = (
            facility.reservations.negotiate(NodesIntent(1, 60, start=start)) for start in (None, there.start)
        )
    assert (there.name, there.nodes, there.node_list) == (name, 1, "node")
    assert (now.usable, now.free, then.free) == (1, 1, 0)
    with pytest.raises(NotOffered, match=r"speaks v0\.0\.38.*Slurm 25\.05"):
        facility.reservations.provision(NodesIntent(1, 60))


@contextlib.contextmanager
def meanwhile(call: Callable[[], T]) -> Iterator[Future[T]]:
    """Have it under way while the block runs."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(call)


def until(holds: Any, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)
