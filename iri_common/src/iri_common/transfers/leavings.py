"""What a try over another road has left: found by its notes and by the transfer's name, and taken away.

A try that is killed leaves what the next one over the same road goes on with. One over another road would
neither use it nor know of it; and what is noted of a file aside is wrong once another road writes there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import posixpath
import re
import shutil
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iri_common.model.dataports import PartsApi, TransfersApi
from iri_common.model.errors import IriError, NotOffered, TooLarge, WaitTimeout
from iri_common.model.logfields import about
from iri_common.model.transfer import PartsUpload, Road
from iri_common.policy.inside import inside
from iri_common.policy.offers import Quote
from iri_common.transfers.abreast import abreast
from iri_common.transfers.far import FarEnd
from iri_common.transfers.globus import end_errands
from iri_common.transfers.local import aside_endings
from iri_common.transfers.notes import FileNotes

log = logging.getLogger(__name__)

_ROADS = "roads"  # the note that names those of the last try
_NOTED: dict[
    Road, tuple[str, ...]
] = {  # what the names of notes begin with, a relay's behind "up" and "down"
    Road.WITHIN: ("within:",),
    Road.CHUNKS: ("chunks:",),
    Road.PARTS: ("parts:",),
    Road.HTTPS: ("https:",),
    Road.ARCHIVE: ("unpacked:",),
    Road.GLOBUS: ("globus",),
    Road.RELAY: ("up ", "down "),
}
_GOES_ON = frozenset({Road.CHUNKS, Road.PARTS, Road.HTTPS})  # down: with what lies aside here
_ON_ITS_WAY = re.compile(r"(up |down )?(chunks|parts|https):[0-9a-f]{16}(:begun)?")
_UPLOAD = re.compile(r"(up )?parts:[0-9a-f]{16}(:begun)?")
_AT_ONCE, _FEW = 4, 16  # listings; directories that are listed by themselves


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a transfer, as far as something may have been left there.

    Attributes:
        directories: In which that may lie.
        far: Lists and removes at a facility; None at this machine, and where nothing does.
        parts: Knows of uploads.
        here: It is this machine.
    """

    directories: Collection[str]
    far: FarEnd | None = None
    parts: PartsApi | None = None
    file_system: str = ""
    here: bool = False


class Leavings:
    """Of one transfer.

    Args:
        notes: The transfer's.
        quotes: The roads that are taken now.
    """

    def __init__(self, notes: FileNotes, quotes: Sequence[Quote]) -> None:
        self._notes = notes
        self._now = [[str(each.road), *(str(hop.road) for hop in each.hops)] for each in quotes]
        before: Sequence[Sequence[str]] = notes.get(_ROADS) or ()
        self._dropped = [[*map(Road, words)] for words in before if words not in self._now]

    @property
    def any(self) -> bool:
        """Whether another road was under way that is not taken any more."""
        return bool(self._dropped)

    @property
    def unfinished(self) -> bool:
        """Whether something is noted of a file on its way."""
        return any(map(_ON_ITS_WAY.fullmatch, self._notes.names))

    async def clear(self, source: Side, target: Side, transfers: TransfersApi | None, stage: Path) -> None:
        """Take away what it left; what cannot be is logged, and keeps nothing from going on.

        Args:
            source: Where jobs and archives had put something.
            target: Where files lay aside.
            transfers: Ends tasks.
            stage: Of a relay.
        """
        dropped = {road for words in self._dropped for road in words}
        down = {words[1] if words[0] is Road.RELAY else words[0] for words in self._dropped}
        kept = {road for words in self._now for road in words}
        noted = [name for road in dropped for name in self._named(road)]
        await self._ended(noted, target, transfers)
        # The parts for a job are the only ones there that a later try goes on with.
        endings = aside_endings(self._notes.transfer)[: 1 if Road.CHUNKS in kept else 2]
        if not source.here and down & {Road.CHUNKS, Road.ARCHIVE}:
            await _swept(source, endings)
        if not target.here or not kept & _GOES_ON:
            await _swept(target, endings)
        if Road.RELAY in dropped:
            await asyncio.to_thread(shutil.rmtree, stage, ignore_errors=True)
        for name in noted:
            self._notes.put(name, None)

    def note(self) -> None:
        """Remember the roads that are taken now."""
        self._notes.put(_ROADS, self._now)

    def _named(self, road: Road) -> Sequence[str]:
        return [name for name in self._notes.names if name.startswith(_NOTED.get(road, ()))]

    async def _ended(self, noted: Sequence[str], target: Side, transfers: TransfersApi | None) -> None:
        """End what goes on, or costs, at others: tasks of Globus, and uploads that nobody finishes."""
        if transfers is not None and any(name.startswith("globus") for name in noted):
            with _logged("a task of Globus"):
                await end_errands(transfers, self._notes)
        if target.parts is None:
            return
        for name in filter(_UPLOAD.fullmatch, noted):
            with _logged("an upload"):
                told = self._notes.get(name)
                if name.endswith(":begun") and name.removesuffix(":begun") not in noted:
                    await target.parts.clear(target.file_system, *told)
                elif "handle" in told:
                    upload = PartsUpload("", 0, told["part_size"], (), None, told["handle"])
                    await target.parts.abandon(target.file_system, upload)


async def _swept(side: Side, endings: Sequence[str]) -> None:
    """Take away what bears the transfer's name."""
    if side.here:
        await asyncio.to_thread(_swept_here, side.directories, tuple(endings))
    elif side.far is not None and side.directories:
        far = side.far
        with _logged("what lies aside"):
            found = await _aside(far, sorted(side.directories), tuple(endings))
            await abreast(found, far.remove, _AT_ONCE)


async def _aside(far: FarEnd, directories: Sequence[str], endings: tuple[str, ...]) -> Sequence[str]:
    top = posixpath.commonpath(directories)
    found: list[str] = []
    if len(directories) > _FEW:
        with contextlib.suppress(NotOffered, TooLarge, WaitTimeout):
            entries = await far.listing(top, recursive=True)
            names = sorted(each.name for each in entries if each.name.endswith(endings))
            # Of a directory that goes, what is in it goes with it.
            return [inside(top, name) for name in names if not any(name.startswith(f"{n}/") for n in names)]

    async def look(directory: str) -> None:
        with contextlib.suppress(IriError):  # it may not be there yet
            entries = await far.listing(directory)
            found.extend(inside(directory, each.name) for each in entries if each.name.endswith(endings))

    await abreast(directories, look, _AT_ONCE)
    return found


def _swept_here(directories: Collection[str], endings: tuple[str, ...]) -> None:
    for directory in directories:
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(endings) and not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)


@contextlib.contextmanager
def _logged(what: str) -> Generator[None]:
    try:
        yield
    except IriError as error:
        fields = about(error=error)
        log.warning("%s that an earlier try has left cannot be cleared away: %s", what, error, extra=fields)
