"""List or single questions: whichever tells of the jobs with the fewest requests, and works."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto

BULK_FROM = 3  # watched jobs: fewer are asked for one by one
PAGE = 1000  # entries of a list page
MANY = 2  # pages


class Way(Enum):
    """How one look asks."""

    ONE_BY_ONE = auto()
    LIVE = auto()  # the list of live jobs, then those that are not in it
    ENDED = auto()  # the list with ended jobs: one reading tells of lives and ends


@dataclass(slots=True)
class ListMemory:
    """What earlier looks have learned about a facility's lists.

    Attributes:
        live_pages: Requests that the list of live jobs took.
        ended_pages: Requests that the list with ended jobs took, or more; None if it was never read.
        ends: Jobs that leave the list of live jobs from one look to the next, on average.
        failures: How many times in a row the list failed or told wrong.
        not_before: When it is tried again.
        ended_not_before: When the list with ended jobs is.
        worked: Whether it has ever answered.
    """

    live_pages: int = 0
    ended_pages: int | None = None
    ends: float = 0.0
    failures: int = 0
    not_before: float = -math.inf
    ended_not_before: float = -math.inf
    worked: bool = False

    def usable(self, now: float) -> bool:
        """Whether to ask for the list now."""
        return now >= self.not_before

    def answered(self) -> None:
        """It works."""
        self.worked, self.failures, self.not_before = True, 0, -math.inf

    def failed(self, now: float, quickest: float) -> None:
        """It failed, or told wrong: it is left alone for a while, each time for longer."""
        self.failures += 1
        pause = min(600.0, 30.0 * 2 ** min(self.failures - 1, 8))
        self.not_before = now + pause * min(1.0, quickest / 2.0)

    def ended_failed(self, now: float) -> None:
        """The list with ended jobs fails, which says nothing of the other one."""
        self.ended_pages, self.ended_not_before = None, now + 600.0

    def refused(self, now: float, *, for_good: bool) -> None:
        """This facility has no list, or none for this principal."""
        self.not_before = math.inf if for_good else now + 3600.0

    def counted_ends(self, ends: int) -> None:
        """So many had left the list at this look."""
        self.ends += 0.3 * (ends - self.ends)

    def live_cost(self, watched: int) -> int:
        """Pages of the list of live jobs."""
        return max(1, self.live_pages or math.ceil(watched / PAGE))

    def ended_cost(self, watched: int) -> int:
        """Pages of the list with ended jobs; worth a try while nobody has read it."""
        return max(1, self.ended_pages) if self.ended_pages is not None else self.live_cost(watched)

    def cost(self, way: Way, watched: int) -> int:
        """Requests that a look this way is going to need at least, apart from single questions."""
        if way is Way.ONE_BY_ONE:
            return 1
        return self.live_cost(watched) if way is Way.LIVE else self.ended_cost(watched)


def choose(memory: ListMemory, *, due: int, watched: int, now: float) -> Way:
    """The way that needs the fewest requests.

    Args:
        memory: Of earlier looks.
        due: How many jobs are to be looked at now.
        watched: How many there are; a list tells of all of them.
        now: The time.
    """
    if watched < BULK_FROM or not memory.usable(now):
        return Way.ONE_BY_ONE
    live, ended = memory.live_cost(watched), memory.ended_cost(watched)
    if due < min(live, ended):
        return Way.ONE_BY_ONE
    if now < memory.ended_not_before:
        return Way.LIVE
    with_ends = live + min(memory.ends, ended)
    if live < MANY:
        return Way.ENDED if memory.ended_pages is not None and ended < with_ends else Way.LIVE
    # Where a look takes many requests, ends that come unexpected would cost the next look its time.
    return Way.ENDED if ended <= with_ends else Way.LIVE


def quicker_singly(hurried: int, pages: int, per_second: float, slowest: float) -> bool:
    """Whether jobs in a hurry are seen sooner by single questions than by reading the list more often.

    Args:
        hurried: Jobs that want to be looked at more often than the list can be read.
        pages: Of the list, which has to be read for the others in any case.
        per_second: Requests that may be made in the long run.
        slowest: Seconds between two readings for the others.
    """
    spare = per_second - pages / slowest
    return spare > 0 and hurried / spare < pages / per_second


def list_the_ended(memory: ListMemory, *, gone: int, watched: int, now: float) -> bool:
    """Whether the list with ended jobs is cheaper than asking for each that has left the other list."""
    return now >= memory.ended_not_before and gone > memory.ended_cost(watched)


def list_lies(asked: int, alive: int) -> bool:
    """Whether too many jobs that had left the list proved to be alive: it is empty or stale, no end."""
    return alive >= BULK_FROM and alive * 2 > asked
