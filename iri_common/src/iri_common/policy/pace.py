"""How often to look: quick while something may happen, slow when it has not for long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from iri_common.model.state import JobState


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds in seconds between two looks.

    Attributes:
        quickest: For a job that has just been submitted or has just changed.
        slowest: For one that has not changed for long.
        fraction: Of the time since the last change that passes before the next look: notice of an end
            comes late by this share at most.
    """

    quickest: float = 2.0
    slowest: float = 30.0
    fraction: float = 0.1

    def delay(self, since_change: float) -> float:
        """Seconds until a job that changed ``since_change`` seconds ago is looked at again."""
        return max(self.quickest, min(self.slowest, since_change * self.fraction))


def next_tick(pace: Pace, since_changes: Iterable[float], failures: int = 0) -> float:
    """Seconds until one poller looks again at all its jobs.

    Args:
        pace: The door's bounds.
        since_changes: Seconds since the last change of each watched job; the liveliest sets the pace.
        failures: How many looks in a row got no answer; each doubles the wait, up to a cap.
    """
    liveliest = min((pace.delay(age) for age in since_changes), default=pace.slowest)
    return min(liveliest * 2 ** min(failures, 8), max(pace.slowest, liveliest) * (1 if not failures else 2))


def still_missing(seconds_missing: float, last_state: JobState | None, grace: float = 60.0) -> bool:
    """Whether an unlisted job is only late in the list, rather than gone.

    A job just accepted may not be listed yet and an ended one not archived yet (seen with firecrest-v2
    thread 177 and aiida-core thread 3404: an empty list is no end).
    """
    patience = grace * 2 if last_state is None else grace
    return seconds_missing < patience
