"""Reading a file from afar by ranges: several at once, into one file aside, taken up where it was left."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from iri_common.model.dataports import Piece
from iri_common.model.errors import IriError, TransferError
from iri_common.model.transfer import Move
from iri_common.policy.classify import ReplyLost
from iri_common.policy.retry import Limits, backoff
from iri_common.transfers.aside import LocalAside
from iri_common.transfers.boots import Missing, words_of
from iri_common.transfers.trip import Trip

MIB = 1024 * 1024
TRIES = Limits(attempts=6, first_delay=0.5, longest_delay=15.0)  # without a byte of progress between them

_WORTH_SPLITTING = 32 * MIB  # a half is more than a block, which may be on its way to the disk already
_NEXT_READER = 2.0  # seconds after which one more connection may help
_WORTH_HELPING = 4.0  # seconds that are left without it: a store may read all of an object for a range
_NOTED_EVERY = 4 * MIB  # so that it is done before readers have to wait for it
_UNNOTED = 16 * MIB  # less than this comes again after a kill
_SYNCED_EVERY = 16 * MIB  # so that the disk is never idle, and has little left to do at the end
_BLOCK = 4 * MIB
_HASHED = MIB // 2  # read again at once: whichever thread reads keeps as much for its next reading

Block = Sequence[memoryview]
"""Bytes that follow one another, as they came: to join them would cost as much as to receive them."""

OpenAt = Callable[[int, int], AbstractAsyncContextManager[AsyncIterator[Piece]]]
"""The bytes from an offset up to, not including, another."""

Note = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Takes down what is missing, in the words of :mod:`boots`, and returns when a kill leaves it."""


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

    Attributes:
        divisible: Whether a span that is read may be read by two; not where each begins at the first byte.
    """

    def __init__(self, size: int, missing: Missing | None = None) -> None:
        self.size = size
        self.divisible = True
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
            if not self.divisible or longest.end - longest.at < _WORTH_SPLITTING:
                return None
            middle = (longest.at + longest.end) // 2 // MIB * MIB
            if middle <= longest.at:  # two would have the same before them, and halve it for ever
                return None
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
        await self.until(lambda: self.reached > beyond)
        return self.reached

    async def until(self, true: Callable[[], bool]) -> None:
        """Return when this is true; looked at whenever more is here."""
        while not true():
            self._grown.clear()
            await self._grown.wait()

    def look(self) -> None:
        """Have those who wait look again."""
        self._grown.set()

    @property
    def reached(self) -> int:
        """How far that is now."""
        return min((at for at, _ in self.missing), default=self.size)


async def fetch(
    open_at: OpenAt,
    aside: LocalAside,
    spans: Spans,
    digest: Digest | None,
    move: Move,
    trip: Trip,
    *,
    slots: asyncio.Semaphore,
    note: Note,
) -> None:
    """Read all that is missing into its place.

    The first connection begins alone, and others join it while it has much left to do.

    Args:
        open_at: Raises errors of our own; a transient one is tried again from where it came.
        aside: Open.
        spans: What is missing.
        digest: Handed what comes next; None where nobody wants one.
        move: For its name.
        trip: Its meter is told.
        slots: How many connections there may be, shared with other files.
        note: Told every few MiB, and when it fails, what is missing.

    Raises:
        IriError: what a reader could not pass, or that the disk does not take it.
    """
    if spans.here:  # an earlier try may have left it in memory: if it was lost from there, this tells so
        await aside.durable()
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
                await _read(open_at, aside, spans, span, digest, noting, move, trip)

    noting = _Noting(aside, spans, note)
    readers = {asyncio.create_task(reader(number)) for number in range(trip.parallel)}
    keepers = {asyncio.create_task(noting.go_on()), asyncio.create_task(noting.follow())}
    try:
        await _all_read(readers, keepers, spans)
    except IriError:
        with suppress(IriError):  # what led here is what is to be told
            await noting.now()
        raise
    finally:
        for each in (*readers, *keepers):
            each.cancel()
        await asyncio.gather(*readers, *keepers, return_exceptions=True)


async def _all_read(readers: set[asyncio.Task[None]], keepers: set[asyncio.Task[None]], spans: Spans) -> None:
    waiting = readers | keepers
    while spans.missing and waiting - keepers:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()


class _Noting:
    """Notes what is here, and lets no more in than may have to come again.

    What was written outlives this process, so nobody waits for the disk, which follows in its own time. Where
    nothing tells one boot of the machine from the next, it is noted when it is on the disk.
    """

    def __init__(self, aside: LocalAside, spans: Spans, note: Note) -> None:
        self._aside, self._spans, self._note = aside, spans, note
        self._noted = self._synced = spans.here
        self._on_disk = spans.missing
        self._coming = 0  # bytes that were let in and are not here yet
        self._waiting = 0  # blocks that were not
        self._moved = asyncio.Event()

    @asynccontextmanager
    async def let_in(self, count: int) -> AsyncGenerator[None]:
        """Wait while too much is here that is not noted; the bytes arrive in the block, or are lost."""
        self._waiting += 1
        try:
            while self._full(count):
                self._spans.look()
                self._moved.clear()
                await self._moved.wait()
        finally:
            self._waiting -= 1
        self._coming += count
        try:
            yield
        finally:
            self._coming -= count
            self._moved.set()

    def _full(self, count: int) -> bool:
        behind = self._spans.here + self._coming - self._noted
        return behind > 0 and behind + count >= _UNNOTED

    async def go_on(self) -> None:
        """Note again and again."""
        while True:
            await self._spans.until(self._due)
            if not self._aside.boot:
                await self._sync()
            await self._take_down()

    async def follow(self) -> None:
        """Have the disk follow."""
        while True:
            await self._spans.until(lambda: self._spans.here - self._synced >= _SYNCED_EVERY)
            await self._sync()

    async def now(self) -> None:
        """Note all that is here, when it is on the disk."""
        await self._sync()
        await self._take_down()

    def _due(self) -> bool:
        behind = self._spans.here - self._noted
        return behind >= _NOTED_EVERY or (behind > 0 and self._waiting > 0)

    async def _sync(self) -> None:
        missing, here = self._spans.missing, self._spans.here
        await self._aside.durable()  # a machine that loses power would remember the note, not the bytes
        self._on_disk, self._synced = missing, here

    async def _take_down(self) -> None:
        missing, here = self._spans.missing, self._spans.here if self._aside.boot else self._synced
        # On its way only, it would be lost in a kill, and more let in on its word.
        await self._note(words_of(self._on_disk, missing, self._aside.boot))
        self._noted = here
        self._moved.set()


async def _read(
    open_at: OpenAt,
    aside: LocalAside,
    spans: Spans,
    span: Span,
    digest: Digest | None,
    noting: _Noting,
    move: Move,
    trip: Trip,
) -> None:
    attempt = 0
    while span.at < span.end:
        begun = span.at
        try:
            async with open_at(span.at, span.end) as pieces:
                async for block in _ahead(_blocks(pieces)):
                    block = _first(block, span.end - span.at)  # another may read on from there by now
                    count = _size_of(block)
                    await trip.meter.spend(count)
                    async with noting.let_in(count):
                        take = None if digest is None else digest.next_from(span.at)
                        await aside.write_together(span.at, block, take)
                        spans.arrived(span, count)
                    trip.meter.moved(count, move.name)
                    if span.at >= span.end:
                        return
            raise Damaged(f"{move.source} ended at byte {span.at} of {spans.size}; ask again")
        except IriError as error:
            attempt = 1 if span.at > begun else attempt + 1
            if not error.transient or attempt >= TRIES.attempts:
                raise
        await asyncio.sleep(backoff(attempt, random.random(), TRIES))


async def _blocks(pieces: AsyncIterator[Piece]) -> AsyncIterator[Block]:
    """The same bytes, so many at a time: each block costs a turn of two threads."""
    kept, wanted = list[memoryview](), _BLOCK
    try:
        async for piece in pieces:
            rest = memoryview(piece)
            while len(rest) >= wanted:
                yield [*kept, rest[:wanted]]
                kept, rest, wanted = [], rest[wanted:], _BLOCK
            if rest:
                kept.append(rest)
                wanted -= len(rest)
    except (IriError, ReplyLost):
        if kept:
            yield kept  # what came before the connection broke need not come again
        raise
    if kept:
        yield kept


async def _ahead(blocks: AsyncIterator[Block]) -> AsyncIterator[Block]:
    """The same, each read while the one before it is put away."""
    coming = asyncio.ensure_future(anext(blocks, None))
    try:
        while (block := await coming) is not None:
            coming = asyncio.ensure_future(anext(blocks, None))
            yield block
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


def _size_of(block: Block) -> int:
    return sum(map(len, block))


def _first(block: Block, count: int) -> Block:
    """The beginning of a block, of so many bytes at most."""
    taken = list[memoryview]()
    for piece in block:
        taken.append(piece[:count])
        count -= len(taken[-1])
    return [piece for piece in taken if piece]


class Digest:
    """The SHA-256 of a file, made from its beginning on while it comes or goes.

    Bytes that come next are hashed as they are written, from the processor's cache; others are read again.

    Args:
        read: Gives bytes from an offset.
        size: Of the file.
        spans: What is not there to be read yet; None for nothing.
    """

    def __init__(
        self, read: Callable[[int, int], Awaitable[bytes]], size: int, spans: Spans | None = None
    ) -> None:
        self._read, self._size, self._spans = read, size, spans
        self._whole = hashlib.sha256()
        self._at = 0
        self._reading = False

    def next_from(self, at: int) -> Callable[[bytes | memoryview], None] | None:
        """Takes the bytes from there, before they are said to have arrived; None if others come first."""
        return None if self._reading or at != self._at else self._take

    @asynccontextmanager
    async def making(self) -> AsyncGenerator[Awaitable[str]]:
        """It is made until the end of the block; gives what to await when all of the file is there."""
        task = asyncio.create_task(self._made())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _made(self) -> str:
        while self._at < self._size:
            reached = self._size if self._spans is None else await self._spans.without_gap(self._at)
            if reached > self._at:
                await self._read_on(min(reached - self._at, _HASHED))
        return self._whole.hexdigest()

    async def _read_on(self, count: int) -> None:
        self._reading = True
        content = await self._read(self._at, count)
        content += bytes(count - len(content))  # a hole at the end of a file not yet at its length
        await asyncio.to_thread(self._take, content)
        self._reading = False

    def _take(self, content: bytes | memoryview) -> None:
        self._whole.update(content)
        self._at += len(content)
