"""Every word of the API has its entry, and no word outside the tables ends anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.apis.iri.states import (
    AVAILABILITIES,
    JOB_STATES,
    TASK_STATES,
    TaskState,
    availability,
    file_type,
    job_state,
    task_state,
)
from iri_common.model.facility import Availability
from iri_common.model.state import JobState

JOB_WORDS = {"new", "queued", "held", "active", "completed", "failed", "canceled"}


def test_the_table_of_job_states_is_the_schemas():
    assert set(JOB_STATES) == JOB_WORDS
    assert all(job_state(word).value == word for word in JOB_WORDS)


@pytest.mark.parametrize(
    "word", ["COMPLETED", " completed", "completed ", "cancelled", "completing", "not completed", "", None]
)
def test_a_near_miss_is_unknown_and_not_terminal(word):
    assert job_state(word) is JobState.UNKNOWN
    assert not job_state(word).terminal


@given(st.text())
def test_only_exact_words_are_known(word):
    assert (job_state(word) is JobState.UNKNOWN) == (word not in JOB_STATES)
    assert (task_state(word) is TaskState.WORKING) == (
        TASK_STATES.get(word, TaskState.WORKING).value == "working"
    )
    assert (availability(word) is Availability.UNKNOWN) == (
        AVAILABILITIES.get(word) in (None, Availability.UNKNOWN)
    )


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", TaskState.WORKING),
        ("active", TaskState.WORKING),
        ("completed", TaskState.COMPLETED),
        ("failed", TaskState.FAILED),
        ("canceled", TaskState.CANCELED),
        ("cancelled", TaskState.WORKING),
        ("Failed", TaskState.WORKING),
    ],
)
def test_task_states(word, state):
    assert task_state(word) is state


@pytest.mark.parametrize(
    ("word", "kind"), [("file", "file"), ("fifo", "unknown"), (None, "unknown"), ("", "unknown")]
)
def test_file_types(word, kind):
    assert file_type(word) == kind
