"""What became of a job."""

from __future__ import annotations

import signal

from .jobs import Job

_ENDINGS = {
    "canceled": ("canceled", "canceled by user"),
    "shutdown": ("canceled", "canceled: the facility was shut down"),
}


def verdict(job: Job, code: int | None) -> tuple[str, str | None]:
    """State and message of a job whose processes are gone, with what code if anybody saw one."""
    if job.ending in _ENDINGS:
        return _ENDINGS[job.ending]
    if job.ending == "time limit":
        return "failed", f"time limit of {job.duration} s reached"
    if code is None or job.ending is not None:
        return "failed", job.ending or "node failure"
    if code < 0:
        return "failed", f"killed by {signal.Signals(-code).name}"
    return ("failed", f"exit code {code}") if code else ("completed", None)
