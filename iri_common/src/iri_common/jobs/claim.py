"""Holding the right to act on a key: one process at a time, renewed while it works, given back at the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from iri_common.model.errors import IriError, WaitTimeout
from iri_common.model.key import JobKey
from iri_common.model.ports import Ledger

CLAIM_SECONDS = 180.0  # renewed all the while, so this long only after the process is gone

T = TypeVar("T")


@contextlib.asynccontextmanager
async def claimed(
    ledger: Ledger, key: JobKey, owner: str, done: Callable[[], Awaitable[T | None]], label: str
) -> AsyncGenerator[T | None, None]:
    """Hold the claim on a key's identity.

    Args:
        ledger: That gives claims.
        key: Whose identity.
        owner: Who claims.
        done: What another process may have brought about meanwhile; asked while this one waits.
        label: What errors call the facility.

    Yields:
        None with the claim held, or what ``done`` gave: of a crowd, only the first needs the claim.

    Raises:
        WaitTimeout: if another process holds it and does not come to an end.
    """
    keeping: asyncio.Task[None] | None = None
    try:
        known = await _take(ledger, key, owner, done, label)
        keeping = asyncio.create_task(_keep(ledger, key, owner)) if known is None else None
        yield known
    finally:
        try:
            if keeping is not None:
                keeping.cancel()
                await asyncio.wait([keeping])  # a claim renewed after the release would stay
        finally:
            await ledger.release(key, owner)


async def _keep(ledger: Ledger, key: JobKey, owner: str) -> None:
    until = time.time() + CLAIM_SECONDS
    while True:
        await asyncio.sleep(CLAIM_SECONDS / 3)
        now = time.time()
        if now >= until:
            return  # asleep for too long: somebody else may have come, done it all, and given the claim back
        with contextlib.suppress(IriError):  # asked once more before anything is sent
            if not await ledger.claim(key, owner, CLAIM_SECONDS):
                return
            until = now + CLAIM_SECONDS


async def _take(
    ledger: Ledger, key: JobKey, owner: str, done: Callable[[], Awaitable[T | None]], label: str
) -> T | None:
    deadline = time.monotonic() + CLAIM_SECONDS
    pause = 0.05
    while not await ledger.claim(key, owner, CLAIM_SECONDS):
        if time.monotonic() > deadline:
            raise WaitTimeout(
                f"another process has been submitting {key} for {CLAIM_SECONDS:.0f} s; "
                "try again later, the job is not asked for twice",
                facility=label,
            )
        await asyncio.sleep(pause)
        pause = min(2.0, pause * 2)
        known = await done()
        if known is not None:
            return known
    return None
