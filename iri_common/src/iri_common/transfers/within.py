"""The facility copies for itself: no byte passes through this machine."""

from __future__ import annotations

from collections.abc import Sequence

from iri_common.model.errors import IriError, TransferError
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
