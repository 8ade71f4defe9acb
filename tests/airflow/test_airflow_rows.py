"""What Airflow, or a person, does to a task, and what becomes of its job. All runs begin at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow_versions import ON_KILL, STORE, needs_on_kill, needs_store

pytestmark = pytest.mark.timeout(240)

STAY = "until [ -e go ]; do sleep 0.1; done"


@pytest.fixture(scope="module")
def rows(
    start_early: Callable[..., Any], facility: Any, slow_facility: Any, wait_until: Callable[..., Any]
) -> Iterator[dict[str, Any]]:
    """The runs by what they are for: each waits for its test, or for nothing."""
    hold = facility.order("hold", user="bob")
    question = slow_facility.order("hang", "getResources", seconds=60, times=None)
    killed = start_early("retried", "echo >> ran", at=slow_facility, connection="iri_slow")
    bob = {"connection": "iri_bob", "dir": str(facility.scratch.parent / "bob")}
    # Where Airflow tells no trigger of such an end, its job would stay.
    told = {"overdue": "overdue", "one of two": "pair", "fired": "lingering"} if ON_KILL else {}
    begun = {row: start_early(dag_id, STAY) for row, dag_id in told.items()} | {
        "killed early": killed,
        "held": start_early("impatient", "true", **bob),
        "too long": start_early("too_long", STAY),
        "brief": start_early("brief", ""),
        "kept": start_early("once", STAY),
        "ended in worker": start_early("tidied", STAY),
        "succeeded": start_early("once", "echo >> ran"),
        "away": start_early("once", STAY, at=slow_facility, connection="iri_slow"),
        "failed": start_early("once", "test -e ran || { touch ran; exit 3; }"),
    }
    if STORE:  # its worker knows what to ask for, and waits for an answer before it does
        wait_until(killed.remembered, 60, "the intent")
        os.kill(killed.instance()["pid"], signal.SIGKILL)
        assert killed.jobs() == []
    slow_facility.clear_faults(question)
    yield begun
    facility.clear_faults(hold)


@needs_store
def test_a_worker_killed_before_it_sends_anything_is_followed_by_one_that_does(rows) -> None:
    run = rows["killed early"]
    assert run.wait() == "success"
    assert run.instance()["try_number"] == 2
    assert "looking for it" in run.log(2)
    assert run.states() == ["completed"]
    assert len(run.place("ran").read_text().splitlines()) == 1


def test_a_job_that_waits_for_too_long_is_cancelled(rows) -> None:
    run = rows["held"]
    assert run.wait() == "failed"
    (job,) = run.jobs()
    assert (job["state"], job["started"]) == ("canceled", None)
    assert "did not begin within its queue_limit" in run.log()


def test_a_job_that_runs_for_too_long_is_cancelled(rows) -> None:
    run = rows["too long"]
    assert run.wait() == "failed"
    assert run.states() == ["canceled"]
    assert "has run for its run_limit of 6 s" in run.log()


@needs_on_kill
def test_a_run_that_takes_too_long_ends_its_job(rows) -> None:
    """Airflow skips the tasks of a run that is over its dagrun_timeout."""
    run = rows["overdue"]
    assert run.wait() == "failed"
    run.await_job(0, "canceled")
    run.await_log("because its task is skipped")
    assert run.instance()["state"] == "skipped"
    assert len(run.jobs()) == 1


def test_jobs_of_a_second_are_taken_for_what_they_are(rows) -> None:
    """A task that is resumed too soon after it was deferred is failed by Airflow (its thread 66374)."""
    run = rows["brief"]
    assert run.wait() == "success"
    tries = [each["try_number"] for each in elements(run)]
    assert tries == [1, 1, 1, 1, 1, 1, 2]
    assert sorted(run.place("ran").read_text().split()) == [*"0123456", "6"]
    assert sorted(run.states()) == ["completed"] * 7 + ["failed"]


@needs_on_kill
def test_a_trigger_that_stays_after_its_event_ends_nothing(rows) -> None:
    """Airflow ends it, as the task is over by then; the job was left for a person to go on with."""
    run = rows["fired"]
    assert run.wait() == "failed"
    run.await_log("Airflow ends the trigger that has fired")
    time.sleep(5)  # a cancel takes less
    assert run.states() == ["active"]
    run.place("go").touch()
    run.await_job(0, "completed")
    assert run.instance()["state"] == "failed"
    assert "ended the job" not in run.log()


@needs_on_kill
def test_an_element_that_a_person_ends_takes_no_other_along(rows, wait_until) -> None:
    run = rows["one of two"]
    for index in (0, 1):
        run.await_trigger(index)
    run.site.mark(run.dag_id, run.run_id, "job", "failed", map_index=1)
    wait_until(lambda: element_states(run, 1) == ["canceled"], 60, "the end of its job")
    assert element_states(run, 0) == ["active"]
    run.place("go").touch()
    assert run.wait() == "failed"
    assert [each["state"] for each in elements(run)] == ["success", "failed"]
    assert (element_states(run, 0), element_states(run, 1)) == (["completed"], ["canceled"])


def test_a_run_that_goes_on_is_not_deleted(rows) -> None:
    run = rows["kept"]
    run.await_trigger()
    with pytest.raises(RuntimeError, match="HTTP 409"):
        run.site.call("DELETE", f"/dags/{run.dag_id}/dagRuns/{run.run_id}")
    run.place("go").touch()
    assert run.wait() == "success"
    assert run.states() == ["completed"]


def test_a_facility_that_tells_nothing_fails_no_job(rows, slow_facility, wait_until) -> None:
    run = rows["away"]
    run.await_trigger()
    outage = slow_facility.order("status", ["getJobs", "getJob"], status=503, times=None)
    run.place("go").touch()
    run.await_job(0, "completed")
    wait_until(lambda: any(each["struck"] > 1 for each in slow_facility.faults()), 60, "two looks in vain")
    assert run.instance()["state"] == "deferred"
    slow_facility.clear_faults(outage)
    assert run.wait() == "success"
    assert run.states() == ["completed"]


def test_marking_a_running_task_as_successful_ends_its_job_and_what_the_author_added(rows) -> None:
    run = rows["ended in worker"]
    run.await_reference()
    run.site.mark(run.dag_id, run.run_id, "job", "success")
    run.await_job(0, "canceled")
    assert run.wait() == "success"
    assert run.instance()["state"] == "success"
    assert len(run.jobs()) == 1
    assert run.place("tidied").exists()


def test_clearing_what_has_succeeded_asks_anew(rows) -> None:
    run = rows["succeeded"]
    assert run.wait() == "success"
    run.site.clear(run.dag_id, run.run_id, "job")
    run.await_job(1, "completed")
    assert run.wait() == "success"
    assert run.states() == ["completed", "completed"]
    assert len(run.place("ran").read_text().splitlines()) == 2


def test_clearing_what_has_failed_asks_anew(rows) -> None:
    run = rows["failed"]
    assert run.wait() == "failed"
    assert run.states() == ["failed"]
    run.site.clear(run.dag_id, run.run_id, "job")
    run.await_job(1, "completed")
    assert run.wait() == "success"
    assert run.states() == ["failed", "completed"]


def elements(run: Any) -> list[dict[str, Any]]:
    """The instances of a mapped task."""
    return sorted(run.site.tasks(run.dag_id, run.run_id), key=lambda each: each["map_index"])


def element_states(run: Any, index: int) -> list[str]:
    return [job["state"] for job in run.jobs() if job["name"].startswith(f"{run.name}.{index}.")]
