"""The objects that the face answers with (all but jobs, which are in `jobspec`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .fields import ALLOCATION_URN, Timestamp

Status = Literal["up", "down", "degraded", "unknown"]
IncidentType = Literal["planned", "unplanned", "reservation"]
Resolution = Literal["unresolved", "cancelled", "completed", "extended", "pending"]
LogicalName = Literal["home", "scratch", "project", "campaign", "archive", "shared", "temporary"]
StorageIntent = Literal["read", "write", "staging", "long-term-storage"]
AccessProtocol = Literal["globus", "xrootd", "s3"]
Unit = Annotated[str, Field(min_length=24, pattern=ALLOCATION_URN)]


class Base(BaseModel):
    """What all objects share."""

    model_config = ConfigDict(extra="allow")
    attributes: dict[str, Any] | None = None


class Named(Base):
    """An object with an identity and links."""

    id: str
    name: str | None = None
    description: str | None = None
    last_modified: Timestamp
    self_uri: str
    links: dict[str, Any] = Field(alias="_links")


class Facility(Named):
    """The facility."""

    short_name: str | None = None
    organization_name: str | None = None
    support_uri: str | None = None
    site_uris: list[str]


class Site(Named):
    """A place of the facility."""

    short_name: str | None = None
    operating_organization: str | None
    country_name: str | None = None
    locality_name: str | None = None
    state_or_province_name: str | None = None
    street_address: str | None = None
    unlocode: str | None = None
    altitude: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    resource_uris: list[str]


class Resource(Named):
    """A compute or storage resource."""

    group: str | None = None
    current_status: Status | None = None
    resource_type: str
    supported_endpoints: list[Literal["compute", "filesystem"]] | None = None
    site_uri: str
    capability_uris: list[str]


class Incident(Named):
    """Something that affects resources for a while."""

    status: Status
    start: Timestamp
    end: Timestamp | None = None
    type: IncidentType
    resolution: Resolution
    event_uris: list[str]
    resource_uris: list[str]


class Event(Named):
    """A change of a resource's status."""

    occurred_at: Timestamp
    status: Status
    resource_uri: str
    incident_uri: str | None


class Capability(Named):
    """What of a resource is allocated."""

    units: list[Unit]


class WhoAmI(Base):
    """The caller."""

    username: str


class Project(Base):
    """A project."""

    id: str
    name: str
    description: str
    user_ids: list[str]
    last_modified: Timestamp
    self_uri: str


class AllocationEntry(Base):
    """Granted and used, in one unit."""

    allocation: float
    usage: float
    unit: Unit


class ProjectAllocation(Base):
    """A project's share of a capability."""

    id: str
    entries: list[AllocationEntry]
    project_uri: str
    capability_uri: str


class UserAllocation(Base):
    """A user's share of a project's allocation."""

    id: str
    user_id: str
    entries: list[AllocationEntry]
    project_allocation_uri: str


class AccessPermissions(BaseModel):
    """What may be done at a storage location."""

    read: bool
    write: bool
    execute: bool


class StorageInstance(BaseModel):
    """A directory for a purpose."""

    logical_name: LogicalName
    path: str
    filesystem: str | None = None
    performance_tier: str | None = None
    purge_policy_days: int | None = None
    shared: bool = False
    access: AccessPermissions


class AccessEndpoint(BaseModel):
    """A way in for data."""

    id: str
    resource_id: str
    protocol: AccessProtocol
    display_name: str | None = None
    auth_type: str
    capabilities: list[Literal["list", "read", "write", "transfer", "streaming"]]
    endpoint_id: str | None = None
    uri: str | None = None
    root_path: str | None = None
    bucket: str | None = None
    region: str | None = None
    endpoint_url: str | None = None


class TaskCommand(BaseModel):
    """What a task does."""

    router: str
    command: str
    args: dict[str, Any]


class Task(BaseModel):
    """An operation in the background."""

    id: str
    status: Literal["pending", "active", "completed", "failed", "canceled"] = "pending"
    result: dict[str, Any] | None = None
    command: TaskCommand | None = None


class TaskSubmitResponse(BaseModel):
    """Where to ask about a task."""

    task_id: str
    task_uri: str


class InvalidParam(BaseModel):
    """One parameter that failed validation."""

    name: str
    reason: str


class Problem(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow")
    type: str = Field("about:blank", json_schema_extra={"format": "uri"})
    status: int = Field(ge=100, le=599)
    title: str | None = None
    detail: str | None = None
    instance: str
    invalid_params: list[InvalidParam] | None = None
