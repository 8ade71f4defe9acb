"""What may make a job run twice, or leave one that nobody knows of."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow_connections import connection_to
from airflow_versions import needs_store
from job_tasks import job, jobs, operator

from airflow_provider_iri import IriHook, guard
from airflow_provider_iri.record import STORE_KEY
from iri_common import Conflict, IriError, JobKey
from iri_common.facility.faces import Jobs


def place(facility) -> str:
    """A directory of the facility's, for one job."""
    own = facility.scratch / uuid.uuid4().hex
    own.mkdir()
    return str(own)


def begun(words: dict[str, Any]) -> list[str]:
    """What its jobs wrote when they began."""
    told = Path(words["directory"], "begun")
    return told.read_text().splitlines() if told.exists() else []


class Crash(BaseException):
    """The worker is gone."""


def crash(key: str, value: str) -> None:
    raise Crash


def quietly(does: Callable[..., object], *given: Any, **more: Any) -> None:
    with contextlib.suppress(Crash, IriError):
        does(*given, **more)


@pytest.fixture
def orders(demo):
    """The facility, which carries out no orders of this test after it."""
    yield demo
    demo.clear_faults()


@needs_store
def test_a_clear_after_retries_were_lowered_is_one(demo, task) -> None:
    task.ti.max_tries = 3
    words = job()
    task.execute(operator(words))
    task.ti.max_tries = 1  # Airflow: try_number + retries, as the DAG says now
    task.execute(operator(words))
    assert len(jobs(demo, words)) == 2


@needs_store
@pytest.mark.parametrize("known", [True, False])
def test_a_clear_ends_a_job_that_is_not_shown_yet(
    orders, task, wait_until, monkeypatch, tmp_path, known: bool
) -> None:
    """It cannot be cancelled by its id either; when it begins at last, it finds its key taken."""
    words = job("echo begun >> begun; exec sleep 60", directory=place(orders))
    orders.order("late", seconds=600)
    orders.order("hold")
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    if not known:  # the worker died of it, and the next one has another home
        task.store[STORE_KEY]["ref"] = None
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    task.ti.max_tries += 1
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    orders.clear_faults()
    wait_until(lambda: jobs(orders, words)[0]["ended"] and begun(words))
    assert begun(words) == ["begun"]
    IriHook().facility.jobs.cancel(task.ti.xcoms["iri_job"])


@needs_store
def test_a_clear_of_a_success_that_the_facility_forgot_takes_no_key(orders, task) -> None:
    words = job()
    task.execute(operator(words))
    orders.order("missing", job=jobs(orders, words)[0]["id"])
    orders.reset_requests()
    task.ti.max_tries += 1
    assert task.execute(operator(words))["state"] == "completed"
    assert not {each["operation"] for each in orders.requests()} & {"mkdir", "cancelJob"}


@needs_store
@pytest.mark.parametrize("ending", ["time", "person"])
def test_a_job_that_is_on_its_way_when_its_task_ends_is_ended(
    slow_facility, task, connect, wait_until, monkeypatch, ending: str
) -> None:
    """Its worker is gone before the facility has answered, and maybe no other try comes."""
    connect("iri_default", connection_to(slow_facility))
    words = job("exec sleep 600")
    worker = operator(words)
    if ending == "time":
        submit, sending = Jobs.submit, list[threading.Thread]()

        def too_long(face: Jobs, *given: Any, **more: Any) -> None:
            sending.append(threading.Thread(target=lambda: quietly(submit, face, *given, **more)))
            sending[0].start()
            raise AirflowTaskTimeout

        monkeypatch.setattr(Jobs, "submit", too_long)
        with pytest.raises(AirflowTaskTimeout):
            task.begin(worker)
        assert task.store[STORE_KEY]["unwanted"]
    else:
        monkeypatch.setattr(guard, "task_state", lambda _: "failed")
        monkeypatch.setattr(task.ti, "xcom_push", crash)
        sending = [threading.Thread(target=lambda: quietly(task.begin, worker))]
        sending[0].start()
        wait_until(lambda: worker._attempt is not None and worker._attempt.on_its_way)
    worker.on_kill()  # as Airflow does
    sending[0].join()
    wait_until(lambda: jobs(slow_facility, words) and jobs(slow_facility, words)[0]["ended"])


@needs_store
def test_a_task_that_was_cleared_while_its_job_was_asked_for_has_another_one(demo, task, monkeypatch) -> None:
    """Its worker, which was stopped for that, has taken the key."""
    words = job("exec sleep 600")
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words))
    IriHook().facility.jobs.cancel(deferred.value.trigger.ref)
    task.store[STORE_KEY]["ref"] = None
    submit = Jobs.submit

    def taken(face: Jobs, spec: Any, *, key: JobKey, **more: Any) -> Any:
        if more["seen_before"]:
            raise Conflict(
                f"{key} was canceled while it was not known whether the facility had taken the job"
            )
        return submit(face, spec, key=key, **more)

    monkeypatch.setattr(Jobs, "submit", taken)
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words))
    assert len(jobs(demo, words)) == 2
    IriHook().facility.jobs.cancel(deferred.value.trigger.ref)


@needs_store
def test_a_job_of_a_place_where_the_connection_does_not_lead_any_more(
    demo, slow_facility, task, connect, caplog
) -> None:
    """Left alone once, with what to do; who clears the task again means another job."""
    words = job("exec sleep 60")
    connect("iri_test", connection_to(demo))
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words, iri_conn_id="iri_test"))
    connect("iri_test", connection_to(slow_facility))
    with pytest.raises(AirflowFailException, match="belongs to iri at"):
        task.resume(operator(words, iri_conn_id="iri_test"), deferred.value)
    task.ti.max_tries += 1
    with pytest.raises(AirflowFailException, match="belongs to iri at"):
        task.begin(operator(words, iri_conn_id="iri_test"))
    assert "clear it as it is: it asks for another one" in caplog.text
    assert (len(jobs(demo, words)), len(jobs(slow_facility, words))) == (1, 0)
    before = dict(task.store)
    task.ti.max_tries += 1
    with pytest.raises(TaskDeferred):
        task.begin(operator(words, iri_conn_id="iri_test"))
    assert (len(jobs(demo, words)), len(jobs(slow_facility, words))) == (1, 1)
    IriHook("iri_test").facility.jobs.cancel(task.ti.xcoms["iri_job"])
    # Had it been led back, the task would have gone on with its job.
    task.store.update(before)
    connect("iri_test", connection_to(demo))
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words, iri_conn_id="iri_test"))
    assert [each["ended"] for each in jobs(demo, words)] == [None]
    IriHook("iri_test").facility.jobs.cancel(deferred.value.trigger.ref)


@needs_store
def test_a_job_that_may_not_be_looked_at_any_more_is_not_in_the_way_for_ever(orders, task) -> None:
    words = job("exec sleep 60")
    with pytest.raises(TaskDeferred) as first:
        task.begin(operator(words))
    orders.order("status", ["getJob", "cancelJob"], status=403, times=None)
    with pytest.raises(AirflowFailException, match="lacks the right"):  # the retry of a worker that died
        task.begin(operator(words))
    task.ti.max_tries += 1
    with pytest.raises(TaskDeferred) as second:
        task.begin(operator(words))
    orders.clear_faults()
    assert [each["ended"] for each in jobs(orders, words)] == [None, None]
    for deferred in (first, second):
        IriHook().facility.jobs.cancel(deferred.value.trigger.ref)


@needs_store
def test_a_connection_that_is_gone_does_not_keep_a_task_from_its_next_job(demo, task, connect) -> None:
    words = job("exec sleep 60")
    connect("iri_test", connection_to(demo))
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words, iri_conn_id="iri_test"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AIRFLOW_CONN_IRI_TEST")
        assert task.execute(operator(words | {"arguments": ["-c", "true"]}))["state"] == "completed"
    IriHook("iri_test").facility.jobs.cancel(deferred.value.trigger.ref)


def test_a_task_that_is_ended_while_its_files_move_asks_for_no_job(demo, task, monkeypatch, tmp_path) -> None:
    (tmp_path / "in").touch()
    words = job(directory=place(demo))
    worker = operator(words, stage_in=[[str(tmp_path / "in"), "in"]])
    monkeypatch.setattr(guard, "task_state", lambda _: "failed")
    monkeypatch.setattr(task.ti, "xcom_push", lambda key, value: worker.on_kill())  # of what was moved
    with pytest.raises(AirflowFailException, match="the task is failed"):
        task.begin(worker)
    assert jobs(demo, words) == []
