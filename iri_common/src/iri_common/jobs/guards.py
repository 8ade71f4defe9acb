"""What guarded jobs leave at the facility, as a client reads it: who has a key, what began and ended."""

from __future__ import annotations

import math
import posixpath
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from iri_common.jobs.operations import Patience, settled
from iri_common.jobside.guard import NO_ID, Guard
from iri_common.jobside.journal import Journal, read_journal, read_owner, read_spec_digest
from iri_common.model.errors import NotFound, NotOffered, Refused
from iri_common.model.files import FileEntry
from iri_common.model.key import JobKey
from iri_common.model.ports import Dialect

ASK_AGAIN = 300.0  # seconds after which a facility that named no place is asked for it again
MOST = 64 * 1024  # bytes of a journal: far more than any requeueing job writes
_DIGEST = re.compile(r"[0-9a-f]{16}")
_ANY = JobKey("any")  # all identities lie side by side
_GENERATION = re.compile(r"([1-9][0-9]*)\.(?:owner|journal)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where guards are, as the client sees it.

    Attributes:
        file_system: The facility's id of the resource whose files these are.
        home: The home directory that jobs see, where guards are kept in it.
    """

    file_system: str
    home: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Who has a generation.

    Attributes:
        job_id: As the job knows itself; None if its scheduler told it no id.
        spec_digest: Of what it was asked to do; "" where that is not told.
    """

    job_id: str | None
    spec_digest: str = ""


@dataclass(slots=True)
class GuardFiles:
    """Reads guard directories, and takes or removes them.

    Attributes:
        dialect: With its files.
        locate: Finds the place; None where nobody knows it, or where files cannot be read.
        root: Where guards are kept, an absolute path; None for the job's home.
        patience: With one file operation.
    """

    dialect: Dialect
    locate: Callable[[], Awaitable[Place | None]]
    root: str | None = None
    patience: Patience = field(default_factory=lambda: Patience(total=60.0))
    _place: Place | None = None
    _nowhere_since: float = -math.inf

    async def readable(self) -> bool:
        """Whether there is a place to read at."""
        return (await self._directory(_ANY))[1] is not None

    def guard(self, key: JobKey, digest: str = "") -> Guard:
        """The guard of a job of this key."""
        return Guard(key, self.root, digest)

    async def owner(self, key: JobKey) -> Owner | None:
        """The job that does or did this generation's work; None while nobody took it.

        Raises:
            IriError: if it cannot be learned now.
        """
        text = await self._text(key, self.guard(key).owner_name)
        job_id = read_owner(text) if text is not None else None
        if job_id is None:
            return None
        return Owner(None if job_id.startswith(NO_ID) else job_id, read_spec_digest(text or "") or "")

    async def journal(self, key: JobKey, index: int | None = None) -> Journal | None:
        """What its job wrote of beginning and end; None if there is nothing, or no place to read it.

        Raises:
            IriError: if it cannot be learned now.
        """
        text = await self._text(key, self.guard(key).journal_name(index))
        return read_journal(text) if text is not None else None

    async def generations(self, key: JobKey) -> Mapping[int, bool]:
        """The generations of this identity that were taken, and whether by a client that canceled it."""
        found: dict[int, bool] = {}
        for entry in await self._entries(key):
            if match := _GENERATION.match(entry.name.rstrip("/").rpartition("/")[2]):
                number = int(match.group(1))
                found[number] = found.get(number, False) or entry.type == "directory"
        return found

    async def take(self, key: JobKey) -> bool:
        """Take a generation away from whatever job may still come: it will end before it begins.

        Returns:
            False if a job has it already, or if it cannot be taken.
        """
        place, directory = await self._directory(key)
        if place is None or directory is None:
            return False
        files, owner = self.dialect.files, f"{directory}/{self.guard(key).owner_name}"
        answer = await files.mkdir(place.file_system, directory, parents=True)
        await settled(answer, self.dialect.operations, self.patience)
        try:
            # Exclusive, and offered even where little else is: of a client and a job one is first.
            answer = await files.mkdir(place.file_system, owner)
            await settled(answer, self.dialect.operations, self.patience)
        except Refused:  # there is one already, a job's or our own; or the disk is full
            return (await self.generations(key)).get(key.generation, False)
        return True

    async def digests(self) -> Sequence[str]:
        """The digests of all identities that have a directory."""
        place, directory = await self._directory(_ANY)
        if place is None or directory is None:
            return ()
        entries = await self._listed(place.file_system, posixpath.dirname(directory))
        names = (entry.name.rstrip("/").rpartition("/")[2] for entry in entries)
        return sorted(name for name in names if _DIGEST.fullmatch(name))

    async def age(self, digest: str, now: float) -> float | None:
        """Seconds since a job of an identity began last; None if the facility does not tell."""
        place, path = await self._beside(digest)
        if place is None or path is None:
            return None
        try:
            answer = await self.dialect.files.stat(place.file_system, path)
            return now - (await settled(answer, self.dialect.operations, self.patience)).mtime
        except (NotFound, NotOffered):
            return None

    async def path_of(self, digest: str) -> str | None:
        """Where an identity's directory is."""
        return (await self._beside(digest))[1]

    async def remove(self, digest: str) -> str | None:
        """Remove an identity's directory; gives its path, None if there was none."""
        place, path = await self._beside(digest)
        if place is None or path is None:
            return None
        try:
            answer = await self.dialect.files.rm(place.file_system, path)
            await settled(answer, self.dialect.operations, self.patience)
        except NotFound:
            return None
        return path

    def known_directory(self, key: JobKey) -> str | None:
        """The directory, as far as it is known without asking."""
        return self.guard(key).directory_at(self._place.home if self._place else None)

    async def _entries(self, key: JobKey) -> Sequence[FileEntry]:
        place, directory = await self._directory(key)
        return await self._listed(place.file_system, directory) if place and directory else ()

    async def _listed(self, file_system: str, path: str) -> Sequence[FileEntry]:
        try:
            answer = await self.dialect.files.ls(file_system, path)
            return await settled(answer, self.dialect.operations, self.patience)
        except NotFound:
            return ()

    async def _text(self, key: JobKey, name: str) -> str | None:
        place, directory = await self._directory(key)
        if place is None or directory is None:
            return None
        try:
            answer = await self.dialect.files.view(place.file_system, f"{directory}/{name}", size=MOST)
            return (await settled(answer, self.dialect.operations, self.patience)).content
        except NotFound:
            return None

    async def _beside(self, digest: str) -> tuple[Place | None, str | None]:
        """The directory of an identity of which only the digest is known."""
        place, directory = await self._directory(_ANY)
        return place, posixpath.join(posixpath.dirname(directory), digest) if directory else None

    async def _directory(self, key: JobKey) -> tuple[Place | None, str | None]:
        now = time.monotonic()
        if self._place is None and now - self._nowhere_since > ASK_AGAIN:
            self._place = await self.locate()
            self._nowhere_since = now
        return self._place, (self.known_directory(key) if self._place else None)
