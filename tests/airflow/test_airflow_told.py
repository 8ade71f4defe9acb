"""The notifier of a DAG in a real Airflow, whose DAG processor, triggerer or executor calls it."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.timeout(180)


def test_a_run_that_failed_is_told_with_the_job_that_it_failed_by(site, wait_until) -> None:
    run = site.trigger("told")
    assert site.wait("told", run) == "failed"
    told = site.home / "told"
    wait_until(lambda: told.exists() and told.read_text(), 60, "a word about the run")
    notice = json.loads(told.read_text())
    assert notice["subject"] == f"told failed (run {run})"
    assert notice["cause"] == "a task failed (job): see its log"
    assert notice["ref"] == site.xcom("told", run, "job", key="iri_job")
    assert notice["connection"] == "iri_default"


ALERTS = """
import json, os, pathlib

def in_triggerer(context):
    pathlib.Path(os.environ["AIRFLOW_HOME"], "late in triggerer").write_text(json.dumps(context["iri"]))

def in_executor(context):
    pathlib.Path(os.environ["AIRFLOW_HOME"], "late in executor").write_text(json.dumps(context["iri"]))
"""


def test_a_run_that_is_late_is_told_with_the_job_that_it_waits_for(site, wait_until) -> None:
    (site.home / "late_alerts.py").write_text(ALERTS)  # where its processes are at work, and find modules
    run = site.trigger("late")
    site.await_task("late", run, "job", "deferred", timeout=90)
    told = [site.home / f"late in {where}" for where in ("triggerer", "executor")]
    wait_until(lambda: all(each.exists() and each.read_text() for each in told), 90, "a word about the run")
    by_triggerer, by_executor = [json.loads(each.read_text()) for each in told]
    assert by_triggerer["subject"] == by_executor["subject"] == f"late is late (run {run})"
    assert "it was to be over by 20" in by_executor["cause"]
    assert "tasks that are not over: 1 deferred" in by_triggerer["cause"]
    assert by_triggerer["ref"] == site.xcom("late", run, "job", key="iri_job")
    assert by_triggerer["job"].startswith("job: job ")
    assert "active since 20" in by_triggerer["job"]
    site.call("PATCH", f"/dags/late/dagRuns/{run}", {"state": "failed"})
