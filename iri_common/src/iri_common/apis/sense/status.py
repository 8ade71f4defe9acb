"""What SENSE tells of the networks and sites behind it."""

from __future__ import annotations

from collections.abc import Sequence

from iri_common.apis.reading import Reading
from iri_common.apis.sense.wire import DomainReply, DomainsReply
from iri_common.http.session import Request, Session
from iri_common.model.errors import NotFound
from iri_common.model.facility import Event, FacilityInfo, Incident, Resource, Site
from iri_common.model.outcome import Done

DOMAINS = "/discover/domains"
DOMAIN = "sense:domain"


class SenseStatus:
    """The domains of an orchestrator; how they are is not told."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def facility(self) -> Done[FacilityInfo]:
        """The orchestrator itself."""
        return Done(FacilityInfo("sense", self._session.label))

    async def sites(self) -> Done[Sequence[Site]]:
        """The domains, once more: a site is one of them."""
        return Done([Site(each.id, each.name) for each in (await self.resources()).value])

    async def resources(self) -> Done[Sequence[Resource]]:
        """The domains that paths go through."""
        reply = await self._session.send(Request(operation="domains", method="GET", path=DOMAINS))
        reading = Reading(self._session.label, "domains")
        rows = reading.many(DomainReply, reading.one(DomainsReply, reply.value).domains)
        found = [(row.domain_uri or row.uri, row.domain_name or row.name) for row in rows]
        return Done([Resource(uri, name or uri, DOMAIN, endpoints=_NETWORK) for uri, name in found if uri])

    async def resource(self, resource_id: str) -> Done[Resource]:
        """One domain, by its URI."""
        for each in (await self.resources()).value:
            if each.id == resource_id:
                return Done(each)
        raise NotFound(f"SENSE knows no domain {resource_id!r}", facility=self._session.label)

    async def incidents(self, *, resource_id: str | None = None) -> Done[Sequence[Incident]]:
        """None: SENSE announces nothing."""
        return Done([])

    async def events(
        self, *, incident_id: str | None = None, resource_id: str | None = None
    ) -> Done[Sequence[Event]]:
        """None: SENSE keeps no history of its domains."""
        return Done([])


_NETWORK = frozenset({"network"})
