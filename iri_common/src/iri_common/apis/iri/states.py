"""The facility's words for states, each an exact entry of a closed table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from iri_common.model.facility import Availability
from iri_common.model.state import JobState

# Schema JobState. "canceled" with one l; the two-l word belongs to incidents.
JOB_STATES: Mapping[str, JobState] = {
    "new": JobState.NEW,
    "queued": JobState.QUEUED,
    "held": JobState.HELD,
    "active": JobState.ACTIVE,
    "completed": JobState.COMPLETED,
    "failed": JobState.FAILED,
    "canceled": JobState.CANCELED,
}

# An exit code of a job that has not begun means nothing: the reference server sends 0 in state "new".
NOT_BEGUN = frozenset({JobState.NEW, JobState.QUEUED, JobState.HELD})


class TaskState(StrEnum):
    """What became of an operation on files; ``WORKING`` for every word that does not end it."""

    WORKING = "working"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


# Schema TaskStatus.
TASK_STATES: Mapping[str, TaskState] = {
    "pending": TaskState.WORKING,
    "active": TaskState.WORKING,
    "completed": TaskState.COMPLETED,
    "failed": TaskState.FAILED,
    "canceled": TaskState.CANCELED,
}

# Schema Status.
AVAILABILITIES: Mapping[str, Availability] = {
    "up": Availability.UP,
    "degraded": Availability.DEGRADED,
    "down": Availability.DOWN,
    "unknown": Availability.UNKNOWN,
}

FILE_TYPES = frozenset({"directory", "file", "symlink", "other", "unknown"})


def job_state(word: str | None) -> JobState:
    """The state that the word stands for; a word of no table ends no wait."""
    return JOB_STATES.get(word or "", JobState.UNKNOWN)


def task_state(word: str) -> TaskState:
    """Whether the operation goes on; a word of no table does not end it."""
    return TASK_STATES.get(word, TaskState.WORKING)


def availability(word: str | None) -> Availability:
    """The status of a resource; none given and a word of no table are both "unknown"."""
    return AVAILABILITIES.get(word or "", Availability.UNKNOWN)


def file_type(word: str | None) -> str:
    """The kind of a file in the API's five words."""
    return word if word in FILE_TYPES else "unknown"
