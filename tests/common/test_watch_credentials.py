"""A credential that is refused: from the start it is an error, in mid-wait it is waited for."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from jobs_world import ref, seconds, timeless
from watch_world import LOG, PACE, Machine, watch, watcher

from iri_common import AuthError, PermissionDenied, Unreachable

DEAD = [AuthError("refused", operation="getJob"), PermissionDenied("no such token")]


@pytest.mark.parametrize("jobs", [1, 5])
def test_a_credential_that_is_refused_from_the_start_is_told_to_all(jobs: int) -> None:
    machine = Machine(**{f"j{n}": {0: "active"} for n in range(jobs)})
    machine.trouble[0, 1e9] = AuthError("refused", operation="getJob")
    ends = watch(machine, *machine.timetable)
    assert all(isinstance(end, AuthError) for end in ends)
    assert len({id(end) for end in ends}) == jobs, "each waiter raises an error of its own"


def test_after_a_refused_credential_it_can_be_waited_again() -> None:
    machine = Machine(a={0: "active", 50: "completed"})
    machine.trouble[0, 20] = AuthError("refused")

    async def twice():
        poller = watcher(machine)
        with pytest.raises(AuthError):
            await poller.wait(ref("a"))
        await asyncio.sleep(30)
        return await poller.wait(ref("a"))

    assert timeless(twice).succeeded


@pytest.mark.parametrize("jobs", [1, 2, 5, 1500])
@pytest.mark.parametrize("dead", DEAD, ids=["401", "403"])
def test_a_credential_that_dies_in_mid_wait_leaves_every_wait_intact(jobs: int, dead, caplog) -> None:
    machine = Machine(**{f"j{n}": {0: "active", 500: "completed"} for n in range(jobs)})
    machine.trouble[30, 4000] = dead
    caplog.set_level(logging.INFO, LOG)
    ends = watch(machine, *machine.timetable)
    assert all(end.succeeded and 4000 <= when <= 4000 + 60 for end, when in ends)
    assert caplog.text.count("renew it") == 1
    assert caplog.text.count("works again") == 1
    tries = sorted({when for when, _ in machine.requests if 100 < when < 4000})
    assert all(30 <= later - earlier <= 60 for earlier, later in itertools.pairwise(tries))
    assert machine.between(100, 4000) <= 4000 / 30, "and with one question each time"


def test_a_refusal_that_has_a_mend_of_its_own_tells_that_one(caplog) -> None:
    machine = Machine(a={0: "active", 500: "completed"})
    machine.trouble[30, 400] = AuthError("others may read it", mend="run: chmod")
    ((end, _),) = watch(machine, "a")
    assert end.succeeded
    assert "run: chmod: the jobs run on" in caplog.text
    assert "renew it" not in caplog.text


def test_who_joins_while_it_is_dead_waits_too() -> None:
    machine = Machine(a={0: "active", 50: "completed"}, b={0: "active", 60: "failed"})
    machine.trouble[10, 300] = AuthError("refused")

    async def join():
        poller = watcher(machine)
        first = asyncio.create_task(poller.wait(ref("a")))
        await asyncio.sleep(100)
        return await asyncio.gather(first, poller.wait(ref("b")))

    first, second = timeless(join)
    assert (first.state, second.state) == ("completed", "failed")


def test_the_patient_wait_for_a_credential_that_was_never_accepted_and_others_are_told(caplog) -> None:
    machine = Machine(a={0: "active", 50: "completed"}, b={0: "active", 60: "failed"})
    machine.trouble[0, 300] = AuthError("refused")

    async def wait():
        poller = watcher(machine)
        patient = [asyncio.create_task(poller.wait(ref(name), patient=True)) for name in "ab"]
        with pytest.raises(AuthError):
            await poller.wait(ref("b"))
        await asyncio.sleep(100)
        began = seconds()
        with pytest.raises(AuthError):
            await poller.wait(ref("a"))
        assert seconds() - began <= 2 * PACE.quickest, "who is not patient is told soon, not at the slow pace"
        assert poller.watched == 2
        return await asyncio.gather(*patient)

    assert [end.state for end in timeless(wait)] == ["completed", "failed"]
    assert len(machine.requests) <= 30
    assert caplog.text.count("renew it") == 1


def test_an_outage_while_it_is_dead_changes_nothing(caplog) -> None:
    machine = Machine(**{f"j{n}": {0: "active", 500: "completed"} for n in range(5)})
    machine.trouble[30, 1000] = AuthError("refused")
    machine.trouble[1000, 2000] = Unreachable("no answer")
    machine.trouble[2000, 3000] = AuthError("refused")
    caplog.set_level(logging.INFO, LOG)
    ends = watch(machine, *machine.timetable)
    assert all(end.succeeded and when <= 3060 for end, when in ends)
    assert caplog.text.count("renew it") == 1
    assert caplog.text.count("works again") == 1


def test_a_missing_right_for_one_job_is_that_waiters_own() -> None:
    machine = Machine(**{name: {0: "active", 30: "completed"} for name in "ab"}, other={})
    machine.job_trouble["other"] = PermissionDenied("not yours")
    mine, too, other = watch(machine, "a", "b", "other")
    assert mine[0].succeeded
    assert too[0].succeeded
    assert isinstance(other, PermissionDenied)


def test_a_right_that_is_withdrawn_for_one_job_slows_no_other(caplog) -> None:
    machine = Machine(**{name: {0: "active", 2000: "completed"} for name in "ab"})
    machine.job_trouble["b"] = PermissionDenied("not yours any more")

    async def wait():
        poller = watcher(machine)
        del machine.job_trouble["b"]
        waits = [asyncio.create_task(poller.wait(ref(name), pace=PACE)) for name in "ab"]
        await asyncio.sleep(100)
        machine.job_trouble["b"] = PermissionDenied("not yours any more")
        assert (await waits[0]).succeeded
        when = seconds()
        del machine.job_trouble["b"]
        return when, await waits[1]

    when, other = timeless(wait)
    assert when <= 2000 + PACE.slowest
    assert other.succeeded
    assert caplog.text.count("cannot be learned now") == 1


def test_a_plain_token_that_dies_in_mid_wait_is_tried_a_little_longer_and_then_told(caplog) -> None:
    machine = Machine(a={0: "active", 500: "completed"}, b={0: "active", 500: "completed"})
    machine.trouble[30, 4000] = AuthError("refused")

    async def wait():
        poller = watcher(machine, mendable=False)
        patient = asyncio.create_task(poller.wait(ref("b"), patient=True))
        ends = await asyncio.gather(*(poller.wait(ref(name)) for name in "ab"), return_exceptions=True)
        return ends, seconds(), await patient

    ends, when, late = timeless(wait)
    assert all(isinstance(end, AuthError) for end in ends)
    assert 60 <= when <= 120
    assert late.succeeded, "who says so waits on"
    assert "try it a little longer" in caplog.text


def test_a_token_check_in_trouble_for_a_moment_costs_a_plain_token_no_wait() -> None:
    machine = Machine(a={0: "active", 500: "completed"})
    machine.trouble[30, 50] = AuthError("refused")

    async def wait():
        return await watcher(machine, mendable=False).wait(ref("a"))

    assert timeless(wait).succeeded
