"""Faults drawn at random, look by look: no waiter is lost, and none is told a wrong end."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs_world import ref, seconds, timeless
from watch_world import PACE, Machine, watcher

from iri_common import (
    AuthError,
    PermissionDenied,
    RateLimited,
    Refused,
    ReplyError,
    TransientError,
    Unreachable,
)

CALM = 2000.0  # seconds: no fault after that
HEALED = 700.0  # ... and so much later everybody knows: a list is left alone for ten minutes at most

errors = st.sampled_from(
    [
        Unreachable("no answer"),
        AuthError("refused"),
        PermissionDenied("no such token"),
        RateLimited("slowly"),
        ReplyError("not JSON"),
        TransientError("502"),
        TimeoutError(),
        ZeroDivisionError("a bug"),
        asyncio.CancelledError(),
    ]
)
moments = st.floats(3.0, CALM - 400)
spans = st.floats(1.0, 400.0)
windows = st.tuples(moments, spans).map(lambda each: (each[0], each[0] + each[1]))
list_faults = errors | st.sampled_from(
    [lambda rows: [], lambda rows: rows[:1], lambda rows: rows[1:], lambda rows: rows[::2] * 2]
)


@dataclass
class Weather:
    """What happens in one run."""

    ends: list[tuple[float, str]]
    pauses: list[tuple[int, float]]
    faults: dict
    list_faults: dict
    job_faults: dict
    kills: list[float]
    archive: int | None
    slow: float


weathers = st.builds(
    Weather,
    ends=st.lists(
        st.tuples(st.floats(5.0, CALM), st.sampled_from(["completed", "failed", "canceled"])),
        min_size=1,
        max_size=12,
    ),
    pauses=st.lists(st.tuples(st.integers(0, 11), st.floats(5.0, CALM - 100)), max_size=4),
    faults=st.dictionaries(windows, errors, max_size=6),
    list_faults=st.dictionaries(windows, list_faults, max_size=4),
    job_faults=st.dictionaries(st.integers(0, 11), errors, max_size=3),
    kills=st.lists(moments, max_size=3),
    archive=st.sampled_from([None, 0, 1500]),
    slow=st.sampled_from([0.0, 0.3, 15.0]),
)


def machine_in(weather: Weather) -> Machine:
    """The facility: jobs that end once, are absent for a while, and answer as the weather lets them."""
    tables: dict[str, dict[float, str | None]] = {}
    for number, (end, state) in enumerate(weather.ends):
        table: dict[float, str | None] = {0.0: "active"}
        for which, start in weather.pauses:
            if which == number and start + 40 < end:
                table |= {start: None, start + 40: "active"}
        tables[f"j{number}"] = dict(sorted({**table, end: state}.items()))
    machine = Machine(**tables)
    machine.trouble, machine.list_troubles = dict(weather.faults), dict(weather.list_faults)
    machine.archive = weather.archive
    return machine


async def run(weather: Weather) -> tuple[dict[str, str], dict[str, float]]:
    """Wait for all jobs, some twice; gives how they ended and when that was known."""
    machine, ends, known = machine_in(weather), {}, {}
    poller = watcher(machine)

    async def one(job_id: str) -> None:
        def upset(_: object) -> None:
            raise RuntimeError("a callback of a closed loop")

        ends[job_id] = str((await poller.wait(ref(job_id), upset, pace=PACE)).state)
        known[job_id] = seconds()

    waits = [asyncio.create_task(one(job_id)) for job_id in machine.timetable]
    leavers = [asyncio.create_task(poller.wait(ref(job_id))) for job_id in machine.timetable]
    await asyncio.sleep(2.9)  # everybody has been seen
    machine.slow = weather.slow
    machine.job_trouble = {f"j{which}": error for which, error in weather.job_faults.items()}
    for each in leavers[::2]:
        each.cancel()
    for moment in sorted(weather.kills):
        await asyncio.sleep(max(0.0, moment - seconds()))
        for task in asyncio.all_tasks():
            if task.get_name().startswith("watch "):
                task.cancel()
    await asyncio.sleep(max(0.0, CALM - seconds()))
    machine.job_trouble = {}
    await asyncio.gather(*waits, *leavers[1::2])
    await asyncio.gather(*leavers, return_exceptions=True)
    assert poller.watched == 0
    return ends, known


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """What is logged in a thousand storms is of no interest, and takes most of the time."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@settings(max_examples=60)
@given(weathers)
def test_in_any_weather_no_waiter_is_lost_and_none_is_told_a_wrong_end(weather: Weather) -> None:
    ends, known = timeless(lambda: run(weather), limit=10 * CALM)
    assert ends == {f"j{number}": state for number, (_, state) in enumerate(weather.ends)}
    for number, (end, _) in enumerate(weather.ends):
        assert end <= known[f"j{number}"] <= max(end, CALM) + HEALED


@settings(max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 8))
def test_a_job_is_lost_only_after_looks_that_did_not_find_it_for_a_minute(absences, jobs: int) -> None:
    """Absent and present by turns of twenty seconds: lost only where three turns in a row were absent."""
    table: dict[float, str | None] = {0.0: "active"}
    for number, absent in enumerate(absences):
        table[10.0 + 20 * number] = None if absent else "active"
    table[10.0 + 20 * len(absences)] = "completed"
    machine = Machine(**{f"j{number}": table for number in range(jobs)})

    async def one() -> str:
        poller = watcher(machine)
        others = [asyncio.create_task(poller.wait(ref(f"j{number}"))) for number in range(1, jobs)]
        try:
            return str((await poller.wait(ref("j0"))).state)
        except Refused:
            raise
        except Exception as error:
            return type(error).__name__
        finally:
            await asyncio.gather(*others, return_exceptions=True)

    runs = "".join("x" if absent else " " for absent in absences).split()
    longest = max(map(len, runs), default=0)
    end = timeless(one)
    assert end == "completed" or (end == "JobLost" and longest >= 3)
    if longest <= 2:
        assert end == "completed"
