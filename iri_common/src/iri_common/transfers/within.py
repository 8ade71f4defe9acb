"""The facility copies for itself: no byte passes through this machine."""

from __future__ import annotations

import hashlib
import posixpath
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from iri_common.jobs.operations import Patience
from iri_common.model.errors import AmbiguousReply, IriError, NotFound, TransferError, WaitTimeout
from iri_common.model.outcome import FacilityTask, Pending
from iri_common.model.ports import Dialect
from iri_common.model.transfer import Move
from iri_common.transfers.abreast import abreast, named, tried
from iri_common.transfers.far import FarEnd
from iri_common.transfers.local import aside_of
from iri_common.transfers.trip import Notes, Trip

# Seconds for which a try goes on with the copy of another one where nobody tells when a file was written to:
# later, another content may have the same size.
_UNDATED = 24 * 3600.0


class WithinRoad:
    """Copies from one path of a file system to another, several at once.

    Args:
        dialect: Of the facility.
        file_system: Its id there; both paths are its own.
        wait: Seconds for a copy; None for as long as it takes.
    """

    def __init__(self, dialect: Dialect, file_system: str, *, wait: float | None = None) -> None:
        self._far = FarEnd(dialect, file_system)
        self._wait = wait

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Copy them all, each whole or not at all; carried again, it goes on with copies that are under way.

        Raises:
            TransferError: if a copy is not what its source is; that target is as it was.
            WaitTimeout: if one takes longer; it goes on.
        """
        late: list[IriError] = []

        async def one(move: Move) -> None:
            if late:
                return  # those that are under way end by themselves, in time or not
            try:
                digest = await self._copied(move, trip.notes)
            except WaitTimeout as error:
                late.append(named(error, move) if len(moves) > 1 else error)
                return
            except IriError as error:
                raise named(error, move) if len(moves) > 1 else error from None
            trip.meter.moved(move.size, move.name)
            trip.meter.landed(move, digest)

        await abreast(moves, one, trip.parallel)
        if late:
            raise late[0]

    async def _copied(self, move: Move, notes: Notes) -> str | None:
        far, aside = self._far, aside_of(move.target, notes.transfer)
        await far.require_no_directory(move.target)
        copying = _Copying(far, notes, move.source, aside, [move], self._wait)

        async def copy() -> str | int:
            # A second copy goes over the first: the name aside is ours, and never a directory's.
            await copying.over()
            here, there = [await far.described(path) for path in (move.source, aside)]
            if here != there:
                copying.forget()
                raise TransferError(f"{move.target} is no whole copy of {move.source}; try again")
            return there

        try:
            whole = await tried(copy)
            digest, size = (whole, move.size) if isinstance(whole, str) else (None, whole)
            await far.rename(aside, move.target, size, digest or "")
        except BaseException as error:
            await copying.leave(error)
            raise
        copying.forget()
        return digest


class WithinTree:
    """Copies a directory with all that is in it at once, to a place where nothing is.

    Args:
        dialect: Of the facility.
        file_system: Its id there.
        source: The directory.
        target: Its place; what is above it is made if need be.
        wait: Seconds for the copy; None for as long as it takes.
    """

    def __init__(
        self, dialect: Dialect, file_system: str, source: str, target: str, *, wait: float | None = None
    ) -> None:
        self._far = FarEnd(dialect, file_system)
        self._source, self._target = source.rstrip("/"), target.rstrip("/")
        self._wait = wait

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Copy it aside, look whether all files have their sizes, rename it.

        Raises:
            TransferError: if the copy is not whole; nothing is at the target.
            WaitTimeout: if it takes longer; it goes on, and so does who carries it again.
        """
        far, aside = self._far, aside_of(self._target, trip.notes.transfer)
        await far.make_directory(posixpath.dirname(self._target))
        copying = _Copying(far, trip.notes, self._source, aside, moves, self._wait)

        async def copy() -> None:
            # A copy into a directory that is there lands one level too deep.
            await copying.over(clear=True)
            try:
                await self._require_whole(moves, aside)
            except TransferError:
                copying.forget()
                raise

        try:
            await tried(copy)
            await self._appear(aside)
        except BaseException as error:
            await copying.leave(error)
            raise
        copying.forget()
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


class _Copying:
    """One copy to a name aside: asked for once while it is under way, by whatever try.

    Args:
        far: Where.
        notes: Which tell a later try of it.
        source: A file or directory.
        aside: Where its copy goes.
        moves: What is to be copied; a copy of what looked otherwise is none.
        wait: Seconds; None for as long as it takes.
    """

    def __init__(
        self, far: FarEnd, notes: Notes, source: str, aside: str, moves: Sequence[Move], wait: float | None
    ) -> None:
        self._far, self._notes = far, notes
        self._source, self._aside = source, aside
        self._dated = all(move.mtime for move in moves)
        self._mark = _digest(repr(sorted((move.source, move.size, move.mtime) for move in moves)))
        self._patience = Patience.of(wait)
        self._name = f"within:{_digest(aside)}"

    async def over(self, *, clear: bool = False) -> None:
        """Return when it is made.

        Args:
            clear: Nothing may be aside before another one is asked for.
        """
        if (task := self._under_way()) is not None and await self._came_of(task):
            return
        if clear:
            await self._far.remove(self._aside)
        answer = await self._far.files.cp(self._far.id, self._source, self._aside, dereference=True)
        if isinstance(answer, Pending):
            asked = {"mark": self._mark, "asked": time.time(), "task": asdict(answer.task)}
            self._notes.put(self._name, asked)
            await self._notes.written()
        await self._far.over(answer, self._patience)

    def forget(self) -> None:
        """It is used, or of no use."""
        self._notes.put(self._name, None)

    async def leave(self, error: BaseException) -> None:
        """Take away what is aside, unless a later try goes on with it."""
        if isinstance(error, IriError) and error.transient and self._under_way() is not None:
            return
        self.forget()
        await self._far.remove_in_leaving(self._aside)

    def _under_way(self) -> FacilityTask | None:
        noted: Mapping[str, Any] | None = self._notes.get(self._name)
        if noted is None or noted["mark"] != self._mark:
            return None
        good = self._dated or time.time() - noted["asked"] < _UNDATED
        return FacilityTask(**noted["task"]) if good else None

    async def _came_of(self, task: FacilityTask) -> bool:
        """Whether a copy has come of what was asked for before.

        Raises:
            IriError: if that cannot be seen now, or is not over in time.
        """
        try:
            await self._far.finish(task, self._patience)
        except IriError as error:
            if error.operation != task.operation:  # of the look: nothing is known of the copy
                raise
            # Forgotten, maybe because somebody else has waited for its end: what is aside tells.
            if isinstance(error, AmbiguousReply) and await self._far.is_directory(self._aside) is not None:
                return True
            self.forget()
            return False
        return True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
