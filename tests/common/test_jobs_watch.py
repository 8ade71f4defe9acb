"""The poller on a loop whose time costs nothing: who is told what, when, and for how many requests."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter

import pytest
from jobs_world import ref, seconds, status, timeless

from iri_common import (
    AuthError,
    JobLost,
    JobState,
    NotOffered,
    PermissionDenied,
    Refused,
    ReplyError,
    Unreachable,
)
from iri_common.jobs.watch import Poller
from iri_common.model.job import JobEntry
from iri_common.model.outcome import Done
from iri_common.policy.pace import Pace

PACE = Pace(quickest=2.0, slowest=30.0)
LOG = "iri_common.jobs.watch"


class Machine:
    """Jobs with a timetable, and troubles with one.

    Args:
        timetable: Job id to states, each from a second on; a state of None is a job that is not listed.
    """

    def __init__(self, **timetable: dict[float, str | None]) -> None:
        self.timetable = timetable
        self.trouble = {}  # (from, to) -> error, for every look
        self.list_trouble = None
        self.job_trouble: dict[str, Exception] = {}
        self.requests: list[tuple[float, str]] = []
        self.slow = 0.0

    def at(self, time: float, what: str) -> int:
        return sum(1 for when, name in self.requests if (when, name) == (time, what))

    @property
    def counted(self) -> Counter:
        return Counter(name for _, name in self.requests)

    def _state(self, job_id: str):
        now = seconds()
        return [state for since, state in self.timetable.get(job_id, {}).items() if since <= now][-1:]

    async def _meet_trouble(self) -> None:
        await asyncio.sleep(self.slow)
        for (start, end), error in self.trouble.items():
            if start <= seconds() < end:
                raise error

    async def status(self, resource_id, job_id):
        self.requests.append((seconds(), "status"))
        await self._meet_trouble()
        if job_id in self.job_trouble:
            raise self.job_trouble[job_id]
        (state,) = self._state(job_id) or [None]
        return Done(status(state or "missing", 0 if state == "completed" else None))

    async def list(self, resource_id, *, offset, limit, historical, names):
        assert not historical
        assert not names
        self.requests.append((seconds(), "list"))
        await self._meet_trouble()
        if self.list_trouble:
            raise self.list_trouble
        rows = [
            JobEntry(job_id, status(state))
            for job_id in self.timetable
            for state in self._state(job_id)
            if state and not status(state).state.terminal
        ]
        return Done(rows[offset : offset + limit])


def watcher(machine: Machine) -> Poller:
    return Poller(machine, "machine", "test", clock=asyncio.get_running_loop().time)


def watch(machine: Machine, *job_ids: str, pace: Pace = PACE, limit: float = 7 * 24 * 3600.0):
    """Wait for all of them; gives their ends and the time that each came."""

    async def all_of_them():
        poller = watcher(machine)

        async def one(job_id):
            return await poller.wait(ref(job_id), pace=pace), seconds()

        ends = await asyncio.gather(*(one(job_id) for job_id in job_ids), return_exceptions=True)
        assert poller.watched == 0
        return ends

    return timeless(all_of_them, limit)


# -------------------------------------------------------------------------------- the plain way


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
    assert three.counted["status"] == 3, "each once, when it had left the list"


def test_the_requests_of_a_tick_do_not_grow_with_the_jobs() -> None:
    few = Machine(**{f"j{n}": {0: "active", 300: "completed"} for n in range(3)})
    watch(few, *few.timetable)
    many = Machine(**{f"j{n}": {0: "active", 300: "completed"} for n in range(100)})
    ends = watch(many, *many.timetable)
    assert len(ends) == 100
    assert many.counted["list"] == few.counted["list"]
    assert many.counted["status"] == 100, "each is asked for once, at its end"


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


# -------------------------------------------------------------------------------- troubles


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


@pytest.mark.parametrize("jobs", [1, 5])
def test_a_refused_credential_is_told_to_all(jobs: int) -> None:
    machine = Machine(**{f"j{n}": {0: "active"} for n in range(jobs)})
    machine.trouble[10, 1e9] = AuthError("refused", operation="getJob")
    ends = watch(machine, *machine.timetable)
    assert all(isinstance(end, AuthError) for end in ends)
    assert len({id(end) for end in ends}) == jobs, "each waiter raises an error of its own"


def test_after_a_refused_credential_it_can_be_waited_again() -> None:
    machine = Machine(a={0: "active", 50: "completed"})
    machine.trouble[10, 20] = AuthError("refused")

    async def twice():
        poller = watcher(machine)
        with pytest.raises(AuthError):
            await poller.wait(ref("a"))
        await asyncio.sleep(30)
        return await poller.wait(ref("a"))

    assert timeless(twice).succeeded


def test_a_missing_right_for_one_job_is_that_waiters_own() -> None:
    machine = Machine(**{name: {0: "active", 30: "completed"} for name in "ab"}, other={})
    machine.job_trouble["other"] = PermissionDenied("not yours")
    mine, too, other = watch(machine, "a", "b", "other")
    assert mine[0].succeeded
    assert too[0].succeeded
    assert isinstance(other, PermissionDenied)


@pytest.mark.parametrize("error", [NotOffered("no list here"), PermissionDenied("no list for you")])
def test_a_site_without_the_list_is_not_asked_for_it_again(error) -> None:
    machine = Machine(**{f"j{n}": {0: "active", 30: "completed"} for n in range(5)})
    machine.list_trouble = error
    ends = watch(machine, *machine.timetable)
    assert all(end.succeeded for end, _ in ends)
    assert machine.counted["list"] == 1


def test_a_list_that_fails_is_replaced_by_single_looks_and_tried_again(caplog) -> None:
    machine = Machine(**{f"j{n}": {0: "active", 30: "completed"} for n in range(5)})
    machine.list_trouble = Unreachable("the list timed out")
    caplog.set_level(logging.WARNING, LOG)
    ends = watch(machine, *machine.timetable)
    assert all(when <= 30 + 4 for _, when in ends)
    assert machine.counted["list"] > 5
    assert not caplog.records


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


# -------------------------------------------------------------------------------- gone


def test_a_job_that_is_listed_late_is_not_lost() -> None:
    machine = Machine(a={0: None, 100: "active", 150: "completed"})
    ((end, _),) = watch(machine, "a")
    assert end.succeeded


def test_a_job_between_the_queue_and_the_archive_is_not_lost() -> None:
    machine = Machine(a={0: "active", 20: None, 70: "completed"})
    ((end, _),) = watch(machine, "a")
    assert end.succeeded


def test_a_job_that_stays_away_is_lost_with_what_was_seen_last() -> None:
    machine = Machine(a={0: "active", 20: None}, b={0: "active", 200: "completed"})
    lost, (end, _) = watch(machine, "a", "b")
    assert isinstance(lost, JobLost)
    assert lost.ref == ref("a")
    assert "active" in str(lost)
    assert end.succeeded


def test_a_job_that_was_never_seen_is_lost_after_twice_the_grace() -> None:
    machine = Machine()

    async def wait():
        with pytest.raises(JobLost, match="never"):
            await watcher(machine).wait(ref("a"))
        return seconds()

    assert 120 <= timeless(wait) <= 130
    assert len(machine.requests) <= 62, "no hot loop while there is nothing to see"


def test_the_grace_begins_anew_after_it_was_seen_again() -> None:
    machine = Machine(a={0: "active", 20: None, 70: "active", 80: None, 130: "completed"})
    ((end, _),) = watch(machine, "a")
    assert end.succeeded


def test_an_outage_does_not_count_as_missing() -> None:
    machine = Machine(a={0: "active", 500: "completed"})
    machine.trouble[10, 400] = Unreachable("no answer")
    ((end, _),) = watch(machine, "a")
    assert end.succeeded


def test_a_look_that_is_refused_for_good_ends_as_lost_with_the_words_of_the_refusal() -> None:
    machine = Machine(a={0: "active"})
    machine.job_trouble["a"] = Refused("job ids have nine digits here")
    (lost,) = watch(machine, "a")
    assert isinstance(lost, JobLost)
    assert "nine digits" in str(lost)
