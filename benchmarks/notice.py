"""How soon an end is noticed and at what cost, on a virtual clock: the real poller, a model facility."""

from __future__ import annotations

import asyncio
import bisect
import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from iri_common import JobKey, JobRef, JobState, JobStatus
from iri_common.jobs.watch import Poller
from iri_common.model.job import JobEntry
from iri_common.model.outcome import Done

from . import ours
from .processes import together
from .table import Row, percentile

_MINUTE, _HOUR = 60.0, 3600.0
_REPLY = 0.05  # seconds until the facility answers
_REPLY_OF_ALL = 1.0  # ... to all the requests of one look
_ACTIVE = JobStatus(JobState.ACTIVE, raw_state="active")
_COMPLETED = JobStatus(JobState.COMPLETED, exit_code=0, raw_state="completed")
_MISSING = JobStatus(JobState.MISSING)


@dataclass(frozen=True)
class Plan:
    """Jobs to come: evenly from the start on, of lengths evenly between two."""

    jobs: int
    over: float
    shortest: float
    longest: float

    def times(self) -> list[tuple[float, float]]:
        """Start and end of each."""
        chance = random.Random(self.jobs)
        starts = sorted(chance.uniform(0, self.over) for _ in range(self.jobs))
        return [(start, start + chance.uniform(self.shortest, self.longest)) for start in starts]


def rows(short: int, long: int, many: int) -> list[Row]:
    """Notice of short jobs and of long ones, and the requests of very many.

    Args:
        short: Jobs of up to two minutes, over an hour.
        long: Jobs of ten minutes to four hours, over an hour.
        many: Jobs of two to six hours, asked for within a quarter of an hour.
    """
    seen = together(
        {
            "short": (_run, Plan(short, _HOUR, 5.0, 2 * _MINUTE)),
            "long": (_run, Plan(long, _HOUR, 10 * _MINUTE, 4 * _HOUR)),
            "many": (_run, Plan(many, 15 * _MINUTE, 2 * _HOUR, 6 * _HOUR)),
        }
    )
    note = (
        "The real poller at its default pace on a virtual clock, before a model facility: "
        f"{short:,} jobs of up to 2 minutes over an hour; {long:,} of 10 minutes to 4 hours over an hour; "
        f"{many:,} of 2 to 6 hours, asked for within 15 minutes. "
        "The promise is for 10,000 tracked jobs; with fewer the poller allows itself more requests. "
        "Peers sleep on the machine's clock and cannot be run this way"
    )

    def row(what: str, value: float, target: str = "", most: float | None = None) -> Row:
        met = None if most is None else value <= most
        return Row(what, "notice", {ours.NAME: value}, target, met, note, details=seen)

    return [
        row("notice of jobs under 2 min, p50, s", seen["short"]["p50"]),
        row("notice of jobs under 2 min, p99, s", seen["short"]["p99"], "<= 5", 5),
        row("notice of older jobs, p50, s", seen["long"]["p50"]),
        row("notice of older jobs, p99, s", seen["long"]["p99"], "<= 30", 30),
        row(f"notice among {many:,} jobs, p99, s", seen["many"]["p99"], "<= 30", 30),
        row(f"requests/min, {many:,} jobs that run", seen["many"]["running"], "<= 20", 20),
        row(f"requests/min, while the first {many // 10:,} end", seen["many"]["ending"], "<= 20", 20),
        row("requests/min, from the first to the last of them", seen["many"]["overall"]),
    ]


class _Loop(asyncio.SelectorEventLoop):
    """Goes to the next timer at once."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__()

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready and scheduled:
            self.now = max(self.now, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]


class _Facility:
    """Jobs by a timetable; the list in order of ids, in pages."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}
        self._to_end: list[tuple[float, str]] = []
        self._live: list[str] = []
        self._entries: dict[str, JobEntry] = {}
        self.requests: list[float] = []

    def begin(self, job_id: str, end: float) -> None:
        """A job is taken."""
        self._ends[job_id] = end
        self._entries[job_id] = JobEntry(job_id, _ACTIVE, None)
        heapq.heappush(self._to_end, (end, job_id))
        bisect.insort(self._live, job_id)

    def _advance(self) -> None:
        now = self._clock()
        while self._to_end and self._to_end[0][0] <= now:
            job_id = heapq.heappop(self._to_end)[1]
            del self._live[bisect.bisect_left(self._live, job_id)]
            self._entries[job_id] = JobEntry(job_id, _COMPLETED, None)

    async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
        self.requests.append(self._clock())
        await asyncio.sleep(_REPLY)
        self._advance()
        entry = self._entries.get(job_id)
        return Done(entry.status if entry else _MISSING)

    async def list(
        self, resource_id: str, *, offset: int, limit: int, historical: bool, names: bool
    ) -> Done[Sequence[JobEntry]]:
        self.requests.append(self._clock())
        await asyncio.sleep(_REPLY)
        self._advance()
        ids = sorted(self._entries) if historical else self._live
        return Done([self._entries[job_id] for job_id in ids[offset : offset + limit]])


def _run(plan: Plan) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(_watch(plan))


async def _watch(plan: Plan) -> dict[str, Any]:
    clock = asyncio.get_running_loop().time
    facility: Any = _Facility(clock)
    poller = Poller(facility, "machine", "the model", clock=clock)
    begun = clock()
    times = [(begun + start, begun + end) for start, end in plan.times()]

    async def one(number: int, start: float, end: float) -> float:
        await asyncio.sleep(start - clock())
        job_id = f"{number:06}"
        facility.begin(job_id, end)
        await poller.wait(JobRef("model.example", "iri", "machine", JobKey.of("bench", number), job_id))
        return clock() - end

    notices = await asyncio.gather(*(one(number, *each) for number, each in enumerate(times)))
    ends = sorted(end for _, end in times)
    some_ended = ends[len(ends) // 10]
    settled = begun + plan.over + 10 * _MINUTE  # the youngest is no longer looked at as a young one
    requests = facility.requests
    return {
        "p50": percentile(notices, 50),
        "p99": percentile(notices, 99),
        "worst": max(notices),
        "running": _per_minute(requests, settled, ends[0]),
        "ending": _per_minute(requests, ends[0], some_ended),
        "overall": _per_minute(requests, begun, ends[-1]),
        "requests": len(requests),
    }


def _per_minute(requests: Sequence[float], since: float, until: float) -> float | None:
    """Requests a minute, from the first within a time to the last: a look in part would be chance."""
    inside = [when for when in requests if since <= when < until]
    if not inside or inside[-1] - inside[0] < 10 * _MINUTE:
        return None
    looks = [when for when in inside if when > inside[-1] - _REPLY_OF_ALL]
    return (len(inside) - len(looks)) / (looks[0] - inside[0]) * _MINUTE
