"""Files over ranges of bytes by path, such as a Globus collection gives and takes over its own HTTPS."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from iri_common.model.dataports import Piece, RangesApi
from iri_common.model.errors import AmbiguousReply, IriError, NotOffered
from iri_common.model.ports import Dialect
from iri_common.model.transfer import Move
from iri_common.policy.retry import backoff
from iri_common.transfers import local
from iri_common.transfers.abreast import abreast, named
from iri_common.transfers.aside import LocalAside
from iri_common.transfers.boots import believed
from iri_common.transfers.far import FarEnd
from iri_common.transfers.spans import MIB, TRIES, Damaged, Digest, Spans, fetch
from iri_common.transfers.trip import Trip


class HttpsRoad:
    """Files of any size, several at once; a large one comes down over several ranges.

    Up, a file is written aside and renamed where the dialect has files; else it is written straight to its
    place, and whoever looks there meanwhile sees half of it.

    Args:
        ranges: Reads and writes the bytes.
        dialect: Whose files these are; it renames, and compares what it can.
        file_system: Its id at the facility.
        up: From this machine, else down to it.
        checksum: SHA-256 is compared where the dialect tells it, else sizes are; True: it is made also of
            what comes down from where none is told, False: not even compared.
    """

    def __init__(
        self,
        ranges: RangesApi,
        dialect: Dialect,
        file_system: str,
        *,
        up: bool,
        checksum: bool | None = None,
    ) -> None:
        self._ranges = ranges
        self._id = file_system
        self._up = up
        files = dialect.grades.files
        self._far = FarEnd(dialect, file_system, checksum=checksum is not False) if files != "none" else None
        self._hashed = files == "direct" if checksum is None else checksum  # a collection tells no digest

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Move them all, each whole or not at all as far as that is offered.

        Carried again after a kill, a download goes on where it was; an upload begins anew.

        Raises:
            TransferError: if what arrived is not what was sent, or a file changes meanwhile.
        """
        slots = asyncio.Semaphore(trip.parallel)

        async def one(move: Move) -> None:
            try:
                await (self._put(move, trip) if self._up else self._get(move, trip, slots))
            except IriError as error:
                raise named(error, move) if len(moves) > 1 else error from None

        await abreast(moves, one, trip.parallel)

    async def _put(self, move: Move, trip: Trip) -> None:
        far, path = self._far, move.target
        if far is not None:
            await far.require_no_directory(path)
            path = local.aside_of(path, trip.notes.transfer)
        try:
            async with local.reading(move.source) as source:
                sha256 = await self._written(source, path, move, trip)
                await source.require_unchanged()
            if far is not None:
                await far.require_whole(path, source.size, sha256, f"{move.source} -> {move.target}")
                await far.rename(path, move.target, source.size, sha256)
        except BaseException:
            if far is not None:
                await far.remove_in_leaving(path)
            raise
        trip.meter.landed(move, sha256)

    async def _written(self, source: local.LocalSource, path: str, move: Move, trip: Trip) -> str:
        """Write it all, again if need be; gives its SHA-256."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._written_once(source, path, move, trip)
            except IriError as error:
                # Whether it was written or not, writing the same once more does no harm.
                passes = error.transient or isinstance(error, AmbiguousReply)
                if not passes or attempt >= TRIES.attempts:
                    raise
            await asyncio.sleep(backoff(attempt, random.random(), TRIES))

    async def _written_once(self, source: local.LocalSource, path: str, move: Move, trip: Trip) -> str:
        whole, told = hashlib.sha256(), 0

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal whole, told
            trip.meter.moved(-told, move.name)
            whole, told = hashlib.sha256(), 0
            for offset in range(0, source.size, MIB):
                piece = await source.read(offset, MIB)
                await trip.meter.spend(len(piece))
                digesting = asyncio.create_task(asyncio.to_thread(whole.update, piece))
                yield piece
                await digesting
                told += len(piece)
                trip.meter.moved(len(piece), move.name)

        try:
            await self._ranges.write(self._id, path, source.size, pieces)
        except BaseException:
            trip.meter.moved(-told, move.name)
            raise
        return whole.hexdigest()

    async def _get(self, move: Move, trip: Trip, slots: asyncio.Semaphore) -> None:
        await local.require_place(move.target)
        aside = LocalAside(move.target, trip.notes.transfer)
        ends = f"{move.source}\0{move.target}".encode(errors="surrogateescape")
        name = f"https:{hashlib.sha256(ends).hexdigest()[:16]}"
        seen = await self._facts(move)
        try:
            noted: Mapping[str, Any] = trip.notes.get(name) or {}
            if await self._is_placed(move, seen, noted):
                trip.meter.kept(move.size)
                sha256 = noted["sha256"]
            else:
                sha256 = await self._fetched(move, seen, trip, slots, aside, name)
                await self._compare(move, seen, sha256)
                mark = await aside.mark(move.size)
                await _take_down(trip, name, move, seen, {"missing": [], "mark": mark, "sha256": sha256})
                await aside.place(move.size)
        except Damaged:
            trip.notes.put(name, None)
            await aside.drop()
            raise
        finally:
            aside.close()
        trip.meter.landed(move, sha256)  # before what is noted of its way goes
        trip.notes.put(name, None)

    async def _is_placed(self, move: Move, seen: list[float], noted: Mapping[str, Any]) -> bool:
        """Whether it is in place since an earlier try, which did not live to tell."""
        if "mark" not in noted or noted["seen"] != seen or not seen[1]:
            return False
        if self._hashed and noted["sha256"] is None:
            return False
        return noted["mark"] == await local.mark_of(move.target)

    async def _fetched(
        self,
        move: Move,
        seen: list[float],
        trip: Trip,
        slots: asyncio.Semaphore,
        aside: LocalAside,
        name: str,
    ) -> str | None:
        """Read what is missing; gives the SHA-256 of all."""
        noted: Mapping[str, Any] = trip.notes.get(name) or {}
        # Where no time is told, what lies aside may be of another content: replies have no ETag that counts.
        same = seen[1] != 0.0 and noted.get("seen") == seen and noted.get("size") == move.size
        left = await aside.open(keep=same)
        spans = Spans(move.size, believed(noted, aside.boot) if same and left else None)
        trip.meter.kept(spans.here)

        async def note(words: Mapping[str, Any]) -> None:
            await _take_down(trip, name, move, seen, words)

        def open_at(start: int, end: int) -> AbstractAsyncContextManager[AsyncIterator[Piece]]:
            return self._ranges.read(self._id, move.source, start=start, end=end)

        async def read(digest: Digest | None) -> None:
            await fetch(open_at, aside, spans, digest, move, trip, slots=slots, note=note)

        if not self._hashed:
            await read(None)
            return None
        digest = Digest(aside.read, move.size, spans)
        async with digest.making() as made:
            await read(digest)
            return await made

    async def _facts(self, move: Move) -> list[float]:
        """Size and time of the source now, or when it was listed where nobody tells."""
        far = self._far
        if far is not None:
            with contextlib.suppress(NotOffered):
                there = await far.over(await far.files.stat(far.id, move.source, dereference=True))
                return [there.size, there.mtime]
        return [move.size, move.mtime]

    async def _compare(self, move: Move, seen: list[float], sha256: str | None) -> None:
        if self._far is None:
            return
        told = None if sha256 is None else await self._far.digest(move.source)
        if told is not None:
            if told == sha256:
                return
            raise Damaged(
                f"{move.source} did not arrive whole: SHA-256 {told} there, {sha256} here; try again"
            )
        if await self._facts(move) != seen or seen[0] != move.size:
            raise Damaged(f"{move.source} changed while it was read; ask again")


async def _take_down(trip: Trip, name: str, move: Move, seen: list[float], words: Mapping[str, Any]) -> None:
    trip.notes.put(name, {"size": move.size, "seen": seen, **words})
    await trip.notes.written()
