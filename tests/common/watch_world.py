"""A facility for the tests of watching: jobs with a timetable, troubles too, and every request noted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from jobs_world import ref, seconds, status, timeless

from iri_common.jobs.watch import Poller
from iri_common.model.job import JobEntry, JobStatus
from iri_common.model.outcome import Done
from iri_common.policy.pace import Pace

PACE = Pace(quickest=2.0, slowest=30.0)
LOG = "iri_common.jobs"
ENDED = {"completed", "failed", "canceled"}


class Machine:
    """Jobs with a timetable, and troubles with one.

    Args:
        timetable: Job id to states, each from a second on; a state of None is a job that is not listed.

    Attributes:
        trouble: (from, to) to an error, for every look.
        list_trouble: For the list at any time.
        list_troubles: (from, to) to an error, or to a function that makes another list of the true one.
        job_trouble: By job id.
        archive: Whether the list with ended jobs is to be had, and how many jobs of old it holds first.
        slow: Seconds that each answer takes.
    """

    def __init__(self, **timetable: dict[float, str | None]) -> None:
        self.timetable = timetable
        self.trouble: dict[tuple[float, float], Exception] = {}
        self.list_trouble: Exception | None = None
        self.list_troubles: dict[tuple[float, float], Exception | Callable] = {}
        self.job_trouble: dict[str, Exception] = {}
        self.archive: int | None = 0
        self.requests: list[tuple[float, str]] = []
        self.asked: Counter[str] = Counter()
        self.slow = 0.0
        self._listed: tuple[float, bool, list[JobEntry]] = (-1.0, False, [])

    def at(self, time: float, what: str) -> int:
        return sum(1 for when, name in self.requests if (when, name) == (time, what))

    def between(self, start: float, end: float) -> int:
        return sum(1 for when, _ in self.requests if start <= when < end)

    @property
    def counted(self) -> Counter[str]:
        return Counter(name for _, name in self.requests)

    def state(self, job_id: str) -> str | None:
        now, last = seconds(), None
        for since, state in self.timetable.get(job_id, {}).items():
            if since > now:
                break
            last = state
        return last

    async def _meet_trouble(self) -> None:
        if self.slow:
            await asyncio.sleep(self.slow)
        for (start, end), error in self.trouble.items():
            if start <= seconds() < end:
                raise error

    async def status(self, resource_id, job_id):
        self.requests.append((seconds(), "status"))
        self.asked[job_id] += 1
        await self._meet_trouble()
        if job_id in self.job_trouble:
            raise self.job_trouble[job_id]
        state = self.state(job_id)
        return Done(said(state or "missing"))

    def _rows(self, now: float, historical: bool) -> list[JobEntry]:
        if self._listed[:2] != (now, historical):
            rows = [JobEntry(f"old{n}", said("completed")) for n in range(historical * (self.archive or 0))]
            for job_id in self.timetable:
                state = self.state(job_id)
                if state and (historical or state not in ENDED):
                    rows.append(JobEntry(job_id, said(state)))
            self._listed = (now, historical, rows)
        return self._listed[2]

    async def list(self, resource_id, *, offset, limit, historical, names):
        assert not names
        self.requests.append((seconds(), "ended" if historical else "list"))
        await self._meet_trouble()
        if self.list_trouble:
            raise self.list_trouble
        if historical and self.archive is None:
            raise TimeoutError("too much to read")
        rows = self._rows(seconds(), historical)
        for (start, end), trouble in self.list_troubles.items():
            if start <= seconds() < end:
                if isinstance(trouble, Exception):
                    raise trouble
                rows = trouble(rows)
        return Done(rows[offset : offset + limit])


_said: dict[str, JobStatus] = {}


def said(state: str) -> JobStatus:
    """A status in that state; ten thousand jobs share it."""
    if state not in _said:
        _said[state] = status(state, 0 if state == "completed" else None)
    return _said[state]


def watcher(machine: Machine, witness=None, **words) -> Poller:
    clock = asyncio.get_running_loop().time
    return Poller(machine, "machine", "test", clock=clock, witness=witness, **words)


def watch(
    machine: Machine, *job_ids: str, pace: Pace = PACE, witness=None, limit: float = 7 * 24 * 3600.0, **words
):
    """Wait for all of them; gives their ends and the time that each came."""

    async def all_of_them():
        poller = watcher(machine, witness)

        async def one(job_id):
            return await poller.wait(ref(job_id), pace=pace, **words), seconds()

        ends = await asyncio.gather(*(one(job_id) for job_id in job_ids), return_exceptions=True)
        assert poller.watched == 0
        return ends

    return timeless(all_of_them, limit)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
