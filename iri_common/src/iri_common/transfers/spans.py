"""Reading a file from afar by ranges: several at once, into one file aside, taken up where it was left."""

from __future__ import annotations

import asyncio
import hashlib
import random
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
_NEXT_READER = 1.5  # seconds of one connection alone: a file that is here by then is not asked for twice
_NOTED_EVERY = 8 * MIB
_DIGESTED_AT_ONCE = 2 * MIB

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
    move: Move,
    trip: Trip,
    *,
    slots: asyncio.Semaphore,
    note: Callable[[], None],
) -> None:
    """Read all that is missing into its place.

    The first connection begins alone, and others join it while there is enough left for them.

    Args:
        open_at: Raises errors of our own; a transient one is tried again from where it came.
        aside: Open.
        spans: What is missing.
        move: For its name.
        trip: Its meter is told.
        slots: How many connections there may be, shared with other files.
        note: Called every few MiB.
    """

    async def reader(number: int) -> None:
        await asyncio.sleep(number * _NEXT_READER)
        while spans.missing:
            async with slots:
                span = spans.take()
                if span is None:
                    return
                await _read(open_at, aside, spans, span, move, trip, note)

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
    move: Move,
    trip: Trip,
    note: Callable[[], None],
) -> None:
    attempt = noted = 0
    while span.at < span.end:
        begun = span.at
        try:
            async with open_at(span.at, span.end) as pieces:
                async for block in _blocks(pieces):
                    block = block[: span.end - span.at]  # somebody else may read on from there by now
                    await trip.meter.spend(len(block))
                    await aside.write(span.at, block)
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


async def digest(read: Callable[[int, int], Awaitable[bytes]], size: int, spans: Spans | None = None) -> str:
    """The SHA-256 of a file, in hex, made while it comes or goes.

    Args:
        read: Gives bytes from an offset.
        size: Of the file.
        spans: What is not there to be read yet; None for nothing.
    """
    whole, at = hashlib.sha256(), 0
    while at < size:
        reached = size if spans is None else await spans.without_gap(at)
        content = await read(at, min(reached - at, _DIGESTED_AT_ONCE))
        # A hole at the end of a file that is not at its length yet reads as nothing.
        content += bytes(min(reached - at, _DIGESTED_AT_ONCE) - len(content))
        await asyncio.to_thread(whole.update, content)
        at += len(content)
    return whole.hexdigest()
