"""Several at once, and one several times: how files and parts are under way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from iri_common.model.errors import (
    AmbiguousReply,
    IriError,
    JobFailed,
    Refused,
    ReplyError,
    TransferError,
    WaitTimeout,
)
from iri_common.model.transfer import Move
from iri_common.policy.retry import Limits, backoff

T = TypeVar("T")

# The session has been patient with the wire already; this is for what went wrong at the facility.
TRIES = Limits(attempts=3, first_delay=0.5, longest_delay=8.0)


async def abreast(
    items: Iterable[T] | AsyncIterator[T], work: Callable[[T], Awaitable[object]], parallel: int
) -> None:
    """Do the work on every item, so many at once, begun in their order.

    The first error ends the others, which clean up after themselves, and is raised.
    """
    feed = items if isinstance(items, AsyncIterator) else _each(items)
    turn = asyncio.Lock()  # an asynchronous generator is asked by one at a time

    async def worker() -> None:
        while True:
            async with turn:
                try:
                    item = await anext(feed)
                except StopAsyncIteration:
                    return
            await work(item)

    workers = [asyncio.create_task(worker()) for _ in range(max(1, parallel))]
    try:
        await asyncio.gather(*workers)
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _each(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item


class Room:
    """Bytes that may be in memory at once; what is larger than all of it goes alone."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._change = asyncio.Condition()

    @asynccontextmanager
    async def of(self, count: int) -> AsyncGenerator[None]:
        """Wait for so much, and keep it until this is left."""
        count = min(count, self._size)
        async with self._change:
            await self._change.wait_for(lambda: self._left >= count)
            self._left -= count
        try:
            yield
        finally:
            self._left += count
            async with self._change:
                self._change.notify_all()


async def tried(work: Callable[[], Awaitable[T]]) -> T:
    """Do what may be done again, again when the facility failed at it."""
    limits, attempt = TRIES, 0
    while True:
        attempt += 1
        try:
            return await work()
        except IriError as error:
            if attempt >= limits.attempts or not _passes(error):
                raise
        await asyncio.sleep(backoff(attempt, random.random(), limits))


def _passes(error: IriError) -> bool:
    # A task fails with nothing but a text; what that names (not found, too large) stays as it is.
    if isinstance(error, WaitTimeout):
        return False
    return error.transient or type(error) in {AmbiguousReply, ReplyError, Refused, TransferError}


def named(error: IriError, move: Move) -> IriError:
    """The same error, which says what file it befell."""
    name = move.name or move.source
    if name not in error.message:
        error.message = f"{name}: {error.message}"
    return error


def job_told(error: JobFailed, what: str) -> TransferError:
    """The error for a job of a road that failed at what it was to do."""
    last = error.stderr_tail.strip()
    said = f" and said last:\n{last}\n" if last else "; "
    return TransferError(
        f"the job that was to {what} ended as {error.job_status.describe()}{said}"
        "What has arrived is kept: mend the cause, and ask again"
    )
