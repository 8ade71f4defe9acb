"""What a person is told of a task that did not succeed, and of a facility that is about to go away."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseNotifier
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from airflow_connections import connection_to
from airflow_versions import needs_store

from airflow_provider_iri import (
    IriCredentialOperator,
    IriHook,
    IriJobOperator,
    IriNotifier,
    IriOutlookOperator,
)


class Letter(BaseNotifier):
    """Another provider's notifier."""

    template_fields = ("text",)

    def __init__(self, sent: list[str], text: str = "{{ iri.subject }} | {{ iri.advice }}") -> None:
        super().__init__()
        self.sent, self.text = sent, text

    def notify(self, context: Any) -> None:
        self.sent.append(self.text)


def failed(task, operator: Any, **more: Any) -> dict[str, Any]:
    """The context in which Airflow calls back when this task has failed."""
    with pytest.raises(AirflowException) as caught:
        task.execute(operator)
    task.ti.state = more.pop("state", "failed")
    return {**task.context, "task": operator, "exception": caught.value, **more}


def told(context: dict[str, Any]) -> dict[str, str]:
    notices: list[dict[str, str]] = []
    IriNotifier(to=[lambda each: notices.append(each["iri"])])(context)
    (notice,) = notices
    return notice


def job(script: str) -> IriJobOperator:
    return IriJobOperator(task_id="task", job={"executable": "/bin/sh", "arguments": ["-c", script]})


@needs_store
def test_a_failed_job_is_told_with_its_cause_and_what_to_do(demo, task) -> None:
    notice = told(failed(task, job("echo no beam >&2; exit 3")))
    assert notice["subject"] == _subject(task)
    assert "no beam" in notice["cause"]
    assert notice["ref"] == task.ti.xcoms["iri_job"]
    assert notice["job"].startswith("job ")
    assert notice["connection"] == "iri_default"
    assert "clear the task" in notice["advice"]
    for word in ("subject", "cause", "ref", "advice"):
        assert notice[word] in notice["text"]


def test_a_retry_needs_nobody(demo, task) -> None:
    notice = told(failed(task, job("exit 3"), state="up_for_retry"))
    assert "is tried again" in notice["subject"]
    assert notice["advice"] == "nothing, unless it comes again"


@needs_store
def test_a_job_that_was_left_alive_is_told(demo, task) -> None:
    """The token was refused while the job ran: it goes on."""
    operator = job("sleep 60")
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator)
    event = {"ref": deferred.value.trigger.ref, "trouble": "AuthError", "message": "the token is refused"}
    with pytest.raises(AirflowFailException) as caught:
        operator.execute_complete(task.context, event)
    notice = told({**task.context, "task": operator, "exception": caught.value})
    assert "left alive" in notice["advice"]
    assert notice["job"] in notice["advice"]
    IriHook().facility.jobs.cancel(event["ref"])


def test_other_notifiers_carry_it_on(demo, task) -> None:
    sent: list[str] = []

    def broken(context: Any) -> None:
        raise ConnectionError("no mail today")

    context = failed(
        task, IriJobOperator(task_id="task", job={"executable": "/bin/true"}, resource="nowhere")
    )
    with pytest.raises(RuntimeError, match="no mail today"):
        IriNotifier(to=[broken, Letter(sent)])(context)
    assert sent == [f"{_subject(task)} | no retry mends it: mend the cause, then clear the task"]


def test_a_task_of_which_nothing_is_known_is_told_all_the_same(task) -> None:
    task.store = None
    notice = told({**task.context, "exception": None})
    assert "its process died" in notice["cause"]
    assert notice["job"] == ""


@pytest.fixture
def asked_for(task, monkeypatch) -> str:
    """What a task whose process died has asked for, where only its XComs are told.

    The DAG processor, in which Airflow calls back then, leaves a question about the store without an answer.
    """

    class Unanswered:
        def get(self, key: str) -> Any:
            pytest.fail(f"{key}: who asks waits for ever")

    ref = "iri+job://api.example.org/iri/cluster/key.1?job=7"
    task.store, task.ti.map_index, kept = Unanswered(), 3, {("iri_job", 3): ref}
    pull = lambda *, key, map_indexes: kept.get((key, map_indexes))  # noqa: E731
    monkeypatch.setattr(type(task.ti), "xcom_pull", staticmethod(pull), raising=False)
    return ref


def test_a_task_whose_process_died_is_told_with_its_job(task, asked_for: str) -> None:
    unfilled = SimpleNamespace(iri_conn_id="{{ params.connection }}")
    notice = told({**task.context, "task": unfilled})
    assert notice["subject"] == f"dag.task[3] failed (run {task.ti.run_id})"
    assert "its process died" in notice["cause"]
    assert (notice["ref"], notice["job"]) == (asked_for, "job 7 at api.example.org")
    assert notice["connection"] == ""


RUN = {"dag": DAG("dag", schedule=None), "run_id": "r"}


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("task_failure", "a task failed"),
        ("timed_out", "it took longer than its dagrun_timeout"),
        ("all_tasks_deadlocked", "none of its tasks can go on"),
        ("another", "another"),
    ],
)
def test_a_run_that_failed_is_told(task, asked_for: str, reason: str, cause: str) -> None:
    """As Airflow calls back for a DAG: with one of the tasks, or with none."""
    notice = told({**RUN, "reason": reason})
    assert (notice["subject"], notice["cause"]) == ("dag failed (run r)", cause)
    notice = told({**RUN, "reason": reason, **task.context})
    assert (notice["subject"], notice["cause"]) == ("dag failed (run r)", f"{cause} (task[3]): see its log")
    assert notice["ref"] == asked_for


def test_secrets_that_airflow_knows_are_masked(task) -> None:
    from airflow.sdk.log import mask_secret

    mask_secret("s3cr3t-of-the-test")
    notice = told({**task.context, "exception": ValueError("refused: s3cr3t-of-the-test")})
    assert "s3cr3t" not in json.dumps(notice)
    assert "refused" in notice["cause"]


def test_a_credential_that_needs_a_person_is_told(facility, task, connect) -> None:
    connect("iri_test", connection_to(facility, password="worth-nothing"))
    notice = told(failed(task, IriCredentialOperator(task_id="task", iri_conn_id="iri_test")))
    assert "needs a person" in notice["cause"]
    assert "clear the task" in notice["advice"]
    assert notice["connection"] == "iri_test"
    assert "worth-nothing" not in json.dumps(notice)


def test_an_outage_is_told_before_anything_fails(demo, task) -> None:
    fine = IriOutlookOperator(task_id="task", ahead=timedelta(hours=1))
    try:
        demo.order("maintenance", starts_in=1800.0, seconds=60.0)
        notice = told(failed(task, fine))
        assert "announced to be away" in notice["cause"]
        assert notice["advice"].startswith("wait until it is back: tasks that wait for jobs go on")
        assert task.execute(IriOutlookOperator(task_id="task", ahead=timedelta(minutes=5)))["status"] == "up"
    finally:
        demo.clear_faults()


def test_an_outage_is_to_be_waited_for(demo, task) -> None:
    demo.order("status", "*", status=503, times=None)
    try:
        advice = {
            type(each).__name__: told(failed(task, each))["advice"]
            for each in (IriOutlookOperator(task_id="task"), IriCredentialOperator(task_id="task"))
        }
    finally:
        demo.clear_faults()
    assert advice["IriOutlookOperator"].startswith("wait until it is back: tasks")
    assert advice["IriCredentialOperator"] == "wait until the facility is back, then clear the task"


def _subject(task) -> str:
    return f"dag.task failed (run {task.ti.run_id})"
