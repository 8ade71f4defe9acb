"""Many files down as one: a job packs them and cuts the archive, its parts come several at once."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from iri_common.jobside.joining import SplitFile, listable, name_list, pack_script, part_name, whole_path
from iri_common.model.counts import many
from iri_common.model.errors import ReplyError, TransferError
from iri_common.model.ports import Dialect
from iri_common.model.transfer import Move
from iri_common.policy.sizes import PART_UP
from iri_common.transfers import local
from iri_common.transfers.abreast import tried
from iri_common.transfers.aside import LocalAside
from iri_common.transfers.chunks import PATIENCE, ChunksRoad, Download, RunScript
from iri_common.transfers.direct import DirectRoad
from iri_common.transfers.packing import below, root_of
from iri_common.transfers.trip import Meter, Trip
from iri_common.transfers.unpacking import unpacking

_FACT = 12  # hex digits that tell a file as it was from one as it is


class PacksRoad:
    """All files of a tree with one job, whatever their sizes; the archive takes room at both ends meanwhile.

    What a list of names cannot carry comes file by file, and what tar did not pack as it had been listed.

    Args:
        dialect: Of the facility.
        file_system: Its id there.
        run_script: Runs a job where the files are seen under the same paths.
        source: The directory there that all files are below; the lowest one above them if "".
        target: The directory here that they come to lie below, which is there; likewise.
        part_size: In bytes; as large as API and memory allow if None.
    """

    def __init__(
        self,
        dialect: Dialect,
        file_system: str,
        run_script: RunScript,
        *,
        source: str = "",
        target: str = "",
        part_size: int | None = None,
    ) -> None:
        self._each = ChunksRoad(dialect, file_system, run_script, up=False, part_size=part_size)
        self._direct = DirectRoad(dialect, file_system, up=False)
        self._source, self._target = source, target

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Move them all, each whole or not at all.

        Carried again after a kill, parts that have arrived stay, and a job that runs is waited for.

        Raises:
            TransferError: if the job fails; what it says is told.
        """
        left = [move for move in moves if not listable(move.source)]
        if listed := [move for move in moves if listable(move.source)]:
            source = self._source or root_of([move.source for move in listed])
            target = self._target or root_of([move.target for move in listed])
            left += await (await asyncio.to_thread(_Pack, self._each, source, target, listed, trip)).carried()
        small = [move for move in left if move.size <= self._each.part_size]
        await self._direct.carry(small, trip)
        await self._each.carry([move for move in left if move.size > self._each.part_size], trip)


class _NotWhole(TransferError):
    """What came is good for nothing."""


class _Pack(Download):
    """An archive that is no file anywhere but in its parts, and here until it is unpacked."""

    def __init__(self, road: ChunksRoad, source: str, target: str, moves: Sequence[Move], trip: Trip) -> None:
        self._root = posixpath.normpath(source)
        super().__init__(road, Move(self._root, posixpath.join(target, ".iri"), -1), trip)
        self._wanted = {below(self._root, move.source): move for move in moves}
        self._size = sum(move.size for move in moves)
        facts = {_fact(move) for move in moves}
        before = str((self._noted or {}).get("facts", ""))
        packed = {before[at : at + _FACT] for at in range(0, len(before), _FACT)}
        # What an earlier try had packed is good for those that have not landed yet.
        self._facts = before if facts <= packed else "".join(sorted(facts))
        self._mark = hashlib.sha256(self._facts.encode()).hexdigest()[:16]

    async def carried(self) -> Sequence[Move]:
        """Move them; gives those that the archive does not have."""
        move, trip = self._move, self._trip
        whole_path(self._root)
        await local.require_place(move.target)
        split = await self._split()
        aside = LocalAside(move.target, trip.notes.transfer)
        try:
            await self._fetch(split, aside)
            if await aside.sha256(split.size) != split.sha256:
                raise _NotWhole(f"what was packed of {self._root} did not arrive whole; ask again")
            left = await self._unpacked(aside.path)
            await aside.drop()
        except (_NotWhole, ReplyError):
            await aside.drop()
            await self._far.remove(self.work)
            raise
        finally:
            aside.close()
        await self._far.remove(self.work)
        self._note(None)
        return left

    async def _unpacked(self, path: str) -> Sequence[Move]:
        left = {move.target: move for move in self._wanted.values()}
        batches = unpacking(path, self._wanted, self._trip.notes.transfer)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for move in batch:
                del left[move.target]
                self._trip.meter.landed(move)
        self._trip.meter.moved(-sum(move.size for move in left.values()))
        return list(left.values())

    @property
    def _what(self) -> str:
        return f"pack {many(len(self._wanted), 'file')} of {self._root}"

    def _asked(self) -> Mapping[str, Any]:
        return {"facts": self._facts, "part_size": self._road.part_size}

    def _words(self) -> Sequence[object]:
        return ("pack", self._mark)

    async def _is_current(self, size: int, sha256: str) -> bool:
        return all(move.mtime for move in self._wanted.values())

    def _meter(self, split: SplitFile) -> Meter:
        return _Share(self._trip.meter, self._size, split.size)

    async def _script(self) -> str:
        far, size = self._far, self._list_size()
        names = await asyncio.to_thread(name_list, list(self._wanted))
        await far.make_directory(self.work)
        lists: list[str] = []
        for index, offset in enumerate(range(0, len(names), size)):
            content = names[offset : offset + size]
            # A job of an earlier try may be reading its list: another one has another name.
            path = posixpath.join(self.work, f"names-{part_name(index, content)}")

            async def send(path: str = path, content: bytes = content) -> None:
                await far.over(await far.files.upload(far.id, path, content), PATIENCE)

            await tried(send)
            lists.append(path)
        return pack_script(self._root, self._parts, self._road.part_size, lists, await local.sha256(names))

    def _list_size(self) -> int:
        limit = self._far.grades.upload_limit
        return PART_UP if limit is None else min(PART_UP, limit - limit // 64)


class _Share:
    """A meter that is told of an archive's bytes and counts those of the files in it."""

    def __init__(self, meter: Meter, files: int, archive: int) -> None:
        self._meter, self._files, self._archive = meter, files, max(1, archive)
        self._moved = self._kept = 0
        self.landed, self.spend = meter.landed, meter.spend

    def moved(self, count: int, name: str = "") -> None:
        """So many of the archive's bytes have arrived."""
        before = self._counted()
        self._moved += count
        self._meter.moved(self._counted() - before, name)

    def kept(self, count: int) -> None:
        """So many of them were here."""
        before = self._counted()
        self._kept += count
        self._meter.kept(self._counted() - before)

    def _counted(self) -> int:
        return (self._moved + self._kept) * self._files // self._archive


def _fact(move: Move) -> str:
    told = f"{move.source}\0{move.size}\0{move.mtime}"
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()[:_FACT]
