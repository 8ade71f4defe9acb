"""Outages, lists that fail, credentials that die: no wait is lost, and nobody is asked too much."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from jobs_world import ref, seconds, timeless
from watch_world import LOG, PACE, Machine, watch, watcher

from iri_common import NotOffered, PermissionDenied, ReplyError, Unreachable
from iri_common.model.outcome import Done


@pytest.mark.parametrize("jobs", [1, 5])
def test_an_outage_is_waited_out_and_told_once(jobs: int, caplog) -> None:
    machine = Machine(**{f"j{n}": {0: "active", 1500: "completed"} for n in range(jobs)})
    machine.trouble[100, 2000] = Unreachable("no answer")
    caplog.set_level(logging.INFO, LOG)
    ends = watch(machine, *machine.timetable)
    assert all(end.succeeded for end, _ in ends)
    assert all(when <= 2000 + 2 * PACE.slowest for _, when in ends)
    assert caplog.text.count("does not tell how its jobs are") == 1
    assert caplog.text.count("answers again") == 1


def test_an_outage_is_asked_less_and_less() -> None:
    machine = Machine(a={0: "active", 1: "completed"})
    machine.trouble[0, 6000] = Unreachable("no answer")
    watch(machine, "a")
    times = [when for when, _ in machine.requests]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[:3] == [4.0, 8.0, 16.0]
    assert max(gaps) <= 2 * PACE.slowest + 0.1
    assert len(times) < 6000 / PACE.slowest


def test_looks_that_take_long_to_fail_are_not_followed_by_the_next_at_once() -> None:
    machine = Machine(a={0: "active", 3000: "completed"})
    machine.slow = 60.0
    machine.trouble[0, 2500] = Unreachable("timed out")
    watch(machine, "a")
    times = [when for when, _ in machine.requests]
    assert all(later - earlier >= 60 + 2 for earlier, later in itertools.pairwise(times))


def test_who_joins_in_an_outage_does_not_hurry_it() -> None:
    machine = Machine(**{f"j{n}": {0: "active", 500: "completed"} for n in range(50)})
    machine.trouble[0, 400] = Unreachable("no answer")

    async def join():
        poller = watcher(machine)
        waits = []
        for job_id in machine.timetable:
            waits.append(asyncio.create_task(poller.wait(ref(job_id))))
            await asyncio.sleep(5)
        return await asyncio.gather(*waits)

    assert all(end.succeeded for end in timeless(join))
    ticks = {when for when, _ in machine.requests if when < 250}
    assert len(ticks) < 15


@pytest.mark.parametrize("error", [NotOffered("no list here"), PermissionDenied("no list for you")])
def test_a_site_without_the_list_is_not_asked_for_it_again(error) -> None:
    machine = Machine(**{f"j{n}": {0: "active", 30: "completed"} for n in range(5)})
    machine.list_trouble = error
    ends = watch(machine, *machine.timetable)
    assert all(end.succeeded for end, _ in ends)
    assert machine.counted["list"] == 1


def test_a_list_that_fails_is_replaced_by_single_looks_and_tried_again_less_and_less(caplog) -> None:
    machine = Machine(
        **{f"j{n}": {0: "active", 30: "completed"} for n in range(5)}, k={0: "active", 1e4: "failed"}
    )
    machine.list_trouble = Unreachable("the list timed out")
    caplog.set_level(logging.WARNING, LOG)
    ends = watch(machine, *machine.timetable)
    assert all(when <= 30 + 8 for _, when in ends[:5])
    assert 1 <= machine.counted["list"] <= 2 + 1e4 / 600
    assert not caplog.records


def test_the_list_is_used_again_as_soon_as_it_works_again() -> None:
    machine = Machine(**{f"j{n}": {0: "active", 1000: "completed"} for n in range(50)})
    machine.list_troubles[0, 100] = Unreachable("the list timed out")
    ends = watch(machine, *machine.timetable)
    assert all(when <= 1000 + PACE.slowest for _, when in ends)
    lists = [when for when, what in machine.requests if what == "list"]
    assert 100 <= min(when for when in lists if when > 100) <= 250
    assert not [when for when, what in machine.requests if what == "status" and 280 < when < 1000]


def test_a_list_that_hangs_delays_nobody_for_long() -> None:
    machine = Machine(**{f"j{n}": {0: "active", 40: "completed"} for n in range(5)})

    async def hang(*args, **words):
        machine.requests.append((seconds(), "list"))
        await asyncio.sleep(3600)

    machine.list = hang
    ends = watch(machine, *machine.timetable)
    assert all(end.succeeded for end, _ in ends)
    assert all(when <= 40 + 8 for _, when in ends)
    assert machine.counted["list"] == 1


@pytest.mark.parametrize("rows", [lambda rows: [], lambda rows: rows[:1]], ids=["empty", "stale"])
@pytest.mark.parametrize("archive", [0, None, 5000])
def test_a_list_that_leaves_out_living_jobs_is_no_end_and_not_trusted(rows, archive) -> None:
    machine = Machine(**{f"j{n}": {0: "active", 900: "completed"} for n in range(40)})
    machine.archive = archive
    machine.list_troubles[10, 600] = rows
    ends = watch(machine, *machine.timetable)
    assert all(end.succeeded and 900 <= when <= 900 + 60 for end, when in ends)
    assert machine.between(10, 600) <= 600 + 40, "one a second, and what was saved before"
    lists = [when for when, what in machine.requests if what == "list" and 10 <= when < 600]
    assert len(lists) <= 12, "it is left alone, each time for longer"


def test_one_job_that_cannot_be_looked_at_is_told_once_and_slows_nobody(caplog) -> None:
    machine = Machine(**{name: {0: "active", 60: "completed"} for name in "abc"}, odd={0: "completed"})
    machine.job_trouble["odd"] = ReplyError("an answer that cannot be read")
    caplog.set_level(logging.WARNING, LOG)

    async def wait():
        poller = watcher(machine)
        odd = asyncio.create_task(poller.wait(ref("odd")))
        ends = await asyncio.gather(*(poller.wait(ref(name)) for name in "abc"))
        when = seconds()
        del machine.job_trouble["odd"]
        return ends, when, await odd

    ends, when, odd = timeless(wait)
    assert all(end.succeeded for end in ends)
    assert when <= 60 + 6
    assert odd.succeeded
    assert len(caplog.records) == 1


def test_where_the_list_answers_and_no_single_look_does_it_is_asked_less_and_less(caplog) -> None:
    machine = Machine(**{name: {0: "completed"} for name in "abc"})
    machine.trouble[0, 3000] = Unreachable("no answer")

    async def listed(*args, **words):
        return Done([])

    machine.list = listed
    watch(machine, *"abc")
    assert machine.counted["status"] < 3 * (3000 / PACE.slowest)
    assert caplog.text.count("does not tell how its jobs are") == 1


def test_a_bug_in_a_look_ends_no_wait(caplog) -> None:
    machine = Machine(**{name: {0: "active", 60: "completed"} for name in "abc"})
    machine.trouble[10, 50] = ZeroDivisionError("a bug")
    ends = watch(machine, *"abc")
    assert all(end.succeeded for end, _ in ends)
    assert caplog.text.count("a bug") == 1
