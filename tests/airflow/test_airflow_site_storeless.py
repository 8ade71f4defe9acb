"""A job asked for once runs once, also through a real Airflow that keeps nothing for the next try (3.2)."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from airflow_versions import STORE

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(STORE, reason="Airflow 3.2: what newer ones keep decides there"),
]


def _worker(run: Any) -> int:
    return run.instance()["pid"]


def _refuse(run: Any, facility: Any) -> None:
    """Have the facility refuse everybody until the run has failed, and left its job."""
    refused = facility.order("status", "*", status=401, times=None)
    assert run.wait() == "failed"
    facility.clear_faults(refused)
    assert run.states() == ["active"]


@pytest.mark.parametrize("when", ["before it asks", "before it hears"])
def test_a_worker_is_killed(start, slow_facility, wait_until, when: str) -> None:
    """The facility takes its time to accept a job, and to say so; its answer finds nobody."""
    late = slow_facility.order("delay", "launchJob", seconds=15.0, when="after", times=1)
    run = start("retried", "echo once >> ran", at=slow_facility, connection="iri_slow")
    run.await_task("running")
    if when == "before it hears":
        run.await_job(0, "completed")
    os.kill(wait_until(lambda: _worker(run), 30, "its process"), signal.SIGKILL)
    slow_facility.clear_faults(late)
    assert run.wait() == "success", run.log(2)
    assert run.instance()["try_number"] == 2
    assert run.states() == ["completed"]
    assert run.place("ran").read_text() == "once\n"


def test_a_retry_after_a_job_that_failed_goes_on_with_the_newest(start) -> None:
    run = start("in_worker", "if [ -e ran ]; then sleep 12; else touch ran; exit 3; fi")
    run.await_job(1, "active")
    run.await_reference()
    os.kill(_worker(run), signal.SIGKILL)
    assert run.wait() == "success", run.log(3)
    assert run.instance()["try_number"] == 3
    assert run.states() == ["failed", "completed"]


def test_a_clear_of_a_run_that_is_over_ends_the_job_that_was_left(start, site, facility) -> None:
    run = start("retried", "if [ -e ran ]; then exit 0; fi; touch ran; sleep 600")
    run.await_trigger()
    _refuse(run, facility)
    site.clear(run.dag_id, run.run_id, "job")
    run.await_job(1, "completed")
    assert run.wait() == "success"
    assert run.states() == ["canceled", "completed"]


def test_a_run_that_was_made_again_has_jobs_of_its_own(start, site, facility) -> None:
    """As has one of the same name in another deployment."""
    run = start("retried", "until [ -e go ]; do sleep 0.1; done")
    run.await_trigger()
    _refuse(run, facility)
    path = f"/dags/{run.dag_id}/dagRuns"
    conf = site.call("GET", f"{path}/{run.run_id}")["conf"]
    site.call("DELETE", f"{path}/{run.run_id}")
    conf["script"] = "if [ -e ran ]; then exit 0; fi; touch ran; exit 3"
    site.call("POST", path, {"logical_date": None, "dag_run_id": run.run_id, "conf": conf})
    assert run.wait() == "success", run.log(2)
    assert run.states() == ["active", "failed", "completed"]


def test_a_triggerer_that_stops_leaves_jobs_alone(start, site) -> None:
    run = start("pair", "until [ -e go ]; do sleep 0.1; done")
    for index in (0, 1):
        run.await_trigger(index)
    site.stop_component("triggerer")
    site.start_component("triggerer")
    run.place("go").touch()
    assert run.wait() == "success"
    assert run.states() == ["completed", "completed"]
    said = (site.home / "triggerer.log").read_text()
    assert "Task was destroyed" not in said
    assert "Trigger runner failed" not in said
