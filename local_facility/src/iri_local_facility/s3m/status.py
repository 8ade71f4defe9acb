"""``/olcf/v1alpha/status``: resources and downtimes, for everybody."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from iri_local_facility.catalog import Resource
from iri_local_facility.facility import Facility

from .refusals import Refusal

_AHEAD = 10 * 86400


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/olcf/v1alpha/status")

    @router.get("", operation_id="s3mStatus")
    async def status() -> dict[str, Any]:
        return {"resources": [_resource(core, resource) for resource in core.catalog.resources]}

    @router.get("/downtimes", operation_id="s3mDowntimes")
    async def downtimes() -> dict[str, Any]:
        return {"downtimes": _downtimes(core, upcoming=False)}

    @router.get("/downtimes/upcoming", operation_id="s3mUpcomingDowntimes")
    async def upcoming() -> dict[str, Any]:
        return {"downtimes": _downtimes(core, upcoming=True)}

    @router.get("/{name}", operation_id="s3mResourceStatus")
    async def resource_status(name: str) -> dict[str, Any]:
        for resource in core.catalog.resources:
            if resource.name == name:
                return _resource(core, resource)
        raise Refusal(404, f"resource {name} not found")

    return router


def _resource(core: Facility, resource: Resource) -> dict[str, Any]:
    words = {"up": "OPERATIONAL", "degraded": "OPERATIONAL", "down": "UNAVAILABLE"}
    found = {
        "name": resource.name,
        "description": resource.description,
        "systemType": "resource",
        "securityEnclave": "open",
        "organization": "olcf",
        "status": words.get(core.catalog.resource_state(resource)[0], "UNSPECIFIED"),
        "downtimeScheduleAvailable": True,
        "annotations": {},
        "retrievedAt": _timestamp(time.time()),
    }
    ahead = _downtimes(core, upcoming=True, resource=resource)
    return found | {"upcomingDowntimes": ahead} if ahead else found


def _downtimes(core: Facility, *, upcoming: bool, resource: Resource | None = None) -> list[dict[str, Any]]:
    """Downtimes in effect, or of the next days."""
    now = time.time()
    names = {each.id: each.name for each in core.catalog.resources}
    found = []
    for incident in core.catalog.incidents():
        start, end = incident["start"], incident["end"]
        if incident["status"] != "down" or incident["resolution"] in ("cancelled", "completed"):
            continue
        if not (now < start < now + _AHEAD if upcoming else start <= now < (end or now + 1)):
            continue
        hit = [each for each in incident["resources"] if resource is None or each == resource.id]
        found += [_downtime(names[each], incident) for each in hit]
    return found


def _downtime(name: str, incident: dict[str, Any]) -> dict[str, Any]:
    found = {
        "resourceName": name,
        "status": "UNAVAILABLE",
        "start": _timestamp(incident["start"]),
        "description": incident["description"] or incident["name"],
        "attributes": {"scheduled": incident["type"] == "planned", "reboot": False},
        "updatedAt": _timestamp(incident["modified"]),
    }
    return found if incident["end"] is None else found | {"end": _timestamp(incident["end"])}


def _timestamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")
