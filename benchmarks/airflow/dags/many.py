"""As many mapped jobs as the environment says; each lasts until somebody opens its gate."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_provider_iri import IriJobOperator

GATES, COUNT = os.environ["BENCH_GATES"].split(os.pathsep), int(os.environ["BENCH_JOBS"])

with DAG("many", schedule=None):
    IriJobOperator.partial(task_id="job").expand(
        job=[
            {
                "executable": "/bin/sh",
                "arguments": ["-c", f": < {GATES[number % len(GATES)]}"],
                "resources": {"node_count": 1},
                "attributes": {"duration": 7200},
            }
            for number in range(COUNT)
        ]
    )
