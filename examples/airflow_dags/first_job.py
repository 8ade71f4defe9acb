"""A first job; and one program over many inputs, with more time for what ran out of it.

Needs a connection ``iri_default`` of type ``iri`` to the facility.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_iri import IriArrayOperator, IriJobOperator

with DAG(
    "first_job",
    schedule=None,
    tags=["iri"],
    params={"inputs": Param(["a", "b", "c"], type="array", description="what the program runs over")},
    render_template_as_native_obj=True,
):
    hello = IriJobOperator(
        task_id="hello",
        job={
            "executable": "/bin/echo",
            "arguments": ["hello from {{ run_id }}"],
            "resources": {"node_count": 1},
            "attributes": {"duration": 60},
        },
    )
    each = IriArrayOperator(
        task_id="each",
        job={"executable": "/bin/echo", "attributes": {"duration": 300}},
        inputs="{{ params.inputs }}",
        retries=2,
        escalate={"duration": 2},
    )
    hello >> each
