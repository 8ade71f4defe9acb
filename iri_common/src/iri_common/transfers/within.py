"""The facility copies for itself: no byte passes through this machine."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from iri_common.model.errors import AmbiguousReply, IriError, NotFound, TransferError
from iri_common.model.ports import Dialect
from iri_common.model.transfer import Move
from iri_common.transfers.abreast import abreast, named, tried
from iri_common.transfers.far import FarEnd
from iri_common.transfers.local import aside_of
from iri_common.transfers.trip import Trip


class WithinRoad:
    """Copies from one path of a file system to another, several at once.

    Args:
        dialect: Of the facility.
        file_system: Its id there; both paths are its own.
    """

    def __init__(self, dialect: Dialect, file_system: str) -> None:
        self._far = FarEnd(dialect, file_system)

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Copy them all, each whole or not at all.

        Raises:
            TransferError: if a copy is not what its source is; that target is as it was.
        """

        async def one(move: Move) -> None:
            try:
                digest = await self._copied(move, trip.notes.transfer)
            except IriError as error:
                raise named(error, move) if len(moves) > 1 else error from None
            trip.meter.moved(move.size, move.name)
            trip.meter.landed(move, digest)

        await abreast(moves, one, trip.parallel)

    async def _copied(self, move: Move, transfer: str) -> str | None:
        far, aside = self._far, aside_of(move.target, transfer)
        await far.require_no_directory(move.target)

        async def copy() -> str | int:
            await far.over(await far.files.cp(far.id, move.source, aside, dereference=True))
            here, there = [await far.described(path) for path in (move.source, aside)]
            if here != there:
                raise TransferError(f"{move.target} is no whole copy of {move.source}; try again")
            return there

        try:
            # A second copy goes over the first: the name aside is ours, and never a directory's.
            whole = await tried(copy)
            digest, size = (whole, move.size) if isinstance(whole, str) else (None, whole)
            await far.rename(aside, move.target, size, digest or "")
        except BaseException:
            await far.remove_in_leaving(aside)
            raise
        return digest


class WithinTree:
    """Copies a directory with all that is in it at once, to a place where nothing is.

    Args:
        dialect: Of the facility.
        file_system: Its id there.
        source: The directory.
        target: Its place; what is above it is made if need be.
    """

    def __init__(self, dialect: Dialect, file_system: str, source: str, target: str) -> None:
        self._far = FarEnd(dialect, file_system)
        self._source, self._target = source.rstrip("/"), target.rstrip("/")

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Copy it aside, look whether all files have their sizes, rename it.

        Raises:
            TransferError: if the copy is not whole; nothing is at the target.
        """
        far, aside = self._far, aside_of(self._target, trip.notes.transfer)
        await far.make_directory(posixpath.dirname(self._target))

        async def copy() -> None:
            await far.remove(aside)  # a copy into a directory that is there lands one level too deep
            await far.over(await far.files.cp(far.id, self._source, aside, dereference=True))
            await self._require_whole(moves, aside)

        try:
            await tried(copy)
            await self._appear(aside)
        except BaseException:
            await far.remove_in_leaving(aside)
            raise
        for move in moves:
            trip.meter.moved(move.size, move.name)
            trip.meter.landed(move)

    async def _require_whole(self, moves: Sequence[Move], aside: str) -> None:
        there = {each.name: each.size for each in await self._far.listing(aside, recursive=True)}
        for move in moves:
            name = move.target.removeprefix(self._target).lstrip("/")
            if name not in there or there[name] not in {None, move.size}:
                raise TransferError(f"{name} is not whole in the copy of {self._source}; try again")

    async def _appear(self, aside: str) -> None:
        far = self._far
        if await far.is_directory(self._target) is not None:
            # A rename onto it would put everything one level too deep.
            raise TransferError(f"{self._target} came into being meanwhile; ask again, to have it filled")
        try:
            await far.over(await far.files.mv(far.id, aside, self._target))
        except (AmbiguousReply, NotFound):
            if await far.is_directory(aside) is not None or not await far.is_directory(self._target):
                raise
