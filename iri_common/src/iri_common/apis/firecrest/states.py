"""The schedulers' words for states, each an exact entry of a closed table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from iri_common.model.facility import Availability
from iri_common.model.state import JobState

# Slurm's long names, as sacct and squeue write them (pyfirecrest asks whether there is an F in the word, and
# takes CONFIGURING for an end).
_SLURM: Mapping[str, JobState] = {
    "PENDING": JobState.QUEUED,
    "CONFIGURING": JobState.QUEUED,
    "EXPEDITING": JobState.QUEUED,
    "REQUEUED": JobState.QUEUED,
    "REQUEUE_FED": JobState.QUEUED,
    "REQUEUE_HOLD": JobState.HELD,
    "RESV_DEL_HOLD": JobState.HELD,
    "SPECIAL_EXIT": JobState.HELD,
    "RUNNING": JobState.ACTIVE,
    "COMPLETING": JobState.ACTIVE,
    "RESIZING": JobState.ACTIVE,
    "SIGNALING": JobState.ACTIVE,
    "STAGE_OUT": JobState.ACTIVE,
    "STOPPED": JobState.ACTIVE,
    "SUSPENDED": JobState.ACTIVE,
    "COMPLETED": JobState.COMPLETED,
    "CANCELLED": JobState.CANCELED,
    "REVOKED": JobState.CANCELED,  # another cluster of the federation has it
    "BOOT_FAIL": JobState.FAILED,
    "DEADLINE": JobState.FAILED,
    "FAILED": JobState.FAILED,
    "NODE_FAIL": JobState.FAILED,
    "OUT_OF_MEMORY": JobState.FAILED,
    "PREEMPTED": JobState.FAILED,
    "TIMEOUT": JobState.FAILED,
}

# PBS' letters. F and X say that it is over, good or bad: the exit code tells which.
_PBS: Mapping[str, JobState] = {
    "Q": JobState.QUEUED,
    "W": JobState.QUEUED,
    "T": JobState.QUEUED,
    "H": JobState.HELD,
    "R": JobState.ACTIVE,
    "B": JobState.ACTIVE,
    "E": JobState.ACTIVE,
    "S": JobState.ACTIVE,
    "U": JobState.ACTIVE,
    "F": JobState.COMPLETED,
    "X": JobState.COMPLETED,
}
_PBS_OVER = frozenset({"F", "X"})

# Slurm has no state for these: such a job is PENDING with a reason.
_HELD = frozenset({"JobHeldUser", "JobHeldAdmin"})

_SIGNALS = range(1, 32)  # Slurm's 53 is no signal: it could not open the job's output, or its directory


def job_state(word: str | None, reason: str | None, exit_code: int | None, *, began: bool) -> JobState:
    """The state that the scheduler's words stand for; a word of no table ends no wait.

    Args:
        word: ``CANCELLED by 1001`` and the like: the first word counts, and exactly.
        reason: Slurm's, for jobs that wait.
        exit_code: What decides at PBS, whose word for the end is the same for all ends.
        began: Whether the job has a time at which it began.
    """
    first = (word or "").split(" ", 1)[0]
    if first in _PBS_OVER:
        if not began:  # deleted in its queue; FirecREST makes an exit code of 0 of having none
            return JobState.CANCELED
        return JobState.FAILED if exit_code else JobState.COMPLETED
    state = _SLURM.get(first) or _PBS.get(first) or JobState.UNKNOWN
    return JobState.HELD if state is JobState.QUEUED and reason in _HELD else state


def exit_code(state: JobState, code: int | None, signal: int | None) -> int | None:
    """The exit code as a shell would tell it, where it says anything.

    A job that was killed, timed out or was canceled has 0 here: only its state tells that it failed.
    """
    if not state.terminal or (state is JobState.CANCELED and not code):
        return None
    if code or state is JobState.COMPLETED:
        return code
    return 128 + signal if signal is not None and signal in _SIGNALS else None


# `ls -l` in its first column.
_FILE_TYPES: Mapping[str, str] = {"-": "file", "d": "directory", "l": "symlink"}


def file_type(letter: str | None) -> str:
    """The kind of a file by the letter of ``ls``."""
    return _FILE_TYPES.get(letter, "other") if letter else "unknown"


# Without these nothing works: FirecREST itself answers 503 while its last probe of them failed.
_VITAL = frozenset({"scheduler", "ssh"})
# An exception in a probe says nothing of any service, and blocks none.
_TELLING = frozenset({"scheduler", "ssh", "filesystem", "s3"})


def availability(services: Iterable[tuple[str, bool]]) -> Availability:
    """The status of a system by its services and whether their last probe found them well."""
    told = [(kind, healthy) for kind, healthy in services if kind in _TELLING]
    if not told:
        return Availability.UNKNOWN
    sick = {kind for kind, healthy in told if not healthy}
    if sick & _VITAL:
        return Availability.DOWN
    return Availability.DEGRADED if sick else Availability.UP
