"""What Airflow keeps of how a job went."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, TaskDeferred

from airflow_provider_iri import IriJobOperator
from airflow_provider_iri.hooks import IriHook
from airflow_provider_iri.outcome import began_at, outcome, status_of, told_of
from iri_common import JobKey, JobReason, JobRef, JobSpec, JobState, JobStatus

REF = JobRef("example.org", "iri", "cluster", JobKey.random(), job_id="7")


def operator(script: str, **words: Any) -> IriJobOperator:
    job = {"executable": "/bin/sh", "arguments": ["-c", script], "name": f"t{uuid.uuid4().hex[:8]}"}
    return IriJobOperator(task_id="task", job=job | {"resources": {"node_count": 2}}, **words)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_task_returns_how_its_job_went(demo, task, deferrable: bool) -> None:
    told = task.execute(operator("sleep 1", deferrable=deferrable))
    (ran,) = [each for each in demo.jobs() if f"?job={each['id']}&" in told["ref"]]
    began, ended = (datetime.fromisoformat(told[each]).timestamp() for each in ("began_at", "ended_at"))
    if task.store is not None:  # it is remembered, for whoever hears of the end
        assert int(ran["submitted"]) <= datetime.fromisoformat(told["submitted_at"]).timestamp()
    assert int(ran["started"]) == began
    assert int(ran["ended"]) == ended
    assert told["node_hours"] == pytest.approx(2 * (ran["ended"] - ran["started"]) / 3600, abs=1e-4)
    assert (told["state"], told["exit_code"], told["reason"]) == ("completed", 0, None)
    assert told["account"] == ran["account"]  # as the facility says: nobody has named one
    assert task.ti.xcoms["iri_end"] == {name: told[name] for name in task.ti.xcoms["iri_end"]}


def test_a_failure_leaves_it_behind(demo, task) -> None:
    with pytest.raises(AirflowException):
        task.execute(operator("exit 3"))
    told = task.ti.xcoms["iri_end"]
    assert (told["state"], told["exit_code"]) == ("failed", 3)
    assert told["node_hours"] >= 0


@pytest.mark.parametrize(
    ("status", "seen", "spec", "hours"),
    [
        (JobStatus(JobState.COMPLETED, time=3700.0), 100.0, {}, 1.0),
        (JobStatus(JobState.COMPLETED, time=3700.0, meta={"start_time": 1900}), 100.0, {}, 0.5),
        (
            JobStatus(JobState.COMPLETED, time=3700.0, meta={"start_time": "N/A"}),
            100.0,
            {"node_count": 3},
            3.0,
        ),
        (JobStatus(JobState.COMPLETED, time=90.0), 100.0, {}, 0.0),  # two clocks
        (JobStatus(JobState.COMPLETED), 100.0, {}, None),
        (JobStatus(JobState.CANCELED, time=3700.0), None, {}, None),
    ],
)
def test_hours_are_counted_where_its_beginning_and_end_are_known(status, seen, spec, hours) -> None:
    asked = JobSpec.of({"executable": "x", "resources": spec})
    assert outcome(REF, status, asked, None, began_at(status, seen))["node_hours"] == hours


def test_the_account_is_the_facility_s_word_before_ours() -> None:
    asked = JobSpec.of({"executable": "x", "attributes": {"account": "asked"}})
    charged = JobStatus(JobState.COMPLETED, meta={"account": "charged"})
    for status, account in ((charged, "charged"), (JobStatus(JobState.COMPLETED), "asked")):
        event = json.loads(json.dumps(told_of(status, None)))  # as a trigger tells it
        for each in (status, status_of({**event, "ref": str(REF)})):
            assert outcome(REF, each, asked, None, None)["account"] == account
    older = {"state": "completed"}  # of a trigger that began before this was told
    assert outcome(REF, status_of(older), JobSpec(executable="x"), None, None)["account"] is None


def test_an_array_s_nodes_are_not_counted() -> None:
    array = JobRef("example.org", "slurm", "cluster", REF.key, job_id="7", array="0-3")
    status = JobStatus(JobState.FAILED, 1, time=3700.0, reason=JobReason.MEMORY)
    told = outcome(array, status, JobSpec(executable="x"), 50.0, 100.0)
    assert told["node_hours"] is None
    assert told["reason"] == "memory"
    assert (told["submitted_at"], told["began_at"]) == (
        "1970-01-01T00:00:50+00:00",
        "1970-01-01T00:01:40+00:00",
    )


def test_a_newer_triggerer_may_tell_of_what_is_not_known_here(demo, task) -> None:
    assert status_of({"state": "failed", "reason": "melted"}).reason is None
    asked = operator("true")
    with pytest.raises(TaskDeferred) as caught:
        task.begin(asked)
    ref = caught.value.trigger.ref
    IriHook().facility.jobs.wait(JobRef.parse(ref))
    event = {"ref": ref, "state": "evaporated", "reason": "melted"}
    assert asked.execute_complete(task.context, event=event)["state"] == "completed"


def test_a_job_is_seen_to_the_end_through_the_connection_it_was_asked_through(demo, task) -> None:
    """The author has named another one, or a variable has changed, while the task was deferred."""
    asked, edited = operator("true"), operator("true", iri_conn_id="iri_nowhere")
    with pytest.raises(TaskDeferred) as caught:
        task.begin(asked)
    assert task.resume(edited, caught.value)["state"] == "completed"
