"""FirecREST beside pyfirecrest, the client of its authors: requests for jobs, a large file up and down."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from iri_common import ClientCredentials, Facility, FileLedger, JobKey, Transfers
from iri_local_facility import LocalFacility

from . import astray, ours
from .parts import BUCKET, KEYS, s3_server
from .processes import alone, together
from .table import Row

SYSTEM = "cluster"
_MIB = 1024 * 1024
_SYNC, _ASYNC = "pyfirecrest", "pyfirecrest, async"


def rows(jobs: int, seconds: float, longest: float, faults: int, mib: int) -> list[Row]:
    """Jobs, faults, then a file of so many MiB; none for 0, as the peer's takes a minute."""
    seen = {name: alone(_jobs, name, [seconds] * jobs) for name in _JOBS}
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
    once = astray.rows("FirecREST", "firecrest", "firecrestSubmit", _SUBMITS, faults)
    return [counted, _tracked_row(2 * jobs, longest), *once, *(_data_rows(mib) if mib else ())]


def _tracked_row(jobs: int, longest: float) -> Row:
    dice = random.Random(jobs)
    lengths = [dice.uniform(2.0, longest) for _ in range(jobs)]
    seen: dict[str, Any] = together({name: (_jobs, name, lengths) for name in _JOBS})
    told = ", ".join(
        f"{name} {each['requests']} requests, {each['p50']:.1f} s" for name, each in seen.items()
    )
    peers = min(seen[_SYNC]["requests"], seen[_ASYNC]["requests"])
    return Row(
        f"FirecREST: requests for {jobs} jobs of mixed lengths",
        "firecrest",
        {ours.NAME: seen[ours.NAME]["requests"], _SYNC: peers},
        target="fewer than the peer",
        met=seen[ours.NAME]["requests"] < peers,
        note=f"of 2 to {longest:.0f} s; requests, and median seconds from end to notice: {told}",
        details=seen,
    )


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


def _jobs(name: str, lengths: Sequence[float]) -> dict[str, Any]:
    with LocalFacility(nodes=len(lengths)) as place:
        told = _JOBS[name](place, lengths)
        ends = {job["id"]: job["ended"] for job in place.jobs()}
        asked = {
            operation: sum(by_status.values())
            for operation, by_status in place.summary().items()
            if operation.startswith("firecrest")
        }
    assert len(told) == len(lengths)
    return {
        "requests": sum(asked.values()),
        "by_operation": asked,
        "p50": statistics.median(told[job_id] - ends[job_id] for job_id in told),
    }


def _our_jobs(place: LocalFacility, lengths: Sequence[float]) -> dict[str, float]:
    facility = door(place)

    async def one(seconds: float) -> tuple[str, float]:
        spec = {"executable": "/bin/sh", "arguments": ["-c", f"exec sleep {seconds}"]}
        ref = (await facility.aio.jobs.result(await facility.aio.jobs.submit(spec))).ref
        return str(ref.job_id), time.time()

    async def all_of_them() -> dict[str, float]:
        return dict(await asyncio.gather(*map(one, lengths)))

    return asyncio.run(all_of_them())


def _threads(place: LocalFacility, lengths: Sequence[float]) -> dict[str, float]:
    import firecrest

    client = firecrest.v2.Firecrest(place.firecrest_url, authorization(place))

    def one(seconds: float) -> tuple[str, float]:
        job_id = client.submit(SYSTEM, str(place.home), script_str=_script(seconds))["jobId"]
        client.wait_for_job(SYSTEM, job_id)
        return job_id, time.time()

    with ThreadPoolExecutor(len(lengths)) as pool:
        return dict(pool.map(one, lengths))


def _gathered(place: LocalFacility, lengths: Sequence[float]) -> dict[str, float]:
    import firecrest

    async def all_of_them() -> dict[str, float]:
        client = firecrest.v2.AsyncFirecrest(place.firecrest_url, authorization(place))

        async def one(seconds: float) -> tuple[str, float]:
            job = await client.submit(SYSTEM, str(place.home), script_str=_script(seconds))
            await client.wait_for_job(SYSTEM, job["jobId"])
            return job["jobId"], time.time()

        try:
            return dict(await asyncio.gather(*map(one, lengths)))
        finally:
            await client.close_session()

    return asyncio.run(all_of_them())


_JOBS: dict[str, Callable[[LocalFacility, Sequence[float]], dict[str, float]]] = {
    ours.NAME: _our_jobs,
    _SYNC: _threads,
    _ASYNC: _gathered,
}


def _submit_ours(place: LocalFacility, key: JobKey, script: str) -> str:
    spec = {"executable": "/bin/sh", "arguments": ["-c", script], "name": "case"}
    return str(door(place).jobs.submit(spec, key=key).job_id)


def _submit_theirs(place: LocalFacility, key: JobKey, script: str) -> str:
    import firecrest

    client = firecrest.v2.Firecrest(place.firecrest_url, authorization(place))
    text = f"#!/bin/sh\n#SBATCH --job-name={key.job_name('case')}\n{script}\n"
    return str(client.submit(SYSTEM, str(place.home), script_str=text)["jobId"])


_SUBMITS: dict[str, astray.Submit] = {ours.NAME: _submit_ours, _SYNC: _submit_theirs}


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
        mine, move = door(place), Transfers()
        return (
            lambda here, there: move.copy(here, mine.files.at(str(there)), allow_job=True),
            lambda there, here: move.copy(mine.files.at(str(there)), here, allow_job=True),
        )
    import firecrest

    client = firecrest.v2.Firecrest(place.firecrest_url, authorization(place))
    return (
        lambda here, there: client.upload(SYSTEM, str(here), str(there.parent), there.name, blocking=True),
        lambda there, here: client.download(SYSTEM, str(there), str(here), blocking=True),
    )


def door(place: LocalFacility) -> Facility:
    """Ours, with a credential of its own."""
    source = ClientCredentials(place.token_url, place.client_id, place.client_secret)
    ledger = FileLedger(Path(tempfile.mkdtemp(prefix="iri-bench-ledger-")))
    return Facility(
        place.firecrest_url, dialect="firecrest", token=source, ledger=ledger, directory=str(place.home)
    )


def authorization(place: LocalFacility) -> Any:
    """The peer's credential."""
    import firecrest

    return firecrest.ClientCredentialsAuth(place.client_id, place.client_secret, place.token_url)


def _script(seconds: float) -> str:
    return f"#!/bin/sh\nexec sleep {seconds}\n"
