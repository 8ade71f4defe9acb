"""Many small files as one, packed or unpacked by the facility's own file service."""

from __future__ import annotations

import asyncio
import posixpath
import secrets
from collections.abc import Sequence

from iri_common.model.counts import agreed, many
from iri_common.model.errors import (
    AmbiguousReply,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    ReplyError,
    TooLarge,
    TransferError,
    UsageError,
)
from iri_common.model.files import Compression
from iri_common.model.ports import Dialect
from iri_common.model.transfer import Move
from iri_common.policy.sizes import PACK_DOWN, PACK_UP
from iri_common.transfers import local
from iri_common.transfers.abreast import abreast, tried
from iri_common.transfers.direct import DirectRoad
from iri_common.transfers.far import FarEnd
from iri_common.transfers.packing import (
    Group,
    below,
    directories,
    grouped,
    packable,
    packed_now,
    root_of,
    without,
)
from iri_common.transfers.trip import Trip
from iri_common.transfers.unpacking import MOST, unpacked_now

_NAMED = 3  # missing files that an error names


class ArchiveRoad:
    """Small files in archives, and by themselves those that are too large for one.

    Up, no directories need to be made before. Where the lowest directory above all targets is not there yet,
    everything appears at once; else the files appear one by one. Down, directories are packed as a whole, and
    what is in one that is too large comes file by file: what a pattern of names picks differs from one
    facility to another.

    Args:
        dialect: Of the facility.
        file_system: Its id there.
        up: From this machine to the facility, else down.
        root: The directory at the facility that all files are in; the lowest one above them if None.
        stage: A directory at the facility for the archives of downloads; beside the root if None.
        known: All files at the source of a download, moved or not: a directory is packed with all in it.
    """

    def __init__(
        self,
        dialect: Dialect,
        file_system: str,
        *,
        up: bool,
        root: str | None = None,
        stage: str | None = None,
        known: Sequence[Move] = (),
    ) -> None:
        if not dialect.grades.archives:
            raise NotOffered(f"the {dialect.name} API of this facility packs and unpacks no archives")
        self.far = FarEnd(dialect, file_system)
        self.by_file = DirectRoad(dialect, file_system, up=up)
        self.root, self.stage, self.known = root, stage, known
        grades = dialect.grades
        limit, best = (grades.upload_limit, PACK_UP) if up else (grades.download_limit, PACK_DOWN)
        self.limit = best if limit is None else min(best, limit - limit // 64)
        self._leg = _Packed if up else _Unpacked

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Move them all; carried again after a kill, what was unpacked at the facility is not sent again.

        Raises:
            TransferError: if a file changed since it was looked at, or is not whole after unpacking.
        """
        if moves:
            # Which files go together is soon decided for a few; for many it takes a moment.
            await (await asyncio.to_thread(self._leg, self, moves, trip)).carry()


# ------------------------------------------------------------------------------------------------- up


class _Packed:
    """Archives that are made here and unpacked there."""

    def __init__(self, road: ArchiveRoad, moves: Sequence[Move], trip: Trip) -> None:
        self._far, self._trip = road.far, trip
        self._root = posixpath.normpath(road.root or root_of([move.target for move in moves]))
        self._aside = local.aside_of(self._root, trip.notes.transfer)
        small, self._large = packable(moves, self._root, road.limit)
        self._groups = list(grouped(small, self._root, road.limit))
        self._by_file = road.by_file

    async def carry(self) -> None:
        if self._groups:
            await self._carry_archives()
        if self._large:
            for directory in sorted({posixpath.dirname(move.target) for move in self._large}):
                await self._far.make_directory(directory)
            await self._by_file.carry(self._large, self._trip)

    async def _carry_archives(self) -> None:
        moves = [move for group in self._groups for move in group.moves]
        place = await self._place()
        # Sizes alone are no proof: what was there before may have them, too.
        appeared = all(self._trip.notes.get(_unpacked(group)) == self._aside for group in self._groups)
        if place == self._aside or not appeared or await self._missing(place):
            await self._unpack_all(place)
        else:
            self._trip.meter.kept(sum(move.size for move in moves))
        if place == self._aside:
            await self._appear()
        for move in moves:
            self._trip.meter.landed(move)
        for group in self._groups:
            self._trip.notes.put(_unpacked(group), None)

    async def _place(self) -> str:
        """Where to unpack: aside if the directory is not there yet."""
        try:
            there = await self._far.is_directory(self._root)
        except NotOffered:
            there = True
        if there is False:
            raise UsageError(f"{self._root} is no directory, so nothing can be unpacked into it")
        return self._root if there else self._aside

    async def _unpack_all(self, place: str) -> None:
        far, trip = self._far, self._trip
        # Beside what appears at once; a directory that is there already may be all that can be written to.
        beside = self._root if place == self._aside else posixpath.join(self._root, ".iri")
        work = local.aside_of(beside, trip.notes.transfer, "parts")
        if place == self._aside:
            await far.make_directory(place)
        await far.make_directory(work)
        try:
            await abreast(self._groups, lambda group: self._unpack(group, place, work), trip.parallel)
        finally:
            await far.remove_in_leaving(work)
        if missing := await self._missing(place):
            for group in self._groups:
                trip.notes.put(_unpacked(group), None)
            some = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
            raise TransferError(
                f"{many(len(missing), 'file')} {agreed(len(missing), 'is', 'are')} not whole after unpacking "
                f"into {place}: {some}; ask again"
            )

    async def _unpack(self, group: Group, place: str, work: str) -> None:
        far, trip = self._far, self._trip
        size = sum(move.size for move in group.moves)
        if trip.notes.get(_unpacked(group)) == place:
            trip.meter.kept(size)
            return
        content = await asyncio.to_thread(packed_now, group)
        digest = await local.sha256(content)
        archive = posixpath.join(work, f"{group.mark}.tar")

        async def send() -> None:
            await trip.meter.spend(len(content))
            await far.over(await far.files.upload(far.id, archive, content))
            await far.require_whole(archive, len(content), digest, f"the archive {archive}")

        async def extract() -> None:
            answer = await far.files.extract(far.id, archive, place, compression=Compression.NONE)
            await far.over(answer)

        await tried(send)
        await tried(extract)  # a second one writes the same files over those of the first
        trip.notes.put(_unpacked(group), place)
        trip.meter.moved(size, group.moves[-1].name)

    async def _missing(self, place: str) -> Sequence[str]:
        rows = await self._far.listing(place, recursive=True)
        sizes = {posixpath.normpath(each.name): each.size for each in rows}
        return [
            name
            for group in self._groups
            for name, move in zip(group.names, group.moves, strict=True)
            if name not in sizes or sizes[name] not in {None, move.size}
        ]

    async def _appear(self) -> None:
        far, aside, root = self._far, self._aside, self._root

        async def once() -> None:
            if await far.is_directory(root) is not None and await far.is_directory(aside):
                # A rename onto it would put everything one level too deep.
                raise UsageError(f"{root} came into being meanwhile; ask again, to have it filled")
            try:
                await far.over(await far.files.mv(far.id, aside, root))
            except (AmbiguousReply, NotFound):
                if await far.is_directory(aside) is not None or not await far.is_directory(root):
                    raise

        await tried(once)


def _unpacked(group: Group) -> str:
    return f"unpacked:{group.mark}"


# ----------------------------------------------------------------------------------------------- down


class _Unpacked:
    """Directories that are packed there and unpacked here."""

    def __init__(self, road: ArchiveRoad, moves: Sequence[Move], trip: Trip) -> None:
        self._far, self._trip, self._by_file = road.far, trip, road.by_file
        root = posixpath.normpath(road.root or root_of([move.source for move in moves]))
        head, tail = posixpath.split(root)
        self._work = local.aside_of(posixpath.join(road.stage or head, tail), trip.notes.transfer, "parts")
        self._whole, self._loose = directories(moves, root, road.limit, without(road.known, moves))

    async def carry(self) -> None:
        if self._whole:
            try:
                await self._far.make_directory(self._work)
            except (PermissionDenied, Refused):
                self._loose += [move for some in self._whole.values() for move in some]
            else:
                try:
                    await abreast(self._whole.items(), self._fetch, self._trip.parallel)
                finally:
                    await self._far.remove_in_leaving(self._work)
        await self._by_file.carry(self._loose, self._trip)

    async def _fetch(self, packed: tuple[str, Sequence[Move]]) -> None:
        directory, moves = packed
        wanted = {below(directory, move.source): move for move in moves}
        try:
            content = await tried(lambda: self._archive(directory))
            found = await asyncio.to_thread(
                unpacked_now, content, directory, wanted, self._trip.notes.transfer
            )
        except (Refused, PermissionDenied, NotOffered, ReplyError):
            found = ()  # too large with what else is in it, or of a kind that we do not read
        for name in found:
            move = wanted.pop(name)
            self._trip.meter.moved(move.size, move.name)
            self._trip.meter.landed(move)
        self._loose += wanted.values()

    async def _archive(self, directory: str) -> bytes:
        far = self._far
        # Each try has a name of its own: one whose answer was lost may still pack.
        path = posixpath.join(self._work, f"{secrets.token_hex(8)}.tar.gz")
        await far.over(await far.files.compress(far.id, directory, path, compression=Compression.GZIP))
        size = await far.size(path)
        if size > MOST:  # with what else is in it
            raise TooLarge(f"the archive of {directory} has {size} bytes")
        await self._trip.meter.spend(size)
        content = await far.over(await far.files.download(far.id, path))
        await far.require_whole(
            path, len(content), await local.sha256(content), f"the archive of {directory}"
        )
        return content
