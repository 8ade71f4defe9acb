"""Files over the API's limit, in parts through that API; a job at the facility joins or splits them."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from iri_common.jobs.operations import Patience
from iri_common.jobside.joining import (
    SplitFile,
    is_part,
    join_script,
    part_name,
    read_split,
    split_script,
    whole_path,
)
from iri_common.model.errors import IriError, JobFailed, NotFound, NotOffered, TransferError
from iri_common.model.files import FileEntry
from iri_common.model.job import JobResult
from iri_common.model.key import JobKey
from iri_common.model.ports import Dialect
from iri_common.model.transfer import Move
from iri_common.policy.sizes import PART_DOWN, PART_UP
from iri_common.transfers import local
from iri_common.transfers.abreast import abreast, job_told, named, tried
from iri_common.transfers.aside import LocalAside
from iri_common.transfers.far import FarEnd
from iri_common.transfers.trip import Meter, Trip

RunScript = Callable[[str, JobKey, str], Awaitable[JobResult]]
"""Has a POSIX shell script run as a job and waits for its success; asked again with a key, it is that job.

What the job says goes to the directory that is named last, which is there, as far as the facility lets it.
"""

_ROUNDS = 3  # jobs for one file: what turns out damaged is sent, or made, once more
# A part is seldom ready at once, and each look is a request of the budget that all parts share.
PATIENCE = Patience(first=0.3)
# Seconds before each look at what a job has made: some file systems show late what another machine wrote.
_LATE_SIGHT = (0.0, 1.0, 2.0)


class ChunksRoad:
    """Large files, one after another, the parts of each several at once. Each file takes a small job.

    Args:
        dialect: Of the facility.
        file_system: Its id there.
        run_script: Runs a job where the files are seen under the same paths.
        up: From this machine to the facility, else down.
        stage: A directory at the facility for the parts of downloads; beside the source if None.
        part_size: In bytes; as large as API and memory allow if None.
    """

    def __init__(
        self,
        dialect: Dialect,
        file_system: str,
        run_script: RunScript,
        *,
        up: bool,
        stage: str | None = None,
        part_size: int | None = None,
    ) -> None:
        self.far = FarEnd(dialect, file_system)
        self.run_script = run_script
        self.stage = stage
        grades = dialect.grades
        limit, best = (grades.upload_limit, PART_UP) if up else (grades.download_limit, PART_DOWN)
        self.part_size = part_size or (best if limit is None else min(best, limit - limit // 64))
        self._leg = _Upload if up else Download

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Move them all, each whole or not at all.

        Carried again after a kill, parts that have arrived stay, and a job that runs is waited for.

        Raises:
            TransferError: if the job fails, or a file changes meanwhile; that target is as it was.
        """
        for move in moves:
            try:
                await self._leg(self, move, trip).carry()
            except IriError as error:
                raise named(error, move) from None


class Leg:
    """One file on its way.

    Attributes:
        work: A directory of its own at the facility, for the parts and what jobs say; nothing is left of it.
    """

    def __init__(self, road: ChunksRoad, move: Move, trip: Trip) -> None:
        self._road, self._far = road, road.far
        self._move, self._trip = move, trip
        ends = f"{move.source}\0{move.target}".encode(errors="surrogateescape")
        self._name = f"chunks:{hashlib.sha256(ends).hexdigest()[:16]}"
        self._counted = set[str]()  # parts that the meter was told of
        self.work = local.aside_of(self._beside(), trip.notes.transfer, "parts")

    def _beside(self) -> str:
        """Beside this path at the facility is room for its parts."""
        raise NotImplementedError

    @property
    def _parts(self) -> str:
        return posixpath.join(self.work, "pieces")

    @property
    def _noted(self) -> Mapping[str, Any] | None:
        return self._trip.notes.get(self._name)

    def _note(self, what: Mapping[str, Any] | None) -> None:
        self._trip.notes.put(self._name, what)

    async def _run(self, script: str, *words: object) -> None:
        await self._trip.notes.durable()
        key = JobKey.of("transfer", self._trip.notes.transfer, self._name, *words)
        await self._road.run_script(script, key, self.work)

    async def _listed(self, directory: str) -> Mapping[str, FileEntry]:
        try:
            return {each.name: each for each in await self._far.listing(directory)}
        except NotFound:
            return {}


# ------------------------------------------------------------------------------------------------- up


@dataclass(frozen=True, slots=True)
class _Sent:
    """A file whose parts are all there: what the join is asked for."""

    mark: str
    size: int
    sha256: str
    pieces: int


class _Upload(Leg):
    """Parts beside the target, then a join."""

    async def carry(self) -> None:
        await self._far.require_no_directory(whole_path(self._move.target))
        async with local.reading(self._move.source) as source:
            sent = await self._sent_and_joined(source)
        await self._far.remove(self.work)
        if not self._counted:
            self._trip.meter.kept(sent.size)
        self._trip.meter.landed(self._move, sent.sha256)  # before what is noted of its way goes
        self._note(None)

    async def _sent_and_joined(self, source: local.LocalSource) -> _Sent:
        sent, rounds = self._sent_before(source), _ROUNDS
        while True:
            sent, rounds = sent or await self._send(source), rounds - 1
            try:
                await self._join(sent)
                return sent
            except JobFailed as error:
                # A join takes away what is not as its name says; with all parts there, sending mends nothing.
                there = sum(map(is_part, (await self._listed(self._parts)).values()))
                if not rounds or there == sent.pieces:
                    raise job_told(error, f"join {self._move.target}") from None
                sent = None

    def _beside(self) -> str:
        return self._move.target

    def _sent_before(self, source: local.LocalSource) -> _Sent | None:
        noted = self._noted
        if noted is None or noted.get("mark") != source.mark:
            return None
        return _Sent(**noted)

    async def _send(self, source: local.LocalSource) -> _Sent:
        far, trip, directory = self._far, self._trip, self._parts
        arrived = await self._listed(directory)
        if not arrived:
            await far.make_directory(directory)
        whole, names = hashlib.sha256(), list[str]()
        counted = self._counted

        def hashed(content: bytes) -> str:
            whole.update(content)
            return part_name(len(names), content)

        async def missing() -> AsyncIterator[tuple[str, bytes]]:
            for offset in range(0, source.size, self._road.part_size):
                content = await source.read(offset, self._road.part_size)
                name = await asyncio.to_thread(hashed, content)
                names.append(name)
                if name not in arrived or arrived[name].size not in {None, len(content)}:
                    yield name, content
                elif name not in counted:
                    trip.meter.kept(len(content))
                    counted.add(name)

        async def send(part: tuple[str, bytes]) -> None:
            name, content = part

            async def once() -> None:
                await trip.meter.spend(len(content))
                await far.over(
                    await far.files.upload(far.id, posixpath.join(directory, name), content), PATIENCE
                )

            if name in counted:
                trip.meter.moved(-len(content))
            await tried(once)
            trip.meter.moved(len(content), self._move.name)
            counted.add(name)

        await abreast(missing(), send, trip.parallel)
        for stale in set(arrived) - set(names):  # of what the file was in an earlier try
            await far.remove(posixpath.join(directory, stale))
        await source.require_unchanged()
        sent = _Sent(source.mark, source.size, whole.hexdigest(), len(names))
        self._note(asdict(sent))
        return sent

    async def _join(self, sent: _Sent) -> None:
        target = self._move.target
        aside = local.aside_of(target, self._trip.notes.transfer)
        script = join_script(
            target, aside, self._parts, size=sent.size, sha256=sent.sha256, pieces=sent.pieces
        )
        await self._run(script, "join")
        try:
            there = await self._far.size(target)
        except NotOffered:
            return
        except NotFound:
            there = None
        if there != sent.size:
            self._note(None)
            raise TransferError(
                f"the job says that {target} is joined, but {'nothing' if there is None else there} of its "
                f"{sent.size} bytes is seen there; does the job see the same file system under this path?"
            )


# ----------------------------------------------------------------------------------------------- down


class Download(Leg):
    """A split at the facility, then its parts, each to its place."""

    async def carry(self) -> None:
        """Move it; carried again, parts that are here or there stay."""
        await local.require_place(self._move.target)
        if (sha256 := await self._placed_before()) is not None:
            self._trip.meter.kept(self._move.size)
        else:
            sha256 = await self._placed()
            self._note({**self._asked(), "placed": sha256})
            await self._trip.notes.written()
        await self._far.remove(self.work)
        self._trip.meter.landed(self._move, sha256)  # before what is noted of its way goes
        self._note(None)

    async def _placed_before(self) -> str | None:
        """The digest of what is in place since an earlier try, which did not live to tell."""
        noted, move = self._noted or {}, self._move
        sha256 = noted.get("placed", "")
        same = noted == {**self._asked(), "placed": sha256} and await self._is_current(move.size, sha256)
        return sha256 if same and await local.is_whole(move.target, move.size, sha256) else None

    async def _placed(self) -> str:
        move = self._move
        split = await self._split()
        aside = LocalAside(move.target, self._trip.notes.transfer)
        try:
            if not await self._fetch(split, aside):
                await aside.drop()
                self._trip.meter.kept(split.size)
            elif await aside.sha256(split.size) == split.sha256:
                await aside.place(split.size)
            else:
                await aside.drop()
                await self._far.remove(self.work)
                raise TransferError(f"{move.source} changed while it was split; ask again")
        finally:
            aside.close()
        return split.sha256

    def _beside(self) -> str:
        folder, name = posixpath.split(self._move.source)
        return posixpath.join(self._road.stage or folder, name)

    @property
    def _what(self) -> str:
        """What the job is to do, for people."""
        return f"split {self._move.source}"

    def _asked(self) -> Mapping[str, Any]:
        """What the parts are made of; those of an earlier try are good if it was the same."""
        move = self._move
        return {"size": move.size, "mtime": str(move.mtime), "part_size": self._road.part_size}

    def _words(self) -> Sequence[object]:
        """Tell the job from those that were asked to split something else."""
        return ("split", self._move.size, self._move.mtime)

    async def _is_current(self, size: int, sha256: str) -> bool:
        """Whether what an earlier try had split is what there is to be split now."""
        if self._move.mtime or size != self._move.size:
            return size == self._move.size
        try:  # nobody tells when it was written to: another content may have the same size
            return await self._far.digest(self._move.source) == sha256
        except IriError:
            return False

    async def _script(self) -> str:
        """Of the job; all that it needs is at the facility then."""
        script = split_script(self._move.source, self._parts, self._road.part_size)
        await self._far.make_directory(self.work)
        return script

    async def _split(self) -> SplitFile:
        """The parts as an earlier try left them, or new ones."""
        noted, asked = self._noted or {}, self._asked()
        same = noted == {**asked, "turn": noted.get("turn")}
        first = noted["turn"] if same else 0
        if there := await self._listed(self._parts):
            split = read_split(list(there.values()))
            if split is not None and same:
                if await self._is_current(split.size, split.sha256):
                    return split
                first += 1  # the job of before has done its work, and would not do it again
            await self._far.remove(self._parts)
        script = await self._script()
        for turn in range(first, first + _ROUNDS):  # the job of an earlier try may still be at work
            self._note({**asked, "turn": turn})
            try:
                await self._run(script, *self._words(), turn)
            except JobFailed as error:
                raise job_told(error, self._what) from None
            if (split := await self._seen()) is not None:
                return split
            # It had been done, and its parts are gone: with a key of its own it is another job.
        raise TransferError(
            f"the job that was to {self._what} says that it has, but {self._parts} is not seen; does the job "
            "see the same file system under this path?"
        )

    async def _seen(self) -> SplitFile | None:
        for pause in _LATE_SIGHT:
            await asyncio.sleep(pause)
            split = read_split(list((await self._listed(self._parts)).values()))
            if split is not None and len(split.parts) == -(-split.size // self._road.part_size):
                return split
        return None

    def _meter(self, split: SplitFile) -> Meter:
        return self._trip.meter

    async def _fetch(self, split: SplitFile, aside: LocalAside) -> bool:
        far, meter, part_size = self._far, self._meter(split), self._road.part_size
        had = await aside.open(keep=True)
        if not had and await local.is_whole(self._move.target, split.size, split.sha256):
            return False  # in place, and nobody lived to tell

        async def one(index: int) -> None:
            name, offset = split.parts[index], index * part_size
            count = min(part_size, split.size - offset)

            async def fetch() -> bytes:
                await meter.spend(count)
                path = posixpath.join(self._parts, name)
                content = await far.over(await far.files.download(far.id, path), PATIENCE)
                if await asyncio.to_thread(part_name, index, content) != name:
                    raise TransferError(f"{path} did not arrive whole")
                return content

            if offset < had:
                content = await aside.read(offset, count)
                if await asyncio.to_thread(part_name, index, content) == name:
                    meter.kept(count)
                    return
            try:
                content = await tried(fetch)
            except TransferError:
                await far.remove_in_leaving(self.work)  # damaged there: the next try has it split again
                raise
            await aside.write(offset, content)
            meter.moved(count, self._move.name)

        await abreast(range(len(split.parts)), one, self._trip.parallel)
        return True
