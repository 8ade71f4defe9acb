"""Who the client acts for, what that user may charge, and when the client dies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from iri_common.apis.reading import Reading
from iri_common.apis.superfacility.owner import Owner
from iri_common.apis.superfacility.wire import ClientReply, ProjectReply
from iri_common.http.session import Request, Session
from iri_common.model.credential import Term
from iri_common.model.errors import NotFound, NotOffered
from iri_common.model.facility import Allocation, AllocationEntry, ApiClient, Capability, Project
from iri_common.model.outcome import Done

_ANY = "all"
_HOURS = {
    _ANY: "urn:doe-iri:allocation:compute:node-hours",
    "cpu": "urn:doe-iri:allocation:compute:cpu-node-hours",
    "gpu": "urn:doe-iri:allocation:compute:gpu-node-hours",
}
_BYTES = "urn:doe-iri:allocation:storage:bytes"


class SuperfacilityAccounts:
    """The account service. A project's id is the name that jobs are charged to."""

    def __init__(self, session: Session, owner: Owner) -> None:
        self._session = session
        self._owner = owner

    async def check_token(self) -> Done[str | None]:
        """The user."""
        return Done(await self._owner.told())

    @property
    def known_user(self) -> str | None:
        """By whose name jobs are listed."""
        return self._owner.known

    async def whoami(self) -> Done[str]:
        """The user."""
        return Done(await self._owner.told())

    async def capabilities(self) -> Done[Sequence[Capability]]:
        """Not offered."""
        raise NotOffered(
            "the Superfacility API does not list what allocations are counted in; they tell it themselves",
            facility=self._session.label,
            operation="capabilities",
        )

    async def clients(self) -> Done[Sequence[ApiClient]]:
        """The user's clients. One that may submit jobs lives for days, and its key dies with it."""
        value = await self._get("read_clients", "/account/clients")
        replies = self._reading("read_clients").many(ClientReply, value)
        return Done([ApiClient(each.client_id, each.name, _moment(each.expires_at)) for each in replies])

    async def term(self, client_id: str | None) -> Done[Term]:
        """The client's end, which is its key's as well."""
        ends = [each.expires_at for each in (await self.clients()).value if each.id == client_id]
        return Done(Term(ends=ends[0] if ends else None))

    async def projects(self) -> Done[Sequence[Project]]:
        """My projects."""
        return Done(
            [Project(each.repo_name, each.repo_name, each.description) for each in await self._projects()]
        )

    async def project_allocations(self, project_id: str) -> Done[Sequence[Allocation]]:
        """What a project may use: hours on each kind of node, and space."""
        project = await self._project(project_id)
        space = [
            AllocationEntry(each.bytes_given, each.bytes_used or 0.0, _BYTES)
            for each in project.project_projdir_usage
            if each.bytes_given is not None
        ]
        hours = _hours(
            {
                _ANY: (project.project_hours_given, project.project_hours_used),
                "cpu": (project.cpu_project_hours_given, project.cpu_project_hours_used),
                "gpu": (project.gpu_project_hours_given, project.gpu_project_hours_used),
            }
        )
        return Done([*hours, *([Allocation("space", tuple(space), "space")] if space else [])])

    async def user_allocations(self, project_id: str, allocation_id: str) -> Done[Sequence[Allocation]]:
        """What I may use of one allocation."""
        project = await self._project(project_id)
        hours = _hours(
            {
                _ANY: (project.hours_given, project.hours_used),
                "cpu": (project.cpu_hours_given, project.cpu_hours_used),
                "gpu": (project.gpu_hours_given, project.gpu_hours_used),
            }
        )
        return Done([each for each in hours if each.id == allocation_id])

    async def _project(self, project_id: str) -> ProjectReply:
        for each in await self._projects():
            if each.repo_name == project_id:
                return each
        raise NotFound(
            f"there is no project {project_id!r} among yours",
            facility=self._session.label,
            operation="read_projects",
        )

    async def _projects(self) -> list[ProjectReply]:
        value = await self._get("read_projects", "/account/projects")
        return self._reading("read_projects").many(ProjectReply, value)

    async def _get(self, operation: str, path: str) -> object:
        reply = await self._session.send(Request(operation=operation, method="GET", path=path))
        return reply.value

    def _reading(self, operation: str) -> Reading:
        return Reading(self._session.label, operation)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Without a zone it is a clock west of Greenwich: taken so, it comes too early rather than too late.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _hours(by_kind: Mapping[str, tuple[float | None, float | None]]) -> list[Allocation]:
    """One allocation for each kind of node that is told apart; else one for all of them."""
    found = {kind: (given, used or 0.0) for kind, (given, used) in by_kind.items() if given is not None}
    apart = {kind: hours for kind, hours in found.items() if kind != _ANY and any(hours)}
    together = {kind: hours for kind, hours in found.items() if kind == _ANY}
    return [
        Allocation(kind, (AllocationEntry(given, used, _HOURS[kind]),), kind)
        for kind, (given, used) in (apart or together).items()
    ]
