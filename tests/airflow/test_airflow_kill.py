"""A job is cancelled when a person ends its task, and for nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from airflow_connections import connection_to
from airflow_versions import needs_on_kill, needs_store
from job_tasks import job, jobs, operator, sent

from airflow_provider_iri import IriHook, IriJobOperator, guard
from airflow_provider_iri.record import STORE_KEY


@pytest.fixture
def airflow_says(monkeypatch):
    """What Airflow answers when it is asked for the state of a task."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def answer(state: Any) -> None:
        def get_task_states(dag_id: str, run_ids: list[str], **_: Any) -> dict[str, Any]:
            if isinstance(state, Exception):
                raise state
            if callable(state):
                state()
            return {run_ids[0]: {"task": state, "task_3": "deferred"}}

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))

    return answer


@pytest.mark.parametrize(
    ("state", "cancels"),
    [
        ("failed", True),
        ("success", True),
        ("skipped", True),
        (None, True),  # just cleared
        ("running", True),  # cleared; the new try has begun, and has a job of its own
        ("deferred", False),  # Airflow thinks the trigger is dead; another one waits in its place
        ("up_for_retry", False),
        (ConnectionError("no answer"), False),
    ],
)
async def test_a_trigger_cancels_only_for_a_person(demo, task, airflow_says, state, cancels: bool) -> None:
    trigger, running = _deferred(task)
    airflow_says(state)
    await trigger.on_kill()
    cancelled = "cancelJob" in sent(demo)
    await running.jobs.cancel(trigger.ref)
    assert cancelled is cancels


@pytest.mark.parametrize(("named", "cancels"), [("another", True), ("mine", False), (None, False)])
async def test_a_trigger_ends_its_job_if_its_task_waits_for_another(
    demo, task, airflow_says, monkeypatch, named: str | None, cancels: bool
) -> None:
    """Airflow 3.4 forgets at a clear what the task remembers; the next try is quicker than the question."""
    from airflow.sdk.execution_time.xcom import XCom

    trigger, running = _deferred(task)
    airflow_says("deferred")
    told = {"iri_job": trigger.ref if named == "mine" else named}
    monkeypatch.setattr(XCom, "get_one", lambda *, key, **_: told[key])
    await trigger.on_kill()
    cancelled = "cancelJob" in sent(demo)
    await running.jobs.cancel(trigger.ref)
    assert cancelled is cancels


@pytest.mark.parametrize(
    ("words", "cancels"), [("Task instance is not a live attempt", True), ("No right to read XComs", False)]
)
async def test_a_trigger_whose_try_is_over_is_told_so(
    demo, task, airflow_says, monkeypatch, words: str, cancels: bool
) -> None:
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse
    from airflow.sdk.execution_time.xcom import XCom

    def refused(**_: Any) -> None:
        said = {"status_code": 403, "detail": {"detail": {"reason": "access_denied", "message": words}}}
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=said))

    trigger, running = _deferred(task)
    airflow_says("deferred")
    monkeypatch.setattr(XCom, "get_one", refused)
    await trigger.on_kill()
    cancelled = "cancelJob" in sent(demo)
    await running.jobs.cancel(trigger.ref)
    assert cancelled is cancels


async def test_a_trigger_that_is_cancelled_again_and_again_ends_its_job(demo, task, airflow_says) -> None:
    """So Airflow does at each turn of its loop until the trigger is gone."""
    trigger, running = _deferred(task)
    asked, may_answer = threading.Event(), threading.Event()

    def slowly() -> None:
        asked.set()
        may_answer.wait(60)

    airflow_says(slowly)
    ending = asyncio.create_task(asyncio.wait_for(trigger.on_kill(), 30))
    await asyncio.to_thread(asked.wait, 60)
    for _ in range(5):
        ending.cancel()
        await asyncio.sleep(0.01)
    may_answer.set()
    assert (await running.jobs.wait(trigger.ref, timeout=60)).state == "canceled"
    await asyncio.wait([ending])


@needs_on_kill
@pytest.mark.parametrize("by_airflow", [True, False])
async def test_a_trigger_whose_on_kill_is_never_called(
    demo, task, airflow_says, wait_until, by_airflow
) -> None:
    """Airflow cancels it again before it gets there; a triggerer that shuts down says nothing."""
    from airflow.jobs.triggerer_job_runner import _USER_ACTION_CANCEL_MSG

    trigger, running = _deferred(task)
    airflow_says("failed")
    demo.reset_requests()
    waiting = asyncio.create_task(anext(trigger.run()))
    await asyncio.to_thread(wait_until, lambda: sent(demo), 60)
    waiting.cancel(_USER_ACTION_CANCEL_MSG if by_airflow else None)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not by_airflow:
        assert trigger._ending is None
        await running.jobs.cancel(trigger.ref)
    assert (await running.jobs.wait(trigger.ref, timeout=60)).state == "canceled"


async def test_a_mapped_task_is_known_by_its_index(demo, task, airflow_says) -> None:
    trigger, running = _deferred(task)
    trigger.task_instance = dataclasses.replace(task.ti, map_index=3)
    airflow_says("failed")  # that is "task"; "task_3" is deferred
    await trigger.on_kill()
    assert "cancelJob" not in sent(demo)
    await running.jobs.cancel(trigger.ref)


async def test_a_trigger_that_has_fired_does_nothing_more(demo, task, airflow_says) -> None:
    trigger, _ = _deferred(task, "true")
    assert [event.payload["state"] async for event in trigger.run()] == ["completed"]
    airflow_says("failed")
    await trigger.on_kill()
    assert "cancelJob" not in sent(demo)


async def test_a_trigger_that_lingers_does_not_end_a_job_that_is_over(
    demo, task, airflow_says, monkeypatch, wait_until
) -> None:
    trigger, _ = _deferred(task, "true")
    monkeypatch.setattr(type(trigger), "minimum_deferral", 600.0)
    lingering = asyncio.create_task(anext(trigger.run()))
    await asyncio.to_thread(wait_until, lambda: trigger._fired, 60)
    airflow_says("success")
    await trigger.on_kill()
    lingering.cancel()
    assert "cancelJob" not in sent(demo)


async def test_a_trigger_does_not_fire_too_soon(task, demo, monkeypatch) -> None:
    """The executor's late word of the process that deferred would be taken for the end of the next one."""
    trigger, _ = _deferred(task, "true")
    monkeypatch.setattr(type(trigger), "minimum_deferral", 1.5)
    started = time.monotonic()
    assert [event.payload["state"] async for event in trigger.run()] == ["completed"]
    assert time.monotonic() - started >= 1.5


def test_the_least_deferral_outlasts_the_executor_s_word() -> None:
    from airflow_provider_iri.triggers import IriTrigger

    assert IriTrigger.minimum_deferral > 5.0


def _deferred(task, script: str = "sleep 60") -> tuple[Any, Any]:
    from airflow_provider_iri import IriHook

    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(job(script)))
    trigger = deferred.value.trigger
    trigger.task_instance = task.ti
    return trigger, IriHook().facility.aio


@pytest.mark.parametrize(
    ("state", "cancels"),
    [("failed", True), ("success", True), ("restarting", True), ("running", False), ("up_for_retry", False)],
)
def test_a_worker_that_is_stopped_is_no_reason_to_cancel(
    demo, task, airflow_says, wait_until, state: str, cancels: bool
) -> None:
    airflow_says(state)
    words = job("sleep 3")
    worker = operator(words, deferrable=False)
    waiting = threading.Thread(target=lambda: _quietly(task, worker))
    waiting.start()
    wait_until(lambda: worker._running is not None)
    worker.on_kill()
    waiting.join()
    assert jobs(demo, words)[0]["state"] == ("canceled" if cancels else "completed")


@needs_store
@pytest.mark.parametrize(("state", "cancels"), [("failed", True), ("running", False)])
def test_a_job_that_is_asked_for_while_its_task_is_ended(
    slow_facility, task, connect, airflow_says, wait_until, state: str, cancels: bool
) -> None:
    connect("iri_default", connection_to(slow_facility))
    airflow_says(state)
    words = job("sleep 60")
    worker = operator(words)
    asking = threading.Thread(target=lambda: _quietly(task, worker))
    asking.start()
    wait_until(lambda: STORE_KEY in task.store)  # which comes before the request
    worker.on_kill()
    asking.join()
    if cancels:  # if it has begun; else it finds its key taken
        wait_until(lambda: jobs(slow_facility, words)[0]["ended"])
    (asked,) = jobs(slow_facility, words)
    assert bool(asked["ended"]) is cancels
    IriHook().facility.jobs.cancel(task.ti.xcoms["iri_job"])


def test_a_job_is_cancelled_if_its_task_is_ended_before_it_is_deferred(
    demo, task, airflow_says, wait_until
) -> None:
    """Airflow refuses the deferral then, and calls nobody."""
    airflow_says("failed")
    words = job("sleep 60")
    with pytest.raises(AirflowFailException, match="the job is cancelled, because the task is failed"):
        task.begin(operator(words))
    wait_until(lambda: jobs(demo, words)[0]["state"] == "canceled")


def test_on_kill_returns_though_airflow_never_answers(demo, task, airflow_says, wait_until) -> None:
    answer = threading.Event()
    airflow_says(answer.wait)
    words = job("sleep 5")
    worker = operator(words, deferrable=False)
    waiting = threading.Thread(target=lambda: _quietly(task, worker))
    waiting.start()
    wait_until(lambda: worker._running is not None)
    started = time.monotonic()
    worker.on_kill()
    assert time.monotonic() - started < 4.0  # Airflow kills after 5
    answer.set()
    waiting.join()
    assert jobs(demo, words)[0]["state"] == "completed"


def _quietly(task, worker: IriJobOperator) -> None:
    with contextlib.suppress(AirflowException, TaskDeferred):
        task.begin(worker)


def test_states_in_which_a_task_is_wanted() -> None:
    from airflow.sdk.api.datamodels._generated import TaskInstanceState

    known = {str(state.value) for state in TaskInstanceState}
    assert known >= guard.HELD_BY_A_WORKER >= guard.STILL_WANTED
