"""`/status`: resources, incidents and events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from starlette.requests import Request

from iri_local_facility.facility import Facility as Core

from .fields import Limit, Moment, Offset
from .links import Links
from .models import Event, Incident, IncidentType, Resolution, Resource, Status
from .paging import ModifiedSince, TextFilter, changed_since, page
from .represent import Represent
from .routing import route_class
from .version import Version

From = Annotated[Moment | None, Query(alias="from")]
To = Annotated[Moment | None, Query()]
Text = Annotated[str | None, Query(min_length=1)]


def make_router(core: Core, version: Version) -> APIRouter:
    """The routes."""
    router = APIRouter(
        tags=["status"],
        route_class=route_class(
            core.accounts, strict=True, tolerated=frozenset({"resource_uris", "event_uris"})
        ),
    )
    _add_resources(router, core, version)
    _add_incidents(router, core, version)
    _add_events(router, core, version)
    return router


def _add_resources(router: APIRouter, core: Core, version: Version) -> None:
    async def get_resources(
        request: Request,
        name: Text = None,
        description: Text = None,
        group: Text = None,
        offset: Offset = 0,
        limit: Limit = 100,
        modified_since: ModifiedSince = None,
        resource_type: str | None = None,
        current_status: Annotated[Status | None, Query()] = None,
        capability: list[str] | None = None,
    ):
        if resource_type == "urn:doe-iri:resource":
            raise HTTPException(400, "resource_type: the root of all types selects nothing")
        represent = Represent(core.catalog, Links(request))
        found = [
            represent.resource(resource)
            for resource in core.catalog.resources
            if name in (None, resource.name)
            and (description is None or description.lower() in resource.description.lower())
            and group in (None, resource.group)
            and (resource_type is None or f"{resource.type}:".startswith(f"{resource_type}:"))
            and (capability is None or set(capability) & set(resource.capability.units))
        ]
        found = [resource for resource in found if current_status in (None, resource["current_status"])]
        return page(changed_since(found, modified_since), offset, limit)

    get_resources.__annotations__ |= {"resource_type": version.resource_type, "capability": version.units}
    router.get(
        "/status/resources",
        operation_id="getResources",
        response_model=list[version.answer(Resource)],
        response_model_exclude_none=True,
    )(get_resources)

    @router.get(
        "/status/resources/{resource_id}", operation_id="getResource", response_model=version.answer(Resource)
    )
    async def get_resource(request: Request, resource_id: str):
        return Represent(core.catalog, Links(request)).resource(core.catalog.resource(resource_id))


def _add_incidents(router: APIRouter, core: Core, version: Version) -> None:
    @router.get(
        "/status/incidents", operation_id="getIncidents", response_model=list[version.answer(Incident)]
    )
    async def get_incidents(
        request: Request,
        name: TextFilter = None,
        description: TextFilter = None,
        status: Annotated[Status | None, Query()] = None,
        type: Annotated[IncidentType | None, Query()] = None,
        start: From = None,
        time: To = None,
        to: To = None,
        modified_since: ModifiedSince = None,
        resource_id: TextFilter = None,
        offset: Offset = 0,
        limit: Limit = 100,
        resolution: Annotated[Resolution | None, Query()] = None,
    ):
        wanted = {"name": name, "status": status, "type": type, "resolution": resolution}
        found = [
            incident
            for incident in core.catalog.incidents()
            if _agrees(incident, wanted, description)
            and (resource_id is None or resource_id in incident["resources"])
            and (start is None or incident["start"] >= start.timestamp())
            # An incident that is still open has no end, so it does not end before anything.
            and (to is None or (incident["end"] is not None and incident["end"] < to.timestamp()))
            and (time is None or _covers(incident, time))
        ]
        represent = Represent(core.catalog, Links(request))
        documents = changed_since([represent.incident(incident) for incident in found], modified_since)
        return page(documents, offset, limit) or _nothing("incidents")

    @router.get(
        "/status/incidents/{incident_id}", operation_id="getIncident", response_model=version.answer(Incident)
    )
    async def get_incident(request: Request, incident_id: str):
        return Represent(core.catalog, Links(request)).incident(core.catalog.incident(incident_id))


def _add_events(router: APIRouter, core: Core, version: Version) -> None:
    @router.get(
        "/status/events", operation_id="getEventsByIncident", response_model=list[version.answer(Event)]
    )
    async def get_events(
        request: Request,
        incident_id: TextFilter = None,
        resource_id: TextFilter = None,
        name: TextFilter = None,
        description: TextFilter = None,
        status: Annotated[Status | None, Query()] = None,
        start: From = None,
        time: To = None,
        to: To = None,
        modified_since: ModifiedSince = None,
        offset: Offset = 0,
        limit: Limit = 100,
    ):
        wanted = {"incident_id": incident_id, "resource_id": resource_id, "name": name, "status": status}
        found = [
            event
            for event in core.catalog.events()
            if _agrees(event, wanted, description)
            and (start is None or event["occurred"] >= start.timestamp())
            and (to is None or event["occurred"] < to.timestamp())
            and (time is None or round(event["occurred"], 3) == round(time.timestamp(), 3))
        ]
        represent = Represent(core.catalog, Links(request))
        documents = changed_since([represent.event(event) for event in found], modified_since)
        return page(documents, offset, limit) or _nothing("events")

    @router.get(
        "/status/events/{event_id}", operation_id="getEventByIncident", response_model=version.answer(Event)
    )
    async def get_event(request: Request, event_id: str):
        for event in core.catalog.events():
            if event["id"] == event_id:
                return Represent(core.catalog, Links(request)).event(event)
        raise HTTPException(404, f"Event {event_id} not found")


def _agrees(item: dict[str, Any], wanted: dict[str, str | None], description: str | None) -> bool:
    return all(value in (None, item[name]) for name, value in wanted.items()) and (
        description is None or description.lower() in item["description"].lower()
    )


def _covers(incident: dict[str, Any], moment: datetime) -> bool:
    at = moment.timestamp()
    return incident["start"] <= at and (incident["end"] is None or at < incident["end"])


def _nothing(what: str) -> Any:
    raise HTTPException(404, f"no {what} found")
