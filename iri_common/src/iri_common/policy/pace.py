"""How often to look: quick while something may happen, slow when it has not for long, few requests always."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

YOUNG = 120.0  # seconds: whoever waits for a job of a minute wants to know soon
YOUNG_SLOWEST = 4.0  # seconds, and one for the answer to arrive
NEAR_END = 30.0  # seconds before the time limit
OVERTIME = 120.0  # ... and after it: schedulers give a grace, and clean up

# Words of schedulers for a job that is about to end.
ENDING_WORDS = frozenset({"COMPLETING", "CG", "EXITING", "E", "STAGE_OUT", "SIGNALING", "CLEANUP", "ENDING"})


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds in seconds between two looks.

    Attributes:
        quickest: For a job that has just been submitted, has just changed, or is about to end.
        slowest: For one that has not changed for long.
        fraction: Of the time since the last change that passes before the next look: notice of an end
            comes late by this share at most.
    """

    quickest: float = 2.0
    slowest: float = 28.0  # and the answer arrives within 30
    fraction: float = 0.1

    def delay(self, since_change: float, left: float | None = None, *, ending: bool = False) -> float:
        """Seconds until a job is looked at again.

        Args:
            since_change: Seconds since its state changed.
            left: Seconds until its time limit, where that is known.
            ending: Whether its state says that it is about to end.
        """
        if ending or (left is not None and -OVERTIME < left < NEAR_END):
            return self.quickest
        bound = self.slowest
        if since_change < YOUNG:
            bound = min(bound, max(self.quickest, YOUNG_SLOWEST))
        return max(self.quickest, min(bound, since_change * self.fraction))


def after_failures(pace: Pace, failures: int) -> float:
    """Seconds until a facility that has given no answer ``failures`` times in a row is asked again."""
    return float(min(pace.quickest * 2 ** min(failures, 16), max(pace.slowest, pace.quickest) * 2))


def while_refused(pace: Pace) -> float:
    """Seconds between two tries of a credential that has died: a person has to renew it."""
    return min(45.0, pace.quickest * 20)


def per_minute(pace: Pace, jobs: int) -> float:
    """Requests a minute that watching so many jobs may cost in the long run.

    A few hundred jobs may be asked for once a second; thousands are read from lists whose pages add up,
    and where there is no list no rate that a facility would bear makes up for it.
    """
    rate = max(20.0, min(60.0, 60_000.0 / max(jobs, 1)))
    return rate * max(1.0, Pace().quickest / pace.quickest)


def task_pauses(first: float, growth: float, longest: float, took: float | None) -> Iterator[float]:
    """Seconds before each look at what a facility works on: they grow, up to the longest one.

    Args:
        first: Before the first look, where nothing is known.
        growth: Of each pause over the one before.
        longest: Of all.
        took: What the last one of its kind took; the first look comes a little sooner than that.
    """
    pause = first
    if took is not None:
        yield min(longest, max(first / 8, took * 0.8))
        pause = min(longest, max(first / 8, took * 0.2))
    while True:
        yield pause
        pause = min(longest, pause * growth)


@dataclass(slots=True)
class Allowance:
    """Requests that may be made now: what was not used of the last half minute.

    One look may need more than there are, as nobody knows before how many pages a list has. The next look
    then waits longer: the pause grows with what the last look cost.
    """

    per_second: float = 1.0
    left: float = 30.0
    at: float = 0.0

    @property
    def most(self) -> float:
        """What can be saved up."""
        return self.per_second * 30.0

    def set_rate(self, per_minute: float, now: float) -> None:
        """From now on it grows at this rate."""
        self.count(now)
        self.per_second = per_minute / 60.0
        self.left = min(self.left, self.most)

    def count(self, now: float) -> float:
        """How many requests may be made now; below zero after a look that needed more."""
        self.left = self.expected(now)
        self.at = max(self.at, now)
        return self.left

    def expected(self, then: float) -> float:
        """How many may be made at a later time, if none is until then."""
        return min(self.most, self.left + max(0.0, then - self.at) * self.per_second)

    def spend(self, requests: int) -> None:
        """So many were made since the last count."""
        self.left -= requests

    def credit(self, now: float) -> bool:
        """Whether what cannot wait may be done at the expense of what comes later."""
        return self.count(now) > -self.most / 2

    def ready_in(self, requests: float, now: float) -> float:
        """Seconds until so many may be made."""
        missing = min(requests, self.most) - self.count(now)
        return max(0.0, missing / self.per_second) if missing > 1e-9 else 0.0
