"""Large files over S3 parts and links that somebody signed; the bytes go past the facility's API.

A link is a secret while it lives, so none is noted: after a crash the same upload is asked for fresh ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from iri_common.jobs.operations import Patience, settled
from iri_common.model.dataports import PartsApi
from iri_common.model.errors import IriError, NotFound, NotOffered, ReplyError, TransferError
from iri_common.model.ports import ByteWire, Dialect
from iri_common.model.transfer import DownloadLink, Move, PartsUpload
from iri_common.policy.retry import Limits, backoff
from iri_common.transfers import local
from iri_common.transfers.abreast import abreast, named, tried
from iri_common.transfers.aside import LocalAside
from iri_common.transfers.far import FarEnd
from iri_common.transfers.links import Links, StaleLink, from_byte, require_fine, wire_errors, words_of
from iri_common.transfers.spans import Damaged, Digest, OpenAt, Spans, fetch
from iri_common.transfers.trip import Trip

MIB = 1024 * 1024
TRIES = Limits(attempts=6, first_delay=0.5, longest_delay=15.0)  # of one part


class PartsRoad:
    """Files of any size, the parts of each several at once.

    An empty file goes over the facility's own API where it cannot go over parts: FirecREST opens no upload
    of nothing, and its job fails on an object without a byte.

    Args:
        parts: Signs the links.
        dialect: Of the facility: its operations and, where it has files, its checksums and renames are used.
        wire: Brings the bytes there.
        file_system: Its id at the facility.
        up: From this machine to the facility, else down.
        checksum: Compare SHA-256 where the facility tells it.
    """

    def __init__(
        self,
        parts: PartsApi,
        dialect: Dialect,
        wire: ByteWire,
        file_system: str,
        *,
        up: bool,
        checksum: bool = True,
    ) -> None:
        self.parts, self.wire, self.id = parts, wire, file_system
        self.operations = dialect.operations
        self.checksum = checksum
        has_files = dialect.grades.files != "none"
        self.far = FarEnd(dialect, file_system, checksum=checksum) if has_files else None
        self._leg = _Upload if up else _Download

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Move them all, each whole or not at all.

        Carried again after a kill, parts that have arrived stay.

        Raises:
            TransferError: if what arrived is not what was sent, or a file changes meanwhile; that target is
                as it was, except at a store that puts a file in its place as it finishes it.
        """
        slots = asyncio.Semaphore(trip.parallel)

        async def one(move: Move) -> None:
            try:
                await self._leg(self, move, trip, slots).carry()
            except IriError as error:
                raise named(error, move) if len(moves) > 1 else error from None

        await abreast(moves, one, trip.parallel)


class _Leg:
    """One file on its way."""

    def __init__(self, road: PartsRoad, move: Move, trip: Trip, slots: asyncio.Semaphore) -> None:
        self._road, self._move, self._trip, self._slots = road, move, trip, slots
        ends = f"{move.source}\0{move.target}".encode(errors="surrogateescape")
        self._name = f"parts:{hashlib.sha256(ends).hexdigest()[:16]}"

    @property
    def _noted(self) -> Mapping[str, Any] | None:
        return self._trip.notes.get(self._name)

    def _note(self, what: Mapping[str, Any] | None) -> None:
        self._trip.notes.put(self._name, what)

    def _landed(self, sha256: str) -> None:
        self._note(None)
        self._trip.notes.put(f"{self._name}:begun", None)
        self._trip.meter.landed(self._move, sha256)

    @property
    def _patience(self) -> Patience:
        # FirecREST's own job looks for the object once a minute, and then copies it.
        return Patience(first=0.2, longest=10.0, total=1800.0 + self._move.size / (20 * MIB))


# ------------------------------------------------------------------------------------------------- up


class _Upload(_Leg):
    """Parts, then one file of them."""

    async def carry(self) -> None:
        far, path = self._road.far, self._move.target
        if far is not None and not self._road.parts.appears_whole:
            await far.require_no_directory(path)
            path = local.aside_of(path, self._trip.notes.transfer)
        async with (
            local.reading(self._move.source) as source,
            Digest(source.read, source.size).making() as made,
        ):
            await self._send(source, path)
            sha256 = await made
        if far is not None:
            await self._put_in_place(far, path, source.size, sha256)
        self._landed(sha256)

    async def _put_in_place(self, far: FarEnd, path: str, size: int, sha256: str) -> None:
        aside = path != self._move.target
        try:
            if aside or self._road.checksum:
                await far.require_whole(path, size, sha256, f"{self._move.source} -> {self._move.target}")
        except TransferError:
            self._note(None)  # none of these parts is believed any more
            if aside:
                await far.remove_in_leaving(path)
            raise
        if aside:
            await far.rename(path, self._move.target, size, sha256)

    async def _send(self, source: local.LocalSource, path: str) -> None:
        taken_up = await self._taken_up(source, path)
        if taken_up is not None:
            try:
                await self._send_parts(source, *taken_up)
                return
            except NotFound:  # the store has forgotten the upload, and holds no file that was made of it
                self._note(None)
                self._trip.meter.kept(-_size_of(*taken_up))
        try:
            upload = await self._begin(source, path)
        except NotOffered:
            if source.size or self._road.far is None:
                raise
            await self._send_nothing(self._road.far, path)
        else:
            await self._send_parts(source, upload, {})

    async def _send_nothing(self, far: FarEnd, path: str) -> None:
        async def upload() -> None:
            await far.over(await far.files.upload(far.id, path, b""))

        await tried(upload)

    async def _begin(self, source: local.LocalSource, path: str) -> PartsUpload:
        # What is opened and not noted would lie in the store, and be paid for, until somebody finds it.
        parts, notes, begun = self._road.parts, self._trip.notes, f"{self._name}:begun"
        if (before := notes.get(begun)) is not None:
            with contextlib.suppress(IriError):
                await parts.clear(self._road.id, *before)
        notes.put(begun, [path, int(time.time())])
        await notes.durable()
        answer = await parts.begin(self._road.id, path, source.size)
        upload = await settled(answer, self._road.operations, self._patience)
        told = {"mark": source.mark, "part_size": upload.part_size, "handle": dict(upload.handle)}
        self._note(told)
        await notes.durable()  # else the parts that are sent next are lost with it
        return upload

    async def _taken_up(
        self, source: local.LocalSource, path: str
    ) -> tuple[PartsUpload, dict[int, str]] | None:
        """The upload of an earlier try and the ETags of the parts that are there."""
        noted = self._noted
        if noted is None:
            return None
        upload = PartsUpload(path, source.size, noted["part_size"], (), None, noted["handle"])
        etags = self._noted_etags(upload)
        try:
            if noted["mark"] != source.mark:
                raise NotOffered("parts of another content")
            # With all of them there it may be finished already: nobody signs links for it then.
            if len(etags) < upload.parts:
                upload = await self._again(upload)
                with contextlib.suppress(NotOffered):
                    etags = dict((await self._road.parts.arrived(self._road.id, upload)).value)
        except (NotFound, NotOffered):
            await self._forget(upload)
            return None
        self._trip.meter.kept(_size_of(upload, etags))
        return upload, etags

    async def _again(self, upload: PartsUpload) -> PartsUpload:
        return (await tried(lambda: self._road.parts.again(self._road.id, upload))).value

    async def _send_parts(
        self, source: local.LocalSource, upload: PartsUpload, etags: dict[int, str]
    ) -> None:
        links = Links(upload, self._again)

        async def part(number: int) -> None:
            async with self._slots:
                etags[number] = await self._sent(source, links, number)
            self._trip.notes.put(self._part(upload, number), etags[number])
            await self._trip.notes.written()

        numbers = range(1, upload.parts + 1)
        await abreast([each for each in numbers if each not in etags], part, self._trip.parallel)
        try:
            await source.require_unchanged()
        except TransferError:
            await self._forget(upload)
            raise
        await self._trip.notes.durable()

        async def finish() -> None:
            answer = await self._road.parts.finish(self._road.id, upload, [etags[each] for each in numbers])
            await settled(answer, self._road.operations, self._patience)

        await tried(finish)

    async def _sent(self, source: local.LocalSource, links: Links[PartsUpload], number: int) -> str:
        """Send a part until it has arrived; gives its ETag."""
        attempt = 0
        while True:
            attempt += 1
            upload = await links.good()
            try:
                return await self._sent_once(source, upload, number)
            except IriError as error:
                if not error.transient or attempt >= TRIES.attempts:
                    raise
                # A store that refuses before it has read all may close the connection over its answer.
                if isinstance(error, StaleLink) or attempt > 1:
                    with contextlib.suppress(NotOffered):
                        await links.renew(upload)
            await asyncio.sleep(backoff(attempt, random.random(), TRIES))

    async def _sent_once(self, source: local.LocalSource, upload: PartsUpload, number: int) -> str:
        meter, name = self._trip.meter, self._move.name
        begin, size, told = (number - 1) * upload.part_size, upload.size_of(number), 0

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal told
            for offset in range(begin, begin + size, MIB):
                piece = await source.read(offset, min(MIB, begin + size - offset))
                await meter.spend(len(piece))
                yield piece
                told += len(piece)
                meter.moved(len(piece), name)

        try:
            with wire_errors():
                reply = await self._road.wire.put(upload.links[number - 1], size, pieces())
            require_fine(reply.status, reply.body)
            if "etag" not in reply.headers:
                raise ReplyError(f"the object store took part {number} and told no ETag of it")
        except BaseException:
            meter.moved(-told, name)
            raise
        return reply.headers["etag"]

    def _noted_etags(self, upload: PartsUpload) -> dict[int, str]:
        noted = {each: self._trip.notes.get(self._part(upload, each)) for each in range(1, upload.parts + 1)}
        return {number: etag for number, etag in noted.items() if etag is not None}

    def _part(self, upload: PartsUpload, number: int) -> str:
        # A note for each part: one of all would be written as often as there are parts. It names the upload,
        # for what was sent to another one is no part of this.
        which = hashlib.sha256(repr(sorted(upload.handle.items())).encode()).hexdigest()[:8]
        return f"{self._name}:{which}:{number}"

    async def _forget(self, upload: PartsUpload) -> None:
        self._note(None)
        with contextlib.suppress(IriError):  # what nobody finishes, a store clears away some day
            await self._road.parts.abandon(self._road.id, upload)


def _size_of(upload: PartsUpload, etags: Mapping[int, str]) -> int:
    return sum(map(upload.size_of, etags))


# ----------------------------------------------------------------------------------------------- down


class _Download(_Leg):
    """Ranges into a file aside."""

    _etag = ""  # of the object, from the first reply on

    async def carry(self) -> None:
        move, transfer = self._move, self._trip.notes.transfer
        await local.require_place(move.target)
        if not move.size:
            await local.write_whole(move.target, transfer, b"")
            self._landed(hashlib.sha256().hexdigest())
            return
        first = await self._link(None)
        size = move.size if first.size is None else first.size
        aside = LocalAside(move.target, transfer)
        try:
            sha256 = await self._fetched(Links(first, self._link), aside, size)
            await self._compare(size, sha256)
            await aside.place(size)
        except Damaged:
            self._note(None)
            await aside.drop()
            raise
        finally:
            aside.close()
        self._landed(sha256)

    async def _compare(self, size: int, sha256: str) -> None:
        far, move = self._road.far, self._move
        if far is None or not self._road.checksum:
            return
        try:
            await far.require_whole(move.source, size, sha256, f"{move.source} -> {move.target}")
        except TransferError as error:
            raise Damaged(str(error)) from None

    async def _link(self, _: DownloadLink | None) -> DownloadLink:
        async def asked() -> DownloadLink:
            answer = await self._road.parts.link(self._road.id, self._move.source)
            return await settled(answer, self._road.operations, self._patience)

        return await tried(asked)

    async def _fetched(self, links: Links[DownloadLink], aside: LocalAside, size: int) -> str:
        """Read what is missing; gives the SHA-256 of all."""
        noted = self._noted or {}
        same = noted.get("size") == size and noted.get("mtime") == self._move.mtime
        left = await aside.open(keep=same)
        # With all of it here, the last byte is read again: the reply tells whether the object is the same.
        spans = Spans(size, noted["missing"] or [[size - 1, size]] if same and left else None)
        self._etag = noted["etag"] if same and left else ""
        self._trip.meter.kept(spans.here)

        async def note(missing: Sequence[Sequence[int]]) -> None:
            self._note({"size": size, "mtime": self._move.mtime, "etag": self._etag, "missing": missing})
            await self._trip.notes.written()

        digest = Digest(aside.read, size, spans)
        opener, slots = self._opener(links, spans), self._slots
        async with digest.making() as made:
            await fetch(opener, aside, spans, digest, self._move, self._trip, slots=slots, note=note)
            return await made

    def _opener(self, links: Links[DownloadLink], spans: Spans) -> OpenAt:
        @contextlib.asynccontextmanager
        async def open_at(start: int, end: int) -> AsyncGenerator[AsyncIterator[bytes]]:
            link = await links.good()
            try:
                with wire_errors():
                    async with self._road.wire.get(link.url, start, end) as reply:
                        if not 200 <= reply.status < 300:
                            require_fine(reply.status, await words_of(reply.pieces))
                        self._require_same(reply.headers.get("etag", ""))
                        if reply.status == 206:
                            yield reply.pieces
                        else:  # a store that knows no ranges tells all of it, whatever was asked for
                            spans.divisible = False
                            yield from_byte(start, reply.pieces)
            except StaleLink:
                await links.renew(link)
                raise

        return open_at

    def _require_same(self, etag: str) -> None:
        if self._etag and etag and etag != self._etag:
            raise Damaged(f"{self._move.source} changed while it was read; ask again")
        self._etag = self._etag or etag
