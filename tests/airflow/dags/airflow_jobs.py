"""DAGs with one job each, whose script a test gives; they differ in how Airflow treats them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_iri import (
    IriArrayOperator,
    IriFileSensor,
    IriJobOperator,
    IriJobSensor,
    IriNotifier,
    IriPathOperator,
    IriPathReleaseOperator,
)

PARAMS = {
    "script": Param("true", type="string"),
    "name": Param("job", type="string"),
    "dir": Param("/", type="string"),
    "connection": Param("iri_default", type="string"),
    "job": Param("", type="string"),
}
SHELL = {"executable": "/bin/sh", "name": "{{ params.name }}", "directory": "{{ params.dir }}"}
JOB = {**SHELL, "arguments": ["-c", "{{ params.script }}"]}


def dag(dag_id: str, *, job: dict[str, Any] = JOB, **words: Any) -> None:
    with DAG(dag_id, schedule=None, params=PARAMS, render_template_as_native_obj=False):
        IriJobOperator(task_id="job", job=job, iri_conn_id="{{ params.connection }}", **words)


again = {"retries": 2, "retry_delay": timedelta(seconds=1)}
dag("once")
dag("retried", **again)
dag("in_worker", deferrable=False, **again)
dag("followed", follow=True)
dag("limited", execution_timeout=timedelta(seconds=6))
short = {**JOB, "attributes": {"duration": 2}}
dag("too_short", job=short, on_failure_callback=IriNotifier(), **again)
dag("escalated", job=short, deferrable=False, escalate={"duration": 60}, **again)
dag("misspelt", job={**JOB, "environment": {"{{ params.name }} X": "1"}}, **again)

with DAG("mapped", schedule=None, params=PARAMS):
    IriJobOperator.partial(task_id="job").expand(
        job=[{**SHELL, "arguments": ["-c", f"sleep 10; exit {index // 11}"]} for index in range(12)]
    )

with DAG("elements", schedule=None, params=PARAMS):
    IriArrayOperator(
        task_id="job",
        job={**SHELL, "arguments": ["-c", 'echo "$0" >> ran; {{ params.script }}']},
        inputs=["{{ params.name }}", "late"],
        deferrable=False,
        **again,
    )

with DAG("sensed", schedule=None, params=PARAMS):
    IriJobSensor(task_id="ended", job="{{ params.job }}")
    IriFileSensor(task_id="arrived", path="{{ params.dir }}/flag", poke_interval=1)

PORTS = [{"uri": "{{ params.script }}"}, {"uri": "{{ params.job }}"}]
with DAG("leased", schedule=None, params=PARAMS):
    up = IriPathOperator(
        task_id="up", iri_conn_id="iri_net", path={"ends": PORTS, "mbps": 100, "name": "{{ params.name }}"}
    )
    down = IriPathReleaseOperator(task_id="down", iri_conn_id="iri_net", path=up.output["iri_path"])
    up >> down.as_teardown(setups=up, on_failure_fail_dagrun=True)
