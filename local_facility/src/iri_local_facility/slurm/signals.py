"""Signals to jobs: SIGKILL cancels, whatever else is the job's to make something of."""

from __future__ import annotations

import signal
from typing import Any

from iri_local_facility.facility import Facility
from iri_local_facility.jobs import WAITING, Job

from .access import Call
from .replies import Refusal
from .values import number
from .versions import Version


def signal_of(text: str | None) -> signal.Signals:
    """The signal that a query names; without one, the job is killed.

    Raises:
        Refusal: There is no such signal.
    """
    if text is None:
        return signal.SIGKILL
    try:
        if text.isdecimal():
            return signal.Signals(int(text[:4]))
        return signal.Signals[f"SIG{text.upper().removeprefix('SIG')}"]
    except (KeyError, ValueError):
        raise Refusal(9000, "invalid signal: 0", "HTTP request: signal") from None


def send(core: Facility, call: Call, job: Job, sent: signal.Signals, what: str) -> None:
    """Signal a job; what waits can only be killed.

    Raises:
        Refusal: It waits, and is sent something else.
    """
    if sent is signal.SIGKILL:
        core.scheduler.cancel(call.user, job.id)
    elif core.scheduler.jobs.get(job.id).state in WAITING:
        raise Refusal(2020, what, "slurm_kill_job")
    else:
        core.scheduler.send_signal(call.user, job.id, sent)


def kill_status(version: Version, jobs: list[Job]) -> dict[str, Any]:
    """What became of the jobs that were signalled, in the versions that tell."""
    if not version.tells_kills:
        return {}
    status = [
        {
            "error": {"string": "No error", "code": 0, "message": ""},
            "step_id": str(job.id),
            "job_id": number(version, job.id),
            "federation": {"sibling": ""},
        }
        for job in jobs
    ]
    return {"status": status}
