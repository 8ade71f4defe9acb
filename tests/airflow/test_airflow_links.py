"""The buttons of a task: written down with its job, for Airflow's pages to show while that is queued."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow_connections import connection_to

from airflow_provider_iri import IriJobOperator
from airflow_provider_iri.links import LINKS, IriJobLink, IriOutputLink
from iri_common import JobRef

PAGES = {
    "job_page": "https://portal.example.org/{resource}/{job}",
    "file_page": "https://portal.example.org/files{path}",
}


def begun(task, **words: Any) -> JobRef:
    """The job's reference, with the task deferred."""
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(IriJobOperator(task_id="task", job={"executable": "/bin/true", **words}))
    return JobRef.parse(deferred.value.trigger.ref)


def test_a_task_leads_to_its_job_and_what_that_writes(demo, task, connect) -> None:
    connect("iri_default", connection_to(demo, extra=PAGES))
    ref = begun(task, stdout_path="a b.log")
    assert task.ti.xcoms[IriJobLink.xcom_key] == f"https://portal.example.org/{ref.resource_id}/{ref.job_id}"
    output = f"https://portal.example.org/files{demo.scratch}/a%20b.log"
    assert task.ti.xcoms[IriOutputLink.xcom_key] == output


def test_where_nothing_is_said_there_is_no_button(demo, task, connect) -> None:
    begun(task)
    assert not {each.xcom_key for each in LINKS} & set(task.ti.xcoms)
    connect("iri_default", connection_to(demo, extra=PAGES))
    begun(task)
    assert IriOutputLink.xcom_key not in task.ti.xcoms  # nobody knows the file yet
    connect("iri_default", connection_to(demo, extra={**PAGES, "directory": ""}))
    begun(task, stdout_path="somewhere.log")
    assert IriOutputLink.xcom_key not in task.ti.xcoms


def test_airflow_gets_what_was_written_down(task, monkeypatch) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    kept = {IriJobLink.xcom_key: "https://portal.example.org/1"}
    monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key: kept.get(key))
    operator = IriJobOperator(task_id="task", job={"executable": "/bin/true"})
    told = [each.get_link(operator, ti_key=task.ti) for each in operator.operator_extra_links]
    assert told == ["https://portal.example.org/1", ""]


def test_airflow_is_asked_for_nothing_that_was_not_written_down(task, demo, monkeypatch) -> None:
    """It would log an error for each button of each process of a task."""
    from airflow.sdk.execution_time.xcom import XCom

    def asked(**_: Any) -> None:
        raise AssertionError("no XCom")

    monkeypatch.setattr(XCom, "get_value", asked)
    operator = IriJobOperator(task_id="task", job={"executable": "/bin/true"})
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator)
    assert [each.get_link(operator, ti_key=task.ti) for each in operator.operator_extra_links] == ["", ""]
    later = IriJobOperator(task_id="task", job={"executable": "/bin/true"})
    task.resume(later, deferred.value)
    assert [each.get_link(later, ti_key=task.ti) for each in later.operator_extra_links] == ["", ""]
