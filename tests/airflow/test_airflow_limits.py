"""How long a job may wait and run, and what becomes of a task by why its job failed."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferred
from airflow_versions import needs_policies, needs_store
from job_tasks import job, jobs, operator

from airflow_provider_iri import IriCredentialOperator, IriHook, IriJobOperator
from airflow_provider_iri.errors import TaskFailed
from airflow_provider_iri.escalation import grown
from airflow_provider_iri.limits import AGAIN, Limits, Patience
from airflow_provider_iri.record import STORE_KEY
from iri_common import JobSpec, JobState, JobStatus, UsageError, WaitTimeout
from iri_common.policy.retry import Limits as Attempts


def decision(task: IriJobOperator, error: BaseException) -> tuple[str, timedelta | None]:
    """What Airflow's task runner gets told."""
    decided = task.retry_policy.evaluate(error, 1, 3, {"task": task})
    return decided.action.value, decided.retry_delay


@pytest.fixture
def orders(demo):
    """The facility, which carries out no orders of this test after it."""
    yield demo
    demo.clear_faults()


# -- limits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_that_does_not_begin_in_time_is_cancelled(orders, task, deferrable: bool) -> None:
    orders.order("hold")
    words = job()
    limited = operator(words, deferrable=deferrable, queue_limit=timedelta(seconds=1))
    with pytest.raises(AirflowTaskTimeout, match="still held: it did not begin within its queue_limit"):
        task.execute(limited)
    (held,) = jobs(orders, words)
    assert (held["state"], held["started"]) == ("canceled", None)
    assert task.noted(reported="canceled")
    assert task.execute(operator(words))["state"] == "completed"  # a retry is a job of its own, and not held


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_that_runs_for_too_long_is_cancelled(demo, task, deferrable: bool) -> None:
    words = job("sleep 60")
    with pytest.raises(AirflowTaskTimeout, match="has run for its run_limit of 1 s"):
        task.execute(operator(words, deferrable=deferrable, run_limit=timedelta(seconds=1)))
    assert [each["state"] for each in jobs(demo, words)] == ["canceled"]


async def test_a_job_over_its_limit_is_cancelled_before_a_worker_is_free(demo, task, wait_until) -> None:
    words = job("sleep 60")
    limited = operator(words, run_limit=timedelta(seconds=1))
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(limited)
    (event,) = [each.payload async for each in deferred.value.trigger.run()]
    assert event["trouble"] == "WaitTimeout"
    wait_until(lambda: jobs(demo, words)[0]["state"] == "canceled")
    with pytest.raises(AirflowTaskTimeout, match="run_limit of 1 s"):
        limited.execute_complete(task.context, event)
    assert task.noted(reported="canceled")


@pytest.mark.parametrize(("script", "ended"), [("sleep 2", "completed"), ("sleep 2; exit 3", "failed")])
def test_a_job_that_ends_just_after_its_time_counts(demo, task, wait_until, script: str, ended: str) -> None:
    """Seconds pass between the trigger, which finds its time over, and the worker, which cancels."""
    words = job(script)
    limited = operator(words, run_limit=timedelta(seconds=1), retries=1)
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(limited)
    event = {"ref": deferred.value.trigger.ref, "trouble": "WaitTimeout", "message": "over its run_limit"}
    wait_until(lambda: jobs(demo, words)[0]["state"] == ended)
    if ended == "completed":
        assert limited.execute_complete(task.context, event)["state"] == "completed"
    else:
        with pytest.raises(TaskFailed, match="exit code 3"):
            limited.execute_complete(task.context, event)
    assert task.noted(reported=ended)


@needs_store
def test_the_time_in_the_queue_counts_from_the_submit_whichever_try_waits(orders, task) -> None:
    orders.order("hold")
    limited = operator(job(), queue_limit=timedelta(hours=1))
    with pytest.raises(TaskDeferred) as first:
        task.begin(limited)
    with pytest.raises(TaskDeferred) as second:
        task.begin(limited)
    assert first.value.trigger.serialize() == second.value.trigger.serialize()
    assert first.value.trigger.queue_deadline == task.store[STORE_KEY]["submitted_at"] + 3600
    IriHook().facility.jobs.cancel(task.ti.xcoms["iri_job"])


@needs_store
def test_a_job_that_could_not_be_cancelled_is_by_the_next_try(orders, task) -> None:
    words = job("sleep 60")
    limited = operator(words, run_limit=timedelta(seconds=1))
    orders.order("status", "cancelJob", status=403, times=2)  # in the triggerer, and in the worker
    with pytest.raises(AirflowTaskTimeout, match="run_limit"):
        task.execute(limited)
    assert [each["state"] for each in jobs(orders, words)] == ["active"]
    with pytest.raises(TaskDeferred):
        task.begin(limited)
    first, second = jobs(orders, words)
    assert first["state"] == "canceled"
    assert first["ended"] <= second["submitted"]
    IriHook().facility.jobs.cancel(task.ti.xcoms["iri_job"])


def status(state: JobState, time: float | None = None) -> JobStatus:
    return JobStatus(state, time=time)


@pytest.mark.parametrize(
    ("limits", "looks", "left"),
    [
        (Limits(), [], None),
        (Limits(deadline=1010.0), [], 10.0),
        (Limits(deadline=990.0), [], 0.0),
        (Limits(queue_deadline=1020.0), [], 20.0),
        (Limits(queue_deadline=1020.0), [status(JobState.ACTIVE)], None),
        (Limits(queue_deadline=1020.0), [status(JobState.ACTIVE), status(JobState.QUEUED)], 20.0),
        (Limits(queue_deadline=990.0), [status(JobState.QUEUED)], AGAIN),
        (Limits(run_seconds=30.0), [], 30.0),
        (Limits(run_seconds=30.0, queue_deadline=1020.0), [status(JobState.QUEUED)], 20.0),
        (Limits(run_seconds=30.0), [status(JobState.ACTIVE, 980.0)], 10.0),
        (Limits(run_seconds=30.0), [status(JobState.ACTIVE, 5000.0)], 30.0),  # another machine's clock
        (Limits(run_seconds=30.0), [status(JobState.ACTIVE)], 30.0),
        (Limits(run_seconds=30.0), [status(JobState.ACTIVE, 980.0), status(JobState.QUEUED)], 30.0),
        (Limits(run_seconds=30.0, deadline=1005.0), [status(JobState.ACTIVE, 980.0)], 5.0),
    ],
)
def test_when_a_limit_is_worth_a_look(limits: Limits, looks: list[JobStatus], left: float | None) -> None:
    patience = Patience(limits, lambda _: None, lambda: 1000.0)
    for look in looks:
        patience.saw(look)
    assert patience.left() == left


class Facility:
    """Tells one state after the other, and passes the time until then; None for no answer."""

    def __init__(self, *states: JobState | None) -> None:
        self.states = list(states)
        self.now = 1000.0
        self.jobs = self

    def wait(self, ref: str, *, timeout: float, on_change: Any) -> JobStatus:
        self.now += timeout
        raise WaitTimeout("not over")

    def status(self, ref: str) -> JobStatus:
        state = self.states.pop(0)
        if state is None:
            raise WaitTimeout("no answer")
        return status(state, self.now)


@pytest.mark.parametrize(
    ("states", "says", "after"),
    [
        ([JobState.QUEUED], "queue_limit", 20.0),
        ([JobState.ACTIVE, JobState.ACTIVE], "run_limit", 20.0 + 50.0),
        ([None, None, JobState.HELD], "queue_limit", 20.0 + AGAIN + AGAIN),
        ([JobState.ACTIVE, JobState.QUEUED], "queue_limit", 20.0 + 50.0),  # requeued
    ],
)
def test_no_limit_is_over_without_a_look(states: list[JobState | None], says: str, after: float) -> None:
    there = Facility(*states)
    patience = Patience(Limits(None, 1020.0, 50.0), lambda _: None, lambda: there.now)
    with pytest.raises(WaitTimeout, match=says):
        patience.wait(there, "ref")
    assert there.now == 1000.0 + after
    assert there.states == []


# -- causes ---------------------------------------------------------------------------------------------


@needs_policies
def test_a_time_limit_is_no_reason_for_a_retry(demo, task) -> None:
    long = operator(job("sleep 60", attributes={"duration": 1}))
    with pytest.raises(TaskFailed, match="ask for more time") as caught:
        task.execute(long)
    assert decision(long, caught.value) == ("fail", None)


@needs_policies
def test_a_fault_of_the_machine_is_tried_again_soon(orders, task) -> None:
    orders.order("node_death", seconds=0.2)
    struck = operator(job("sleep 60"), retry_delay=timedelta(hours=1))
    with pytest.raises(TaskFailed) as caught:
        task.execute(struck)
    assert decision(struck, caught.value) == ("retry", timedelta(seconds=30))


@needs_policies
@pytest.mark.parametrize(
    ("sensible", "delay", "action"),
    [(None, None, "default"), (False, None, "fail"), (True, 5, "retry")],
)
def test_the_policy(sensible: bool | None, delay: float | None, action: str) -> None:
    task = operator(job(), retry_delay=timedelta(seconds=5))
    after = timedelta(seconds=delay) if delay else None
    assert decision(task, TaskFailed("it failed", retry_sensible=sensible)) == (action, after)
    assert task.retry_policy.evaluate(ValueError(), 1, 3).action.value == "default"


@needs_policies
@pytest.mark.parametrize(
    ("try_number", "max_tries", "action"),
    [(1, 3, "retry"), (2, 3, "default"), (4, 3, "default"), (5, 7, "retry"), (6, 7, "default")],
    ids=["first", "second", "last", "first after a clear", "second after a clear"],
)
def test_an_outage_does_not_spend_all_retries_at_once(
    task, connect, monkeypatch, try_number: int, max_tries: int, action: str
) -> None:
    monkeypatch.setattr("iri_common.http.session.Limits", lambda: Attempts(attempts=1))
    connect("iri_default", {"conn_type": "iri", "host": "http://127.0.0.1:9", "password": uuid.uuid4().hex})
    late = operator(job(), retries=3, retry_delay=timedelta(hours=1))
    with pytest.raises(TaskFailed, match="no answer") as caught:
        task.execute(late)
    decided = late.retry_policy.evaluate(caught.value, try_number, max_tries, {"task": late})
    assert decided.action.value == action


@needs_policies
def test_an_exit_code_says_nothing_of_a_retry(demo, task) -> None:
    failing = operator(job("exit 3"))
    with pytest.raises(TaskFailed, match="exit code 3") as caught:
        task.execute(failing)
    assert decision(failing, caught.value) == ("default", None)


@needs_policies
def test_the_policy_of_the_author_counts() -> None:
    from airflow.sdk import ExceptionRetryPolicy

    own = ExceptionRetryPolicy(rules=[])
    assert operator(job(), retry_policy=own).retry_policy is own


# -- escalation -----------------------------------------------------------------------------------------


def once_for_long(**more: Any) -> dict[str, Any]:
    """A job that takes its time only when it runs for the first time."""
    words = job(**more)
    marker = words["name"]
    return words | {"arguments": ["-c", f"test -e {marker} || {{ touch {marker}; sleep 60; }}"]}


@needs_store
def test_the_next_try_gets_more_time_and_a_clear_begins_anew(demo, task) -> None:
    words = once_for_long(attributes={"duration": 2})
    growing = operator(words, escalate={"duration": 60})
    with pytest.raises(TaskFailed, match="the next try asks for 60 times the duration") as caught:
        task.execute(growing)
    assert decision(growing, caught.value)[0] == "retry"
    with pytest.raises(TaskDeferred):
        task.begin(growing)
    task.store[STORE_KEY]["ref"] = None  # a crash: its id was never learned
    assert task.execute(growing)["state"] == "completed"
    task.ti.max_tries += 1
    task.execute(growing)
    assert [each["duration"] for each in jobs(demo, words)] == [2, 120, 2]


@needs_store
def test_the_next_try_gets_more_memory(orders, task) -> None:
    orders.order("out_of_memory", seconds=1.5)
    words = once_for_long(resources={"memory": 1_000_001})
    growing = operator(words, escalate={"memory": 1.5})
    with pytest.raises(TaskFailed, match=r"1\.5 times the memory"):
        task.execute(growing)
    assert task.execute(growing)["state"] == "completed"
    assert task.store[STORE_KEY]["grown"] == {"memory": 1}


def test_how_a_spec_grows() -> None:
    spec = JobSpec.of(job(attributes={"duration": 60, "account": "m1"}, resources={"memory": 1001}))
    more = grown(spec, {"duration": 2, "memory": 1.5}, {"duration": 2, "memory": 1})
    assert (more.attributes.duration, more.attributes.account, more.resources.memory) == (240, "m1", 1502)
    assert grown(spec, {"duration": 2}, {}) == spec


@pytest.mark.parametrize(
    ("escalate", "says"),
    [
        ({"nodes": 2}, "knows duration and memory, not 'nodes'"),
        ({"duration": 1}, "not 1 times as much"),
        ({"memory": 2}, r"needs a memory to begin with: job\['resources'\]\['memory'\]"),
    ],
)
def test_an_escalation_that_makes_no_sense_fails_the_parsing_of_the_dag(escalate: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        operator(job(attributes={"duration": 60}), escalate=escalate)


def test_a_factor_or_a_time_that_is_none_fails_when_its_dag_is_read() -> None:
    words = {"executable": "x", "attributes": {"duration": 60}}
    with pytest.raises(UsageError, match="not '2' times as much"):
        IriJobOperator(task_id="task", job=words, escalate={"duration": "2"})
    with pytest.raises(TypeError, match="lasts is a timedelta"):
        IriCredentialOperator(task_id="task", lasts=5)
