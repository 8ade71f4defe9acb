"""The Superfacility beside sfapi_client, NERSC's own client: requests for jobs, jobs for one asked for."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iri_common import Facility, FileLedger
from iri_common.auth.client_key import key_from_file
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_local_facility import LocalFacility

from . import ours
from .processes import alone
from .table import Row

_PEER = "sfapi_client"


def rows(jobs: int, seconds: float) -> list[Row]:
    """Jobs that are waited for at once, and one whose first reply is lost by a gateway."""
    seen = {name: alone(_jobs, name, jobs, seconds) for name in _CLIENTS}
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
    made = {name: alone(_astray, name) for name in _CLIENTS}
    created = Row(
        "Superfacility: jobs for one whose reply a gateway lost",
        "superfacility",
        made,
        target="1",
        met=made[ours.NAME] == 1,
        note="504 after the facility took the job, once; the caller asks once",
        details=made,
    )
    return [counted, created]


def _jobs(name: str, jobs: int, seconds: float) -> dict[str, Any]:
    with LocalFacility(nodes=jobs) as place:
        told = asyncio.run(_CLIENTS[name](place, jobs, seconds))
        ends = {job["id"]: job["ended"] for job in place.jobs()}
        asked = {
            operation: sum(by_status.values())
            for operation, by_status in place.summary().items()
            if operation.startswith("sf")
        }
    assert len(told) == jobs
    return {
        "requests": sum(asked.values()),
        "by_operation": asked,
        "p50": statistics.median(told[job_id] - ends[job_id] for job_id in told),
    }


def _astray(name: str) -> int:
    with LocalFacility(nodes=4) as place:
        place.order("status", "sfSubmitJob", status=504, body="html", when="after")
        with contextlib.suppress(Exception):
            asyncio.run(_CLIENTS[name](place, 1, 0.1))
        return len(place.jobs())


async def _our_jobs(place: LocalFacility, jobs: int, seconds: float) -> dict[str, float]:
    facility = Facility(
        place.superfacility_url,
        dialect="superfacility",
        token=PrivateKeyJwt(place.superfacility_token_url, key_from_file(place.superfacility_key)),
        ledger=FileLedger(Path(tempfile.mkdtemp(prefix="iri-bench-ledger-"))),
        directory=str(place.home),
    )

    async def one() -> tuple[str, float]:
        spec = {"executable": "/bin/sh", "arguments": ["-c", f"exec sleep {seconds}"]}
        ref = (await facility.aio.jobs.result(await facility.aio.jobs.submit(spec))).ref
        return str(ref.job_id), time.time()

    return dict(await asyncio.gather(*(one() for _ in range(jobs))))


async def _peers_jobs(place: LocalFacility, jobs: int, seconds: float) -> dict[str, float]:
    from sfapi_client import AsyncClient

    urls = {"api_base_url": place.superfacility_url, "token_url": place.superfacility_token_url}
    async with AsyncClient(key=place.superfacility_key, **urls) as client:
        machine = await client.compute("perlmutter")

        async def one() -> tuple[str, float]:
            job = await machine.submit_job(f"#!/bin/sh\nexec sleep {seconds}\n")
            await job.complete()
            return str(job.jobid), time.time()

        return dict(await asyncio.gather(*(one() for _ in range(jobs))))


_CLIENTS: dict[str, Callable[[LocalFacility, int, float], Any]] = {
    ours.NAME: _our_jobs,
    _PEER: _peers_jobs,
}
