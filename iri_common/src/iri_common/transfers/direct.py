"""Each file in one call of the facility's own API: written aside, compared, renamed; whole or not at all."""

from __future__ import annotations

import contextlib
import posixpath
from collections import Counter
from collections.abc import Collection, Sequence

from iri_common.model.errors import IriError, NotFound, NotOffered
from iri_common.model.ports import Dialect
from iri_common.model.transfer import Move
from iri_common.policy.sizes import MIB, WHOLE_UP
from iri_common.transfers import local
from iri_common.transfers.abreast import Room, abreast, named, tried
from iri_common.transfers.far import FarEnd, require_file_name
from iri_common.transfers.landed import landing_before, note_landing
from iri_common.transfers.trip import Trip

# Contents in memory at once: each is copied on its way, and as JSON, coming, more often.
_ROOM_UP, _ROOM_DOWN = WHOLE_UP, 6 * MIB
_WORTH_A_LISTING = 3  # files into one directory, from which on one listing costs less than a look at each


class DirectRoad:
    """Files up to the API's limit, several at once.

    Args:
        dialect: Of the facility.
        file_system: Its id there.
        up: From this machine to the facility, else down.
        checksum: Compare SHA-256 where the API tells it; else sizes are compared.
        fresh: Directories at the facility that were made for this transfer: nothing in them is in the way.
        in_place: Write each file under its own name, for a rename would take a job that nobody allowed.
    """

    def __init__(
        self,
        dialect: Dialect,
        file_system: str,
        *,
        up: bool,
        checksum: bool = True,
        fresh: Collection[str] = (),
        in_place: bool = False,
    ) -> None:
        self._far = FarEnd(dialect, file_system, checksum=checksum)
        self._up = up
        self._fresh = frozenset(fresh)
        self._in_place = in_place

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Move them all, each whole or not at all.

        Carried again after a kill, what is in its place is left there where its digest is told.

        Raises:
            UsageError: if a source is no readable file, or a target is a directory.
            TooLarge: if one is over the API's limit; nothing of it was sent.
            TransferError: if what arrived is not what was sent; that target is as it was, unless it was
                written in place.
        """
        looked_at = await self._looked_at(moves, trip) if self._up else frozenset[str]()
        room = Room(_ROOM_UP if self._up else _ROOM_DOWN)

        async def one(move: Move) -> None:
            if (before := await self._landed_before(move, trip)) is not None:
                trip.meter.kept(move.size)
                trip.meter.landed(move, before)
                return
            try:
                async with room.of(move.size):
                    if self._up:
                        clear = posixpath.dirname(move.target) in looked_at
                        in_place = self._in_place
                        digest, size = await _put(self._far, move, trip, clear=clear, in_place=in_place)
                    else:
                        digest, size = await _get(self._far, move, trip)
            except IriError as error:
                raise named(error, move) if len(moves) > 1 else error from None
            trip.meter.moved(size, move.name)
            trip.meter.landed(move, digest)

        await abreast(moves, one, trip.parallel)

    async def _landed_before(self, move: Move, trip: Trip) -> str | None:
        """The digest of what is in place since an earlier try, which did not live to tell."""
        noted = landing_before(trip.notes, move)
        if noted is None or (self._up and not move.mtime):
            return None
        with contextlib.suppress(IriError):
            there = await self._far.digest(move.target if self._up else move.source)
            if there == noted and (self._up or await local.is_whole(move.target, move.size, noted)):
                return noted
        return None

    async def _looked_at(self, moves: Sequence[Move], trip: Trip) -> frozenset[str]:
        """The directories in which no target is in the way of its file."""
        targets = {posixpath.normpath(move.target) for move in moves}
        crowded = Counter(posixpath.dirname(move.target) for move in moves)
        clear = set(self._fresh)

        async def look(directory: str) -> None:
            try:
                entries = await self._far.listing(directory)
            except (NotFound, NotOffered):
                return
            for entry in entries:
                path = posixpath.join(directory, entry.name)
                if path in targets and entry.type != "file":
                    await self._far.require_no_directory(path)
            clear.add(directory)

        some = [each for each, count in crowded.items() if count >= _WORTH_A_LISTING and each not in clear]
        await abreast(some, look, trip.parallel)
        return frozenset(clear)


async def _put(far: FarEnd, move: Move, trip: Trip, *, clear: bool, in_place: bool) -> tuple[str, int]:
    require_file_name(move.target)
    content = await local.content_of(move.source, far.grades.upload_limit)
    if not clear:
        await far.require_no_directory(move.target)
    size, digest = len(content), await local.sha256(content)
    aside = move.target if in_place else local.aside_of(move.target, trip.notes.transfer)

    async def send() -> None:
        await trip.meter.spend(size)
        await far.over(await far.files.upload(far.id, aside, content))
        await far.require_whole(aside, size, digest, f"{move.source} -> {move.target}")

    if in_place:
        await note_landing(trip.notes, move, digest)
        await tried(send)
        return digest, size
    try:
        await tried(send)
        await note_landing(trip.notes, move, digest)
        await far.rename(aside, move.target, size, digest)
    except BaseException:
        await far.remove_in_leaving(aside)
        raise
    return digest, size


async def _get(far: FarEnd, move: Move, trip: Trip) -> tuple[str, int]:
    await local.require_place(move.target)

    async def fetch() -> tuple[bytes, str]:
        await trip.meter.spend(move.size)
        content = await far.over(await far.files.download(far.id, move.source))
        digest = await local.sha256(content)
        await far.require_whole(move.source, len(content), digest, f"{move.source} -> {move.target}")
        return content, digest

    content, digest = await tried(fetch)
    await note_landing(trip.notes, move, digest)
    await local.write_whole(move.target, trip.notes.transfer, content)
    return digest, len(content)
