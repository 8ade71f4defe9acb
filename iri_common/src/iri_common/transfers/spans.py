"""Reading a file from afar by ranges: several at once, into one file aside, taken up where it was left."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from iri_common.model.errors import IriError, TransferError
from iri_common.model.transfer import Move
from iri_common.policy.retry import Limits, backoff
from iri_common.transfers.local import LocalAside
from iri_common.transfers.trip import Trip

MIB = 1024 * 1024
TRIES = Limits(attempts=6, first_delay=0.5, longest_delay=15.0)  # without a byte of progress between them

_WORTH_SPLITTING = 32 * MIB
_NEXT_READER = 2.0  # seconds after which one more connection may help
_WORTH_HELPING = 4.0  # seconds that are left without it: a store may read all of an object for a range
_NOTED_EVERY = 8 * MIB
_OFFERED_AHEAD = 8 * MIB

OpenAt = Callable[[int, int], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""The bytes from an offset up to, not including, another."""


class Damaged(TransferError):
    """What lies aside is of no use to a later try: the file changed, or did not arrive whole."""


@dataclass(slots=True)
class Span:
    """Bytes from ``at`` up to ``end`` that are not here yet."""

    at: int
    end: int


class Spans:
    """What of a file is missing, and who reads which of it.

    Args:
        size: Of the file.
        missing: As :attr:`missing` gave it in an earlier try; all of it if None.
    """

    def __init__(self, size: int, missing: Sequence[Sequence[int]] | None = None) -> None:
        self.size = size
        begun = [(0, size)] if missing is None else missing
        self._waiting = [Span(at, end) for at, end in sorted(map(tuple, begun)) if at < end]
        self._read: list[Span] = []
        self._grown = asyncio.Event()

    def take(self) -> Span | None:
        """A span to be read: one that nobody reads, else the further half of the longest that is read."""
        if self._waiting:
            taken = self._waiting.pop(0)
        else:
            longest = max(self._read, key=lambda each: each.end - each.at, default=Span(0, 0))
            if longest.end - longest.at < _WORTH_SPLITTING:
                return None
            middle = (longest.at + longest.end) // 2 // MIB * MIB
            taken = Span(middle, longest.end)
            longest.end = middle
        self._read.append(taken)
        return taken

    def arrived(self, span: Span, count: int) -> None:
        """So many further bytes of a span are here."""
        span.at += count
        self._grown.set()

    @property
    def missing(self) -> list[list[int]]:
        """What is not here yet, in order."""
        open_ends = [[each.at, each.end] for each in (*self._waiting, *self._read) if each.at < each.end]
        return sorted(open_ends)

    @property
    def here(self) -> int:
        """How many bytes are."""
        return self.size - sum(end - at for at, end in self.missing)

    async def without_gap(self, beyond: int) -> int:
        """How far the file is here from its beginning on, once that is further than this."""
        while (reached := self._reached()) <= beyond:
            self._grown.clear()
            await self._grown.wait()
        return reached

    def _reached(self) -> int:
        return min((at for at, _ in self.missing), default=self.size)


async def fetch(
    open_at: OpenAt,
    aside: LocalAside,
    spans: Spans,
    digest: Digest,
    move: Move,
    trip: Trip,
    *,
    slots: asyncio.Semaphore,
    note: Callable[[], None],
) -> None:
    """Read all that is missing into its place.

    The first connection begins alone, and others join it while it has much left to do.

    Args:
        open_at: Raises errors of our own; a transient one is tried again from where it came.
        aside: Open.
        spans: What is missing.
        digest: Offered what comes.
        move: For its name.
        trip: Its meter is told.
        slots: How many connections there may be, shared with other files.
        note: Called every few MiB.
    """
    begun, here = time.monotonic(), spans.here

    def seconds_left() -> float:
        rate = (spans.here - here) / (time.monotonic() - begun)
        return (spans.size - spans.here) / rate if rate else math.inf

    async def reader(number: int) -> None:
        await asyncio.sleep(number * _NEXT_READER)
        while spans.missing and (number == 0 or seconds_left() > _WORTH_HELPING):
            async with slots:
                span = spans.take()
                if span is None:
                    return
                await _read(open_at, aside, spans, span, digest, move, trip, note)

    readers = [asyncio.create_task(reader(number)) for number in range(trip.parallel)]
    try:
        await _all_read(readers, spans)
    finally:
        for each in readers:
            each.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _all_read(readers: Sequence[asyncio.Task[None]], spans: Spans) -> None:
    waiting = set(readers)
    while waiting and spans.missing:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()


async def _read(
    open_at: OpenAt,
    aside: LocalAside,
    spans: Spans,
    span: Span,
    digest: Digest,
    move: Move,
    trip: Trip,
    note: Callable[[], None],
) -> None:
    attempt = noted = 0
    while span.at < span.end:
        begun = span.at
        try:
            async with open_at(span.at, span.end) as pieces:
                async for block in _ahead(_blocks(pieces)):
                    block = block[: span.end - span.at]  # somebody else may read on from there by now
                    await trip.meter.spend(len(block))
                    await aside.write(span.at, block)
                    digest.offer(span.at, block)
                    spans.arrived(span, len(block))
                    trip.meter.moved(len(block), move.name)
                    if span.at // _NOTED_EVERY > noted:
                        noted = span.at // _NOTED_EVERY
                        note()
                    if span.at >= span.end:
                        return
            raise Damaged(f"{move.source} ended at byte {span.at} of {spans.size}; ask again")
        except IriError as error:
            attempt = 1 if span.at > begun else attempt + 1
            note()
            if not error.transient or attempt >= TRIES.attempts:
                raise
        await asyncio.sleep(backoff(attempt, random.random(), TRIES))


async def _blocks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes, a MiB at a time: each costs a turn of a thread."""
    kept, count = list[bytes](), 0
    async for piece in pieces:
        kept.append(piece)
        count += len(piece)
        while count >= MIB:
            together = b"".join(kept)
            yield together[:MIB]
            kept, count = [together[MIB:]], count - MIB
    if count:
        yield b"".join(kept)


async def _ahead(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, each read while the one before it is put away."""
    coming = asyncio.ensure_future(anext(blocks, None))
    try:
        while (block := await coming) is not None:
            coming = asyncio.ensure_future(anext(blocks, None))
            yield block
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


class Digest:
    """The SHA-256 of a file, made from its beginning on while it comes or goes.

    Args:
        read: Gives bytes from an offset.
        size: Of the file.
        spans: What is not there to be read yet; None for nothing.
    """

    def __init__(
        self, read: Callable[[int, int], Awaitable[bytes]], size: int, spans: Spans | None = None
    ) -> None:
        self._read, self._size, self._spans = read, size, spans
        self._at = 0
        self._offered = dict[int, bytes]()

    def offer(self, at: int, block: bytes) -> None:
        """Bytes that somebody has in hand: if they come next, or soon, they need not be read again."""
        if 0 <= at - self._at < _OFFERED_AHEAD:
            self._offered[at] = block

    async def made(self) -> str:
        """In hex, when all of the file was there."""
        whole = hashlib.sha256()
        while self._at < self._size:
            reached = self._size if self._spans is None else await self._spans.without_gap(self._at)
            block = self._offered.pop(self._at, None)
            if block is None:
                count = min(reached - self._at, MIB)
                block = await self._read(self._at, count)
                block += bytes(
                    count - len(block)
                )  # a hole at the end of a file that is not at its length yet
            await asyncio.to_thread(whole.update, block)
            self._at += len(block)
            self._offered = {at: each for at, each in self._offered.items() if at >= self._at}
        return whole.hexdigest()
