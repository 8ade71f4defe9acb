"""A flow that Globus runs as a task: started once, whatever becomes of the processes that asked for it."""

from __future__ import annotations

import asyncio
import time
from collections import UserList
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import globus_sdk
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow_versions import needs_store
from globus_sdk import AccessTokenAuthorizer, FlowsClient
from globus_sdk.scopes import FlowsScopes

from airflow_provider_iri import IriFlowOperator
from iri_common import Flows

QUIET = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
FAILS = {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "BadScan", "Cause": "all dark"}}}
RESTS = {"StartAt": "Rest", "States": {"Rest": {"Type": "Wait", "Seconds": 600, "End": True}}}


@pytest.fixture
def made(places):
    """Makes flows."""

    def make(definition: dict[str, Any]) -> str:
        auth = globus_sdk.ConfidentialAppAuthClient(
            places.site.globus_client_id, places.site.globus_client_secret
        )
        token = auth.oauth2_client_credentials_tokens(str(FlowsScopes.all)).data["access_token"]
        client = FlowsClient(authorizer=AccessTokenAuthorizer(token))
        return client.create_flow("A flow", definition, {})["id"]

    return make


def operator(flow: str, body: dict[str, Any] | None = None, **more: Any) -> IriFlowOperator:
    return IriFlowOperator(task_id="task", flow=flow, body=body or {}, run_label="a flow", **more)


def runs(places, flow: str) -> list[str]:
    """The states of all runs of a flow."""
    return [each["status"] for each in places.site.flow_runs() if each["flow"] == flow]


def test_the_output_of_a_flow_is_the_tasks(places, task, made) -> None:
    flow = made(QUIET)
    told = task.execute(operator(flow, {"scan": 12}))
    assert told == {"run_id": task.ti.xcoms["iri_flow_run"], "output": {"scan": 12}}
    assert runs(places, flow) == ["SUCCEEDED"]


def test_a_flow_takes_what_mapped_tasks_give(places, task, made) -> None:
    """A sequence, and neither list nor JSON."""
    told = task.execute(operator(made(QUIET), {"scans": UserList(["a", "b"])}))
    assert told["output"] == {"scans": ["a", "b"]}


@needs_store
@pytest.mark.parametrize("noted", [True, False])
def test_a_retry_goes_on_with_the_run(places, task, made, monkeypatch, tmp_path, noted: bool) -> None:
    flow = made(RESTS)
    with pytest.raises(TaskDeferred):
        task.begin(operator(flow))
    first = task.ti.xcoms["iri_flow_run"]
    if not noted:  # the worker was killed after it had asked, and the next one is another host
        task.store.set("iri_flow", {**task.store["iri_flow"], "ref": None}, retention=_never())
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(flow))
    assert task.ti.xcoms["iri_flow_run"] == first
    assert runs(places, flow) == ["ACTIVE"]
    _end(deferred.value.trigger)


@needs_store
def test_tags_that_another_task_gives_are_the_same_for_a_retry(places, task, made) -> None:
    class Given(UserList):
        """As Airflow has what a mapped task gave: its words name an address."""

        __str__ = __repr__ = object.__repr__

    flow = made(RESTS)
    for _ in range(2):
        with pytest.raises(TaskDeferred) as deferred:
            task.begin(operator(flow, run_tags=Given(["a", "b"])))
    assert runs(places, flow) == ["ACTIVE"]
    _end(deferred.value.trigger)


def test_a_flow_that_failed_is_run_again_by_a_retry(places, task, made) -> None:
    flow = made(FAILS)
    for count in (1, 2):
        with pytest.raises(AirflowException, match="all dark"):
            task.execute(operator(flow))
        assert runs(places, flow) == ["FAILED"] * count


@pytest.fixture
def forgetful(task, monkeypatch, tmp_path):
    """Begins the tries of a task for which nothing is kept, each on a host of its own (Airflow 3.2)."""
    task.store, task.ti.try_number = None, 0
    begun = datetime(2026, 11, 23, 6, 0, 0, 123456, UTC)
    task.dag_run = SimpleNamespace(run_type="scheduled", run_after=begun, start_date=begun)

    def begin(one: IriFlowOperator) -> str:
        task.ti.try_number += 1
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / str(task.ti.try_number)))
        with pytest.raises(TaskDeferred):
            task.begin(one)
        return task.ti.xcoms["iri_flow_run"]

    return begin


def test_a_retry_finds_the_run_where_nothing_is_kept(places, task, made, forgetful) -> None:
    flow = made(RESTS)
    first = forgetful(operator(flow))
    assert [forgetful(operator(flow)) for _ in range(2)] == [first, first]
    assert runs(places, flow) == ["ACTIVE"]
    task.ti.max_tries += 1  # a clear
    anew = forgetful(operator(flow))
    assert anew != first
    for run_id in (first, anew):
        Flows().cancel(run_id)


def test_a_retry_starts_another_run_after_those_that_failed(places, made, forgetful, wait_until) -> None:
    flow = made(FAILS)
    for count in (1, 2, 3):
        forgetful(operator(flow))
        wait_until(lambda: runs(places, flow) == ["FAILED"] * count)  # noqa: B023


@needs_store
@pytest.mark.parametrize("change", ["clear", "body"])
def test_a_clear_or_another_input_ends_the_run_and_starts_anew(places, task, made, change: str) -> None:
    flow = made(RESTS)
    with pytest.raises(TaskDeferred):
        task.begin(operator(flow))
    task.ti.max_tries += change == "clear"
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(flow, {"more": 1} if change == "body" else None))
    assert sorted(runs(places, flow)) in (["ACTIVE", "ENDED"], ["ACTIVE", "FAILED"])
    _end(deferred.value.trigger)


@needs_store
def test_another_input_ends_a_run_that_nobody_was_told_of(places, task, made) -> None:
    """The worker was killed after it had asked, and a clock in the input says something else by now."""
    flow = made(RESTS)
    with pytest.raises(TaskDeferred):
        task.begin(operator(flow, {"at": "12:00"}))
    task.store.set("iri_flow", {**task.store["iri_flow"], "ref": None}, retention=_never())
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(flow, {"at": "12:01"}))
    assert runs(places, flow).count("ACTIVE") == 1
    _end(deferred.value.trigger)


def test_a_run_is_cancelled_when_the_time_of_its_task_is_over(places, task, made) -> None:
    flow = made(RESTS)
    with pytest.raises(AirflowTaskTimeout, match="not over"):
        task.execute(operator(flow, execution_timeout=timedelta(seconds=0.5)))
    assert "ACTIVE" not in runs(places, flow)


@needs_store
def test_a_run_that_is_over_counts_though_nobody_looked_in_time(places, task, made) -> None:
    """Its triggerer was away until the time of the task was over."""
    flow = made(QUIET)
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(flow, execution_timeout=timedelta(microseconds=1)))
    _until_over(places, flow)
    told = task.resume(operator(flow), deferred.value)
    assert told["run_id"] == task.ti.xcoms["iri_flow_run"]
    assert not task.store["iri_flow"]["ended"]


@pytest.mark.parametrize(("state", "ended"), [("failed", True), ("deferred", False)])
async def test_a_run_is_cancelled_if_a_person_ends_its_task(
    places, task, made, monkeypatch, state: str, ended: bool
) -> None:
    from airflow_provider_iri import triggers

    flow = made(RESTS)
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(flow))
    monkeypatch.setattr(triggers, "task_state", lambda ti: state)
    trigger = deferred.value.trigger
    trigger.task_instance = task.ti
    await trigger.on_kill()
    assert ("ACTIVE" not in runs(places, flow)) is ended
    await trigger.end()


@needs_store
@pytest.mark.parametrize(("state", "ended"), [("restarting", True), ("running", False)])
def test_a_run_is_cancelled_if_a_person_ends_its_task_while_it_is_started(
    places, task, made, monkeypatch, state: str, ended: bool
) -> None:
    """No trigger has it yet; whoever cleared the task gets another one."""
    from airflow_provider_iri import guard

    flow = made(RESTS)
    with monkeypatch.context() as patch:
        patch.setattr(guard, "task_state", lambda ti: state)
        with pytest.raises(AirflowFailException if ended else TaskDeferred):
            task.begin(operator(flow))
    assert ("ACTIVE" not in runs(places, flow)) is ended
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(flow))
    assert len(runs(places, flow)) == 1 + ended
    _end(deferred.value.trigger)


async def test_runs_are_looked_at_together(places, task, made) -> None:
    """However many wait in a triggerer, one list tells of several."""
    from airflow_provider_iri.globus_triggers import IriFlowTrigger

    flow, triggers = made(RESTS), []
    for number in range(8):
        task.ti.map_index = number
        task.forget()
        with pytest.raises(TaskDeferred) as deferred:
            await asyncio.to_thread(task.begin, operator(flow))
        triggers.append(IriFlowTrigger(**deferred.value.trigger.serialize()[1]))
    assert len({each.run_id for each in triggers}) == 8
    places.site.reset_requests()
    waiting = [asyncio.create_task(anext(each.run())) for each in triggers]
    async with asyncio.timeout(60):  # one that is looked at alone is asked for by itself
        while places.asked().count("globusListRuns") < 4:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for each in triggers:
        await each.end()


def test_a_flow_that_makes_no_sense_fails_for_good(places, task) -> None:
    with pytest.raises(AirflowFailException, match="UUID"):
        task.execute(operator("publish"))
    assert places.asked() == []


def _never() -> Any:
    from airflow.sdk import NEVER_EXPIRE

    return NEVER_EXPIRE


def _until_over(places, flow: str) -> None:
    deadline = time.monotonic() + 60
    while "ACTIVE" in runs(places, flow):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _end(trigger: Any) -> None:
    asyncio.run(trigger.end())
