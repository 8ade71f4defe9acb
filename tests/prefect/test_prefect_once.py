"""A job asked for once runs once: retries, failures, crashes, other hosts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow, task, unmapped
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.runtime import flow_run as this_run
from prefect.task_runners import ProcessPoolTaskRunner
from prefect_seeing import asked, flow_run, jobs_named, leaves, log_of, runs, tried_again, until

from iri_common import JobFailed, JobResult, SpecChanged, WaitTimeout
from iri_local_facility import LocalFacility
from prefect_iri import IriFacility, arun_job, run_job, submit_job, wait_for_job


@pytest.fixture
def name() -> str:
    """A job name that no other test uses."""
    return f"once-{uuid4().hex[:8]}"


def second_time_lucky(mark: Path, name: str) -> dict[str, Any]:
    return leaves(mark, f"test $(wc -l < {mark}) -ge 2", name=name)


def test_a_retry_after_a_failure_is_a_new_job(
    facility: LocalFacility, block: IriFacility, mark: Path, name: str
):
    flow(lambda: run_job.with_options(retries=2)(block, second_time_lucky(mark, name)), name="lucky")()
    first, second = jobs_named(facility, name)
    assert [first["state"], second["state"]] == ["failed", "completed"]
    assert first["name"].rpartition("-")[0] == second["name"].rpartition("-")[0], "one identity"
    assert [job["name"][-2:] for job in (first, second)] == ["-1", "-2"], "two generations"
    assert runs(mark) == 2


def test_the_same_for_async_flows(facility: LocalFacility, block: IriFacility, mark: Path, name: str):
    @flow
    async def lucky() -> None:
        await arun_job.with_options(retries=2)(block, second_time_lucky(mark, name))

    asyncio.run(lucky())
    assert [job["exit_code"] for job in jobs_named(facility, name)] == [1, 0]


def test_a_retry_after_anything_else_attaches(
    facility: LocalFacility, block: IriFacility, mark: Path, name: str
):
    spec = leaves(mark, "sleep 2", name=name)
    patient = run_job.with_options(retries=20, retry_delay_seconds=0.1)
    assert flow(lambda: patient(block, spec, timeout=0.4), name="patient")().status.succeeded
    assert len(jobs_named(facility, name)) == 1
    assert asked(facility, "launchJob") == 1
    assert runs(mark) == 1


def test_a_job_that_a_person_cancelled_is_a_new_job_on_retry(
    facility: LocalFacility, block: IriFacility, mark: Path, name: str
):
    spec = leaves(mark, f"test $(wc -l < {mark}) -ge 2 || sleep 60", name=name)

    @flow
    def cancelled() -> JobResult:
        future = run_job.with_options(retries=1).submit(block, spec)
        until(lambda: runs(mark) == 1)
        ref = jobs_named(facility, name)[0]
        door = block.facility()
        resource = door.status.resource().id
        door.jobs.cancel(f"iri+job://{block.url.split('/')[2]}/iri/{resource}/once%2Fx.1?job={ref['id']}")
        return future.result()

    assert cancelled().status.succeeded
    assert [job["state"] for job in jobs_named(facility, name)] == ["canceled", "completed"]


def test_equal_calls_of_a_flow_are_jobs_of_their_own(
    facility: LocalFacility, block: IriFacility, mark: Path, name: str
):
    spec = leaves(mark, name=name)
    seen: list[Any] = []

    @flow(retries=1)
    def equal() -> list[JobResult]:
        results = [run_job(block, spec), run_job(block, spec)]
        results += [each.result() for each in run_job.map(unmapped(block), [spec] * 5)]
        seen.append({result.ref.job_id for result in results})
        if len(seen) == 1:
            raise ValueError("after all jobs were done")
        return results

    equal()
    assert len(seen[0]) == 7
    assert seen[1] == seen[0], "the flow's second try found the same jobs"
    assert runs(mark) == 7


def test_tasks_in_other_processes(facility: LocalFacility, saved: str, mark: Path, name: str):
    """They share no memory: Prefect's server tells equal calls apart, and failures from crashes."""
    spec = leaves(mark, f"test $(wc -l < {mark}) -gt 3", name=name)

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def elsewhere() -> None:
        run_job.with_options(retries=3).map(unmapped(saved), [spec] * 3).wait()

    elsewhere()
    tags = [job["name"].rpartition(".")[2].split("-") for job in jobs_named(facility, name)]
    assert len({identity for identity, _ in tags}) == 3
    assert len({(identity, generation) for identity, generation in tags}) == len(tags) == runs(mark)
    assert runs(mark) > 3, "the first three failed"


def test_calls_of_one_name_are_one_job(facility: LocalFacility, block: IriFacility, mark: Path, name: str):
    spec = leaves(mark, "sleep 0.5", name=name)

    @flow
    def named() -> list[JobResult]:
        calls = ["a", "a", "b"]
        return [each.result() for each in run_job.map(unmapped(block), unmapped(spec), call=calls)]

    assert len({result.ref.job_id for result in named()}) == 2
    assert runs(mark) == 2


def test_a_named_call_cannot_mean_another_job(
    facility: LocalFacility, block: IriFacility, mark: Path, name: str
):
    @flow
    def changing() -> None:
        submit_job(block, leaves(mark, name=name), call="it")
        submit_job(block, leaves(mark, "sleep 1", name=name), call="it")

    with pytest.raises(SpecChanged, match="'call it'"):
        changing()
    assert len(jobs_named(facility, name)) == 1


def test_the_retry_of_a_task_around_it_finds_the_job_again(
    facility: LocalFacility, block: IriFacility, mark: Path, name: str
):
    """Prefect gives the inner task a new task run; tests of Prefect's next version start here."""
    tries: list[set[str | None]] = []

    @task(retries=1)
    def around(label: str) -> None:
        spec = leaves(mark, name=f"{name}-{label}")
        results = [run_job(block, spec), run_job(block, spec), run_job.fn(block, spec)]
        results.append(run_job.submit(block, spec).result())
        tries.append({result.ref.job_id for result in results})
        if len(tries) == 1:
            raise ValueError("after all jobs were done")

    flow(lambda: around("x"), name="nested")()
    assert len(tries[0]) == 4
    assert tries[1] == tries[0]
    assert runs(mark) == 4


def test_equal_calls_in_two_tasks_are_two_jobs(
    facility: LocalFacility, block: IriFacility, mark: Path, name: str
):
    @task
    def around(_: int) -> None:
        run_job(block, leaves(mark, name=name))

    flow(lambda: around.map([1, 2]).wait(), name="two")()
    assert len(jobs_named(facility, name)) == 2


def test_a_flow_run_tried_again_keeps_what_is_done_and_repeats_what_failed(
    facility: LocalFacility, block: IriFacility, tmp_path: Path, name: str
):
    done, broken = tmp_path / "done", tmp_path / "broken"
    seen: list[Any] = []

    @flow
    def partly() -> None:
        seen.append(this_run.id)
        run_job(block, leaves(done, name=f"{name}-done"))
        ref = submit_job(block, leaves(broken, f"test $(wc -l < {broken}) -ge 2", name=f"{name}-broken"))
        wait_for_job(block, ref)

    with pytest.raises(JobFailed):
        partly()
    run_flow(partly, flow_run=tried_again(seen[0]), parameters={})
    assert seen[0] == seen[1]
    assert flow_run(seen[0]).state_name == "Completed"
    assert (runs(done), runs(broken)) == (1, 2)
    assert [job["exit_code"] for job in jobs_named(facility, f"{name}-broken")] == [1, 0]


def test_a_job_that_outlives_a_failed_flow_run_is_attached_to(
    facility: LocalFacility, block: IriFacility, mark: Path, name: str
):
    seen: list[Any] = []

    @flow
    def impatient() -> JobResult:
        seen.append(this_run.id)
        return run_job(block, leaves(mark, "sleep 2", name=name), timeout=0.3 if len(seen) == 1 else None)

    with pytest.raises(WaitTimeout):
        impatient()
    run_flow(impatient, flow_run=tried_again(seen[0]), parameters={})
    assert len(jobs_named(facility, name)) == 1
    assert "attached to job" in log_of(seen[0], "attached to")
    assert runs(mark) == 1


CRASHING = """
import json, sys, uuid
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect_iri import run_job

@flow(name="crashing")
def crashing():
    return run_job(sys.argv[2], json.loads(sys.argv[3])).status.exit_code

with get_client(sync_client=True) as client:
    run = client.read_flow_run(uuid.UUID(sys.argv[1]))
run_flow(crashing, flow_run=run, parameters={})
"""


def rows_of(run_id: Any) -> list[Any]:
    """What Prefect's server keeps of the jobs of a flow run."""
    with get_client(sync_client=True) as client:
        return client.filter_flow_run_input(run_id, "iri-", 9, set())


class Crashing:
    """A flow run in a process of its own, killed as a machine dies, and run again."""

    def __init__(self, script: Path, api: str, saved: str, spec: dict[str, Any]) -> None:
        script.write_text(CRASHING)
        with get_client(sync_client=True) as client:
            self.run_id = client.create_flow_run(flow(lambda: None, name="crashing")).id
        self._command = [sys.executable, str(script), str(self.run_id), saved, json.dumps(spec)]
        self._environment = {**os.environ, "PREFECT_API_URL": api}
        self._log = script.with_suffix(".log")

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env={**self._environment, **environment}, stdout=log, stderr=log
            )

    def kill_when(self, condition: Any) -> None:
        process = self.start()
        try:
            until(lambda: condition() or process.poll() is not None, 40)
            assert process.poll() is None, self._log.read_text()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert flow_run(self.run_id).state_name == "Running", "killed, not ended"

    def run_again(self, **environment: str) -> None:
        tried_again(self.run_id)
        process = self.start(**environment)
        try:
            assert process.wait(60) == 0, self._log.read_text()
        finally:
            process.kill()
            process.wait()
        assert flow_run(self.run_id).state_name == "Completed"


@pytest.mark.parametrize("host", ["same", "other"])
def test_a_crash_while_the_job_runs(
    host: str, facility: LocalFacility, saved: str, mark: Path, tmp_path: Path, name: str, prefect_server: str
):
    """On another host there is no ledger: Prefect's server tells that the job was taken, and which it is."""
    crashing = Crashing(tmp_path / "crashing.py", prefect_server, saved, leaves(mark, "sleep 5", name=name))
    with get_client(sync_client=True) as client:
        crashing.kill_when(
            lambda: runs(mark) and client.filter_flow_run_input(crashing.run_id, "iri-", 9, set())[1:]
        )
    state = {"XDG_STATE_HOME": str(tmp_path / "elsewhere")} if host == "other" else {}
    crashing.run_again(**state)
    (job,) = jobs_named(facility, name)
    assert job["state"] == "completed"
    assert runs(mark) == 1
    assert asked(facility, "launchJob") == 1


@pytest.mark.parametrize("host", ["same", "other"])
def test_a_crash_between_submit_and_answer(
    host: str, mark: Path, tmp_path: Path, name: str, prefect_server: str
):
    """The request is under way when the client dies; the job is found by its name, on any host."""
    with LocalFacility(submit_delay=2.0, kill_grace=0.5) as slow:
        saved = f"hpc-{uuid4().hex[:8]}"
        words = {"resource": "cluster", "directory": str(slow.scratch), "poll_seconds": 0.2}
        IriFacility(url=slow.base_url, token=slow.token, **words).save(saved)
        crashing = Crashing(
            tmp_path / "crashing.py", prefect_server, saved, leaves(mark, "sleep 1", name=name)
        )
        state = Path(os.environ["XDG_STATE_HOME"]) / "iri" / "ledger"
        before = set(state.glob("*.json"))

        def sent() -> bool:
            return any('"sent"' in each.read_text() for each in set(state.glob("*.json")) - before)

        crashing.kill_when(sent)
        elsewhere = {"XDG_STATE_HOME": str(tmp_path / "elsewhere")} if host == "other" else {}
        crashing.run_again(**elsewhere)
        (job,) = jobs_named(slow, name)
        assert job["state"] == "completed"
        assert runs(mark) == 1
