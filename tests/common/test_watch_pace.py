"""What watching costs and how late an end is noticed, as tables: 1 to 10,000 jobs, at any age."""

from __future__ import annotations

import asyncio
import random
import time
import tracemalloc

import pytest
from jobs_world import ref, seconds, timeless
from watch_world import PACE, Machine, percentile, watcher

from iri_common import Unreachable
from iri_common.policy.pace import Pace

LATENCY = 0.1  # seconds for an answer


def spread(jobs: int, first: float, last: float, *, queued: float = 0.0, seed: int = 1) -> dict:
    """Timetables of jobs that end at any time between two moments."""
    chance = random.Random(seed)
    tables = {}
    for number in range(jobs):
        end = chance.uniform(first, last)
        tables[f"j{number}"] = {0: "queued", min(queued, end / 2): "active", end: "completed"}
    return tables


def notice(machine: Machine, job_ids, *, at: float = 0.0, then: float | None = None) -> list[float]:
    """How late each end was noticed by those who began to wait at one moment.

    Args:
        machine: The facility.
        job_ids: Whose ends.
        at: When the waits begin.
        then: Stop there, with the waits that are left.
    """

    async def all_of_them() -> list[float]:
        machine.slow = LATENCY
        await asyncio.sleep(at)
        poller, late = watcher(machine), []

        async def one(job_id: str) -> None:
            await poller.wait(ref(job_id))
            late.append(seconds() - max(at, list(machine.timetable[job_id])[-1]))

        waits = [asyncio.create_task(one(job_id)) for job_id in job_ids]
        _, pending = await asyncio.wait(waits, timeout=then)
        for each in pending:
            each.cancel()
        return late

    return timeless(all_of_them)


@pytest.mark.parametrize("jobs", [1, 2, 3, 10, 100, 1000])
def test_the_end_of_a_young_job_is_noticed_within_five_seconds(jobs: int) -> None:
    machine = Machine(**spread(jobs, 5, 120))
    late = notice(machine, machine.timetable)
    assert len(late) == jobs
    assert percentile(late, 0.99) <= 5.0


@pytest.mark.parametrize(("jobs", "hours"), [(1, 8), (3, 8), (100, 8), (1000, 8)])
def test_the_end_of_an_old_job_is_noticed_within_thirty_seconds(jobs: int, hours: int) -> None:
    machine = Machine(**spread(jobs, 3600, hours * 3600))
    late = notice(machine, machine.timetable)
    assert percentile(late, 0.99) <= 30.0
    minutes = max(when for when, _ in machine.requests) / 60
    assert len(machine.requests) <= 60 * minutes


def test_ten_thousand_jobs_cost_twenty_requests_a_minute_and_are_noticed_within_thirty_seconds() -> None:
    machine = Machine(**spread(10_000, 600, 8 * 3600))
    late = notice(machine, machine.timetable, then=2400)
    assert len(late) > 500
    assert percentile(late, 0.99) <= 30.0
    for minute in range(35):
        assert machine.between(60 * minute, 60 * minute + 300) <= 20 * 5 + 10
    assert machine.between(0, 2400) <= 20 * 40 + 10


@pytest.mark.parametrize("jobs", [3, 30, 300, 900])
def test_the_requests_do_not_grow_with_the_jobs_that_a_page_holds(jobs: int) -> None:
    machine = Machine(**{f"j{n}": {0: "active", 3000: "completed"} for n in range(jobs)})
    notice(machine, machine.timetable)
    # Two minutes at two to four seconds, a quarter of an hour ever slower, then one each 28 seconds.
    assert 110 <= len(machine.requests) <= 190


def test_the_young_are_looked_at_quickly_among_thousands_of_old_ones() -> None:
    old = {f"o{n}": {0: "active"} for n in range(4000)}
    machine = Machine(**old, **{f"y{n}": {0: "queued", 3640 + 10 * n: "completed"} for n in range(5)})
    late: list[float] = []

    async def both() -> None:
        poller = watcher(machine)
        waits = [asyncio.create_task(poller.wait(ref(job_id))) for job_id in old]
        await asyncio.sleep(3600)

        async def young(job_id: str) -> None:
            await poller.wait(ref(job_id))
            late.append(seconds() - list(machine.timetable[job_id])[-1])

        await asyncio.gather(*(young(f"y{n}") for n in range(5)))
        for each in waits:
            each.cancel()

    timeless(both)
    assert max(late) <= 20
    assert machine.between(3600, 3690) <= 20 * 1.5 + 20


def test_a_wait_on_an_ended_job_is_answered_at_once_whatever_else_is_watched() -> None:
    others = {f"o{n}": {0: "active"} for n in range(9_500)}
    machine = Machine(**others, done={0: "completed"})

    async def wait():
        poller = watcher(machine)
        waits = [asyncio.create_task(poller.wait(ref(job_id))) for job_id in others]
        await asyncio.sleep(900)
        for _ in range(3):
            began = seconds()
            assert (await poller.wait(ref("done"))).succeeded
            assert seconds() - began <= 3
            await asyncio.sleep(57)
        for each in waits:
            each.cancel()

    timeless(wait)


def test_where_no_list_works_many_jobs_cost_no_more_requests_than_with_one() -> None:
    machine = Machine(**{f"j{n}": {0: "active", 1800: "completed"} for n in range(10_000)})
    machine.list_trouble = Unreachable("the list timed out")

    async def wait():
        poller = watcher(machine)
        waits = [asyncio.create_task(poller.wait(ref(job_id), pace=PACE)) for job_id in machine.timetable]
        await asyncio.sleep(1500)
        for each in waits:
            each.cancel()

    timeless(wait)
    assert machine.between(0, 1500) <= 20 * 25 + 20
    assert machine.between(60, 1500) >= 20 * 20, "and yet they are asked for"
    assert max(machine.asked.values()) == 1, "in turn"


def test_a_known_time_limit_makes_the_looks_quick_near_it() -> None:
    machine = Machine(a={0: "active", 7200: "failed"})

    async def wait(limit: float | None) -> float:
        await watcher(machine).wait(ref("a"), limit=limit)
        return seconds()

    assert timeless(lambda: wait(7200)) - 7200 <= 2.0
    machine.requests.clear()
    timeless(lambda: wait(3600))
    assert machine.between(3800, 7000) <= 3200 / 28 + 2, "and slow again where it proves wrong"


def test_a_job_that_is_about_to_end_is_looked_at_quickly() -> None:
    machine = Machine(a={0: "active", 7000: "COMPLETING", 7300: "completed"})

    async def wait() -> float:
        await watcher(machine).wait(ref("a"))
        return seconds()

    assert timeless(wait) - 7300 <= 2.0


def test_each_job_is_looked_at_at_the_pace_of_its_own_waits() -> None:
    machine = Machine(slow={0: "active", 4000: "completed"}, quick={0: "active", 4000: "completed"})

    async def wait() -> None:
        poller = watcher(machine)
        slow, quick = Pace(quickest=60.0, slowest=600.0), Pace(quickest=2.0, slowest=20.0)
        await asyncio.gather(poller.wait(ref("slow"), pace=slow), poller.wait(ref("quick"), pace=quick))

    timeless(wait)
    assert machine.asked["slow"] <= 45
    assert machine.asked["quick"] >= 200


def test_ten_thousand_jobs_take_little_memory_and_little_of_a_core() -> None:
    machine = Machine(**{f"j{n}": {0: "active"} for n in range(10_000)})
    longest = 0.0

    async def wait() -> None:
        nonlocal longest
        poller = watcher(machine)
        tracemalloc.start()
        waits = [asyncio.create_task(poller.wait(ref(job_id))) for job_id in machine.timetable]
        await asyncio.sleep(60)
        machine._rows(seconds(), False)
        assert tracemalloc.get_traced_memory()[0] < 100e6
        tracemalloc.stop()
        for _ in range(3):
            plan = time.perf_counter()
            poller._plan(seconds())
            longest = max(longest, time.perf_counter() - plan)
        for each in waits:
            each.cancel()

    timeless(wait)
    assert longest < 1.0, "a look over all jobs is linear; its usual time is some milliseconds"
