"""DAGs of which a person is told that a run failed, or is late."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, SyncCallback

from airflow_provider_iri import IriJobOperator, IriNotifier


def note(context: Any) -> None:
    Path(os.environ["AIRFLOW_HOME"], "told").write_text(json.dumps(context["iri"]))


with DAG("told", schedule=None, on_failure_callback=IriNotifier(to=[note])):
    IriJobOperator(task_id="job", job={"executable": "/bin/false"}, deferrable=False)

by_connection = {"to": ["late_alerts.in_triggerer"], "iri_conn_id": "iri_default"}
alerts = [
    DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, timedelta(seconds=30), callback)
    for callback in (
        AsyncCallback(IriNotifier, by_connection),
        SyncCallback(IriNotifier, {"to": ["late_alerts.in_executor"]}),
    )
]
with DAG("late", schedule=None, deadline=alerts):
    IriJobOperator(task_id="job", job={"executable": "/bin/sleep", "arguments": ["300"]})
