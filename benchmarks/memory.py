"""Memory and processor that many waits take, at the default pace."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
import tracemalloc
from pathlib import Path
from typing import Any

from iri_common.policy.pace import Pace

from . import ours
from .cpu import settled
from .processes import alone
from .standin import RESOURCE, StandIn, job_id, stand_in
from .table import Row

_MOST_MEGABYTES = 200
_MOST_PERCENT = 5.0
_SLOWEST = Pace().slowest
_ROUNDS = 3  # the last ones tell the pace
_TRACED = 2_000  # jobs where every allocation is traced, which is slow


def rows(jobs: int, seconds: float) -> list[Row]:
    """Waits of one process for so many jobs, watched for some seconds."""
    with stand_in(jobs) as facility:
        plain = alone(_measure, facility, jobs, seconds, False)
        traced = alone(_measure, facility, _TRACED, 0.0, True)
    note = (
        f"{jobs:,} waits of one process through the awaited face, just begun, when looks are most frequent "
        f"(every {plain['period']:.1f} s). A look at all of them takes {plain['round']:.2f} s of processor "
        f"time: looked at every {_SLOWEST:.0f} s, as old jobs are, {100 * plain['round'] / _SLOWEST:.1f} %. "
        "The peers ask job by job, in a loop or a thread of the caller, and cannot be measured so"
    )
    details = {"plain": plain, "traced": traced}

    def row(what: str, value: float, target: str = "", most: float | None = None) -> Row:
        met = None if most is None else value < most
        return Row(what, "memory", {ours.NAME: value}, target, met, note, details=details)

    return [
        row(f"MB of the process, {jobs:,} jobs", plain["peak"], f"< {_MOST_MEGABYTES}", _MOST_MEGABYTES),
        row("kB more per tracked job (RSS)", plain["grown"] * 1000 / jobs),
        row("kB per tracked job (allocated by Python)", traced["allocated"] * 1000 / _TRACED),
        row(
            f"% of a core, {jobs:,} jobs just begun",
            plain["percent"],
            f"< {_MOST_PERCENT:.0f}",
            _MOST_PERCENT,
        ),
    ]


def _measure(facility: StandIn, jobs: int, seconds: float, traced: bool) -> dict[str, Any]:
    return asyncio.run(_watch(facility, jobs, seconds, traced))


async def _watch(facility: StandIn, jobs: int, seconds: float, traced: bool) -> dict[str, Any]:
    door = ours.open_facility(facility.root, "benchmark")
    await door.aio.jobs.status(ours.reference(facility.root, RESOURCE, job_id(0)))  # all modules are loaded
    refs = [ours.reference(facility.root, RESOURCE, job_id(number)) for number in range(jobs)]
    gc.collect()
    if traced:
        tracemalloc.start()
    before = _resident()
    earlier = facility.seen()["told"]
    waiting = asyncio.ensure_future(ours.wait_all(door, refs))
    await settled(facility, earlier + 2 * jobs)
    before_window, spent = facility.seen()["told"], time.process_time()
    await asyncio.sleep(seconds)
    spent, told = time.process_time() - spent, facility.seen()["told"] - before_window
    gc.collect()
    rounds = facility.rounds()[-_ROUNDS:]
    period = (rounds[-1] - rounds[0]) / (len(rounds) - 1)
    whole = spent / told * jobs if told else 0.0  # of one look at all jobs, wherever the window cut
    result = {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_UNITS,
        "grown": _resident() - before,
        "allocated": tracemalloc.get_traced_memory()[0] / 1e6 if traced else 0.0,
        "round": whole,
        "period": period,
        "percent": 100 * whole / period,
        "seen": dict(facility.seen()),
    }
    waiting.cancel()
    return result


_STATM = Path("/proc/self/statm")
_MAXRSS_UNITS = 1e3 if _STATM.exists() else 1e6  # kilobytes on Linux, bytes on macOS


def _resident() -> float:
    """Megabytes in memory now; where the system does not tell, the most there ever were."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_UNITS
