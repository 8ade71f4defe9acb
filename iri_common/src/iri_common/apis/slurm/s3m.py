"""What OLCF's S3M tells anyone of its resources and their downtimes; it may be a quarter of an hour old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from iri_common.apis.reading import Reading, WireModel, segment
from iri_common.apis.slurm.calls import Calls
from iri_common.apis.slurm.queue import queue_length
from iri_common.apis.slurm.wire import DowntimeReply, S3mResourceReply, field
from iri_common.http.session import Request, Session
from iri_common.model.facility import (
    Availability,
    Event,
    FacilityInfo,
    Incident,
    QueueLength,
    Resource,
    Site,
)
from iri_common.model.outcome import Done

M = TypeVar("M", bound=WireModel)

ROOT = "/olcf/v1alpha/status"
_STATES: Mapping[str, Availability] = {
    "OPERATIONAL": Availability.UP,
    "UNAVAILABLE": Availability.DOWN,
    "UNSPECIFIED": Availability.UNKNOWN,
}


class S3mStatus:
    """The status service; it takes no token. How long a queue is, is asked of the Slurm behind it."""

    def __init__(self, session: Session, calls: Calls) -> None:
        self._session = session
        self._calls = calls

    async def facility(self) -> Done[FacilityInfo]:
        """OLCF, which the API does not say."""
        return Done(
            FacilityInfo("olcf", "Oak Ridge Leadership Computing Facility", "OLCF", "Slurm behind S3M")
        )

    async def sites(self) -> Done[Sequence[Site]]:
        """None are told."""
        return Done([])

    async def resources(self) -> Done[Sequence[Resource]]:
        """The resources of this enclave. Whether one takes jobs over this API is only seen by asking it."""
        rows = await self._many("getResources", "", "resources", S3mResourceReply)
        return Done([_resource(row) for row in rows])

    async def resource(self, resource_id: str) -> Done[Resource]:
        """One resource, by its name."""
        operation, path = "getResource", f"{ROOT}/{segment(resource_id, 'resource')}"
        reply = await self._session.send(Request(operation=operation, method="GET", path=path, public=True))
        return Done(_resource(Reading(self._session.label, operation).one(S3mResourceReply, reply.value)))

    async def incidents(self, *, resource_id: str | None = None) -> Done[Sequence[Incident]]:
        """The downtimes in effect, and those of the next ten days."""
        now = await self._many("getDowntimes", "/downtimes", "downtimes", DowntimeReply)
        later = await self._many("getUpcomingDowntimes", "/downtimes/upcoming", "downtimes", DowntimeReply)
        found = {each.id: each for each in (_incident(row) for row in [*later, *now])}
        return Done([each for each in found.values() if resource_id in (None, *each.resource_ids)])

    async def events(
        self, *, incident_id: str | None = None, resource_id: str | None = None
    ) -> Done[Sequence[Event]]:
        """None are told."""
        return Done([])

    async def queue(self, resource_id: str) -> Done[QueueLength]:
        """How many jobs wait and run, of all users."""
        return Done(await queue_length(self._calls, resource_id))

    async def _many(self, operation: str, path: str, name: str, model: type[M]) -> list[M]:
        request = Request(operation=operation, method="GET", path=f"{ROOT}{path}", public=True)
        rows = field((await self._session.send(request)).value, name)
        # proto3 leaves out a list that is empty.
        return Reading(self._session.label, operation).many(model, [] if rows is None else rows)


def _resource(reply: S3mResourceReply) -> Resource:
    return Resource(
        id=reply.name,
        name=reply.name,
        type="urn:doe-iri:resource:compute",
        status=_STATES.get(reply.status or "", Availability.UNKNOWN),
        group=reply.organization,
        description=reply.description,
        endpoints=frozenset({"compute"}),
    )


def _incident(reply: DowntimeReply) -> Incident:
    name = reply.resource_name or ""
    begin = reply.start.isoformat() if reply.start else "now"
    # proto3 leaves out what is false.
    planned = field(reply.attributes, "scheduled") is True
    return Incident(
        id=f"{name}@{begin}",
        name=reply.description,
        status=_STATES.get(reply.status or "", Availability.UNKNOWN),
        type="planned" if planned else "unplanned",
        resolution="",
        start=reply.start,
        end=reply.end,
        description=reply.description,
        resource_ids=(name,) if name else (),
    )
