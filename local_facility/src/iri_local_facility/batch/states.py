"""A job of the scheduler in the words of Slurm and of PBS."""

from __future__ import annotations

import os
from dataclasses import dataclass

from iri_local_facility.arrays import LIMITED
from iri_local_facility.dependencies import DEPENDENT, NEVER
from iri_local_facility.jobs import Job
from iri_local_facility.reservations import AHEAD, DELETED

# How job records say why they wait, and how Slurm does.
_WAITS = {
    LIMITED: "JobArrayTaskLimit",
    DEPENDENT: "Dependency",
    NEVER: "DependencyNeverSatisfied",
    AHEAD: "Reservation",
    DELETED: "ReservationDeleted",
    "held by user": "JobHeldUser",
    "held by the facility": "JobHeldAdmin",
    "waiting for the end of maintenance": "ReqNodeNotAvail,_Reserved_for_maintenance",
}
_TERMINATED = 256 + 15
_COULD_NOT_START = -1
# By what ended a job: state, reason, exit code and signal in Slurm; exit status in PBS.
_ENDINGS = {
    "time limit": ("TIMEOUT", "TimeLimit", 0, 0, -29),
    "out of memory": ("OUT_OF_MEMORY", "OutOfMemory", 0, 125, -27),
    "preempted": ("PREEMPTED", "None", 0, 0, _TERMINATED),
    "node failure": ("NODE_FAIL", "NodeDown", 1, 0, -1),
}
# A shell reports the death of what it ran by a signal as 128 and the signal's number. Further up are the
# codes that programs like to choose for themselves.
_LAST_SIGNAL = 31


@dataclass(frozen=True)
class SlurmStatus:
    """A job as squeue and sacct show it: ``exit_code:signal`` beside the state."""

    state: str
    reason: str
    exit_code: int
    signal: int


@dataclass(frozen=True)
class PbsStatus:
    """A job as qstat shows it; the exit status is there when it is over and has run."""

    state: str
    exit_status: int | None


def slurm_status(job: Job) -> SlurmStatus:
    """The job in Slurm's words."""
    match job.state:
        case "new" | "queued" | "held":
            return SlurmStatus("PENDING", _reason(job), 0, 0)
        case "active":
            return SlurmStatus("COMPLETING" if job.ending else "RUNNING", "None", 0, 0)
        case "canceled":
            whose = 0 if job.ending == "shutdown" else os.getuid()
            return SlurmStatus(f"CANCELLED by {whose}", "None", 0, 0)
        case "completed":
            return SlurmStatus("COMPLETED", "None", 0, 0)
        case "failed":
            return _slurm_failure(job)
        case ordered:
            return SlurmStatus(ordered, "None", 0, 0)


def _slurm_failure(job: Job) -> SlurmStatus:
    if (ending := _ending(job)) is not None:
        return SlurmStatus(*_ENDINGS[ending][:4])
    if job.exit_code is None:  # it could not start
        return SlurmStatus("FAILED", "RaisedSignal:53(Real-time_signal_19)", 0, 53)
    code, signal = _exit(job.exit_code)
    return SlurmStatus("FAILED", f"RaisedSignal:{signal}" if signal else "NonZeroExitCode", code, signal)


def pbs_status(job: Job) -> PbsStatus:
    """The job in PBS' letters: ``F`` is over, well or badly."""
    match job.state:
        case "new" | "queued":
            return PbsStatus("Q", None)
        case "held":
            return PbsStatus("H", None)
        case "active":
            return PbsStatus("E" if job.ending else "R", None)
        case "canceled":
            return PbsStatus("F", None if job.started is None else _TERMINATED)
        case "completed" | "failed":
            return PbsStatus("F", _pbs_exit(job))
        case ordered:
            return PbsStatus(ordered, None)


def _pbs_exit(job: Job) -> int:
    if (ending := _ending(job)) is not None:
        return _ENDINGS[ending][4]
    if job.exit_code is None:
        return _COULD_NOT_START
    code, signal = _exit(job.exit_code)
    return 256 + signal if signal else code


def _reason(job: Job) -> str:
    if job.restarts and job.state != "held":
        return "BeginTime"  # what was requeued waits a little
    return _WAITS.get(job.message or "", "Resources")


def _ending(job: Job) -> str | None:
    """What ended a failed job, unless its own program did."""
    found = job.ending or job.message or ""
    return found if job.state == "failed" and found in _ENDINGS else None


def _exit(reported: int) -> tuple[int, int]:
    """Exit code and signal from what a shell reported."""
    return (0, reported - 128) if 128 < reported <= 128 + _LAST_SIGNAL else (reported, 0)
