"""What can be asked of a facility, as it runs on the I/O loop; the faces stand before these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from iri_common.facility.doors import Door, open_door
from iri_common.facility.settings import FacilitySettings
from iri_common.jobs.operations import settled
from iri_common.model.credential import Credential, Principal
from iri_common.model.dataports import BehalfApi, BehalfDialect
from iri_common.model.errors import NotOffered, UsageError
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
from iri_common.model.transfer import TransferTask
from iri_common.policy.globus_tasks import TaskPace
from iri_common.policy.outage import announced
from iri_common.policy.pace import Pace
from iri_common.transfers.behalf import moved
from iri_common.transfers.ends import GlobusEnd, parse_end


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

    async def maintenance(self, resource: str | None = None, *, within: float = 0.0) -> Sequence[Incident]:
        """Announced disturbances that leave a resource unusable now, or will; the first to come first.

        Args:
            resource: Name or id; the default one for jobs if None.
            within: So many seconds from now.
        """
        known = await self.door.resource(resource or self.settings.resource, "compute")
        incidents = (await self.door.dialect.status.incidents()).value
        now = datetime.now(UTC)
        return announced(incidents, known.id, now, now + timedelta(seconds=within))

    async def events(self, *, resource: str | None = None, incident: str | None = None) -> Sequence[Event]:
        """Changes of status; of one resource if named, and of one incident by its id."""
        resource_id = (await self.door.resource(resource, "compute")).id if resource else None
        events = self.door.dialect.status.events
        return (await events(resource_id=resource_id, incident_id=incident)).value


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

    async def credential(self) -> Credential:
        """What the credential is worth now, by one request that needs it; a bad one is a state, no error."""
        return await self.door.standing.credential()

    async def principal(self) -> Principal:
        """Whom the token speaks for, and whom jobs and their files will belong to.

        Raises:
            NotOffered: if this API has no word for it.
        """
        return await self.door.standing.principal()

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
    """Where data belongs, and what the facility itself moves from one collection to another."""

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

    async def begin_transfer(self, source: str, target: str, *, label: str = "iri-workflows") -> str:
        """Have the facility's own Globus move a file or a directory; no login at Globus is needed.

        What is asked for twice is moved twice: nothing tells whether a request arrived whose answer was lost.

        Args:
            source: ``globus://<collection>/<path>`` of a file or a directory; the collection by its id, or
                as the facility calls one of its own: at NERSC ``dtn``, ``perlmutter`` and ``hpss``.
            target: Likewise, of the directory that a file goes into, or that a directory becomes.
            label: What Globus calls it.

        Returns:
            The id of Globus' task.

        Raises:
            NotOffered: if this facility has no such thing.
            Conflict: if a transfer of the same paths is under way.
            AmbiguousReply: if no answer came: look at app.globus.org/activity before asking again.
        """
        one, other = _in_collection(source), _in_collection(target)
        collections = one.collection, other.collection
        return (await self._behalf().begin(collections, one.path, other.path, label)).value

    async def transfer(self, task_id: str) -> TransferTask:
        """Look at what :meth:`begin_transfer` began."""
        return (await self._behalf().look(task_id)).value

    async def wait_for_transfer(self, task_id: str, *, timeout: float | None = None) -> TransferTask:
        """Wait for its end, over any outage.

        Globus tries for a day to move what it cannot read or write, and this API tells nothing of that.

        Args:
            task_id: As :meth:`begin_transfer` gave it.
            timeout: Seconds to wait at most; the transfer is not touched when they are over.

        Raises:
            TransferError: if it failed or was canceled.
            WaitTimeout: if ``timeout`` seconds were not enough.
        """
        pace = self.settings.pace
        task_pace = TaskPace() if pace == Pace() else TaskPace(pace.quickest)
        return await moved(self._behalf(), task_id, task_pace, timeout)

    def _behalf(self) -> BehalfApi:
        dialect = self.door.dialect
        if not isinstance(dialect, BehalfDialect):
            raise NotOffered(
                f"{self.settings.label} begins no transfers by itself; `Transfers` moves data between "
                "facilities and collections",
                facility=self.settings.label,
            )
        return dialect.behalf


def _in_collection(text: str) -> GlobusEnd:
    end = parse_end(text)
    if not isinstance(end, GlobusEnd):
        raise UsageError(f"{text}: write globus://<collection>/<path>")
    return end
