"""What a facility tells of itself: resources, incidents, projects, places for data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Availability(StrEnum):
    """Status of a resource in the words of the IRI status API."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FacilityInfo:
    """The facility behind the door."""

    id: str
    name: str | None = None
    short_name: str | None = None
    description: str | None = None
    support_uri: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """A place of the facility."""

    id: str
    name: str | None = None
    short_name: str | None = None
    organization: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """A thing at a facility that can be asked for.

    Attributes:
        id: The opaque id that every operation wants.
        name: What people call it.
        type: A DOE-IRI URN in v2; compare by leading segments, facilities extend it.
        status: ``UNKNOWN`` and ``DEGRADED`` are common and still usable; only ``DOWN`` is a warning.
        endpoints: Which groups of operations take its id ("compute", "filesystem"); empty where the
            facility does not say.
    """

    id: str
    name: str | None = None
    type: str = ""
    status: Availability = Availability.UNKNOWN
    group: str | None = None
    description: str | None = None
    endpoints: frozenset[str] = frozenset()

    def offers(self, endpoint: str) -> bool:
        """Whether operations of this group can be expected to take the resource."""
        if self.endpoints:
            return endpoint in self.endpoints
        kind = {"compute": ("compute", "system"), "filesystem": ("storage",)}.get(endpoint, (endpoint,))
        words = self.type.split(":")
        if endpoint == "filesystem" and words[-2:] == ["storage", "object"]:
            return False  # a store of objects knows no directories
        return any(word in words for word in kind)

    def answers_to(self, wanted: str) -> bool:
        """Whether a user who writes ``wanted`` means this resource: by id, or by name in any case."""
        return wanted == self.id or (self.name is not None and wanted.casefold() == self.name.casefold())


@dataclass(frozen=True, slots=True)
class Incident:
    """A planned or unplanned disturbance. ``end`` is None while it lasts or is not announced."""

    id: str
    name: str | None
    status: Availability
    type: str
    resolution: str
    start: datetime | None
    end: datetime | None = None
    description: str | None = None
    resource_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a resource's status."""

    id: str
    name: str | None
    status: Availability
    occurred_at: datetime | None
    resource_id: str | None = None
    incident_id: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class QueueLength:
    """How many jobs there are at a machine, of all users."""

    waiting: int
    running: int


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that allocations are counted in."""

    id: str
    name: str | None = None
    units: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """A project that jobs can be charged to."""

    id: str
    name: str
    description: str = ""
    user_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AllocationEntry:
    """Granted and used, in ``unit`` (a URN such as ``urn:doe-iri:allocation:compute:node-hours``)."""

    allocation: float
    usage: float
    unit: str

    @property
    def left(self) -> float:
        """What remains, in ``unit``."""
        return self.allocation - self.usage


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a project, or one user of it, may use of a capability."""

    id: str
    entries: tuple[AllocationEntry, ...] = ()
    capability_id: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class ApiClient:
    """A client of the facility's API that a person made there, and when it dies, where that is told."""

    id: str
    name: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StorageLocation:
    """A directory that the facility recommends for a purpose."""

    logical_name: str
    path: str
    filesystem: str | None = None
    purge_policy_days: int | None = None
    shared: bool = False
    readable: bool = True
    writable: bool = True


@dataclass(frozen=True, slots=True)
class AccessEndpoint:
    """A way to move data in bulk: ``protocol`` is globus, xrootd or s3; ``details`` are its own."""

    id: str
    protocol: str
    display_name: str | None = None
    details: Mapping[str, object] = field(default_factory=dict[str, object])
