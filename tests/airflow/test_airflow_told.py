"""The notifier of a DAG in a real Airflow, whose DAG processor calls it."""

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
