"""The Superfacility beside sfapi_client, NERSC's own client: requests for jobs, jobs for one asked for."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from iri_common import Facility, FileLedger, JobKey
from iri_common.auth.client_key import key_from_file
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_local_facility import LocalFacility

from . import astray, ours
from .processes import alone, together
from .table import Row

_PEER = "sfapi_client"


def rows(jobs: int, seconds: float, longest: float, faults: int) -> list[Row]:
    """Jobs that are waited for at once, and those whose first reply goes astray."""
    seen = {name: alone(_jobs, name, [seconds] * jobs) for name in _CLIENTS}
    told = ", ".join(
        f"{name} {each['requests']} requests, {each['p50']:.1f} s" for name, each in seen.items()
    )
    counted = Row(
        f"Superfacility: requests for {jobs} jobs of {seconds:.0f} s",
        "superfacility",
        {name: each["requests"] for name, each in seen.items()},
        target=f"{2 * jobs + 12}",
        met=seen[ours.NAME]["requests"] <= 2 * jobs + 12,
        note=(
            "submitted and waited for at once, each at its own pace; a submit is a request and looks at its "
            f"task. Requests, and median seconds from end to notice: {told}"
        ),
        details=seen,
    )
    once = astray.rows("Superfacility", "superfacility", "sfSubmitJob", _SUBMITS, faults)
    return [counted, _tracked_row(2 * jobs, longest), *once]


def _tracked_row(jobs: int, longest: float) -> Row:
    dice = random.Random(jobs)
    lengths = [dice.uniform(2.0, longest) for _ in range(jobs)]
    seen: dict[str, Any] = together({name: (_jobs, name, lengths) for name in _CLIENTS})
    told = ", ".join(
        f"{name} {each['requests']} requests, {each['p50']:.1f} s" for name, each in seen.items()
    )
    return Row(
        f"Superfacility: requests for {jobs} jobs of mixed lengths",
        "superfacility",
        {name: each["requests"] for name, each in seen.items()},
        note=f"of 2 to {longest:.0f} s; requests, and median seconds from end to notice: {told}",
        details=seen,
    )


def _jobs(name: str, lengths: Sequence[float]) -> dict[str, Any]:
    with LocalFacility(nodes=len(lengths)) as place:
        told = asyncio.run(_CLIENTS[name](place, lengths))
        ends = {job["id"]: job["ended"] for job in place.jobs()}
        asked = {
            operation: sum(by_status.values())
            for operation, by_status in place.summary().items()
            if operation.startswith("sf")
        }
    assert len(told) == len(lengths)
    return {
        "requests": sum(asked.values()),
        "by_operation": asked,
        "p50": statistics.median(told[job_id] - ends[job_id] for job_id in told),
    }


async def _our_jobs(place: LocalFacility, lengths: Sequence[float]) -> dict[str, float]:
    facility = door(place)

    async def one(seconds: float) -> tuple[str, float]:
        spec = {"executable": "/bin/sh", "arguments": ["-c", f"exec sleep {seconds}"]}
        ref = (await facility.aio.jobs.result(await facility.aio.jobs.submit(spec))).ref
        return str(ref.job_id), time.time()

    return dict(await asyncio.gather(*map(one, lengths)))


async def _peers_jobs(place: LocalFacility, lengths: Sequence[float]) -> dict[str, float]:
    async with peer(place) as client:
        machine = await client.compute("perlmutter")

        async def one(seconds: float) -> tuple[str, float]:
            job = await machine.submit_job(f"#!/bin/sh\nexec sleep {seconds}\n")
            await job.complete()
            return str(job.jobid), time.time()

        return dict(await asyncio.gather(*map(one, lengths)))


_CLIENTS: dict[str, Callable[[LocalFacility, Sequence[float]], Any]] = {
    ours.NAME: _our_jobs,
    _PEER: _peers_jobs,
}


def _submit_ours(place: LocalFacility, key: JobKey, script: str) -> str:
    spec = {"executable": "/bin/sh", "arguments": ["-c", script], "name": "case"}
    return str(door(place).jobs.submit(spec, key=key).job_id)


def _submit_theirs(place: LocalFacility, key: JobKey, script: str) -> str:
    async def submit() -> str:
        async with peer(place) as client:
            machine = await client.compute("perlmutter")
            text = f"#!/bin/sh\n#SBATCH --job-name={key.job_name('case')}\n{script}\n"
            return str((await machine.submit_job(text)).jobid)

    return asyncio.run(submit())


_SUBMITS: dict[str, astray.Submit] = {ours.NAME: _submit_ours, _PEER: _submit_theirs}


def door(place: LocalFacility) -> Facility:
    """Ours, with a credential of its own."""
    return Facility(
        place.superfacility_url,
        dialect="superfacility",
        token=PrivateKeyJwt(place.superfacility_token_url, key_from_file(place.superfacility_key)),
        ledger=FileLedger(Path(tempfile.mkdtemp(prefix="iri-bench-ledger-"))),
        directory=str(place.home),
    )


def peer(place: LocalFacility) -> Any:
    """The peer, with a credential of its own."""
    from sfapi_client import AsyncClient

    urls = {"api_base_url": place.superfacility_url, "token_url": place.superfacility_token_url}
    return AsyncClient(key=place.superfacility_key, **urls)
