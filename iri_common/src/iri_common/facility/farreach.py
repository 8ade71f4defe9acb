"""Facilities and Globus collections as ends of a transfer; they live on the I/O loop."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import posixpath
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from iri_common.apis.s3 import s3_parts
from iri_common.facility.collections import Globus, announced, open_globus
from iri_common.facility.doors import RESOURCES_STAY_FRESH, Door, open_door
from iri_common.facility.gateddialect import GrantedDialect
from iri_common.facility.granted import Gate
from iri_common.facility.loop import io_loop
from iri_common.facility.profiles import load_globus, load_speaker
from iri_common.facility.settings import FacilitySettings
from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import WireSettings
from iri_common.jobs.operations import settled
from iri_common.model.credential import Principal
from iri_common.model.dataports import PartsApi
from iri_common.model.errors import IriError, NotFound, NotOffered, UsageError
from iri_common.model.facility import AccessEndpoint, Resource
from iri_common.model.grant import Verb
from iri_common.model.logfields import about
from iri_common.model.ports import ByteWire, Dialect, Ledger
from iri_common.model.ref import origin_of
from iri_common.model.transfer import CollectionEnd
from iri_common.policy.grants import Ask
from iri_common.policy.offers import Offer, Parts
from iri_common.transfers.abreast import abreast
from iri_common.transfers.ends import GlobusEnd
from iri_common.transfers.far import FarEnd
from iri_common.transfers.tree import Entry, FarListing, Links, Tree

log = logging.getLogger(__name__)

AT_ONCE = 4  # directories made, or things removed
NO_CREDENTIAL = "nobody speaks to Globus for it: name a client under [globus.client], then `iri globus login`"
NO_COLLECTION = "neither its profile nor its storage API names a Globus collection"


@dataclass(frozen=True, slots=True)
class FacilityEnd:
    """A path at the facility behind some settings; made by ``facility.files.at(path)``."""

    settings: FacilitySettings
    ledger: Ledger
    path: str
    storage: str | None = None

    def __str__(self) -> str:
        return f"iri://{self.settings.label}/{self.storage or self.settings.storage or ''}{self.path}"


class _FarReach:
    """What facilities and collections have in common.

    Args:
        dialect: Whose files these are.
        file_system: Its id there.
        path: The end's.
        place: Names the file system among all there are.
        readable: The files can be listed, renamed and removed.
        gate: Before whatever does not pass the dialect.
    """

    def __init__(
        self,
        dialect: Dialect,
        file_system: str,
        path: str,
        *,
        place: str,
        readable: bool,
        gate: Gate | None = None,
    ) -> None:
        self.path = path
        self.gate = gate or Gate()
        self._place = place
        self.dialect = dialect
        self.file_system = file_system
        self.globus: Globus | None = None
        self.collection: CollectionEnd | None = None
        self._far = FarEnd(dialect, file_system) if readable else None

    @property
    def name(self) -> str:
        """Names the place and the path; equal for equal ones only."""
        return f"{self._place}:{_plain(self.path)}"

    async def tree(self, links: Links) -> Tree:
        """What lies there."""
        listing = FarListing(self.dialect.files, self.dialect.operations, self.file_system)
        return await listing.tree(self.path, links)

    async def exists(self) -> bool:
        """Whether anything lies there; True where nobody can tell."""
        if self._far is None:
            return True
        return await self._far.is_directory(self.path.rstrip("/") or "/") is not None

    async def around(self, name: str) -> Self:
        """Where a file of this name goes: into what ends with a slash."""
        if not self.path.endswith("/"):
            return self
        inner = copy.copy(self)
        inner.path = self.path + name
        return inner

    async def make(self, directories: Sequence[str]) -> None:
        """Make directories, several at once; a store of objects has none."""
        if self._far is not None:
            await abreast(directories, self._far.make_directory, AT_ONCE)

    async def is_above(self, path: str) -> bool:
        """Whether the directory is there in which a file is to lie; True where nobody can, or may, tell."""
        directory = posixpath.dirname(path)
        if self._far is None:  # a store of objects needs none
            return True
        # A grant of single files is none of what they lie in.
        if not await self.gate.lets(Ask(Verb.LOOK, "transfer", (self.file_system,), (directory,))):
            return True
        return await self._far.is_directory(directory) is not None

    async def make_above(self, path: str) -> None:
        """Make that directory, and those above it, unless it is there.

        Raises:
            GrantExceeded: if it is not there, and may not be made.
        """
        if self._far is None or await self.is_above(path):
            return
        directory = posixpath.dirname(path)
        await self.admit(Verb.WRITE, [directory])
        await self._far.make_directory(directory)

    async def digest(self, path: str) -> str | None:
        """SHA-256 of a file as it is told there."""
        return await self._far.digest(path) if self._far is not None else None

    async def remove(self, paths: Sequence[str]) -> None:
        """Take them away."""
        far = self._far
        if far is None:
            raise NotOffered(f"nothing at {self.path} can be removed over this API")

        async def remove(path: str) -> None:
            with contextlib.suppress(NotFound):
                await far.over(await far.files.rm(far.id, path))

        await abreast(paths, remove, AT_ONCE)

    async def admit(self, verb: Verb, paths: Sequence[str]) -> None:
        """Raise GrantExceeded unless this may be done with all of them."""
        await self.gate.admit(Ask(verb, "transfer", (self.file_system,), tuple(paths)))

    def carrying(
        self, verb: Verb, paths: Sequence[str], told: dict[str, Any]
    ) -> AbstractAsyncContextManager[None]:
        """Around whatever is carried, because Globus, HTTPS and signed links pass no dialect."""
        return self.gate.transfer(verb, self.file_system, paths, self.path, told)

    @property
    def far(self) -> FarEnd | None:
        """For what is done file by file; None for a store of objects."""
        return self._far

    async def _https(self) -> bool:
        """Whether the collection has HTTPS of its own, as far as this identity may know."""
        if self.globus is None or self.collection is None:
            return False
        return bool((await self.globus.dialect.client.collection(self.collection.collection)).https)


class FacilityReach(_FarReach):
    """A file system of a facility."""

    def __init__(self, end: FacilityEnd, door: Door, storage: Resource) -> None:
        grades = door.dialect.grades
        readable = storage.offers("filesystem") and grades.readable_files
        place = f"{origin_of(end.settings.url)}/{storage.id}"
        super().__init__(door.dialect, storage.id, end.path, place=place, readable=readable, gate=door.gate)
        self.settings, self.ledger = end.settings, end.ledger
        self.parts: PartsApi | None = door.dialect.parts
        self._door = door
        self._direct = readable and grades.files == "direct"
        self._has_https = door.dialect.ranges is not None
        self._asked = False

    @property
    def lent(self) -> bool:
        """Whether a Globus collection stands in for its own files."""
        return self._door.lent is not None

    async def principal(self) -> Principal | None:
        """In whose name jobs run there, as far as anybody tells."""
        return await self._door.standing.whose()

    @classmethod
    async def opened(cls, end: FacilityEnd) -> FacilityReach:
        """Find out which file system is meant."""
        door, settings = open_door(end.settings), end.settings
        storage = await door.file_system(end.storage or settings.storage, settings.resource)
        return cls(end, door, storage)

    @property
    def wire(self) -> ByteWire:
        """For bytes over links that the facility signed."""
        return _byte_wire(self.settings.wire)

    async def offer(self, *, fully: bool) -> Offer:
        """What its API has, and with ``fully`` what collection and object store add."""
        if fully and not self._asked:
            self._asked = True
            await self._ask()
        grades, label = self.dialect.grades, self.settings.label
        known = self.globus is not None and self.collection is not None
        return Offer(
            "facility",
            label,
            place=self._place,
            files=self._direct,
            upload_limit=grades.upload_limit,
            download_limit=grades.download_limit,
            checksum=self._direct,
            rename=self._far is not None,
            move_job=grades.moves == "job",
            archives=self._direct and grades.archives,
            jobs=self._direct and any(each.offers("compute") for each in await self._door.resources()),
            queue_wait=1.0 if _is_loopback(self.settings.url) else 60.0,
            parts=_parts(self.parts),
            https=self._has_https,
            collection=self.collection.collection if known and self.collection else None,
            why_no_collection=NO_COLLECTION if self.collection is None else NO_CREDENTIAL,
        )

    async def tree(self, links: Links) -> Tree:
        """What lies there; of an object store, one object."""
        if self._far is not None:
            return await super().tree(links)
        await self.offer(fully=True)
        if self.parts is None:
            raise NotOffered(f"{self.settings.label} lists no files in {self.file_system}")
        link = await settled(await self.parts.link(self.file_system, self.path), self.dialect.operations)
        return Tree((Entry("", self.path, link.size or 0),), single=True)

    async def _ask(self) -> None:
        """Learn of Globus and S3; a facility that tells of neither has neither."""
        settings = self.settings.globus
        self.collection = settings.end if settings is not None else None
        root = settings.root if settings is not None else "/"
        told = await self._endpoints(self.file_system)
        # A file system that has a store beside it keeps its files elsewhere.
        stores = [each for each in told if each.protocol == "s3"] if self._far is None else []
        if self.parts is None and stores:
            self.parts = self.gate.port("parts", s3_parts(stores[0], self.settings.wire))
        self.collection = self.collection or announced(told, root) or await self._of_storage(root)
        if self.collection is not None:
            credential = settings.credential if settings is not None else None
            credential = credential or await asyncio.to_thread(load_globus)
            self.globus = open_globus(credential) if credential is not None else None
        try:
            self._has_https = self._has_https or await self._https()
        except IriError as error:  # other roads may do; who wishes for this one is told that there is none
            label = self.settings.label
            fields = about(facility=label, error=error)
            log.info("the collection of %s is not asked for its HTTPS: %s", label, error, extra=fields)

    async def _of_storage(self, root: str) -> CollectionEnd | None:
        """The only collection of the facility; a machine is no storage, though it shows the files."""
        found: set[CollectionEnd] = set()
        for each in await self._door.resources():
            if each.offers("filesystem") and not each.offers("compute") and self._direct:
                end = announced(await self._endpoints(each.id), root)
                found |= {end} if end is not None else set()
        return found.pop() if len(found) == 1 else None

    async def _endpoints(self, resource_id: str) -> Sequence[AccessEndpoint]:
        """The ways in that the facility tells, asked for once in a while by all who share the door."""
        told, key = io_loop().belongings, ("access endpoints", self.settings.door, resource_id)
        now = time.monotonic()
        if key not in told or now - told[key][0] > RESOURCES_STAY_FRESH:
            try:
                told[key] = (now, (await self.dialect.storage.access_endpoints(resource_id)).value)
            except (NotOffered, NotFound):
                told[key] = (now, ())
            except IriError:
                return ()
        return told[key][1]


class CollectionReach(_FarReach):
    """A Globus collection, which may be no facility's."""

    def __init__(self, end: GlobusEnd, globus: Globus, gate: Gate) -> None:
        place, dialect = f"globus/{end.collection}", GrantedDialect(globus.dialect, gate)
        super().__init__(dialect, end.collection, end.path, place=place, readable=True, gate=gate)
        self.globus = globus
        self.collection = CollectionEnd(end.collection)

    @classmethod
    async def opened(cls, end: GlobusEnd) -> CollectionReach:
        """Speak for whoever is configured for all of Globus."""
        speaker = await asyncio.to_thread(load_speaker)
        if speaker is None:
            raise UsageError(f"{end} needs somebody who speaks to Globus: {NO_CREDENTIAL}")
        gate = speaker.gate("Globus")
        await gate.admit(Ask(Verb.LOOK, "transfer", (end.collection,), (end.path,)))
        return cls(end, open_globus(speaker.credential), gate)

    async def offer(self, *, fully: bool) -> Offer:
        """Transfer, and HTTPS if it has that."""
        return Offer(
            "collection",
            f"collection {self.file_system[:8]}",
            checksum=False,
            https=await self._https() if fully else False,
            collection=self.file_system,
        )


def _parts(parts: PartsApi | None) -> Parts | None:
    if parts is None:
        return None
    # FirecREST's job looks for a file once a minute.
    seconds = 60.0 if parts.by_job else 0.0
    return Parts(whole=parts.appears_whole, job=parts.by_job, seconds=seconds, why_not=parts.why_not)


def _plain(path: str) -> str:
    """The same for all ways to write a path; ".." stays, because links decide where that leads."""
    return f"/{'/'.join(each for each in path.split('/') if each not in {'', '.'})}"


def _byte_wire(settings: WireSettings) -> ByteWire:
    """One for all who mean the same; dies with the loop."""
    wires = io_loop().belongings
    key = ("bytes", settings)
    if key not in wires:
        wires[key] = HttpBytes(settings)
    return wires[key]


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}
