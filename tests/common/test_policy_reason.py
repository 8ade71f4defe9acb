"""Why a job ended: the words and numbers of Slurm, PBS, LSF and the local facility, and what to do then."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common import JobFailed, JobKey, JobState
from iri_common.apis.slurm import states as slurm
from iri_common.apis.superfacility import states as superfacility
from iri_common.jobside.codes import GuardCode
from iri_common.jobside.reasons import GUARD_REASONS
from iri_common.model.job import JobStatus
from iri_common.model.reason import JobReason
from iri_common.model.ref import JobRef
from iri_common.policy.reason import explained, reason_of

GUARD = GUARD_REASONS
REF = JobRef("host", "iri", "r", JobKey.of("a"), "42")


def failed(code: int | None = None, message: str | None = None, **meta: object) -> JobStatus:
    return JobStatus(JobState.FAILED, code, message, meta=meta)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        # Slurm
        (failed(0, state="TIMEOUT"), JobReason.TIME_LIMIT),
        (failed(0, "TIMEOUT"), JobReason.TIME_LIMIT),
        (failed(None, state=["FAILED"], reason="TimeLimit"), JobReason.TIME_LIMIT),
        (failed(1, "CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT"), JobReason.TIME_LIMIT),
        (failed(0, state=["OUT_OF_MEMORY"]), JobReason.MEMORY),
        (failed(137, "Out Of Memory"), JobReason.MEMORY),
        (failed(137, "Detected 1 oom-kill event(s)"), JobReason.MEMORY),
        (failed(1, state="NODE_FAIL"), JobReason.NODE),
        (failed(0, "BOOT_FAIL"), JobReason.NODE),
        (failed(0, state="PREEMPTED"), JobReason.PREEMPTED),
        (JobStatus(JobState.CANCELED, 0, meta={"state": "PREEMPTED"}), JobReason.PREEMPTED),
        (failed(0, "DEADLINE"), JobReason.DEADLINE),
        (failed(0, state=["FAILED"], reason="DeadLine"), JobReason.DEADLINE),
        (failed(1, state="FAILED", reason="SystemFailure"), JobReason.NODE),
        (JobStatus(JobState.CANCELED, message="DependencyNeverSatisfied"), JobReason.DEPENDENCY),
        (JobStatus(JobState.QUEUED, message="DependencyNeverSatisfied"), JobReason.DEPENDENCY),
        (JobStatus(JobState.QUEUED, meta={"reason": "Dependency"}), JobReason.DEPENDENCY),
        (JobStatus(JobState.QUEUED, meta={"reason": "Priority"}), None),
        (JobStatus(JobState.HELD, message="JobHeldAdmin"), JobReason.HELD),
        (JobStatus(JobState.HELD), JobReason.HELD),
        (failed(0, state="CANCELLED by 1001"), JobReason.CANCELED),
        (failed(3, state="FAILED", reason="NonZeroExitCode"), JobReason.EXIT_CODE),
        (failed(3, state="FAILED", reason="Dependency"), JobReason.EXIT_CODE),  # why it waited once
        # PBS and LSF
        (failed(-29), JobReason.TIME_LIMIT),
        (failed(-27), JobReason.MEMORY),
        (failed(271, "PBS: job killed: walltime 10 exceeded limit 1"), JobReason.TIME_LIMIT),
        (failed(271, "PBS: job killed: vmem 2048kb exceeded limit 1024kb"), JobReason.MEMORY),
        (failed(1, "TERM_RUNLIMIT: job killed after reaching LSF run time limit"), JobReason.TIME_LIMIT),
        (failed(1, "TERM_OWNER: job killed by owner"), JobReason.CANCELED),
        (failed(1, "TERM_FORCE_ADMIN: job killed by root without time for cleanup"), JobReason.CANCELED),
        # the same words in another hand, where nothing else is said
        (failed(None, "preempted"), JobReason.PREEMPTED),
        (failed(143, "Preempted"), JobReason.PREEMPTED),
        (failed(137, "out of memory"), JobReason.MEMORY),
        (failed(1, state="node-fail"), JobReason.NODE),
        (failed(143, state="timeout"), JobReason.TIME_LIMIT),
        (failed(143, "Time limit"), JobReason.TIME_LIMIT),
        # the local facility
        (failed(143, "time limit of 5 s reached"), JobReason.TIME_LIMIT),
        (failed(None, "node failure"), JobReason.NODE),
        (failed(137, "killed by SIGKILL"), JobReason.EXIT_CODE),
        (failed(7, "exit code 7"), JobReason.EXIT_CODE),
        (JobStatus(JobState.CANCELED, 143, "canceled by user"), JobReason.CANCELED),
        # the guard, and nothing
        (failed(211, "exit code 211"), JobReason.DOUBLE),
        (failed(213), JobReason.NO_SPACE),
        (JobStatus(JobState.COMPLETED, 211), JobReason.DOUBLE),
        (JobStatus(JobState.COMPLETED, 3), JobReason.EXIT_CODE),
        (failed(), JobReason.UNKNOWN),
        (failed(0), JobReason.UNKNOWN),
        (JobStatus(JobState.COMPLETED, 0, "TIMEOUT"), None),
        (JobStatus(JobState.ACTIVE, message="TIMEOUT"), None),
        # words that are the user's, or part of another word
        (failed(1, name="TIMEOUT", command="PREEMPTED"), JobReason.EXIT_CODE),
        (failed(1, "MY_TIMEOUT_TEST failed"), JobReason.EXIT_CODE),
        (failed(1, "connection timeout"), JobReason.EXIT_CODE),
        (failed(1, "it was not preempted"), JobReason.EXIT_CODE),
    ],
)
def test_the_reason_is_in_the_words_and_numbers(status: JobStatus, reason: JobReason | None) -> None:
    assert reason_of(status, GUARD) is reason
    assert explained(status, GUARD).reason is reason


ENDS = {
    word: state
    for table in (superfacility.JOB_STATES, slurm.BASES)
    for word, state in table.items()
    if state in {JobState.FAILED, JobState.CANCELED}
}


@pytest.mark.parametrize("word", sorted(ENDS))
def test_every_word_for_an_end_is_a_reason(word: str) -> None:
    for hand in (word, word.lower(), word.lower().replace("_", " ")):
        reason = reason_of(JobStatus(ENDS[word], raw_state=hand))
        assert (reason is JobReason.UNKNOWN) is (word == "FAILED"), hand


def test_a_reason_that_is_told_stays() -> None:
    status = JobStatus(JobState.FAILED, 1, reason=JobReason.NODE)
    assert explained(status) is status


@pytest.mark.parametrize("code", GuardCode)
def test_only_of_a_job_with_a_guard_its_codes_are_the_guards(code: GuardCode) -> None:
    plain = explained(failed(code))
    assert plain.reason is JobReason.EXIT_CODE
    assert explained(plain, GUARD).reason is GUARD[code]
    assert explained(failed(code, "TIMEOUT"), GUARD).reason is GUARD[code]


@given(
    st.sampled_from(JobState),
    st.none() | st.integers(-300, 300),
    st.none() | st.text(),
    st.dictionaries(
        st.text() | st.just("state"), st.none() | st.text() | st.integers() | st.lists(st.text())
    ),
)
def test_every_end_without_success_has_a_reason_and_no_success_has_one(state, code, message, meta) -> None:
    status = JobStatus(state, code, message, meta=meta)
    reason = reason_of(status)
    if state.terminal:
        assert (reason is None) == status.succeeded
    assert explained(status).succeeded == status.succeeded


@pytest.mark.parametrize("reason", JobReason)
def test_advice_and_verdict_say_the_same(reason: JobReason) -> None:
    lead = {True: "A retry is sensible", False: "A retry is not sensible", None: ""}[reason.retry_sensible]
    assert reason.advice.startswith(lead)
    assert bool(reason.advice) == (reason.retry_sensible is not None)


@pytest.mark.parametrize("reason", [None, *JobReason])
def test_a_failure_says_whether_a_retry_is_sensible(reason: JobReason | None) -> None:
    error = JobFailed("it broke", ref=REF, job_status=JobStatus(JobState.FAILED, 1, reason=reason))
    assert error.reason is reason
    assert error.transient is (reason in {JobReason.NODE, JobReason.PREEMPTED})
    assert ("retry" in str(error)) == (reason is not None and reason.retry_sensible is not None)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.transient, twin.reason, str(twin)) == (error.transient, reason, str(error))
