"""Requests that the facility sees for 100 tracked jobs, when every client notices their ends as soon."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from iri_local_facility import LocalFacility

from . import ours
from .clients import PEERS, spec_of
from .processes import alone, together
from .table import Row, percentile

_SHORTEST = 2.0
_SHARE = 0.95  # of an interval that has passed, at the 95th percentile of notices


def rows(jobs: int, longest: float) -> list[Row]:
    """Ours first; then the peers, each polling at the interval that gives our notice."""
    seen = {ours.NAME: alone(_watch, ours.NAME, jobs, longest, 0.0)}
    interval = seen[ours.NAME]["p95"] / _SHARE
    seen |= together({name: (_watch, name, jobs, longest, interval) for name in PEERS})
    scale = 100 / jobs
    requests = {name: each["requests"] * scale for name, each in seen.items()}
    notices = ", ".join(f"{name} {each['p95']:.1f}" for name, each in seen.items())
    return [
        Row(
            "requests for 100 tracked jobs",
            "tracked",
            requests,
            target="fewer than each peer",
            met=requests[ours.NAME] < min(requests[name] for name in PEERS),
            note=f"{jobs} jobs of {_SHORTEST:.0f} to {longest:.0f} s; 95 % of the ends noticed within (s): "
            f"{notices}; peers ask every {interval:.1f} s",
            details=seen,
        )
    ]


def _watch(client: str, jobs: int, longest: float, interval: float) -> dict[str, Any]:
    with LocalFacility(nodes=jobs) as facility:
        resource_id, job_ids = _submit(facility, jobs, longest)
        facility.reset_requests()
        if client == ours.NAME:
            told = _ours(facility.url, facility.token, resource_id, job_ids)
        else:
            told = _peer(client, facility.url, facility.token, resource_id, job_ids, interval)
        ends = {job["id"]: job["ended"] for job in facility.jobs()}
        notices = [told[job_id] - ends[job_id] for job_id in job_ids]
        summary = facility.summary()
    looks = {name: sum(by_status.values()) for name, by_status in summary.items()}
    return {
        "requests": sum(looks.values()),
        "by_operation": looks,
        "p50": percentile(notices, 50),
        "p95": percentile(notices, 95),
    }


def _submit(facility: LocalFacility, jobs: int, longest: float) -> tuple[str, list[str]]:
    lengths = random.Random(jobs)
    headers = {"Authorization": f"Bearer {facility.token}"}
    with httpx.Client(base_url=facility.base_url, headers=headers, timeout=30) as api:
        resource_id = api.get("/compute/resources").json()[0]["id"]
        ids = []
        for number in range(jobs):
            spec = spec_of(f"tracked-{number}", f"exec sleep {lengths.uniform(_SHORTEST, longest):.2f}")
            ids.append(api.post(f"/compute/job/{resource_id}", json=spec).raise_for_status().json()["id"])
    return resource_id, ids


def _ours(root: str, token: str, resource_id: str, job_ids: list[str]) -> dict[str, float]:
    facility = ours.open_facility(root, token)
    refs = [ours.reference(root, resource_id, job_id) for job_id in job_ids]
    return asyncio.run(ours.wait_all(facility, refs))


def _peer(
    name: str, root: str, token: str, resource_id: str, job_ids: list[str], interval: float
) -> dict[str, float]:
    client = PEERS[name](root, token, resource_id)

    def one(number: int) -> float:
        time.sleep(interval * number / len(job_ids))  # callers do not look all in the same instant
        client.wait(job_ids[number], interval)
        return time.time()

    with ThreadPoolExecutor(len(job_ids)) as pool:
        return dict(zip(job_ids, pool.map(one, range(len(job_ids))), strict=True))
