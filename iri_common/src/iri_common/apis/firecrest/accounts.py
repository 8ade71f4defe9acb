"""Who the token speaks for, and what its jobs can be charged to."""

from __future__ import annotations

from collections.abc import Sequence

from iri_common.apis.firecrest.states import availability
from iri_common.apis.firecrest.systems import Systems
from iri_common.apis.firecrest.wire import SystemReply
from iri_common.model.errors import NotOffered
from iri_common.model.facility import Allocation, Availability, Capability, Project
from iri_common.model.outcome import Done


class FirecrestAccounts:
    """What each system knows of the user: ``id`` and the scheduler's accounts."""

    def __init__(self, systems: Systems, label: str, user: str | None) -> None:
        self._systems = systems
        self._label = label
        self._user = user

    async def check_token(self) -> Done[str | None]:
        """The list of systems needs a token and nothing else; no name is in the answer."""
        await self._systems.read(fresh=True)
        return Done(self._user)

    @property
    def known_user(self) -> str | None:
        """As the profile or a system told it."""
        return self._systems.known_user

    async def whoami(self) -> Done[str]:
        """The user's name at a system that can be asked now."""
        for system in await self._usable():
            return Done((await self._systems.user(system.name, fresh=True)).user.name)
        raise self._lacks("user, for it has no system", "get_userinfo")

    async def capabilities(self) -> Done[Sequence[Capability]]:
        """FirecREST counts nothing."""
        raise self._lacks("capabilities", "get_userinfo")

    async def projects(self) -> Done[Sequence[Project]]:
        """The accounts that jobs can be charged to, of all systems that can be asked now."""
        found: dict[str, Project] = {}
        for system in await self._usable():
            for each in (await self._systems.user(system.name, fresh=True)).accounts:
                told = f"the default at {system.name}" if each.default else ""
                found.setdefault(each.name, Project(each.name, each.name, told))
        return Done(list(found.values()))

    async def project_allocations(self, project_id: str) -> Done[Sequence[Allocation]]:
        """FirecREST tells of no budget."""
        raise self._lacks("allocations", "get_userinfo")

    async def user_allocations(self, project_id: str, allocation_id: str) -> Done[Sequence[Allocation]]:
        """FirecREST tells of no budget."""
        raise self._lacks("allocations", "get_userinfo")

    async def _usable(self) -> Sequence[SystemReply]:
        return [each for each in await self._systems.read() if not _is_down(each)]

    def _lacks(self, what: str, operation: str) -> NotOffered:
        return NotOffered(
            f"FirecREST tells no {what}; the facility's own pages do",
            facility=self._label,
            operation=operation,
        )


def _is_down(system: SystemReply) -> bool:
    told = [(each.service_type, each.healthy is not False) for each in system.services_health]
    return availability(told) is Availability.DOWN
