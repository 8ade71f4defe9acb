"""What can be asked of a facility, as it runs on the I/O loop; the faces stand before these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iri_common.facility.doors import Door, open_door
from iri_common.facility.settings import FacilitySettings
from iri_common.jobs.operations import settled
from iri_common.model.errors import NotOffered
from iri_common.model.facility import (
    AccessEndpoint,
    Allocation,
    ApiClient,
    Capability,
    Event,
    FacilityInfo,
    Incident,
    Project,
    Resource,
    Site,
    StorageLocation,
)
from iri_common.model.ports import ClientsApi, ConcernsApi, Ledger


@dataclass(frozen=True, slots=True)
class Service:
    """What every service knows: the door's settings and the ledger."""

    settings: FacilitySettings
    ledger: Ledger

    @property
    def door(self) -> Door:
        """The open door; only on the I/O loop."""
        return open_door(self.settings)


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

    async def clients(self) -> Sequence[ApiClient]:
        """The API clients that I made there, and when each dies.

        Raises:
            NotOffered: if nothing here can tell.
        """
        accounts = self.door.dialect.accounts
        if not isinstance(accounts, ClientsApi):
            raise NotOffered("this API tells nothing of its clients", facility=self.settings.label)
        return (await accounts.clients()).value

    async def concerns(self) -> Sequence[str]:
        """What a person should know of the token before it is relied on; nothing where nobody tells."""
        accounts = self.door.dialect.accounts
        return (await accounts.concerns()).value if isinstance(accounts, ConcernsApi) else ()

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
        dialect = self.door.dialect
        answer = await dialect.storage.locations(resource_id, logical_name=logical_name, project=project)
        return await settled(answer, dialect.operations)

    async def access_endpoints(
        self, resource: str | None = None, *, protocol: str | None = None
    ) -> Sequence[AccessEndpoint]:
        """Ways to move data in bulk."""
        settings = self.settings
        storage = resource or settings.storage
        resource_id = (await self.door.own_file_system(storage, settings.resource)).id
        return (await self.door.dialect.storage.access_endpoints(resource_id, protocol=protocol)).value
