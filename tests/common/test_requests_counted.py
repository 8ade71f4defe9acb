"""What watching costs the facility, in requests; counts only, on a clock that costs nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from jobs_world import ref, seconds, status, timeless

from iri_common.jobs.watch import Poller
from iri_common.model.job import JobEntry
from iri_common.model.outcome import Done

PAGE = 1000  # jobs that the IRI list gives at once
HOUR = 3600.0


class Crowd:
    """Jobs that all run until one moment, and a count of who asks what when."""

    def __init__(self, jobs: int, until: Callable[[int], float] = lambda number: float("inf")) -> None:
        self.ids = [f"{number:06}" for number in range(jobs)]
        self._ends = {job_id: until(number) for number, job_id in enumerate(self.ids)}
        self._running = [JobEntry(job_id, status("active")) for job_id in self.ids]
        self.lists: Counter[float] = Counter()
        self.looks: Counter[str] = Counter()

    async def status(self, resource_id, job_id):
        self.looks[job_id] += 1
        return Done(status("active" if seconds() < self._ends[job_id] else "completed", 0))

    async def list(self, resource_id, *, offset, limit, historical, names):
        now = seconds()
        self.lists[now] += 1
        if now < min(self._ends.values(), default=now):
            return Done(self._running[offset : offset + limit])
        rows = [row for row in self._running if now < self._ends[row.job_id]]
        if historical:
            ended = (job_id for job_id, end in self._ends.items() if end <= now)
            rows += [JobEntry(job_id, status("completed", 0)) for job_id in ended]
        return Done(rows[offset : offset + limit])

    @property
    def requests(self) -> int:
        return self.lists.total() + self.looks.total()


def watched(crowd: Crowd, limit: float | None = None) -> Crowd:
    """Wait for all of them, or for so many seconds."""

    async def all_of_them() -> None:
        poller = Poller(crowd, "machine", "test", clock=asyncio.get_running_loop().time)
        waiting = asyncio.gather(*(poller.wait(ref(job_id)) for job_id in crowd.ids))
        try:
            async with asyncio.timeout(limit):
                await waiting
        except TimeoutError:
            pass

    timeless(all_of_them)
    return crowd


@pytest.mark.parametrize("jobs", [10, 100, PAGE - 1, PAGE + 1, 2 * PAGE + 1])
def test_a_look_takes_the_pages_of_the_list_and_nothing_for_each_job(jobs):
    crowd = watched(Crowd(jobs), limit=600.0)
    assert set(crowd.lists.values()) == {-(-jobs // PAGE)}
    assert not crowd.looks


def test_an_hour_with_ten_jobs_costs_what_an_hour_with_a_page_of_them_costs():
    few, many = watched(Crowd(10), limit=HOUR), watched(Crowd(PAGE - 1), limit=HOUR)
    assert few.requests == many.requests > 0


def test_an_end_costs_one_request_at_most():
    jobs = 200
    crowd = watched(Crowd(jobs, until=lambda number: 600.0 + 10 * number))
    assert max(crowd.looks.values(), default=0) <= 1
    assert crowd.looks.total() <= jobs


@pytest.mark.parametrize("jobs", [1, 2])
def test_waits_for_one_job_cost_what_one_wait_costs(jobs):
    async def several() -> None:
        poller = Poller(crowd, "machine", "test", clock=asyncio.get_running_loop().time)
        await asyncio.gather(*(poller.wait(ref(job_id)) for job_id in crowd.ids * 50))

    alone = watched(Crowd(jobs, until=lambda number: 900.0))
    crowd = Crowd(jobs, until=lambda number: 900.0)
    timeless(several)
    assert crowd.requests == alone.requests


def test_ten_thousand_jobs_that_run_take_twenty_requests_a_minute():
    young, old = 600.0, 900.0
    crowd = watched(Crowd(10 * PAGE - 1), limit=young + old)
    seen = sum(count for when, count in crowd.lists.items() if when >= young) + crowd.looks.total()
    assert seen <= 20 * old / 60
