"""Where data belongs, and how it gets there in bulk."""

from __future__ import annotations

from collections.abc import Sequence

from iri_common.apis.iri.versions import Version
from iri_common.apis.iri.wire import EndpointReply, LocationReply
from iri_common.apis.reading import Reading, segment
from iri_common.http.session import Request, Session
from iri_common.model.errors import NotFound
from iri_common.model.facility import AccessEndpoint, StorageLocation
from iri_common.model.outcome import Done


class IriStorage:
    """The storage service. The resource sets the view: a job's paths and rights, or those from outside."""

    def __init__(self, session: Session, version: Version) -> None:
        self._session = session
        self._version = version

    async def locations(
        self, resource_id: str, *, logical_name: str | None = None, project: str | None = None
    ) -> Done[Sequence[StorageLocation]]:
        """Directories for a purpose (home, scratch, project, …)."""
        path = f"/storage/locations/{segment(resource_id, 'resource')}"
        try:
            value: object = await self._get(
                "getStorageLocations", path, logicalpath=logical_name, project=project
            )
        except NotFound:
            if logical_name is None:
                raise
            value = list[object]()  # how the API says that there is none of this name
        replies = Reading(self._session.label, "getStorageLocations").many(LocationReply, value)
        return Done(
            [
                StorageLocation(
                    logical_name=each.logical_name,
                    path=each.path,
                    filesystem=each.filesystem,
                    purge_policy_days=each.purge_policy_days,
                    shared=each.shared,
                    readable=each.access.read,
                    writable=each.access.write,
                )
                for each in replies
            ]
        )

    async def access_endpoints(
        self, resource_id: str, *, protocol: str | None = None
    ) -> Done[Sequence[AccessEndpoint]]:
        """Ways to move data in bulk; each needs credentials of its own."""
        path = f"/storage/access-endpoints/{segment(resource_id, 'resource')}"
        value = await self._get("getStorageAccessEndpoints", path, protocol=protocol)
        replies = Reading(self._session.label, "getStorageAccessEndpoints").many(EndpointReply, value)
        return Done(
            [AccessEndpoint(each.id, each.protocol, each.display_name, each.details()) for each in replies]
        )

    async def _get(self, operation: str, path: str, **filters: str | None) -> object:
        if not self._version.storage:
            raise self._version.lacks(
                "storage service",
                operation,
                self._session.label,
                "give paths as the facility's documentation names them",
            )
        params = tuple((name, value) for name, value in filters.items() if value is not None)
        reply = await self._session.send(Request(operation=operation, method="GET", path=path, params=params))
        return reply.value
