"""Who the token speaks for, and what that person may use."""

from __future__ import annotations

from collections.abc import Sequence

from iri_common.apis.iri.paging import gather
from iri_common.apis.iri.quirks import PLAIN, Site
from iri_common.apis.iri.rules import PAGE
from iri_common.apis.iri.versions import Version
from iri_common.apis.iri.wire import AllocationReply, CapabilityReply, ProjectReply, WhoAmIReply, last_segment
from iri_common.apis.reading import Reading, segment
from iri_common.http.session import Request, Session
from iri_common.model.facility import Allocation, AllocationEntry, Capability, Project
from iri_common.model.outcome import Done


class IriAccounts:
    """The account service; everything but the capabilities needs a token."""

    def __init__(self, session: Session, version: Version, site: Site = PLAIN) -> None:
        self._session = session
        self._version = version
        self._site = site

    async def check_token(self) -> Done[str | None]:
        """The user where the API tells the name; v1 has only the list of projects to ask for, and no name."""
        if self._version.whoami:
            return Done((await self.whoami()).value)
        await self.projects()
        return Done(None)

    async def whoami(self) -> Done[str]:
        """The user at the facility."""
        if not self._version.whoami:
            raise self._version.lacks(
                "whoami",
                "whoami",
                self._session.label,
                "GET /account/projects checks a token, and the projects name their users",
            )
        value = await self._get("whoami", "/account/whoami")
        return Done(self._reading("whoami").one(WhoAmIReply, value).username)

    async def capabilities(self) -> Done[Sequence[Capability]]:
        """What allocations are counted in."""
        self._site.require("account", "getCapabilities", self._session.label)
        request = Request(
            operation="getCapabilities", method="GET", path="/account/capabilities", public=True
        )
        rows = await gather(self._session, request, last_offset=PAGE)  # the API takes no larger one here
        replies = self._reading("getCapabilities").many(CapabilityReply, rows)
        return Done([Capability(each.id, each.name, tuple(each.units)) for each in replies])

    async def projects(self) -> Done[Sequence[Project]]:
        """My projects."""
        value = await self._get("getProjects", "/account/projects")
        return Done(
            [
                Project(each.id, each.name, each.description, tuple(each.user_ids))
                for each in self._reading("getProjects").many(ProjectReply, value)
            ]
        )

    async def project_allocations(self, project_id: str) -> Done[Sequence[Allocation]]:
        """What a project may use."""
        path = f"/account/projects/{segment(project_id, 'project')}/project_allocations"
        return Done(await self._allocations("getProjectAllocationsByProject", path))

    async def user_allocations(self, project_id: str, allocation_id: str) -> Done[Sequence[Allocation]]:
        """What its users may use of one allocation."""
        project, allocation = segment(project_id, "project"), segment(allocation_id, "project allocation")
        path = f"/account/projects/{project}/project_allocations/{allocation}/user_allocations"
        return Done(await self._allocations("getUserAllocationsByProjectAllocation", path))

    async def _allocations(self, operation: str, path: str) -> list[Allocation]:
        replies = self._reading(operation).many(AllocationReply, await self._get(operation, path))
        return [
            Allocation(
                id=each.id,
                entries=tuple(AllocationEntry(row.allocation, row.usage, row.unit) for row in each.entries),
                capability_id=last_segment(each.capability_uri),
                user_id=each.user_id,
            )
            for each in replies
        ]

    async def _get(self, operation: str, path: str) -> object:
        self._site.require("account", operation, self._session.label)
        reply = await self._session.send(Request(operation=operation, method="GET", path=path))
        return reply.value

    def _reading(self, operation: str) -> Reading:
        return Reading(self._session.label, operation)
