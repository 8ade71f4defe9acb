"""The DAGs that people copy can be read anywhere: without a connection, and without a word to a facility."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from airflow_connections import EXAMPLES

FOLDERS = [EXAMPLES / "airflow_dags", EXAMPLES / "tomography" / "airflow_dag.py"]

READ = """
import json, socket, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import BaseHook
from airflow.serialization.serialized_objects import DagSerialization

def refuse(*_, **__):
    raise AssertionError("this is for tasks, not for who reads a DAG")

BaseHook.get_connection = socket.socket.connect = refuse
before = set(sys.modules)
told = {"dags": {}, "errors": {}}
for folder in sys.argv[1:]:
    bag = DagBag(folder)
    told["errors"] |= bag.import_errors
    for dag in bag.dags.values():
        words = json.dumps(DagSerialization.to_dict(dag))
        told["dags"][dag.dag_id] = sorted(word for word in ("iri_default", "IriFileWatcher") if word in words)
told["modules"] = sorted(name for name in set(sys.modules) - before if name.startswith("iri_common."))
print(json.dumps(told))
"""


def test_the_examples_are_read_without_a_connection(tmp_path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env |= {"HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(EXAMPLES)}
    env["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, FOLDERS)], capture_output=True, text=True, check=True, env=env
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["errors"] == {}
    assert set(told["dags"]) == {"beamline", "first_job", "results", "tomography"}
    assert told["dags"]["beamline"] == ["IriFileWatcher", "iri_default"]
    # Specifications are checked when a DAG is read; nothing of the wire is loaded for that.
    assert {name.split(".")[1] for name in told["modules"]} == {"model"}
