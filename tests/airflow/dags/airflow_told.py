"""A DAG of which a person is told that a run failed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_provider_iri import IriJobOperator, IriNotifier


def note(context: Any) -> None:
    Path(os.environ["AIRFLOW_HOME"], "told").write_text(json.dumps(context["iri"]))


with DAG("told", schedule=None, on_failure_callback=IriNotifier(to=[note])):
    IriJobOperator(task_id="job", job={"executable": "/bin/false"}, deferrable=False)
