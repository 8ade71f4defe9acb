"""A job that is not listed any more: late, a case for the witness, or lost."""

from __future__ import annotations

import asyncio

import pytest
from jobs_world import ref, seconds, status, timeless
from watch_world import Machine, watch, watcher

from iri_common import JobLost, JobState, Refused, Unreachable


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


def test_a_time_without_looks_proves_nothing() -> None:
    machine = Machine(a={0: "active", 20: None, 650: "completed"})
    machine.trouble[25, 590] = Unreachable("no answer")
    ((end, _),) = watch(machine, "a")
    assert end.succeeded


class Journal:
    """A witness with a timetable: an error to raise, or what to say; each from a second on."""

    def __init__(self, told: dict[float, object]) -> None:
        self.told = told
        self.asked: list[float] = []

    async def __call__(self, job):
        self.asked.append(seconds())
        await asyncio.sleep(1)
        (told,) = [what for since, what in self.told.items() if since <= seconds()][-1:]
        if isinstance(told, BaseException):
            raise told
        return told


@pytest.mark.parametrize("state", ["completed", "failed", "canceled"])
def test_the_witness_decides_how_a_vanished_job_ended(state: str) -> None:
    machine = Machine(a={0: "active", 20: None})
    journal = Journal({0: status(state, 3 if state == "failed" else None)})
    told = []
    ((end, when),) = watch(machine, "a", witness=journal, on_change=told.append)
    assert end.state == state
    assert 80 <= when <= 120, "after the grace"
    assert [each.state for each in told] == ["active", state]
    if state == "failed":
        assert end.reason == "exit_code"


def test_a_witness_that_knows_nothing_leaves_the_job_lost() -> None:
    (lost,) = watch(Machine(a={0: "active", 20: None}), "a", witness=Journal({0: None}))
    assert isinstance(lost, JobLost)


def test_a_job_that_began_is_waited_for_longer_and_its_witness_asked_again() -> None:
    journal = Journal({0: status("active"), 500: status("completed", 0)})
    ((end, when),) = watch(Machine(a={0: "active", 20: None}), "a", witness=journal)
    assert end.succeeded
    assert 500 <= when <= 600
    assert len(journal.asked) <= 10


def test_a_job_that_began_and_never_tells_its_end_is_lost_in_the_end() -> None:
    journal = Journal({0: status("active")})

    async def wait():
        with pytest.raises(JobLost):
            await watcher(Machine(a={0: "active", 20: None}), journal).wait(ref("a"))
        return seconds()

    assert 600 <= timeless(wait) <= 1200
    assert len(journal.asked) <= 20


@pytest.mark.parametrize("error", [Unreachable("no answer"), ZeroDivisionError("a bug"), TimeoutError()])
def test_a_witness_that_fails_loses_nobody(error: Exception) -> None:
    journal = Journal({0: error, 5000: status("completed", 0)})
    ((end, when),) = watch(Machine(a={0: "active", 20: None}), "a", witness=journal)
    assert end.succeeded
    assert 5000 <= when <= 5100
    assert len(journal.asked) <= 5000 / 60 + 2


def test_a_job_that_comes_back_while_the_witness_is_asked_ends_as_the_facility_says() -> None:
    class Slow(Journal):
        async def __call__(self, job):
            await asyncio.sleep(50)
            return await super().__call__(job)

    machine = Machine(a={0: "active", 20: None, 90: "active", 200: "failed"})
    ((end, _),) = watch(machine, "a", witness=Slow({0: status("completed", 0)}))
    assert end.state is JobState.FAILED


def test_a_slow_witness_delays_no_other_job() -> None:
    async def slow(job):
        await asyncio.sleep(250)
        return status("completed", 0)

    machine = Machine(a={0: "active", 20: None}, b={0: "active", 100: "completed"})
    first, second = watch(machine, "a", "b", witness=slow)
    assert first[0].succeeded
    assert second[1] <= 115
