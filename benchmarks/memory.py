"""Memory and processor that many waits take, at the default pace."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
import tracemalloc
from pathlib import Path
from typing import Any

from . import ours
from .cpu import settled
from .processes import alone
from .standin import RESOURCE, StandIn, job_id, stand_in
from .table import Row

_PROMISED = 10_000  # jobs that the targets speak of
_MOST_MEGABYTES = 200
_MOST_PERCENT = 5.0
_TRACED = 2_000  # jobs where every allocation is traced, which is slow


def rows(jobs: int) -> list[Row]:
    """Waits of one process for so many jobs."""
    with stand_in(jobs) as facility:
        plain = alone(_measure, facility, jobs, False)
        traced = alone(_measure, facility, _TRACED, True)
    note = (
        f"{jobs:,} waits of one process through the awaited face, just begun: a look at all of them every "
        f"{plain['period']:.1f} s, which takes {plain['round']:.2f} s of processor time. "
        "The peers ask job by job, in a loop or a thread of the caller, and cannot be measured so"
    )
    details = {"plain": plain, "traced": traced}

    def row(what: str, value: float, target: str = "", most: float | None = None) -> Row:
        if jobs < _PROMISED:
            target, most = "", None
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


def _measure(facility: StandIn, jobs: int, traced: bool) -> dict[str, Any]:
    return asyncio.run(_watch(facility, jobs, traced))


async def _watch(facility: StandIn, jobs: int, traced: bool) -> dict[str, Any]:
    door = ours.open_facility(facility.root, "benchmark")
    await door.aio.jobs.status(ours.reference(facility.root, RESOURCE, job_id(0)))  # all modules are loaded
    refs = [ours.reference(facility.root, RESOURCE, job_id(number)) for number in range(jobs)]
    gc.collect()
    if traced:
        tracemalloc.start()
    before = _resident()
    earlier = facility.seen()["told"]
    waiting = asyncio.ensure_future(ours.wait_all(door, refs))
    await settled(facility, earlier + jobs)
    result = {"allocated": tracemalloc.get_traced_memory()[0] / 1e6} if traced else {}
    if not traced:
        result = await _cost(facility, jobs) | {
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_UNITS,
            "grown": _resident() - before,
        }
    waiting.cancel()
    return result


async def _cost(facility: StandIn, jobs: int) -> dict[str, float]:
    """Of a look at all jobs: processor time, and seconds until the next."""
    told, first, spent = facility.seen()["told"], len(facility.rounds()), time.process_time()
    await settled(facility, told + 2 * jobs, pause=3.0)  # asking takes time, too
    spent, told = time.process_time() - spent, facility.seen()["told"] - told
    rounds = facility.rounds()[first - 1 :]
    period = (rounds[-1] - rounds[0]) / (len(rounds) - 1)
    whole = spent / told * jobs  # wherever the counting began
    gc.collect()
    return {"round": whole, "period": period, "percent": 100 * whole / period}


_STATM = Path("/proc/self/statm")
_MAXRSS_UNITS = 1e3 if _STATM.exists() else 1e6  # kilobytes on Linux, bytes on macOS


def _resident() -> float:
    """Megabytes in memory now; where the system does not tell, the most there ever were."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_UNITS
