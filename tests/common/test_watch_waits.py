"""The plain way: who is told what, when, and for how many requests."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from jobs_world import ref, seconds, timeless
from watch_world import LOG, PACE, Machine, watch, watcher

from iri_common import JobState


@pytest.mark.parametrize("last", ["completed", "failed", "canceled"])
def test_it_waits_for_the_end(last: str) -> None:
    machine = Machine(a={0: "queued", 5: "active", 20: last})
    ((end, when),) = watch(machine, "a")
    assert end.state is JobState(last)
    assert 20 <= when <= 20 + PACE.quickest


def test_it_looks_at_once_and_then_at_its_pace() -> None:
    machine = Machine(a={0: "active", 60: "completed"})
    watch(machine, "a")
    times = [when for when, _ in machine.requests]
    assert times[:3] == [0.0, 2.0, 4.0]
    assert all(later - earlier >= PACE.quickest for earlier, later in itertools.pairwise(times))


def test_a_long_job_costs_few_requests_and_its_end_comes_late_by_its_share() -> None:
    machine = Machine(a={0: "active", 24 * 3600: "completed"})
    ((_, when),) = watch(machine, "a")
    assert when - 24 * 3600 <= PACE.slowest
    assert len(machine.requests) < 24 * 3600 / PACE.slowest + 60


def test_two_jobs_are_asked_for_one_by_one_three_by_their_list() -> None:
    two = Machine(a={0: "active", 9: "completed"}, b={0: "active", 9: "completed"})
    watch(two, "a", "b")
    assert two.counted["list"] == 0
    three = Machine(**{name: {0: "active", 9: "completed"} for name in "abc"})
    watch(three, *"abc")
    assert three.counted["list"] >= 4
    assert three.counted["ended"] == 1, "when they had left the list"
    assert three.counted["status"] == 0


def test_the_requests_of_a_tick_do_not_grow_with_the_jobs() -> None:
    few = Machine(**{f"j{n}": {0: "active", 300: "completed"} for n in range(3)})
    watch(few, *few.timetable)
    many = Machine(**{f"j{n}": {0: "active", 300: "completed"} for n in range(100)})
    ends = watch(many, *many.timetable)
    assert len(ends) == 100
    assert many.counted["list"] <= few.counted["list"]
    assert many.counted["ended"] == 1, "one list tells of all that ended"
    assert many.counted["status"] == 0


def test_where_no_list_tells_of_ended_jobs_each_is_asked_for_once_at_its_end() -> None:
    machine = Machine(**{f"j{n}": {0: "active", 300: "completed"} for n in range(30)})
    machine.archive = None
    assert len(watch(machine, *machine.timetable)) == 30
    assert machine.counted["ended"] == 1
    assert set(machine.asked.values()) == {1}


def test_an_archive_of_years_is_not_read_for_a_few_ends() -> None:
    machine = Machine(**{f"j{n}": {0: "active", 300 + 60 * n: "completed"} for n in range(30)})
    machine.archive = 15_000
    ends = watch(machine, *machine.timetable)
    assert all(when <= 300 + 60 * n + 30 for n, (_, when) in enumerate(ends))
    assert machine.counted["ended"] == 0
    assert 30 <= machine.counted["status"] <= 40, "each once, the last two from time to time"


def test_pages_are_read_until_all_watched_jobs_were_seen() -> None:
    others = {f"o{n:05}": {0: "active"} for n in range(2500)}
    machine = Machine(**others, **{name: {0: "active", 2: "completed"} for name in "xyz"})
    watch(machine, *"xyz")
    assert machine.at(0.0, "list") == 3
    first_page = Machine(**{name: {0: "active", 2: "completed"} for name in "xyz"}, **others)
    watch(first_page, *"xyz")
    assert first_page.at(0.0, "list") == 1


def test_a_thousand_waiters_of_one_job_are_one_job() -> None:
    machine = Machine(a={0: "active", 50: "failed"})

    async def crowd():
        poller = watcher(machine)
        waits = []
        for _ in range(3000):
            waits.append(asyncio.create_task(poller.wait(ref("a"))))
            await asyncio.sleep(0.01)
        return await asyncio.gather(*waits)

    ends = timeless(crowd)
    assert {end.state for end in ends} == {JobState.FAILED}
    assert machine.counted["status"] < 40


def test_waits_that_follow_one_another_use_one_task_each_time() -> None:
    machine = Machine(a={0: "active", 5: "completed"}, b={0: "active", 60: "completed"})

    async def one_after_the_other():
        poller = watcher(machine)
        await poller.wait(ref("a"))
        await asyncio.sleep(1000)
        return await poller.wait(ref("b")), seconds()

    end, when = timeless(one_after_the_other)
    assert end.succeeded
    assert when == pytest.approx(1006, abs=3)


# -------------------------------------------------------------------------------- being told


def test_every_new_state_is_told_once() -> None:
    machine = Machine(a={0: "new", 7: "queued", 30: "active", 90: "completed"})
    told = []

    async def wait():
        return await watcher(machine).wait(ref("a"), told.append)

    timeless(wait)
    assert [each.state for each in told] == ["new", "queued", "active", "completed"]


def test_who_joins_late_is_told_the_state_of_now_at_once() -> None:
    machine = Machine(a={0: "active", 90: "completed"})

    async def join_late():
        poller = watcher(machine)
        first = asyncio.create_task(poller.wait(ref("a")))
        await asyncio.sleep(21)
        before = len(machine.requests)
        told = []
        late = asyncio.create_task(poller.wait(ref("a"), told.append))
        await asyncio.sleep(0)
        assert [each.state for each in told] == ["active"]
        assert len(machine.requests) == before
        assert (await first) == (await late)

    timeless(join_late)


def test_who_joins_with_another_job_is_looked_at_soon() -> None:
    machine = Machine(a={0: "active", 7200: "completed"}, b={0: "completed"})

    async def join():
        poller = watcher(machine)
        first = asyncio.create_task(poller.wait(ref("a")))
        await asyncio.sleep(3600)
        began = seconds()
        await poller.wait(ref("b"))
        first.cancel()
        return seconds() - began

    assert timeless(join) <= PACE.quickest


def test_joining_one_after_the_other_does_not_put_the_look_off() -> None:
    machine = Machine(a={0: "active", 100: "completed"}, **{f"j{n}": {0: "active"} for n in range(200)})

    async def crowd():
        poller = watcher(machine)
        first = asyncio.create_task(poller.wait(ref("a")))
        others = []
        for n in range(200):
            others.append(asyncio.create_task(poller.wait(ref(f"j{n}"))))
            await asyncio.sleep(0.9)
        await first
        when = seconds()
        for each in others:
            each.cancel()
        return when

    assert timeless(crowd) <= 200 * 0.9 + 1
    assert machine.counted["list"] <= 200 * 0.9 / PACE.quickest + 5


def test_a_callback_that_fails_keeps_the_end_from_nobody(caplog) -> None:
    machine = Machine(a={0: "queued", 5: "active", 9: "completed"})

    async def wait():
        poller = watcher(machine)

        def closed(_):
            raise RuntimeError("Event loop is closed")

        told = []
        return await asyncio.gather(
            poller.wait(ref("a"), closed), poller.wait(ref("a"), told.append), poller.wait(ref("a"))
        ), told

    ends, told = timeless(wait, 60)
    assert {end.state for end in ends} == {JobState.COMPLETED}
    assert len(told) == 3
    assert caplog.text.count("telling a waiter") == 1


def test_a_waiter_that_leaves_takes_nobody_along() -> None:
    machine = Machine(a={0: "active", 40: "completed"})

    async def leave():
        poller = watcher(machine)
        stays = asyncio.create_task(poller.wait(ref("a")))
        leaves = asyncio.create_task(poller.wait(ref("a")))
        await asyncio.sleep(10)
        leaves.cancel()
        await asyncio.sleep(0)
        assert leaves.cancelled()
        assert poller.watched == 1
        return await stays

    assert timeless(leave).succeeded


def test_when_all_have_left_nobody_looks_any_more() -> None:
    machine = Machine(a={0: "active"})

    async def leave():
        poller = watcher(machine)
        wait = asyncio.create_task(poller.wait(ref("a")))
        await asyncio.sleep(10)
        wait.cancel()
        await asyncio.sleep(1000)
        assert poller.watched == 0

    timeless(leave)
    assert max(when for when, _ in machine.requests) <= 12


def test_a_word_we_do_not_know_is_waited_over_and_told_once(caplog) -> None:
    machine = Machine(a={0: "queued", 10: "suspended", 60: "completed"}, b={0: "suspended", 60: "completed"})
    caplog.set_level(logging.WARNING, LOG)
    told = []

    async def wait():
        poller = watcher(machine)
        return await asyncio.gather(poller.wait(ref("a"), told.append), poller.wait(ref("b")))

    assert all(end.succeeded for end in timeless(wait))
    assert caplog.text.count("'suspended'") == 1
    assert [each.state for each in told] == ["queued", "unknown", "completed"]


def test_a_callback_that_raises_a_cancellation_stops_nothing() -> None:
    machine = Machine(a={0: "queued", 5: "active", 9: "completed"})

    def cancelled(_):
        raise asyncio.CancelledError

    async def wait():
        return await watcher(machine).wait(ref("a"), cancelled)

    assert timeless(wait).succeeded


def test_whoever_stops_the_poller_stops_no_wait(caplog) -> None:
    machine = Machine(**{f"j{n}": {0: "active", 100: "completed"} for n in range(5)})

    async def wait():
        poller = watcher(machine)
        waits = [asyncio.create_task(poller.wait(ref(job_id))) for job_id in machine.timetable]
        for _ in range(3):
            await asyncio.sleep(20)
            (task,) = [each for each in asyncio.all_tasks() if each.get_name().startswith("watch ")]
            task.cancel()
        return await asyncio.gather(*waits)

    assert all(end.succeeded for end in timeless(wait))
    assert caplog.text.count("was stopped and goes on") == 3
