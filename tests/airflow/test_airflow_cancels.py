"""Jobs that take their time to end are waited for in the triggerer, all together."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from job_tasks import job

from airflow_provider_iri import IriCancelOperator, IriHook, tending
from iri_common import JobRef

STUBBORN = "trap 'sleep 4; exit 1' TERM; echo up > ready.$$; sleep 60 & wait"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "AT_ONCE", 0.2)
    monkeypatch.setattr(tending, "CANCEL_PATIENCE", 0.2)


@pytest.fixture
def stubborn(demo, tmp_path: Path, wait_until) -> list[JobRef]:
    """Jobs that clear up for four seconds when they are told to end."""
    place = demo.scratch / tmp_path.name
    place.mkdir()
    refs = [IriHook().facility.jobs.submit(job(STUBBORN, directory=str(place))) for _ in range(3)]
    wait_until(lambda: len(list(place.glob("ready.*"))) == 3)
    demo.reset_requests()
    return refs


def over(refs: list[JobRef]) -> bool:
    return all(IriHook().facility.jobs.status(ref).state.terminal for ref in refs)


def stop(refs: list[JobRef], **words) -> IriCancelOperator:
    return IriCancelOperator(task_id="task", job=[str(ref) for ref in refs], **words)


def test_they_are_cancelled_at_once_and_waited_for_together(demo, task, stubborn) -> None:
    with pytest.raises(TaskDeferred):
        task.begin(stop(stubborn))
    assert len(demo.requests("cancelJob")) == 3
    task.execute(stop(stubborn))
    assert over(stubborn)
    demo.reset_requests()
    task.begin(stop(stubborn))
    assert demo.requests("cancelJob") == []


def test_what_refused_is_told_when_the_others_are_over(demo, task, stubborn) -> None:
    lost = demo.order("status", "cancelJob", status=403, times=1)
    with pytest.raises(AirflowFailException, match="lacks the right"):
        task.execute(stop(stubborn))
    demo.clear_faults(lost)
    assert over(stubborn[1:])
    assert not over(stubborn[:1])
    IriHook().facility.jobs.cancel(stubborn[0])


def test_an_outage_meanwhile_is_waited_out(demo, task, stubborn, monkeypatch) -> None:
    monkeypatch.setattr("airflow_provider_iri.outages.PATIENCE", 0.2)
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(stop(stubborn))
    demo.order("status", "getJobs", status=503, times=4)
    task.resume(stop(stubborn), deferred.value)
    assert over(stubborn)


def test_its_time_ends_the_wait_and_no_job_more(demo, task, stubborn) -> None:
    with pytest.raises(AirflowTaskTimeout, match=r"job|end of"):
        task.execute(stop(stubborn, execution_timeout=timedelta(seconds=0.1)))


def test_a_worker_that_waits_does_so_for_all_together(demo, task, stubborn) -> None:
    began = time.monotonic()
    with pytest.raises(Exception, match="has not ended within"):
        task.execute(stop(stubborn, deferrable=False))
    assert len(demo.requests("cancelJob")) == 3
    assert time.monotonic() - began < 15
