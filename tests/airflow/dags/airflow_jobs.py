"""DAGs with one job each, whose script a test gives; they differ in how Airflow treats them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param
from lingering import LingeringOperator

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


class TidyingOperator(IriJobOperator):
    """Has something of its own to do when it is killed."""

    def on_kill(self) -> None:
        Path(self.job["directory"], "tidied").touch()
        super().on_kill()


def dag(
    dag_id: str,
    *,
    job: dict[str, Any] = JOB,
    operator: type[IriJobOperator] = IriJobOperator,
    dagrun_timeout: timedelta | None = None,
    **words: Any,
) -> None:
    with DAG(dag_id, schedule=None, params=PARAMS, dagrun_timeout=dagrun_timeout):
        operator(task_id="job", job=job, iri_conn_id="{{ params.connection }}", **words)


def mapped(dag_id: str, scripts: list[str], **words: Any) -> None:
    with DAG(dag_id, schedule=None, params=PARAMS):
        IriJobOperator.partial(task_id="job", **words).expand(
            job=[
                {**SHELL, "name": f"{{{{ params.name }}}}.{index}", "arguments": ["-c", script]}
                for index, script in enumerate(scripts)
            ]
        )


again = {"retries": 2, "retry_delay": timedelta(seconds=1)}
dag("once")
dag("retried", **again)
dag("in_worker", deferrable=False, **again)
dag("followed", follow=True)
dag("lingering", operator=LingeringOperator)
dag("tidied", operator=TidyingOperator, deferrable=False)
dag("limited", execution_timeout=timedelta(seconds=6))
dag("impatient", queue_limit=timedelta(seconds=6))
dag("too_long", run_limit=timedelta(seconds=6))
dag("overdue", dagrun_timeout=timedelta(seconds=40))
short = {**JOB, "attributes": {"duration": 2}}
dag("too_short", job=short, on_failure_callback=IriNotifier(), **again)
dag("escalated", job=short, deferrable=False, escalate={"duration": 60}, **again)
dag("misspelt", job={**JOB, "environment": {"{{ params.name }} X": "1"}}, **again)

mapped("mapped", [f"sleep 10; exit {index // 11}" for index in range(12)])
mapped("pair", ["{{ params.script }}"] * 2)
brief = [*["sleep 1"] * 6, "test -e came || { touch came; exit 4; }"]
mapped("brief", [f"echo {index} >> ran; {script}" for index, script in enumerate(brief)], **again)

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
