"""The tasks against real jobs: success, failure, bad input, and the price in requests."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from doors import DOORS
from prefect import flow, task, unmapped
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run as this_run
from prefect_seeing import asked, flow_run, jobs_named, log_of, sh, task_runs, until

from iri_common import (
    AuthError,
    Facility,
    JobFailed,
    JobRef,
    JobResult,
    JobSpec,
    JobState,
    ProfileError,
    Unreachable,
    UsageError,
    WaitTimeout,
)
from iri_local_facility import LocalFacility
from prefect_iri import (
    IriFacility,
    arun_job,
    asubmit_job,
    await_for_job,
    run_job,
    submit_job,
    wait_for_job,
)


def test_a_job_in_a_plain_flow(facility: LocalFacility, block: IriFacility):
    @flow
    def plain() -> tuple[Any, JobResult]:
        return this_run.id, run_job(block, sh("echo hello; sleep 0.5", name="plain"))

    run_id, result = plain()
    assert result.status.succeeded
    (job,) = jobs_named(facility, "plain")
    assert (job["state"], job["id"]) == ("completed", result.ref.job_id)
    assert block.facility().jobs.tail(result.ref) == "hello\n"
    (ran,) = task_runs(run_id, "Completed", 1)
    assert ran.name == "plain"
    log = log_of(run_id, "exit code 0")
    assert f"submitted job {job['id']}" in log
    assert str(result.ref) in log
    assert "completed, exit code 0" in log


async def test_a_job_in_an_async_flow(facility: LocalFacility, saved: str):
    @flow
    async def airy() -> tuple[JobResult, JobResult]:
        ref = await asubmit_job(saved, sh("sleep 0.3", name="airy-1"))
        second = await arun_job(saved, JobSpec(executable="/bin/true", name="airy-2"))
        return await await_for_job(saved, ref), second

    first, second = await airy()
    assert first.status.succeeded
    assert second.status.succeeded
    assert [len(jobs_named(facility, name)) for name in ("airy-1", "airy-2")] == [1, 1]


async def test_plain_tasks_in_an_async_flow(saved: str):
    @flow
    async def mixed() -> JobResult:
        return run_job(saved, sh("true"))

    assert (await mixed()).status.succeeded


@pytest.mark.parametrize("name", ["superfacility", "firecrest", "slurm"])
def test_a_job_through_another_api(
    facility: LocalFacility, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for variable, value in DOORS[name].variables(facility, tmp_path).items():
        monkeypatch.setenv(variable, value)

    @flow
    def elsewhere() -> JobResult:
        return run_job(IriFacility(profile="place"), sh("sleep 0.3", name=f"by-{name}"))

    result = elsewhere()
    assert (result.ref.dialect, result.status.succeeded) == (name, True)
    assert [job["id"] for job in jobs_named(facility, f"by-{name}")] == [result.ref.job_id]


def test_an_array_is_one_job_of_a_flow(facility: LocalFacility, block: IriFacility):
    words = {"url": facility.firecrest_url, "dialect": "firecrest"}
    door = IriFacility(**{**block.model_dump(exclude_unset=True), **words})

    @flow
    def arrayed() -> JobResult:
        return run_job(door, sh("echo $SLURM_ARRAY_TASK_ID", name="many", attributes={"array": "0-2"}))

    assert arrayed().exit_codes == {0: 0, 1: 0, 2: 0}
    assert len(jobs_named(facility, "many")) == 3


def test_submit_and_wait_apart(facility: LocalFacility, block: IriFacility, saved: str):
    @flow
    def apart() -> list[JobResult]:
        ref = submit_job(block, sh("sleep 0.2", name="apart"))
        assert isinstance(ref, JobRef)
        by_future = wait_for_job.submit(block, submit_job.submit(saved, sh("true", name="apart")))
        return [wait_for_job(saved, str(ref)), by_future.result()]

    assert {result.status.state for result in apart()} == {JobState.COMPLETED}
    assert len(jobs_named(facility, "apart")) == 2


def test_six_jobs_side_by_side_are_polled_like_one(facility: LocalFacility, block: IriFacility):
    slow = block.model_copy(update={"poll_seconds": 0.5})

    @flow
    def several() -> list[JobResult]:
        specs = [sh(f"sleep 3; echo {number}", name="side-by-side") for number in range(6)]
        return [future.result() for future in run_job.map(unmapped(slow), specs)]

    begun = time.monotonic()
    results = several()
    assert time.monotonic() - begun < 60
    assert len({result.ref.job_id for result in results}) == 6
    jobs = jobs_named(facility, "side-by-side")
    assert max(job["started"] for job in jobs) < min(job["ended"] for job in jobs), "not side by side"
    assert asked(facility, "launchJob") == 6
    # One by one it would be 6 jobs * 3 s / 0.5 s = 36 looks. Each job's end is read once.
    assert asked(facility, "getJobs", "getJob") <= 22, facility.summary()


def test_a_failure_shows_exit_code_and_stderr_where_people_look(facility: LocalFacility, block: IriFacility):
    seen: list[Any] = []

    @flow
    def failing() -> None:
        seen.append(this_run.id)
        run_job(block, sh("echo first >&2; echo the disk is full >&2; exit 7", name="failing"))

    with pytest.raises(JobFailed, match="exit code 7") as caught:
        failing()
    assert caught.value.job_status.exit_code == 7
    assert caught.value.stderr_tail.endswith("the disk is full\n")
    (ran,) = task_runs(seen[0], "Failed", 1)
    assert ran.state is not None
    assert "exit code 7" in (ran.state.message or "")
    assert "the disk is full" in (ran.state.message or "")
    log = log_of(seen[0], "the last lines of its stderr:\nfirst\nthe disk is full")
    assert "exit code 7" in log
    message = flow_run(seen[0]).state.message or ""
    assert "exit code 7" in message


def test_a_failure_reaches_the_async_log_too(block: IriFacility):
    seen: list[Any] = []

    @flow
    async def failing() -> None:
        seen.append(this_run.id)
        await arun_job(block, sh("echo no such sample >&2; exit 9"))

    with pytest.raises(JobFailed, match="no such sample"):
        asyncio.run(failing())
    assert "stderr:\nno such sample" in log_of(seen[0], "no such sample")


GOOD = {"executable": "/bin/true"}
BAD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"executable": ""}, {}, "executable"),
    ({"executable": "/bin/true", "argument": ["x"]}, {}, "argument: no such field"),
    ({**GOOD, "attributes": {"duration": -5}}, {}, "duration: Input should be greater"),
    ({**GOOD, "attributes": {"durration": 60}}, {}, "durration: no such field"),
    ({**GOOD, "resources": {"node_count": 0}}, {}, "node_count"),
    ({**GOOD, "environment": {"A": 1}}, {}, "environment"),
    ("hostname", {}, "a JobSpec or a mapping"),  # type: ignore[list-item]
    (GOOD, {"call": ""}, "not empty"),
]


@pytest.mark.parametrize(("spec", "words", "told"), BAD)
def test_bad_input_fails_once_before_anything_is_sent(
    facility: LocalFacility, block: IriFacility, spec: Any, words: dict[str, Any], told: str
):
    with pytest.raises(UsageError, match=told):
        flow(lambda: run_job(block, spec, **words), name="bad")()
    assert facility.requests() == []


def test_a_resource_that_is_not_there_names_those_that_are(facility: LocalFacility, block: IriFacility):
    with pytest.raises(UsageError, match=r"no resource 'perlmuter'.*cluster"):
        flow(lambda: run_job(block, GOOD, resource="perlmuter"), name="bad")()
    assert asked(facility, "launchJob") == 0


def test_a_profile_that_is_not_there(facility: LocalFacility, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IRI_FACILITY_ALCF_URL", facility.base_url)
    with pytest.raises(ProfileError, match="profiles that exist: alcf"):
        flow(lambda: run_job(IriFacility(profile="alfc"), GOOD), name="bad")()
    assert facility.requests() == []


def test_a_block_that_is_not_there():
    with pytest.raises(ValueError, match="hpc-none"):
        flow(lambda: run_job("hpc-none", GOOD), name="bad")()


def test_a_job_of_another_facility(facility: LocalFacility, block: IriFacility):
    ref = "iri+job://elsewhere.example/iri/cluster/once%2Fx.1?job=1"
    for job, told in ((ref, "elsewhere.example"), ("job 1", "not a job reference")):
        with pytest.raises(UsageError, match=told):
            flow(lambda job=job: wait_for_job(block, job), name="bad")()
    assert facility.requests() == []


def test_an_unreachable_facility_tells_what_was_tried():
    nobody = IriFacility(url="http://127.0.0.1:9/api/v2", token="x")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        flow(lambda: run_job(nobody, GOOD), name="bad")()


def test_a_refused_token_tells_whose_it_is(facility: LocalFacility, block: IriFacility):
    name = f"hpc-{uuid4().hex[:8]}"
    IriFacility(url=facility.base_url, token="nobodys-token", resource="cluster").save(name)
    with pytest.raises(AuthError, match=f"block '{name}'") as caught:
        flow(lambda: run_job(name, GOOD), name="bad")()
    assert "nobodys-token" not in str(caught.value)
    assert asked(facility, "launchJob") <= 1
    assert facility.summary().get("launchJob", {}).get("201") is None


def test_a_wait_has_a_limit_and_leaves_the_job_alone(facility: LocalFacility, block: IriFacility):
    spec = sh("sleep 3", name=f"limit-{uuid4().hex[:6]}")
    with pytest.raises(WaitTimeout, match="within"):
        flow(lambda: run_job(block, spec, timeout=0.4), name="limited")()
    (job,) = jobs_named(facility, spec["name"])
    assert job["state"] in {"queued", "active"}
    assert asked(facility, "cancelJob") == 0


def test_an_interrupted_wait_leaves_the_job_alone_and_says_where_it_is(
    facility: LocalFacility, block: IriFacility
):
    name = f"interrupted-{uuid4().hex[:6]}"
    seen: list[Any] = []

    @flow
    async def waiting() -> None:
        seen.append(this_run.id)
        await arun_job(block, sh("sleep 4", name=name))

    async def cancelled() -> None:
        work = asyncio.create_task(waiting())
        await asyncio.to_thread(until, lambda: [*jobs_named(facility, name), {}][0].get("state") == "active")
        await asyncio.sleep(0.3)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(cancelled())
    log = log_of(seen[0], "nobody waits for")
    assert "it was left alone: iri+job://" in log
    assert jobs_named(facility, name)[0]["state"] == "active"
    assert asked(facility, "cancelJob") == 0


def test_without_any_run(facility: LocalFacility, block: IriFacility):
    assert run_job.fn(block, sh("true", name="no-run")).status.succeeded
    assert asyncio.run(arun_job.fn(block, sh("true", name="no-run"))).status.succeeded
    assert len(jobs_named(facility, "no-run")) == 2


def test_a_task_without_a_flow(facility: LocalFacility, block: IriFacility, mark: Any):
    name = f"alone-{uuid4().hex[:6]}"
    spec = sh(f"echo ran >> {mark}; test $(wc -l < {mark}) -ge 2", name=name)
    assert run_job.with_options(retries=1)(block, spec).status.succeeded
    assert [job["exit_code"] for job in jobs_named(facility, name)] == [1, 0]


def test_the_secret_is_in_no_log_and_no_state(facility: LocalFacility, block: IriFacility, saved: str):
    seen: list[Any] = []

    @task
    def mine(door: IriFacility) -> str:
        return repr(door)

    @flow
    def secretive(door: IriFacility) -> None:
        seen.append(this_run.id)
        mine(door)
        run_job(door, sh("true"))
        run_job(saved, sh("exit 1"))

    with pytest.raises(JobFailed):
        secretive(block)
    found = log_of(seen[0], "Finished in state Failed")
    run = flow_run(seen[0])
    found += run.model_dump_json()
    with get_client(sync_client=True) as client:
        for each in (*task_runs(run.id, "Failed", 1), *task_runs(run.id, "Completed", 2)):
            found += each.model_dump_json()
        found += str(client.filter_flow_run_input(run.id, "iri-", 50, set()))
    assert facility.token not in found
    assert "iri+job" in found


def test_other_uses_of_the_door(facility: LocalFacility, block: IriFacility):
    door = block.facility()
    assert isinstance(door, Facility)
    assert "cluster" in [each.name for each in door.status.resources()]
    until(lambda: not [job for job in facility.jobs() if job["state"] in {"queued", "active"}])
