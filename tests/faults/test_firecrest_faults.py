"""FirecREST under orders: whatever becomes of its reply to a submit, there is one job, and it works once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from iri_common import Facility, FileLedger, IriError, JobKey, JobRef
from iri_local_facility import LocalFacility

ASKS = 3  # as an engine with retries=2 asks
LONGEST = 60.0  # seconds until all of it is settled
STATUSES = (408, 424, 500, 502, 503, 504)

FAULTS = {
    "reply lost": ("lose_reply", {}),
    "reply cut short": ("cut", {}),
    "201, an HTML page": ("garble", {"body": "html"}),
    "201, half of the JSON": ("garble", {"body": "truncated"}),
    "201, nothing": ("garble", {"body": "empty"}),
    "connection reset": ("reset", {}),
    "429, Retry-After": ("status", {"status": 429, "retry_after": 1}),
    **{f"{code} after": ("status", {"status": code, "when": "after"}) for code in STATUSES},
    **{f"{code} before": ("status", {"status": code}) for code in STATUSES},
    **{
        f"{code} page after": ("status", {"status": code, "when": "after", "body": "html"})
        for code in STATUSES
    },
}


@dataclass(frozen=True)
class Fate:
    """What became of one ask: the jobs made, how often they worked, and the one that the caller was told."""

    jobs: list[str]
    worked: int
    told: str | None

    @property
    def is_one_job(self) -> bool:
        """One that worked, once, and the caller knows it; any other is a double that ended itself."""
        return self.worked == 1 and self.told in self.jobs


def _key(fault: str) -> JobKey:
    return JobKey.of("firecrest faults", fault)


async def _ask(facility: Facility, fault: str, script: str) -> JobRef | None:
    spec = {"executable": "/bin/sh", "arguments": ["-c", script], "name": "counted"}
    for _ in range(ASKS):
        try:
            return await facility.aio.jobs.submit(spec, key=_key(fault))
        except IriError:
            await asyncio.sleep(0.2)
    return None


async def _ask_all(place: LocalFacility, marks: dict[str, Path], ledgers: Path) -> dict[str, JobRef | None]:
    doors = {
        fault: Facility(
            place.firecrest_url,
            dialect="firecrest",
            token=place.new_token(),
            directory=str(place.home),
            ledger=FileLedger(ledgers / str(number)),
        )
        for number, fault in enumerate(FAULTS)
    }
    async with asyncio.timeout(LONGEST):
        refs = await asyncio.gather(
            *(_ask(doors[fault], fault, f"echo $$ >> {marks[fault]}; sleep 0.1") for fault in FAULTS)
        )
    return dict(zip(FAULTS, refs, strict=True))


@pytest.mark.usefixtures("in_a_hurry")
def test_one_job_asked_for_is_one_job(tmp_path: Path) -> None:
    with LocalFacility(nodes=2 * len(FAULTS)) as place:
        marks = {fault: place.scratch / f"marks-{number}" for number, fault in enumerate(FAULTS)}
        for fault, (kind, options) in FAULTS.items():
            place.order(kind, "firecrestSubmit", job=_key(fault).job_name("counted"), **options)
        told = asyncio.run(_ask_all(place, marks, tmp_path))
        until = time.monotonic() + 60
        while any(job["ended"] is None for job in place.jobs()):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert [each["struck"] for each in place.faults()] == [1] * len(FAULTS)
        fates = {fault: _fate(place, fault, marks[fault], told[fault]) for fault in FAULTS}
    assert {fault: fate for fault, fate in fates.items() if not fate.is_one_job} == {}
    assert sum(len(fate.jobs) for fate in fates.values()) <= len(FAULTS) + 2


def _fate(place: LocalFacility, fault: str, marks: Path, told: JobRef | None) -> Fate:
    jobs = [job["id"] for job in place.jobs() if _key(fault).digest in job["name"]]
    worked = len(marks.read_text().splitlines()) if marks.exists() else 0
    return Fate(jobs, worked, told.job_id if told else None)
