"""The facility's words for states, each an exact entry of a closed table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from iri_common.model.facility import Availability
from iri_common.model.state import JobState

# Slurm's long names, of squeue and sacct.
JOB_STATES: Mapping[str, JobState] = {
    "PENDING": JobState.QUEUED,
    "CONFIGURING": JobState.QUEUED,  # its nodes are booted
    "REQUEUED": JobState.QUEUED,
    "REQUEUE_FED": JobState.QUEUED,
    "REQUEUE_HOLD": JobState.HELD,
    "RESV_DEL_HOLD": JobState.HELD,  # its reservation was deleted
    "SPECIAL_EXIT": JobState.HELD,  # requeued, and held for somebody to look at it
    "RUNNING": JobState.ACTIVE,
    "COMPLETING": JobState.ACTIVE,
    "SUSPENDED": JobState.ACTIVE,
    "STOPPED": JobState.ACTIVE,
    "RESIZING": JobState.ACTIVE,
    "SIGNALING": JobState.ACTIVE,
    "STAGE_OUT": JobState.ACTIVE,
    "COMPLETED": JobState.COMPLETED,
    "FAILED": JobState.FAILED,
    "TIMEOUT": JobState.FAILED,
    "DEADLINE": JobState.FAILED,
    "OUT_OF_MEMORY": JobState.FAILED,
    "NODE_FAIL": JobState.FAILED,
    "BOOT_FAIL": JobState.FAILED,
    "PREEMPTED": JobState.FAILED,
    "CANCELLED": JobState.CANCELED,
    "REVOKED": JobState.CANCELED,  # a sibling runs at another cluster of the federation
}

# sacct adds who canceled a job, and a plus where its column was too narrow for more.
_STATE = re.compile(r"([A-Z_]+)\+?(?: by \d+)?")

# A pending job is held if its reason is one of these.
_HOLDS = frozenset({"JobHeldUser", "JobHeldAdmin", "launch_failed_requeued_held"})

_LAST_SIGNAL = 64  # of Linux
_EXIT = re.compile(r"(\d{1,5}):(\d{1,5})")

# What the columns of squeue and sacct have where there is nothing to tell.
NOTHING = frozenset({"", "None", "N/A", "n/a", "(null)", "Unknown", "NONE"})

AVAILABILITIES: Mapping[str, Availability] = {
    "active": Availability.UP,
    "degraded": Availability.DEGRADED,
    "unavailable": Availability.DOWN,
    "other": Availability.UNKNOWN,
}

# An outage's status, in the IRI words for how an incident stands.
RESOLUTIONS: Mapping[str, str] = {
    "Active": "unresolved",
    "Cancelled": "cancelled",
    "Completed": "completed",
    "Extended": "extended",
    "Planned": "pending",
}


class TaskState(StrEnum):
    """What became of a task. ``WORKING`` for every word that does not end it: there is none for running."""

    WORKING = "working"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


TASK_STATES: Mapping[str, TaskState] = {
    "new": TaskState.WORKING,
    "completed": TaskState.COMPLETED,
    "failed": TaskState.FAILED,
    "cancelled": TaskState.CANCELED,
}


def job_state(word: str, reason: str | None) -> JobState:
    """The state that the word stands for; a word of no table ends no wait."""
    found = _STATE.fullmatch(word)
    state = JOB_STATES.get(found[1], JobState.UNKNOWN) if found else JobState.UNKNOWN
    return JobState.HELD if state is JobState.QUEUED and reason in _HOLDS else state


def exit_code(text: str, state: JobState) -> int | None:
    """The code of an ended job, of ``code:signal``; a signal as shells tell it.

    A job that ran out of time has 0:0, one that ran out of memory 0:125: neither is of its process.
    """
    found = _EXIT.fullmatch(text)
    if not found or not state.terminal:
        return None
    code, signal = int(found[1]), int(found[2])
    if not code and not signal:
        return 0 if state is JobState.COMPLETED else None
    return code or (128 + signal if signal <= _LAST_SIGNAL else None)


def task_state(word: str) -> TaskState:
    """Whether the task goes on; a word of no table does not end it."""
    return TASK_STATES.get(word, TaskState.WORKING)


def availability(word: str | None) -> Availability:
    """The status of a system; none given and a word of no table are both "unknown"."""
    return AVAILABILITIES.get(word or "", Availability.UNKNOWN)
