"""What the facility tells anyone of its systems; no token is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from iri_common.apis.reading import Reading, kind, segment
from iri_common.apis.superfacility.states import RESOLUTIONS, availability
from iri_common.apis.superfacility.wire import OutageReply, StatusReply
from iri_common.http.session import Request, Session
from iri_common.model.errors import NotOffered
from iri_common.model.facility import Availability, Event, FacilityInfo, Incident, Resource, Site
from iri_common.model.outcome import Done

_ONLY_SYSTEMS = "the Superfacility API tells of its systems and their outages, and of nothing above them"

# Of systems that are no computers, those with login nodes of their own for files.
_MOVERS = frozenset({"dtns", "dtn01"})


class SuperfacilityStatus:
    """The status service. A resource's id is the system's name."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def facility(self) -> Done[FacilityInfo]:
        """Not offered."""
        raise self._lacks("facility")

    async def sites(self) -> Done[Sequence[Site]]:
        """Not offered."""
        raise self._lacks("sites")

    async def events(
        self, *, incident_id: str | None = None, resource_id: str | None = None
    ) -> Done[Sequence[Event]]:
        """Not offered."""
        raise self._lacks("events")

    async def resources(self) -> Done[Sequence[Resource]]:
        """Every system; jobs go to computers, files to those and to the transfer nodes."""
        value = await self._get("read_statuses", "/status/")
        replies = self._reading("read_statuses").many(StatusReply, value)
        return Done([_resource(each) for each in replies])

    async def resource(self, resource_id: str) -> Done[Resource]:
        """One system."""
        value = await self._get("read_status", f"/status/{segment(resource_id, 'resource')}")
        return Done(_resource(self._reading("read_status").one(StatusReply, value)))

    async def incidents(self, *, resource_id: str | None = None) -> Done[Sequence[Incident]]:
        """Outages, past and planned ones too; one that was planned and came is told once, as planned."""
        planned = await self._outages("read_planned_outages", "/status/outages/planned", resource_id)
        others = await self._outages("read_outages", "/status/outages", resource_id)
        known = {(each.name, each.start_at) for each in planned}
        rest = [each for each in others if (each.name, each.start_at) not in known]
        return Done(
            [_incident(each, "planned") for each in planned]
            + [_incident(each, "planned" if each.status == "Planned" else "unplanned") for each in rest]
        )

    async def _outages(self, operation: str, path: str, resource_id: str | None) -> list[OutageReply]:
        below = "" if resource_id is None else f"/{segment(resource_id, 'resource')}"
        value, reading = await self._get(operation, path + below), self._reading(operation)
        if not isinstance(value, list):
            raise reading.unfit(f"a list was expected, not {kind(value)}")
        # Of all systems they come as a list of lists, one a system.
        groups = cast("list[object]", value) if resource_id is None else [cast("object", value)]
        return [each for group in groups for each in reading.many(OutageReply, group)]

    async def _get(self, operation: str, path: str) -> object:
        reply = await self._session.send(Request(operation=operation, method="GET", path=path, public=True))
        return reply.value

    def _lacks(self, operation: str) -> NotOffered:
        return NotOffered(_ONLY_SYSTEMS, facility=self._session.label, operation=operation)

    def _reading(self, operation: str) -> Reading:
        return Reading(self._session.label, operation)


def _resource(reply: StatusReply) -> Resource:
    # Never empty: by their type alone, file systems would seem to take operations on files.
    endpoints = {"status"}
    if reply.system_type == "compute":
        endpoints |= {"compute", "filesystem"}
    elif reply.name in _MOVERS:
        endpoints.add("filesystem")
    return Resource(
        id=reply.name,
        name=reply.name,
        type=reply.system_type,
        status=availability(reply.status),
        description=": ".join(each for each in (reply.full_name, reply.description) if each) or None,
        endpoints=frozenset(endpoints),
    )


def _incident(reply: OutageReply, type: str) -> Incident:
    words = [each for each in (reply.description, reply.notes) if each]
    degraded = any("degraded" in each.lower() for each in words[:1])
    return Incident(
        id=f"{reply.name} {reply.start_at.isoformat() if reply.start_at else 'at an unknown time'}",
        name=words[0] if words else None,
        status=Availability.DEGRADED if degraded else Availability.DOWN,
        type=type,
        resolution=RESOLUTIONS.get(reply.status, reply.status.lower()),
        start=reply.start_at,
        end=reply.end_at,
        description=": ".join(words) or None,
        resource_ids=(reply.name,),
    )
