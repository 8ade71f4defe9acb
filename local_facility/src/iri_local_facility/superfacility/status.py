"""``/meta`` and ``/status``: open to all, without a token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException

from iri_local_facility.facility import Facility

from .machines import COMPUTE, Machine, System, systems

_STATES = {"up": "active", "down": "unavailable", "degraded": "degraded"}
_SAID = {"active": "System Active", "unavailable": "Unavailable", "degraded": "System Degraded"}
_OUTAGES = {
    "pending": "Planned",
    "unresolved": "Active",
    "extended": "Extended",
    "completed": "Completed",
    "cancelled": "Cancelled",
}
_CHANGES = [{"date": "2023-02-09", "change": "Jobs, files, accounts and status of a local facility"}]
_Of = Callable[[Facility, System], list[dict[str, Any]]]


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get("/meta/changelog", operation_id="sfGetChangelog")
    async def changelog() -> list[dict[str, str]]:
        return _CHANGES

    @router.get("/meta/config", operation_id="sfGetConfig")
    async def config() -> list[dict[str, str]]:
        return [
            {"key": "compute.targets", "value": COMPUTE},
            {"key": "utilities.targets", "value": ",".join(Machine)},
        ]

    # The slash belongs to the address, but clients come without it as well.
    for path in ("/status", "/status/"):
        router.add_api_route(path, _all_statuses(core), methods=["GET"], operation_id="sfGetStatuses")
    _add_kind(router, core, "notes", "Note", _notes)
    # In this order: "planned" is no system that may have outages.
    _add_kind(router, core, "outages/planned", "PlannedOutage", _planned)
    _add_kind(router, core, "outages", "Outage", _outages)

    @router.get("/status/{name}", operation_id="sfGetStatus")
    async def status(name: str) -> dict[str, Any]:
        return _status(core, _system(core, name))

    return router


def _all_statuses(core: Facility) -> Callable[[], Any]:
    async def statuses() -> list[dict[str, Any]]:
        return [_status(core, system) for system in systems(core.catalog)]

    return statuses


def _add_kind(router: APIRouter, core: Facility, path: str, name: str, of: _Of) -> None:
    """Of all systems there is a list for each; of one, its list."""

    @router.get(f"/status/{path}", operation_id=f"sfGet{name}s")
    async def all_of_them() -> list[list[dict[str, Any]]]:
        return [of(core, system) for system in systems(core.catalog)]

    @router.get(f"/status/{path}/{{name}}", operation_id=f"sfGet{name}sOf")
    async def those_of(name: str) -> list[dict[str, Any]]:
        return of(core, _system(core, name))


def _system(core: Facility, name: str) -> System:
    for system in systems(core.catalog):
        if system.name == name:
            return system
    raise HTTPException(404, "Not Found")


def _status(core: Facility, system: System) -> dict[str, Any]:
    word, changed = core.catalog.resource_state(system.resource)
    state = _STATES.get(word, "other")
    return {
        "name": system.name,
        "full_name": system.full_name,
        "description": _SAID.get(state, "Unknown"),
        "system_type": system.kind,
        "notes": [note["notes"] for note in _notes(core, system) if note["active"]],
        "status": state,
        "updated_at": _moment(changed),
    }


def _notes(core: Facility, system: System) -> list[dict[str, Any]]:
    incidents = {incident["id"]: incident for incident in core.catalog.incidents()}
    return [
        {
            "name": system.name,
            "notes": event["description"] or event["name"],
            "active": incidents[event["incident_id"]]["resolution"] == "unresolved",
            "timestamp": _moment(event["occurred"]),
        }
        for event in core.catalog.events()
        if event["resource_id"] == system.resource.id
    ]


def _outages(core: Facility, system: System) -> list[dict[str, Any]]:
    return [
        {
            "name": system.name,
            "start_at": _moment(incident["start"]),
            "end_at": _moment(incident["end"]),
            "description": incident["description"] or incident["name"],
            "notes": incident["name"],
            "status": _OUTAGES[incident["resolution"]],
            "swo": None,
            "update_at": _moment(incident["modified"]),
        }
        for incident in core.catalog.incidents()
        if system.resource.id in incident["resources"]
    ]


def _planned(core: Facility, system: System) -> list[dict[str, Any]]:
    return [outage for outage in _outages(core, system) if outage["status"] == "Planned"]


def _moment(seconds: float | None) -> str | None:
    """Times of outages, other than those of jobs, have their zone."""
    return None if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat()
