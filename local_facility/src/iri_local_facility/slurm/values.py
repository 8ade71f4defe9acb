"""Numbers, states and ends of jobs as each version of the API writes them."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from iri_local_facility.batch import slurm_status
from iri_local_facility.jobs import Job

from .versions import Version


def number(version: Version, value: float | None) -> Any:
    """A number that may not be known."""
    if version.plain:
        return None if value is None else int(value)
    return {"set": value is not None, "infinite": False, "number": int(value or 0)}


def unlimited(version: Version) -> Any:
    """A number without a bound."""
    return -1 if version.plain else {"set": False, "infinite": True, "number": 0}


def moment(version: Version, when: float | None) -> Any:
    """A time; one that is not known is the epoch's start in the first version."""
    return int(when or 0) if version.plain else number(version, when)


def listed(version: Version, *words: str) -> Any:
    """A state with its flags; the first version has one word for both."""
    return words[-1] if version.plain else list(words)


# What slurmd leaves of a job that it could not start is the number of its error, for a wait status to all the
# world; sacct reads a signal in it.
_NOT_STARTED = 4021
_SIGNAL_OF_IT = 53

# What a job will have been whose processes are being ended: known before they are gone.
_ENDS = {
    "time limit": "TIMEOUT",
    "preempted": "PREEMPTED",
    "node failure": "NODE_FAIL",
    "out of memory": "OUT_OF_MEMORY",
}


@dataclass(frozen=True)
class End:
    """How a job stands in Slurm's words."""

    state: str
    reason: str
    code: int
    signal: int
    completing: bool = False

    def words(self, version: Version) -> Any:
        """Its state, with the flag that it is on its way out."""
        return listed(version, self.state, *(["COMPLETING"] if self.completing else []))


def end_of(version: Version, job: Job) -> End:
    """A job in slurmctld's words."""
    said = slurm_status(job)
    state = said.state.partition(" by ")[0]
    if state == "COMPLETING":
        state = "PENDING" if job.requeue else _ENDS.get(job.ending or "", "CANCELLED")
        return End(state, said.reason, 0, 0, completing=True)
    if state == "CANCELLED" and job.started is not None:
        return End(state, said.reason, 0, signal.SIGTERM)
    reason = said.reason
    if version.plain and reason.startswith("RaisedSignal"):
        reason = "JobLaunchFailure"  # as 22.05 says of whatever a signal ended
    return End(state, reason, said.exit_code, said.signal)


def exit_code(version: Version, code: int, number_of_signal: int) -> Any:
    """How a process ended: a wait status, or the same in words."""
    if version.plain:
        return _NOT_STARTED if number_of_signal == _SIGNAL_OF_IT else code << 8 | number_of_signal
    status = "SIGNALED" if number_of_signal else "ERROR" if code else "SUCCESS"
    return {
        "status": [status],
        "return_code": number(version, code),
        "signal": {
            "id": number(version, number_of_signal or None),
            "name": _name_of(number_of_signal),
        },
    }


def _name_of(number_of_signal: int) -> str:
    known = {each.value for each in signal.Signals}
    return signal.Signals(number_of_signal).name.removeprefix("SIG") if number_of_signal in known else ""
