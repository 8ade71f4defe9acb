"""DAGs that move data, with one task each, whose ends a test gives."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_iri import IriFileOperator, IriFlowOperator, IriJobOperator, IriTransferOperator

WORDS = ("name", "dir", "script", "source", "target", "flow")
PARAMS = {word: Param("", type="string") for word in WORDS}
AGAIN = {"retries": 3, "retry_delay": timedelta(0)}
BETWEEN = {
    "source_conn_id": "iri_default",
    "target_conn_id": "iri_slow",
    "options": {"road": "globus"},
    **AGAIN,
}

for dag_id, deferrable in (("staged", True), ("staged_in_worker", False)):
    with DAG(dag_id, schedule=None, params=PARAMS):
        IriJobOperator(
            task_id="job",
            job={
                "executable": "/bin/sh",
                "arguments": ["-c", "{{ params.script }}"],
                "name": "{{ params.name }}",
                "directory": "{{ params.dir }}",
            },
            stage_in=[["{{ params.source }}", "in"]],
            stage_out=[["out", "{{ params.target }}"]],
            transfer={"parallel": 1},
            deferrable=deferrable,
            **AGAIN,
        )

with DAG("put", schedule=None, params=PARAMS):
    IriTransferOperator(
        task_id="job",
        source="{{ params.source }}",
        target="{{ params.target }}",
        target_conn_id="iri_default",
        options={"parallel": 1},
    )

with DAG("moved", schedule=None, params=PARAMS):
    IriTransferOperator(task_id="job", source="{{ params.source }}", target="{{ params.target }}", **BETWEEN)

with DAG("moved_each", schedule=None, params=PARAMS):
    IriTransferOperator.partial(task_id="job", **BETWEEN).expand_kwargs(
        [
            {"source": f"{{{{ params.source }}}}/{name}", "target": f"{{{{ params.target }}}}/{name}"}
            for name in ("a", "b", "c")
        ]
    )

with DAG("copied", schedule=None, params=PARAMS):
    IriFileOperator(
        task_id="job",
        operation="cp",
        path="{{ params.source }}",
        target="{{ params.target }}",
        iri_conn_id="iri_firecrest",
        **AGAIN,
    )

with DAG("flowing", schedule=None, params=PARAMS):
    IriFlowOperator(task_id="job", flow="{{ params.flow }}", body={"target": "{{ params.target }}"}, **AGAIN)
