"""What can be asked of a facility, as it runs on the I/O loop; the faces stand before these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from iri_common.facility.doors import Door, open_door
from iri_common.facility.settings import FacilitySettings
from iri_common.jobs.operations import settled
from iri_common.model.errors import NotOffered
from iri_common.model.facility import (
    AccessEndpoint,
    Allocation,
    Capability,
    Event,
    FacilityInfo,
    Incident,
    Project,
    Resource,
    Site,
    StorageLocation,
)
from iri_common.model.files import Checksum, FileEntry, FileStat, FileText
from iri_common.model.ports import Answer, Ledger
from iri_common.transfers import direct

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Service:
    """What every service knows: the door's settings and the ledger."""

    settings: FacilitySettings
    ledger: Ledger

    @property
    def door(self) -> Door:
        """The open door; only on the I/O loop."""
        return open_door(self.settings)


class FileService(Service):
    """Files at the facility; ``storage`` names the file system where the facility has several."""

    async def put(self, source: str | Path, target: str, *, storage: str | None = None) -> str:
        """Upload one file, whole or not at all; gives its SHA-256.

        Raises:
            TooLarge: over the API's limit; nothing was sent.
            TransferError: if it did not arrive whole.
        """
        return await direct.put(self.door.dialect, await self._id(storage), Path(source), target)

    async def get(self, source: str, target: str | Path, *, storage: str | None = None) -> str:
        """Download one file, whole or not at all; gives its SHA-256."""
        return await direct.get(self.door.dialect, await self._id(storage), source, Path(target))

    async def ls(
        self, path: str, *, hidden: bool = False, recursive: bool = False, storage: str | None = None
    ) -> Sequence[FileEntry]:
        """List a directory."""
        files = self.door.dialect.files
        return await self._settled(
            await files.ls(await self._id(storage), path, hidden=hidden, recursive=recursive)
        )

    async def stat(self, path: str, *, dereference: bool = False, storage: str | None = None) -> FileStat:
        """Size, mode and times of one file; with ``dereference``, of what a link points to."""
        files = self.door.dialect.files
        return await self._settled(await files.stat(await self._id(storage), path, dereference=dereference))

    async def read(
        self, path: str, *, start: int = 0, end: int | None = None, storage: str | None = None
    ) -> bytes:
        """The bytes of a file from ``start`` up to, not including, ``end``, and no others of it.

        Raises:
            NotOffered: where the API gives files only as a whole; get it then.
        """
        ranges = self.door.dialect.ranges
        if ranges is None:
            raise NotOffered(f"{self.settings.label} gives files only as a whole; get this one")
        async with ranges.read(await self._id(storage), path, start=start, end=end) as pieces:
            return b"".join([piece async for piece in pieces])

    async def checksum(self, path: str, *, storage: str | None = None) -> Checksum:
        """The facility's digest of one file."""
        return await self._settled(await self.door.dialect.files.checksum(await self._id(storage), path))

    async def head(
        self, path: str, *, lines: int | None = None, size: int | None = None, storage: str | None = None
    ) -> FileText:
        """The first lines, or bytes, of a text file."""
        answer = await self.door.dialect.files.head(await self._id(storage), path, lines=lines, size=size)
        return await self._settled(answer)

    async def tail(
        self, path: str, *, lines: int | None = None, size: int | None = None, storage: str | None = None
    ) -> FileText:
        """The last lines, or bytes, of a text file."""
        answer = await self.door.dialect.files.tail(await self._id(storage), path, lines=lines, size=size)
        return await self._settled(answer)

    async def mkdir(self, path: str, *, parents: bool = True, storage: str | None = None) -> None:
        """Make a directory; with ``parents`` it may exist and its parents need not."""
        await self._settled(
            await self.door.dialect.files.mkdir(await self._id(storage), path, parents=parents)
        )

    async def rm(self, path: str, *, storage: str | None = None) -> None:
        """Remove a file, or a directory with all that is in it."""
        await self._settled(await self.door.dialect.files.rm(await self._id(storage), path))

    async def mv(self, source: str, target: str, *, storage: str | None = None) -> None:
        """Rename."""
        await self._settled(await self.door.dialect.files.mv(await self._id(storage), source, target))

    async def cp(self, source: str, target: str, *, storage: str | None = None) -> None:
        """Copy within the facility."""
        await self._settled(await self.door.dialect.files.cp(await self._id(storage), source, target))

    async def chmod(self, path: str, mode: int, *, storage: str | None = None) -> None:
        """Set permissions, e.g. ``0o750``."""
        await self._settled(await self.door.dialect.files.chmod(await self._id(storage), path, mode))

    async def _id(self, storage: str | None) -> str:
        settings = self.settings
        return (await self.door.file_system(storage or settings.storage, settings.resource)).id

    async def _settled(self, answer: Answer[T]) -> T:
        return await settled(answer, self.door.dialect.operations)


class StatusService(Service):
    """What the facility tells of itself; needs no token."""

    async def facility(self) -> FacilityInfo:
        """The facility behind the door."""
        return (await self.door.dialect.status.facility()).value

    async def sites(self) -> Sequence[Site]:
        """Its places."""
        return (await self.door.dialect.status.sites()).value

    async def resources(self) -> Sequence[Resource]:
        """Everything that can be asked for, with its status now."""
        return (await self.door.dialect.status.resources()).value

    async def resource(self, resource: str | None = None) -> Resource:
        """One resource by name or id, with its status now; the default one for jobs if None."""
        known = await self.door.resource(resource or self.settings.resource, "compute")
        return (await self.door.dialect.status.resource(known.id)).value

    async def incidents(self, *, resource: str | None = None) -> Sequence[Incident]:
        """Disturbances, planned and unplanned; of one resource if named."""
        resource_id = (await self.door.resource(resource, "compute")).id if resource else None
        return (await self.door.dialect.status.incidents(resource_id=resource_id)).value

    async def events(self, *, resource: str | None = None) -> Sequence[Event]:
        """Changes of status; of one resource if named."""
        resource_id = (await self.door.resource(resource, "compute")).id if resource else None
        return (await self.door.dialect.status.events(resource_id=resource_id)).value


class AccountService(Service):
    """Who I am there and what I may use."""

    async def whoami(self) -> str:
        """Whom the token speaks for.

        Raises:
            NotOffered: if this API has no word for it (IRI v1); :meth:`check_token` works there too.
        """
        return (await self.door.dialect.accounts.whoami()).value

    async def check_token(self) -> str | None:
        """Have the token judged, by the cheapest request that needs one; the user's name where that tells it.

        Raises:
            AuthError: if the token is refused.
            NotOffered: if nothing here can tell.
        """
        return (await self.door.dialect.accounts.check_token()).value

    async def capabilities(self) -> Sequence[Capability]:
        """What allocations are counted in."""
        return (await self.door.dialect.accounts.capabilities()).value

    async def projects(self) -> Sequence[Project]:
        """Projects that jobs can be charged to."""
        return (await self.door.dialect.accounts.projects()).value

    async def allocations(self, project: str) -> Sequence[Allocation]:
        """What a project, by id, has and has used."""
        return (await self.door.dialect.accounts.project_allocations(project)).value

    async def user_allocations(self, project: str, allocation: str) -> Sequence[Allocation]:
        """What I have of a project's allocation and have used, both by id."""
        return (await self.door.dialect.accounts.user_allocations(project, allocation)).value


class StorageService(Service):
    """Where data belongs."""

    async def locations(
        self, resource: str | None = None, *, logical_name: str | None = None, project: str | None = None
    ) -> Sequence[StorageLocation]:
        """Directories that the facility recommends, as seen from a resource."""
        resource_id = (await self.door.resource(resource or self.settings.resource, "compute")).id
        answer = await self.door.dialect.storage.locations(
            resource_id, logical_name=logical_name, project=project
        )
        return answer.value

    async def access_endpoints(
        self, resource: str | None = None, *, protocol: str | None = None
    ) -> Sequence[AccessEndpoint]:
        """Ways to move data in bulk."""
        settings = self.settings
        resource_id = (await self.door.file_system(resource or settings.storage, settings.resource)).id
        return (await self.door.dialect.storage.access_endpoints(resource_id, protocol=protocol)).value
