"""Large files over S3 parts and links that somebody signed; the bytes go past the facility's API.

A link is a secret while it lives, so none is noted: after a crash the same upload is asked for fresh ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from iri_common.jobs.operations import settled
from iri_common.model.dataports import PartsApi
from iri_common.model.errors import IriError, NotFound, NotOffered, ReplyError, TransferError
from iri_common.model.ports import ByteWire, Dialect
from iri_common.model.transfer import Move, PartsUpload
from iri_common.policy.retry import Limits, backoff
from iri_common.transfers import local
from iri_common.transfers.abreast import abreast, named, tried
from iri_common.transfers.far import FarEnd
from iri_common.transfers.links import Links, StaleLink, require_fine, wire_errors
from iri_common.transfers.parts_down import Download
from iri_common.transfers.parts_leg import MIB, Leg, PartsEnd
from iri_common.transfers.spans import Digest
from iri_common.transfers.trip import Trip

TRIES = Limits(attempts=6, first_delay=0.5, longest_delay=15.0)  # of one part
# Seconds between looks for the file of an upload that is gone and whose parts had all arrived: the request of
# a try that was killed may still be making it.
_FINISHING = (0.2, 0.5, 1.0, 2.0)
_PIECE = MIB // 4  # bytes read at once; whichever thread reads keeps as much for its next reading


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
        checksum: Compare SHA-256 where the facility or the store tells it; True: make that of a download also
            where nothing does, False: compare none.
    """

    def __init__(
        self,
        parts: PartsApi,
        dialect: Dialect,
        wire: ByteWire,
        file_system: str,
        *,
        up: bool,
        checksum: bool | None = None,
    ) -> None:
        has_files = dialect.grades.files != "none"
        far = FarEnd(dialect, file_system, checksum=checksum is not False) if has_files else None
        self._end = PartsEnd(parts, dialect.operations, wire, file_system, far, checksum)
        self._leg = _Upload if up else Download

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
                await self._leg(self._end, move, trip, slots).carry()
            except IriError as error:
                raise named(error, move) if len(moves) > 1 else error from None

        await abreast(moves, one, trip.parallel)


# ------------------------------------------------------------------------------------------------- up


class _Upload(Leg):
    """Parts, then one file of them."""

    async def carry(self) -> None:
        far, path = self._end.far, self._move.target
        if far is not None and not self._end.parts.appears_whole:
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
            if aside or self._end.checksum is not False:
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
                await self._send_the_rest(source, *taken_up)
                return
            except NotFound:  # the store has forgotten the upload, and holds no file that was made of it
                self._note(None)
                self._trip.meter.kept(-_size_of(*taken_up))
        try:
            upload = await self._begin(source, path)
        except NotOffered:
            if source.size or self._end.far is None:
                raise
            await self._send_nothing(self._end.far, path)
        else:
            await self._send_parts(source, upload, {})

    async def _send_the_rest(
        self, source: local.LocalSource, upload: PartsUpload, etags: dict[int, str]
    ) -> None:
        for pause in _FINISHING:
            try:
                await self._send_parts(source, upload, etags)
                return
            except NotFound:
                if len(etags) < upload.parts:
                    raise
            await asyncio.sleep(pause)
        await self._send_parts(source, upload, etags)

    async def _send_nothing(self, far: FarEnd, path: str) -> None:
        async def upload() -> None:
            await far.over(await far.files.upload(far.id, path, b""))

        await tried(upload)

    async def _begin(self, source: local.LocalSource, path: str) -> PartsUpload:
        # What is opened and not noted would lie in the store, and be paid for, until somebody finds it.
        parts, notes, begun = self._end.parts, self._trip.notes, f"{self._name}:begun"
        if (before := notes.get(begun)) is not None:
            with contextlib.suppress(IriError):
                await parts.clear(self._end.id, *before)
        notes.put(begun, [path, int(time.time())])
        await notes.durable()
        answer = await parts.begin(self._end.id, path, source.size)
        upload = await settled(answer, self._end.operations, self._patience)
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
                    etags = dict((await self._end.parts.arrived(self._end.id, upload)).value)
        except (NotFound, NotOffered):
            await self._forget(upload)
            return None
        self._trip.meter.kept(_size_of(upload, etags))
        return upload, etags

    async def _again(self, upload: PartsUpload) -> PartsUpload:
        return (await tried(lambda: self._end.parts.again(self._end.id, upload))).value

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
            answer = await self._end.parts.finish(self._end.id, upload, [etags[each] for each in numbers])
            await settled(answer, self._end.operations, self._patience)

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
            for offset in range(begin, begin + size, _PIECE):
                piece = await source.read(offset, min(_PIECE, begin + size - offset))
                await meter.spend(len(piece))
                yield piece
                told += len(piece)
                meter.moved(len(piece), name)

        try:
            with wire_errors():
                reply = await self._end.wire.put(upload.links[number - 1], size, pieces())
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
            await self._end.parts.abandon(self._end.id, upload)


def _size_of(upload: PartsUpload, etags: Mapping[int, str]) -> int:
    return sum(map(upload.size_of, etags))
