"""Processor time that a client spends to learn once how one tracked job is."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from . import ours
from .clients import PEERS
from .processes import alone
from .standin import RESOURCE, StandIn, job_id, stand_in
from .table import Row

_PACE = 0.5  # seconds between two looks, so that a window of some seconds holds many
_PAGE = 1000  # jobs, the most that the IRI list gives at once
_MICRO = 1e6


def rows(sizes: tuple[int, ...], seconds: float, looks: int) -> list[Row]:
    """A row a number of jobs.

    Args:
        sizes: Numbers of tracked jobs.
        seconds: How long ours is watched at each.
        looks: That a peer makes at each, job after job; more would not change the cost of one.
    """
    note = (
        "Processor time of the client's whole process, over the public face of each; the facility answers "
        f"from prepared bytes in another process. Peers ask job by job, {looks:,} times"
    )
    made: list[Row] = []
    for jobs in sizes:
        with stand_in(jobs) as facility:
            measured = {ours.NAME: alone(_ours, facility, jobs, seconds)}
            for name in PEERS:
                measured[name] = alone(_peer, name, facility, jobs, looks)
        values = {name: each["micros"] for name, each in measured.items()}
        requests = {name: each["requests"] / each["looks"] * jobs for name, each in measured.items()}
        pages = math.ceil(jobs / _PAGE)
        made += [
            Row(
                f"requests to see each of {jobs:,} jobs once",
                "cpu",
                requests,
                target=f"{pages}, the pages of the list",
                met=round(requests[ours.NAME]) <= pages,
                note=note,
            ),
            Row(
                f"CPU µs per job and look, {jobs:,} jobs",
                "cpu",
                values,
                target="less than each peer",
                met=values[ours.NAME] < min(values[name] for name in PEERS),
                note=note,
                details=measured,
            ),
        ]
    return sorted(made, key=lambda row: row.what.startswith("CPU"))


def _ours(facility: StandIn, jobs: int, seconds: float) -> dict[str, Any]:
    return asyncio.run(_watch(facility, jobs, seconds))


async def _watch(facility: StandIn, jobs: int, seconds: float) -> dict[str, Any]:
    door = ours.open_facility(facility.root, "benchmark", poll_seconds=_PACE)
    refs = [ours.reference(facility.root, RESOURCE, job_id(number)) for number in range(jobs)]
    earlier = facility.seen()["told"]
    waiting = asyncio.ensure_future(ours.wait_all(door, refs))
    await settled(facility, earlier + 2 * jobs)
    before, spent = facility.seen(), time.process_time()
    await asyncio.sleep(seconds)
    spent, after = time.process_time() - spent, facility.seen()
    waiting.cancel()
    told = after["told"] - before["told"]
    requests = sum(after[kind] - before[kind] for kind in ("lists", "looks"))
    return {"micros": spent / told * _MICRO, "looks": told, "requests": requests, "cpu_seconds": spent}


async def settled(facility: StandIn, told: int, pause: float = 0.3) -> None:
    """Wait until the facility has told of so many jobs, so that what joining costs is over."""
    deadline = time.monotonic() + 180
    while facility.seen()["told"] < told:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the facility was not asked for {told} jobs: {facility.seen()}")
        await asyncio.sleep(pause)


def _peer(name: str, facility: StandIn, jobs: int, looks: int) -> dict[str, Any]:
    client = PEERS[name](facility.root, "benchmark", RESOURCE)
    for number in range(10):  # connections and caches are there before the clock starts
        client.look(job_id(number))
    spent = time.process_time()
    for number in range(looks):
        state = client.look(job_id(number % jobs))
        assert state == "active", state
    spent = time.process_time() - spent
    return {"micros": spent / looks * _MICRO, "looks": looks, "requests": looks, "cpu_seconds": spent}
