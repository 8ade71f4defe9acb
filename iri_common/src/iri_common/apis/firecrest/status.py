"""What FirecREST tells of its systems. It wants a token even for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iri_common.apis.firecrest.states import availability
from iri_common.apis.firecrest.systems import Systems
from iri_common.apis.firecrest.wire import ServiceReply, SystemReply
from iri_common.model.errors import NotFound, NotOffered
from iri_common.model.facility import Availability, Event, FacilityInfo, Incident, Resource, Site
from iri_common.model.outcome import Done


class FirecrestStatus:
    """The status service: one resource per system, which runs jobs and shows their files."""

    def __init__(self, systems: Systems, label: str) -> None:
        self._systems = systems
        self._label = label

    async def facility(self) -> Done[FacilityInfo]:
        """FirecREST does not tell whose it is."""
        raise self._lacks("facility")

    async def sites(self) -> Done[Sequence[Site]]:
        """FirecREST knows no places."""
        raise self._lacks("sites")

    async def resources(self) -> Done[Sequence[Resource]]:
        """All systems, one request."""
        return Done([_resource(each) for each in await self._systems.read()])

    async def resource(self, resource_id: str) -> Done[Resource]:
        """One system, by its name in any case."""
        found = (await self.resources()).value
        for each in found:
            if each.answers_to(resource_id):
                return Done(each)
        raise NotFound(
            f"{self._label} has no system {resource_id!r}", facility=self._label, operation="get_systems"
        )

    async def incidents(self, *, resource_id: str | None = None) -> Done[Sequence[Incident]]:
        """Services whose last probe failed; nothing is told of what was or will be."""
        found = [each for system in await self._systems.read() for each in _incidents(system)]
        return Done([each for each in found if resource_id is None or resource_id in each.resource_ids])

    async def events(
        self, *, incident_id: str | None = None, resource_id: str | None = None
    ) -> Done[Sequence[Event]]:
        """FirecREST keeps no history."""
        raise self._lacks("history of events")

    def _lacks(self, what: str) -> NotOffered:
        return NotOffered(
            f"FirecREST tells no {what}; its systems and the health of their services are its resources and "
            "incidents",
            facility=self._label,
            operation="get_systems",
        )


def _resource(system: SystemReply) -> Resource:
    health = [(each.service_type, each.healthy) for each in system.services_health]
    scheduler = system.scheduler
    return Resource(
        id=system.name,
        name=system.name,
        type="compute",
        status=availability((kind, healthy) for kind, healthy in health if healthy is not None),
        description=" ".join(each for each in (scheduler.type, scheduler.version) if each),
        endpoints=frozenset({"compute", "filesystem"}),
    )


def _incidents(system: SystemReply) -> Iterator[Incident]:
    for service in system.services_health:
        if service.healthy is False and service.service_type != "exception":
            name = " ".join(each for each in (service.service_type, service.path) if each)
            yield Incident(
                id=f"{system.name} {name}",
                name=f"the {name} of {system.name} is not well",
                status=_weight(service),
                type="unplanned",
                resolution="unresolved",
                start=None,
                description=service.message,
                resource_ids=(system.name,),
            )


def _weight(service: ServiceReply) -> Availability:
    return availability([(service.service_type, False)])
