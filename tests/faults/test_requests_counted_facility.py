"""What the facility sees of us: how many requests, tokens and jobs, whatever happens to its replies.

Counts only, taken from the facility's log and from what really ran.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iri_common import ClientCredentials, Facility, FileLedger, IriError, JobKey, JobRef
from iri_local_facility import LocalFacility

ASKS = 3  # as an engine with retries=2 asks
LONGEST = 120.0  # seconds until all of it is settled

AFTER_ACCEPTING = {
    "reply lost": ("lose_reply", {}),
    "reply cut short": ("cut", {}),
    "200, an HTML page": ("garble", {"body": "html"}),
    "200, half of the JSON": ("garble", {"body": "truncated"}),
    "200, nothing": ("garble", {"body": "empty"}),
    "adapter raised": ("adapter_error", {}),
    **{f"{code} after": ("status", {"status": code, "when": "after"}) for code in (500, 502, 503, 504)},
    **{
        f"{code} page after": ("status", {"status": code, "when": "after", "body": "html"})
        for code in (500, 502, 503, 504)
    },
}
BEFORE_ACCEPTING = {
    "connection reset": ("reset", {}),
    "429": ("status", {"status": 429}),
    "429, Retry-After": ("status", {"status": 429, "retry_after": 1}),
    **{f"{code} before": ("status", {"status": code}) for code in (500, 502, 503, 504)},
}
FAULTS = AFTER_ACCEPTING | BEFORE_ACCEPTING


@dataclass(frozen=True)
class Fate:
    """What became of one ask: the jobs made, how often they worked, and the one that the caller was told."""

    jobs: list[str]
    worked: int
    told: JobRef | None

    @property
    def is_one_job(self) -> bool:
        """One at the facility, run once, and the one that the caller knows."""
        return self.worked == 1 and self.told is not None and self.jobs == [self.told.job_id]


def _key(fault: str) -> JobKey:
    return JobKey.of("counted", fault)


async def _ask(facility: Facility, fault: str, script: str) -> JobRef | None:
    spec = {"executable": "/bin/sh", "arguments": ["-c", script], "name": "counted"}
    for _ in range(ASKS):
        try:
            return await facility.aio.jobs.submit(spec, key=_key(fault))
        except IriError:
            await asyncio.sleep(0.2)
    return None


def test_one_job_asked_for_is_one_job(tmp_path):
    """Under each fault, side by side: most of the time goes into looking twice before asking twice."""
    with LocalFacility(nodes=2 * len(FAULTS)) as place:
        marks = {fault: place.scratch / f"marks-{number}" for number, fault in enumerate(FAULTS)}
        for fault, (kind, options) in FAULTS.items():
            place.order(kind, "launchJob", job=_key(fault).job_name("counted"), **options)
        told = asyncio.run(_ask_all(place, marks, tmp_path))
        _wait_for_the_end(place)
        assert [each["struck"] for each in place.faults()] == [1] * len(FAULTS)
        fates = {fault: Fate(_jobs(place, fault), _lines(marks[fault]), told[fault]) for fault in FAULTS}
    assert {fault: fate for fault, fate in fates.items() if not fate.is_one_job} == {}


async def _ask_all(place: LocalFacility, marks: dict[str, Path], ledgers: Path) -> dict[str, JobRef | None]:
    doors = {
        fault: Facility(place.base_url, token=place.new_token(), ledger=FileLedger(ledgers / str(number)))
        for number, fault in enumerate(FAULTS)
    }
    async with asyncio.timeout(LONGEST):
        refs = await asyncio.gather(
            *(_ask(doors[fault], fault, f"echo $$ >> {marks[fault]}; sleep 0.1") for fault in FAULTS)
        )
    return dict(zip(FAULTS, refs, strict=True))


def _jobs(place: LocalFacility, fault: str) -> list[str]:
    return [job["id"] for job in place.jobs() if _key(fault).digest in job["name"]]


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def _wait_for_the_end(place: LocalFacility) -> None:
    deadline = time.monotonic() + 60
    while any(job["ended"] is None for job in place.jobs()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ------------------------------------------------------------------------------- requests


@pytest.fixture
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


def test_fifty_first_calls_take_one_token(place, tmp_path):
    source = ClientCredentials(place.token_url, place.client_id, place.client_secret)
    facility = Facility(place.base_url, token=source, ledger=FileLedger(tmp_path))

    async def all_at_once() -> list[str]:
        return await asyncio.gather(*(facility.aio.accounts.whoami() for _ in range(50)))

    assert set(asyncio.run(all_at_once())) == {place.user}
    assert _seen(place)["token"] == 1


def test_the_first_job_takes_four_requests(place, tmp_path):
    """Which resources, what is wrong with them, the submit, and one look at a job that has ended."""
    facility = Facility(place.base_url, token=place.token, ledger=FileLedger(tmp_path))
    job = facility.jobs.submit({"executable": "/bin/true"})
    _wait_for_the_end(place)
    assert facility.jobs.wait(job).succeeded
    assert _seen(place) == {"getResources": 1, "getIncidents": 1, "launchJob": 1, "getJob": 1}
    assert sum(each["bytes_in"] for each in place.requests()) <= 10_000  # most of it the guard


def test_the_next_job_takes_two_requests(place, tmp_path):
    facility = Facility(place.base_url, token=place.token, ledger=FileLedger(tmp_path))
    facility.jobs.run({"executable": "/bin/true"})
    place.reset_requests()
    job = facility.jobs.submit({"executable": "/bin/true"})
    _wait_for_the_end(place)
    facility.jobs.wait(job)
    assert _seen(place) == {"launchJob": 1, "getJob": 1}


def _seen(place: LocalFacility) -> Counter[str]:
    return Counter(each["operation"] or each["path"].rpartition("/")[2] for each in place.requests())
