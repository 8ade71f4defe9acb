"""What a facility's word on a job means to Parsl."""

from __future__ import annotations

import pytest
from parsl.jobs.states import TERMINAL_STATES, JobState

from iri_common import JobState as State
from iri_common import JobStatus as Status
from parsl_iri import FacilityJobStatus
from parsl_iri.states import LIVE, final_state

WALLTIME = 600.0


def test_live_states_are_those_that_parsl_counts_as_blocks():
    assert set(LIVE.values()) == {JobState.PENDING, JobState.RUNNING}
    assert LIVE[State.HELD] is JobState.PENDING
    assert {state for state in State if not state.terminal} - set(LIVE) == {State.UNKNOWN, State.MISSING}


@pytest.mark.parametrize(
    ("state", "exit_code", "ran_for", "message", "expected"),
    [
        (State.COMPLETED, 0, 5, None, JobState.COMPLETED),
        (State.COMPLETED, None, 5, None, JobState.COMPLETED),
        (State.COMPLETED, 3, 5, None, JobState.FAILED),
        (State.FAILED, 1, 5, None, JobState.FAILED),
        (State.FAILED, 1, None, "exit code 1", JobState.FAILED),
        (State.FAILED, -15, 600, None, JobState.TIMEOUT),
        (State.FAILED, -15, 571, None, JobState.TIMEOUT),
        (State.FAILED, -15, 569, None, JobState.FAILED),
        (State.FAILED, -15, None, "time limit of 600 s reached", JobState.TIMEOUT),
        (State.FAILED, None, 5, "CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT", JobState.TIMEOUT),
        (State.FAILED, None, 5, "Reason: TimeLimit", JobState.TIMEOUT),
        (State.FAILED, None, 5, "TIMEOUT", JobState.TIMEOUT),
        (State.FAILED, None, 5, "job exceeded walltime", JobState.TIMEOUT),
        (State.FAILED, None, 5, "TERM_RUNLIMIT: job killed", JobState.TIMEOUT),
        (State.FAILED, None, 5, "connection timeout while staging", JobState.FAILED),
        (State.CANCELED, None, 5, "canceled by user", JobState.CANCELLED),
        (State.CANCELED, None, 601, None, JobState.TIMEOUT),
    ],
)
def test_ends(state: State, exit_code: int | None, ran_for: float, message: str | None, expected: JobState):
    assert final_state(Status(state, exit_code, message), ran_for, WALLTIME) is expected
    assert expected in TERMINAL_STATES


def test_short_walltimes_have_little_slack():
    failed = Status(State.FAILED, 1)
    assert final_state(failed, 55, 60) is JobState.FAILED
    assert final_state(failed, 58, 60) is JobState.TIMEOUT


def test_output_is_fetched_when_it_is_asked_for():
    asked: list[str] = []

    def last_lines(stream: str) -> str:
        asked.append(stream)
        return "boom" if stream == "stderr" else ""

    status = FacilityJobStatus(JobState.FAILED, "it ended", 3, last_lines)
    assert (status.terminal, status.exit_code, status.status_name) == (True, 3, "FAILED")
    assert str(status) == "JobState.FAILED (it ended)"
    assert asked == []
    assert (status.stderr_summary, status.stderr) == ("boom", "boom")
    assert (status.stdout_summary, status.stdout) == (None, None)
    assert (status.stdout_path, status.stderr_path) == (None, None)
    assert FacilityJobStatus(JobState.PENDING).stderr_summary is None
