"""What the facility consists of, and what has happened to it: site, resources, capabilities, incidents."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from .errors import Missing
from .settings import Settings
from .store import Store

NODE_HOURS = "urn:doe-iri:allocation:compute:node-hours"
BYTES = "urn:doe-iri:allocation:storage:bytes"


@dataclass(frozen=True)
class Capability:
    """Something of a resource that is allocated to projects."""

    id: str
    name: str
    description: str
    units: tuple[str, ...]


@dataclass(frozen=True)
class Resource:
    """A compute or storage resource."""

    id: str
    name: str
    description: str
    group: str
    type: str
    endpoints: tuple[str, ...]
    capability: Capability
    attributes: dict[str, Any]


class Catalog:
    """The facility's fixed parts and its log of incidents.

    Ids are derived from the facility's name, so that they are the same at every start.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self.name = settings.name
        self.facility_id = self.make_id("facility", settings.name)
        self.site_id = self.make_id("site", "desk")
        self.opened = float(store.meta("opened", str(time.time())))
        files = () if "filesystem" in settings.without else ("filesystem",)
        self.cluster = Resource(
            id=self.make_id("resource", "cluster"),
            name="cluster",
            description="Runs jobs as processes of this machine",
            group="local",
            type="urn:doe-iri:resource:compute:system",
            endpoints=("compute", *files),
            capability=Capability(
                self.make_id("capability", "nodes"), "nodes", "Node hours on the cluster", (NODE_HOURS,)
            ),
            attributes={"schema_version": "1.0", "configured_node_count": settings.nodes},
        )
        self.scratch = Resource(
            id=self.make_id("resource", "scratch"),
            name="scratch",
            description="Home, scratch and project directories",
            group="local",
            type="urn:doe-iri:resource:storage:filesystem",
            endpoints=files,
            capability=Capability(
                self.make_id("capability", "space"), "space", "Space for the files of a project", (BYTES,)
            ),
            attributes={"schema_version": "1.0", "technology": "directory"},
        )
        self.objects = self._object_store() if settings.s3 else None
        self.resources = [self.cluster, self.scratch, *([self.objects] if self.objects else [])]
        self.capabilities = [resource.capability for resource in self.resources]

    def _object_store(self) -> Resource:
        return Resource(
            id=self.make_id("resource", "objects"),
            name="objects",
            description="An object store that others run",
            group="local",
            type="urn:doe-iri:resource:storage:object",
            endpoints=(),
            capability=Capability(
                self.make_id("capability", "objects"), "objects", "Space for objects of a project", (BYTES,)
            ),
            attributes={"schema_version": "1.0", "technology": "s3"},
        )

    def make_id(self, kind: str, name: str) -> str:
        """The id of a part of this facility."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://{self.name}.facility.invalid/{kind}/{name}"))

    def resource(self, resource_id: str, endpoint: str | None = None) -> Resource:
        """The resource of that id, if it supports ``endpoint``.

        Raises:
            Missing: There is none.
        """
        for resource in self.resources:
            if resource.id == resource_id and (endpoint is None or endpoint in resource.endpoints):
                return resource
        raise Missing(f"Resource {resource_id} not found" + (f" for {endpoint}" if endpoint else ""))

    def resource_state(self, resource: Resource) -> tuple[str, float]:
        """A resource's status, which is that of its last event, and when it last changed."""
        row = self._store.row(
            "SELECT status, occurred FROM events WHERE resource_id = ? "
            "ORDER BY occurred DESC, rowid DESC LIMIT 1",
            resource.id,
        )
        return (row["status"], row["occurred"]) if row else ("up", self.opened)

    def declare(
        self,
        *,
        resource: str = "cluster",
        status: str = "down",
        type: str = "unplanned",
        name: str = "Outage",
        description: str = "",
        resolution: str = "unresolved",
    ) -> dict[str, Any]:
        """Declare an incident; its event changes the status of the resource, given by name or id.

        Raises:
            Missing: No such resource.
        """
        hit = self._named(resource)
        now = _now()
        incident_id = str(uuid.uuid4())
        self._store.insert(
            "incidents",
            id=incident_id,
            name=name,
            description=description,
            status=status,
            type=type,
            resolution=resolution,
            start=now,
            modified=now,
            resources=json.dumps([hit.id]),
        )
        self._event(incident_id, hit.id, name, description, status, now)
        return self.incident(incident_id)

    def resolve(
        self, incident_id: str, *, status: str = "up", resolution: str = "completed"
    ) -> dict[str, Any]:
        """End an incident: its resources get an event with the new status."""
        incident = self.incident(incident_id)
        now = _now()
        self._store.update(
            "incidents", incident_id, end=now, modified=now, resolution=resolution, status=status
        )
        for resource_id in incident["resources"]:
            self._event(
                incident_id, resource_id, incident["name"], f"{incident['name']}: {resolution}", status, now
            )
        return self.incident(incident_id)

    def announce(
        self, *, resource: str, name: str, description: str, start: float, end: float | None
    ) -> dict[str, Any]:
        """Announce planned maintenance of a resource, given by name or id; `begin` lets it begin.

        Raises:
            Missing: No such resource.
        """
        hit = self._named(resource)
        incident_id = str(uuid.uuid4())
        self._store.insert(
            "incidents",
            id=incident_id,
            name=name,
            description=description,
            status="down",
            type="planned",
            resolution="pending",
            start=round(start, 3),
            end=None if end is None else round(end, 3),
            modified=_now(),
            resources=json.dumps([hit.id]),
        )
        return self.incident(incident_id)

    def begin(self, incident_id: str) -> None:
        """Announced maintenance begins, if it has not: its resources get an event."""
        incident = self.incident(incident_id)
        if incident["resolution"] != "pending":
            return
        now = _now()
        self._store.update("incidents", incident_id, resolution="unresolved", modified=now)
        for resource in incident["resources"]:
            self._event(incident_id, resource, incident["name"], "maintenance begins", "down", now)

    def conclude(self, incident_id: str) -> None:
        """Maintenance is over, or is cancelled when it has not begun; what somebody has ended stays so."""
        resolution = self.incident(incident_id)["resolution"]
        if resolution == "pending":
            now = _now()
            self._store.update("incidents", incident_id, resolution="cancelled", modified=now, end=now)
        elif resolution == "unresolved":
            self.resolve(incident_id)

    def _named(self, resource: str) -> Resource:
        for candidate in self.resources:
            if resource in (candidate.id, candidate.name):
                return candidate
        raise Missing(f"Resource {resource} not found")

    def _event(self, incident: str, resource: str, name: str, text: str, status: str, at: float) -> None:
        self._store.insert(
            "events",
            id=str(uuid.uuid4()),
            incident_id=incident,
            resource_id=resource,
            name=name,
            description=text,
            status=status,
            occurred=at,
        )

    def incident(self, incident_id: str) -> dict[str, Any]:
        """One incident.

        Raises:
            Missing: There is none of that id.
        """
        for incident in self.incidents():
            if incident["id"] == incident_id:
                return incident
        raise Missing(f"Incident {incident_id} not found")

    def incidents(self) -> list[dict[str, Any]]:
        """All incidents, oldest first, each with the ids of its ``resources`` and ``events``."""
        events = self.events()
        return [
            {
                **dict(row),
                "resources": json.loads(row["resources"]),
                "events": [event["id"] for event in events if event["incident_id"] == row["id"]],
            }
            for row in self._store.rows("SELECT * FROM incidents ORDER BY start, rowid")
        ]

    def events(self) -> list[dict[str, Any]]:
        """All events, oldest first."""
        return [dict(row) for row in self._store.rows("SELECT * FROM events ORDER BY occurred, rowid")]


def _now() -> float:
    """The time in whole milliseconds, which is as much as faces write: what they say can be asked for."""
    return round(time.time(), 3)
