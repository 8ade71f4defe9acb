"""What the facility tells anyone of itself; no token is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from iri_common.apis.iri.paging import gather
from iri_common.apis.iri.states import availability
from iri_common.apis.iri.wire import (
    EventReply,
    FacilityReply,
    IncidentReply,
    ResourceReply,
    SiteReply,
    last_segment,
)
from iri_common.apis.reading import Reading, WireModel, segment
from iri_common.http.session import Request, Session
from iri_common.model.facility import Event, FacilityInfo, Incident, Resource, Site
from iri_common.model.outcome import Done

M = TypeVar("M", bound=WireModel)


class IriStatus:
    """The facility and status services. Lists longer than one page are fetched to their end."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def facility(self) -> Done[FacilityInfo]:
        """The facility behind this door."""
        reply = await self._one("getFacility", "/facility", FacilityReply)
        return Done(
            FacilityInfo(reply.id, reply.name, reply.short_name, reply.description, reply.support_uri)
        )

    async def sites(self) -> Done[Sequence[Site]]:
        """Its places."""
        replies = await self._many("getSites", "/facility/sites", SiteReply)
        return Done(
            [Site(each.id, each.name, each.short_name, each.operating_organization) for each in replies]
        )

    async def resources(self) -> Done[Sequence[Resource]]:
        """Everything that can be asked for."""
        replies = await self._many("getResources", "/status/resources", ResourceReply)
        return Done([_resource(each) for each in replies])

    async def resource(self, resource_id: str) -> Done[Resource]:
        """One resource, by its id."""
        path = f"/status/resources/{segment(resource_id, 'resource')}"
        return Done(_resource(await self._one("getResource", path, ResourceReply)))

    async def incidents(self, *, resource_id: str | None = None) -> Done[Sequence[Incident]]:
        """Disturbances, past and planned ones too."""
        replies = await self._many(
            "getIncidents", "/status/incidents", IncidentReply, resource_id=resource_id
        )
        return Done([_incident(each) for each in replies])

    async def events(
        self, *, incident_id: str | None = None, resource_id: str | None = None
    ) -> Done[Sequence[Event]]:
        """Changes of status."""
        # The API's own name of "list events" is this one.
        replies = await self._many(
            "getEventsByIncident",
            "/status/events",
            EventReply,
            incident_id=incident_id,
            resource_id=resource_id,
        )
        return Done([_event(each) for each in replies])

    async def _one(self, operation: str, path: str, model: type[M]) -> M:
        reply = await self._session.send(Request(operation=operation, method="GET", path=path, public=True))
        return Reading(self._session.label, operation).one(model, reply.value)

    async def _many(self, operation: str, path: str, model: type[M], **filters: str | None) -> list[M]:
        # An unknown query parameter is a 422, so only filters with a value are sent.
        params = tuple((name, value) for name, value in filters.items() if value is not None)
        request = Request(operation=operation, method="GET", path=path, public=True, params=params)
        return Reading(self._session.label, operation).many(model, await gather(self._session, request))


def _resource(reply: ResourceReply) -> Resource:
    return Resource(
        id=reply.id,
        name=reply.name,
        type=reply.resource_type,
        status=availability(reply.current_status),
        group=reply.group,
        description=reply.description,
        endpoints=frozenset(reply.supported_endpoints),
    )


def _incident(reply: IncidentReply) -> Incident:
    ids = (last_segment(uri) for uri in reply.resource_uris)
    return Incident(
        id=reply.id,
        name=reply.name,
        status=availability(reply.status),
        type=reply.type,
        resolution=reply.resolution,
        start=reply.start,
        end=reply.end,
        description=reply.description,
        resource_ids=tuple(each for each in ids if each),
    )


def _event(reply: EventReply) -> Event:
    return Event(
        id=reply.id,
        name=reply.name,
        status=availability(reply.status),
        occurred_at=reply.occurred_at,
        resource_id=last_segment(reply.resource_uri),
        incident_id=last_segment(reply.incident_uri),
        description=reply.description,
    )
