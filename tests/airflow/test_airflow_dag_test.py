"""What a DAG's author does first: ``dag.test()``, with no scheduler, triggerer or supervisor behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid

import pytest
from airflow_connections import connection_to
from airflow_versions import TRIES_DAGS

DAG = """
import json
import sys
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_iri import (
    IriArrayOperator, IriCancelOperator, IriFileOperator, IriFileSensor, IriJobOperator, IriTransferOperator
)

place = sys.argv[1] if __name__ == "__main__" else "/"
with DAG("tried", schedule=None) as dag:
    made = IriFileOperator(task_id="made", operation="mkdir", path=place)
    shell = {"executable": "/bin/sh", "directory": place, "name": "tried"}
    write = IriJobOperator.partial(task_id="write", follow=True).expand(
        job=[{**shell, "arguments": ["-c", "echo $0 > out; sleep 1", "{{ ti.map_index }}"]}]
    )
    ready = IriFileSensor(task_id="ready", path=place + "/out")
    digest = IriFileOperator(task_id="digest", operation="checksum", path=place + "/out")
    fetched = IriTransferOperator(
        task_id="fetched", source=place + "/out", source_conn_id="iri_default", target=place + "/fetched"
    )
    each = IriArrayOperator(task_id="each", job={**shell, "arguments": ["-c", "true"]}, inputs=["a", "b"],
                            deferrable=False)
    long = {**shell, "arguments": ["-c", "exec sleep 300"]}
    late = IriJobOperator(task_id="late", job=long, run_limit=timedelta(seconds=1))
    serve = IriJobOperator(task_id="serve", job=long, wait_for_completion=False).as_setup()
    stop = IriCancelOperator(task_id="stop", job=serve.output["iri_job"]).as_teardown(setups=serve)
    made >> write >> ready >> digest >> fetched >> each >> serve >> stop
    made >> late

if __name__ == "__main__":
    run = dag.test()
    print(json.dumps({each.task_id: str(each.state) for each in run.get_task_instances()}))
"""


@pytest.mark.skipif(not TRIES_DAGS, reason="this Airflow's dag.test() does not work")
def test_a_dag_may_be_tried_without_an_airflow(facility, tmp_path) -> None:
    (tmp_path / "dags").mkdir()
    file = tmp_path / "dags" / "tried.py"
    file.write_text(DAG)
    place = facility.scratch / uuid.uuid4().hex
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env |= {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "HOME": str(tmp_path)}
    env |= {"AIRFLOW_CONN_IRI_DEFAULT": json.dumps(connection_to(facility))}
    before = len(facility.jobs())
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrate, check=True, capture_output=True, env=env)
    tried = [sys.executable, str(file), str(place)]
    done = subprocess.run(tried, check=False, capture_output=True, text=True, env=env)
    told = [line for line in done.stdout.splitlines() if line.startswith('{"')]
    assert told, done.stdout[-4000:] + done.stderr[-4000:]
    well = ["made", "write", "ready", "digest", "fetched", "each", "serve", "stop"]
    assert json.loads(told[-1]) == {**dict.fromkeys(well, "success"), "late": "failed"}
    assert (place / "fetched").read_text() == "0\n"
    states = [each["state"] for each in facility.jobs()[before:]]
    assert sorted(states) == ["canceled", "canceled", "completed", "completed"]
