"""FirecREST beside pyfirecrest, the client of its authors: requests for jobs, a large file up and down."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from iri_common import ClientCredentials, Facility, FileLedger, Transfers
from iri_local_facility import LocalFacility

from . import ours
from .parts import BUCKET, KEYS, s3_server
from .processes import alone
from .table import Row

SYSTEM = "cluster"
_MIB = 1024 * 1024
_SYNC, _ASYNC = "pyfirecrest", "pyfirecrest, async"


def rows(jobs: int, seconds: float, mib: int) -> list[Row]:
    """Jobs, then a file of so many MiB; none for 0, as the peer's takes a minute."""
    seen = {name: alone(_jobs, name, jobs, seconds) for name in _JOBS}
    peers = min(seen[_SYNC]["requests"], seen[_ASYNC]["requests"])
    mine = seen[ours.NAME]
    told = ", ".join(
        f"{name} {each['requests']} requests, {each['p50']:.1f} s" for name, each in seen.items()
    )
    counted = Row(
        f"FirecREST: requests for {jobs} jobs of {seconds:.0f} s",
        "firecrest",
        {ours.NAME: mine["requests"], _SYNC: peers},
        target=f"{jobs + 8}",
        met=mine["requests"] <= jobs + 8,
        note=f"submitted and waited for at once; requests, and median seconds from end to notice: {told}",
        details=seen,
    )
    return [counted, *(_data_rows(mib) if mib else ())]


def _data_rows(mib: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as url:
        seen = {name: alone(_data, name, url, mib) for name in (ours.NAME, _SYNC)}
    told = ", ".join(
        f"{name} {each['up']:.1f} s and {each['up requests']} requests up, {each['down']:.1f} s and "
        f"{each['down requests']} down"
        for name, each in seen.items()
    )
    note = (
        "the facility's own job looks for an upload once a minute, as the real one does; ours takes parts "
        f"that a job joins where that is sooner, and compares SHA-256. {told}"
    )
    return [
        Row(
            f"FirecREST: {mib} MiB {way}, s",
            "firecrest",
            {name: each[way] for name, each in seen.items()},
            target="sooner than the peer" if way == "up" else "",
            met=seen[ours.NAME][way] < seen[_SYNC][way] if way == "up" else None,
            note=note,
            details=seen,
        )
        for way in ("up", "down")
    ]


# ----------------------------------------------------------------------------------------------- jobs


def _jobs(name: str, jobs: int, seconds: float) -> dict[str, Any]:
    with LocalFacility(nodes=jobs) as place:
        told = _JOBS[name](place, jobs, seconds)
        ends = {job["id"]: job["ended"] for job in place.jobs()}
        asked = {
            operation: sum(by_status.values())
            for operation, by_status in place.summary().items()
            if operation.startswith("firecrest")
        }
    assert len(told) == jobs
    return {
        "requests": sum(asked.values()),
        "by_operation": asked,
        "p50": statistics.median(told[job_id] - ends[job_id] for job_id in told),
    }


def _our_jobs(place: LocalFacility, jobs: int, seconds: float) -> dict[str, float]:
    facility = _door(place)

    async def one() -> tuple[str, float]:
        spec = {"executable": "/bin/sh", "arguments": ["-c", f"exec sleep {seconds}"]}
        ref = (await facility.aio.jobs.result(await facility.aio.jobs.submit(spec))).ref
        return str(ref.job_id), time.time()

    async def all_of_them() -> dict[str, float]:
        return dict(await asyncio.gather(*(one() for _ in range(jobs))))

    return asyncio.run(all_of_them())


def _threads(place: LocalFacility, jobs: int, seconds: float) -> dict[str, float]:
    import firecrest

    client = firecrest.v2.Firecrest(place.firecrest_url, _authorization(place))

    def one(_: int) -> tuple[str, float]:
        job_id = client.submit(SYSTEM, str(place.home), script_str=_script(seconds))["jobId"]
        client.wait_for_job(SYSTEM, job_id)
        return job_id, time.time()

    with ThreadPoolExecutor(jobs) as pool:
        return dict(pool.map(one, range(jobs)))


def _gathered(place: LocalFacility, jobs: int, seconds: float) -> dict[str, float]:
    import firecrest

    async def all_of_them() -> dict[str, float]:
        client = firecrest.v2.AsyncFirecrest(place.firecrest_url, _authorization(place))

        async def one() -> tuple[str, float]:
            job = await client.submit(SYSTEM, str(place.home), script_str=_script(seconds))
            await client.wait_for_job(SYSTEM, job["jobId"])
            return job["jobId"], time.time()

        try:
            return dict(await asyncio.gather(*(one() for _ in range(jobs))))
        finally:
            await client.close_session()

    return asyncio.run(all_of_them())


_JOBS: dict[str, Callable[[LocalFacility, int, float], dict[str, float]]] = {
    ours.NAME: _our_jobs,
    _SYNC: _threads,
    _ASYNC: _gathered,
}


# ----------------------------------------------------------------------------------------------- data


def _data(name: str, url: str, mib: int) -> dict[str, Any]:
    with (
        LocalFacility(nodes=4, s3=(url, BUCKET, KEYS["AWS_DEFAULT_REGION"])) as place,
        tempfile.TemporaryDirectory() as folder,
    ):
        source, back, there = Path(folder) / "source", Path(folder) / "back", place.home / "there"
        source.write_bytes(os.urandom(mib * _MIB))
        up, down = _data_ways(name, place)
        seen: dict[str, Any] = {}
        for way, move in (("up", lambda: up(source, there)), ("down", lambda: down(there, back))):
            place.reset_requests()
            begun = time.monotonic()
            move()
            seen[way] = time.monotonic() - begun
            seen[f"{way} requests"] = sum(1 for each in place.requests() if "/firecrest/" in each["path"])
        assert source.read_bytes() == there.read_bytes() == back.read_bytes()
        return seen


def _data_ways(name: str, place: LocalFacility) -> tuple[Callable[..., Any], Callable[..., Any]]:
    if name == ours.NAME:
        door, move = _door(place), Transfers()
        return (
            lambda here, there: move.copy(here, door.files.at(str(there)), allow_job=True),
            lambda there, here: move.copy(door.files.at(str(there)), here, allow_job=True),
        )
    import firecrest

    client = firecrest.v2.Firecrest(place.firecrest_url, _authorization(place))
    return (
        lambda here, there: client.upload(SYSTEM, str(here), str(there.parent), there.name, blocking=True),
        lambda there, here: client.download(SYSTEM, str(there), str(here), blocking=True),
    )


def _door(place: LocalFacility) -> Facility:
    source = ClientCredentials(place.token_url, place.client_id, place.client_secret)
    ledger = FileLedger(Path(tempfile.mkdtemp(prefix="iri-bench-ledger-")))
    return Facility(
        place.firecrest_url, dialect="firecrest", token=source, ledger=ledger, directory=str(place.home)
    )


def _authorization(place: LocalFacility) -> Any:
    import firecrest

    return firecrest.ClientCredentialsAuth(place.client_id, place.client_secret, place.token_url)


def _script(seconds: float) -> str:
    return f"#!/bin/sh\nexec sleep {seconds}\n"
