"""This project's client, through its public face."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from iri_common import Facility, FileLedger, JobKey, JobRef

NAME = "ours"


def open_facility(root: str, token: Any, **words: Any) -> Facility:
    """A door to a facility whose version 2 is at this root."""
    ledger = FileLedger(Path(tempfile.mkdtemp(prefix="iri-bench-ledger-")))
    return Facility(f"{root}/api/v2", token=token, ledger=ledger, **words)


def reference(root: str, resource_id: str, job_id: str) -> JobRef:
    """A job that somebody else asked for."""
    origin = root.partition("://")[2]
    return JobRef(origin, "iri", resource_id, JobKey.of("bench", job_id), job_id)


async def wait_all(facility: Facility, refs: list[JobRef]) -> dict[str, float]:
    """Wait for every job at once; gives when its end was told."""

    async def one(ref: JobRef) -> float:
        await facility.aio.jobs.wait(ref)
        return time.time()

    told = await asyncio.gather(*(one(ref) for ref in refs))
    return {str(ref.job_id): when for ref, when in zip(refs, told, strict=True)}
