"""How long a job may wait before it begins, as far as anything tells; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from iri_common.model.job import JobEntry
from iri_common.model.state import JobState

_WAITING = frozenset({JobState.NEW, JobState.QUEUED})  # a job that is held waits for a person


@dataclass(frozen=True, slots=True)
class QueueSign:
    """What tells how long a queue is; no promise.

    Attributes:
        seconds: That a job may wait.
        because: What it was concluded from, a clause.
    """

    seconds: float
    because: str


def began(seconds: float) -> QueueSign:
    """By the last job that began: it had waited so long."""
    return QueueSign(seconds, "as long as the last job of this queue did")


def waiting(jobs: Iterable[JobEntry], now: float) -> QueueSign | None:
    """By the jobs that wait now: the oldest of them has waited so long; None where none tells since when.

    Args:
        jobs: Those that live.
        now: Seconds since the epoch.
    """
    since = [each.status.time for each in jobs if each.status.state in _WAITING]
    ages = [now - each for each in since if each is not None and each < now]
    return QueueSign(max(ages), "as long as one of yours there waits already") if ages else None
