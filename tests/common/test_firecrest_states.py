"""The words of Slurm and PBS: exact tables, and what an end without a word for it is told by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.apis.firecrest.states import _PBS, _SLURM, availability, exit_code, file_type, job_state
from iri_common.model.facility import Availability
from iri_common.model.state import JobState

OVER = {
    "COMPLETED": JobState.COMPLETED,
    "CANCELLED": JobState.CANCELED,
    "REVOKED": JobState.CANCELED,
    **dict.fromkeys(
        [
            *("FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY"),
        ],
        JobState.FAILED,
    ),
}
ALIVE = {
    *("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "STAGE_OUT"),
    *("SIGNALING", "STOPPED", "SPECIAL_EXIT", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD"),
}


def state(word, reason=None, code=0, *, began=True):
    return job_state(word, reason, code, began=began)


@pytest.mark.parametrize("word", _SLURM)
def test_every_word_of_slurm_ends_a_wait_or_does_not(word):
    assert state(word).terminal is (word in OVER)
    assert state(word) is OVER.get(word, state(word))


def test_the_words_that_name_a_state_of_a_living_job_are_all_known():
    assert {word for word in ALIVE if state(word).terminal or state(word) is JobState.UNKNOWN} == set()


@given(st.text(max_size=20))
def test_a_word_of_no_table_ends_no_wait(word):
    if word.split(" ", 1)[0] not in _SLURM | _PBS:
        assert state(word) is JobState.UNKNOWN


@pytest.mark.parametrize(
    "word", ["completed", "COMPLETED+", "FAILEDX", "NOT COMPLETED", "", None, "R ", " R"]
)
def test_nothing_but_the_exact_first_word_counts(word):
    assert not state(word).terminal


def test_whoever_canceled_it_is_told_in_the_same_field():
    assert state("CANCELLED by 1001") is JobState.CANCELED


@pytest.mark.parametrize("reason", ["JobHeldUser", "JobHeldAdmin"])
def test_a_held_job_of_slurm_waits_with_a_reason(reason):
    assert state("PENDING", reason) is JobState.HELD
    assert state("PENDING", "Priority") is JobState.QUEUED
    assert state("RUNNING", reason) is JobState.ACTIVE


@pytest.mark.parametrize(
    ("code", "began", "expected"),
    [
        (0, True, JobState.COMPLETED),
        (3, True, JobState.FAILED),
        (-29, True, JobState.FAILED),
        (271, True, JobState.FAILED),
        (0, False, JobState.CANCELED),  # deleted in its queue: its exit code is FirecREST's own
    ],
)
def test_the_end_of_a_job_of_pbs_is_in_its_exit_code(code, began, expected):
    assert state("F", code=code, began=began) is expected
    assert state("X", code=code, began=began) is expected


@pytest.mark.parametrize(
    ("reached", "code", "signal", "told"),
    [
        (JobState.COMPLETED, 0, 0, 0),
        (JobState.FAILED, 3, 0, 3),
        (JobState.FAILED, 0, 9, 137),  # kill -9
        (JobState.FAILED, 0, 53, None),  # no signal: its directory was missing
        (JobState.FAILED, 0, 0, None),  # TIMEOUT
        (JobState.CANCELED, 0, 0, None),
        (JobState.CANCELED, 0, 15, None),
        (JobState.ACTIVE, 0, 0, None),
        (JobState.QUEUED, None, None, None),
    ],
)
def test_an_exit_code_of_zero_belongs_to_success_alone(reached, code, signal, told):
    assert exit_code(reached, code, signal) == told


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ([], Availability.UNKNOWN),
        ([("exception", False)], Availability.UNKNOWN),
        ([("scheduler", True), ("ssh", True), ("filesystem", True), ("s3", True)], Availability.UP),
        ([("scheduler", False), ("ssh", True)], Availability.DOWN),
        ([("scheduler", True), ("ssh", False)], Availability.DOWN),
        ([("scheduler", True), ("filesystem", False), ("filesystem", True)], Availability.DEGRADED),
        ([("scheduler", True), ("s3", False)], Availability.DEGRADED),
        ([("scheduler", True), ("exception", False)], Availability.UP),
        ([("scheduler", True), ("a new one", False)], Availability.UP),
    ],
)
def test_a_system_is_as_well_as_the_services_that_everything_needs(services, expected):
    assert availability(services) is expected


def test_the_letters_of_ls():
    found = {letter: file_type(letter) for letter in ("-", "d", "l", "p", "", None)}
    assert found == {
        "-": "file",
        "d": "directory",
        "l": "symlink",
        "p": "other",
        "": "unknown",
        None: "unknown",
    }
