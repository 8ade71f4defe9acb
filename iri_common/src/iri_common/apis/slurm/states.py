"""Slurm's words for states, each an exact entry of a closed table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iri_common.model.facility import Availability
from iri_common.model.state import JobState

# What a job is.
BASES: Mapping[str, JobState] = {
    "PENDING": JobState.QUEUED,
    "RUNNING": JobState.ACTIVE,
    "SUSPENDED": JobState.ACTIVE,
    "COMPLETED": JobState.COMPLETED,
    "CANCELLED": JobState.CANCELED,
    "FAILED": JobState.FAILED,
    "TIMEOUT": JobState.FAILED,
    "NODE_FAIL": JobState.FAILED,
    "PREEMPTED": JobState.FAILED,
    "BOOT_FAIL": JobState.FAILED,
    "DEADLINE": JobState.FAILED,
    "OUT_OF_MEMORY": JobState.FAILED,
}

# What is happening to it counts more, and the first match wins; v0.0.38 shows the flag in place of the state.
FLAGS: Mapping[str, JobState] = {
    "REQUEUE_HOLD": JobState.HELD,
    "SPECIAL_EXIT": JobState.HELD,
    "RESV_DEL_HOLD": JobState.HELD,
    "REQUEUED": JobState.QUEUED,
    "REQUEUE_FED": JobState.QUEUED,
    "COMPLETING": JobState.ACTIVE,  # its processes may still be there, whatever it will have been
    "STAGE_OUT": JobState.ACTIVE,
    "REVOKED": JobState.UNKNOWN,  # another cluster of the federation has it
}

# The same, but of no account for a job that has ended.
PASSING_FLAGS: Mapping[str, JobState] = {
    "CONFIGURING": JobState.QUEUED,  # its nodes are starting
    "POWER_UP_NODE": JobState.QUEUED,
    "LAUNCH_FAILED": JobState.QUEUED,
    "RECONFIG_FAIL": JobState.QUEUED,
    "SIGNALING": JobState.ACTIVE,
    "RESIZING": JobState.ACTIVE,
    "STOPPED": JobState.ACTIVE,
}

_WORDS = frozenset({*BASES, *FLAGS, *PASSING_FLAGS})
_HOLDS = frozenset({"JobHeldUser", "JobHeldAdmin"})

# The states whose exit code is the program's own: a job that was killed for its time shows Slurm's signal.
OF_THE_PROGRAM = frozenset({"COMPLETED", "FAILED"})

PARTITIONS: Mapping[str, Availability] = {
    "UP": Availability.UP,
    "DRAIN": Availability.DOWN,  # takes no job more
    "DOWN": Availability.DOWN,
    "INACTIVE": Availability.DOWN,
}


def job_state(words: Sequence[str], reason: str) -> JobState:
    """The state that the words stand for together; with a word of no table none of them ends a wait."""
    state = next((BASES[word] for word in words if word in BASES), JobState.UNKNOWN)
    strange = any(word not in _WORDS for word in words)
    flags = FLAGS if state.terminal else {**FLAGS, **PASSING_FLAGS}
    for flag, told in flags.items():
        if flag in words:
            return told
    if state is JobState.QUEUED and reason in _HOLDS:
        return JobState.HELD
    return JobState.UNKNOWN if state.terminal and strange else state


def availability(words: Sequence[str]) -> Availability:
    """The status of a partition; the worst of several words."""
    found = [PARTITIONS.get(word, Availability.UNKNOWN) for word in words]
    if Availability.DOWN in found:
        return Availability.DOWN
    return found[0] if found else Availability.UNKNOWN
