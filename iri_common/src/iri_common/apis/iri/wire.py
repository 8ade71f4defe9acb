"""Replies as this API sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast
from urllib.parse import unquote

from pydantic import BeforeValidator, Field

from iri_common.apis.reading import Id, Moment, WireModel


def last_segment(uri: str | None) -> str | None:
    """The id at the end of an object's link; hosts and prefixes of links are not to be trusted."""
    path = (uri or "").partition("#")[0].partition("?")[0].rstrip("/")
    return unquote(path.rpartition("/")[2]) or None


def _count_or_none(value: object) -> object:
    # `File.size` is a text whose format nobody fixed: "4096", "", "4.0K".
    text = str(value).strip()
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _object_or_empty(value: object) -> object:
    return cast("dict[object, object]", value) if isinstance(value, dict) else {}


class JobReply(WireModel):
    """Schema Job. The parts are read on their own, so that a bad one does not cost the id."""

    id: Id
    status: Any = None
    job_spec: Any = None


class StatusReply(WireModel):
    """Schema JobStatus."""

    state: str | None = None
    time: float | None = None
    message: str | None = None
    exit_code: int | None = None
    meta_data: Annotated[dict[str, object], BeforeValidator(_object_or_empty)] = Field(
        default_factory=dict[str, object]
    )


class SpecReply(WireModel):
    """Schema JobSpec, as far as anything is read back."""

    name: str | None = None
    directory: str | None = None
    stdout_path: str | None = None
    stderr_path: str | None = None


class TaskSubmitReply(WireModel):
    """Schema TaskSubmitResponse. ``task_uri`` is not read: its host comes from request headers."""

    task_id: Id


class TaskReply(WireModel):
    """Schema Task."""

    status: str = "pending"
    result: Any = None


class FileReply(WireModel):
    """Schema File of the reference server."""

    name: str
    type: str | None = None
    size: Annotated[int | None, BeforeValidator(_count_or_none)] = None
    user: str = ""
    group: str = ""
    permissions: str = ""
    last_modified: str = ""
    link_target: str | None = None


class FacilityReply(WireModel):
    """Schema Facility."""

    id: Id
    name: str | None = None
    short_name: str | None = None
    description: str | None = None
    support_uri: str | None = None


class SiteReply(WireModel):
    """Schema Site."""

    id: Id
    name: str | None = None
    short_name: str | None = None
    operating_organization: str | None = None


class ResourceReply(WireModel):
    """Schema Resource."""

    id: Id
    name: str | None = None
    resource_type: str = ""
    current_status: str | None = None
    group: str | None = None
    description: str | None = None
    supported_endpoints: tuple[str, ...] = ()


class IncidentReply(WireModel):
    """Schema Incident."""

    id: Id
    name: str | None = None
    status: str | None = None
    type: str = ""
    resolution: str = ""
    start: Moment | None = None
    end: Moment | None = None
    description: str | None = None
    resource_uris: tuple[str, ...] = ()


class EventReply(WireModel):
    """Schema Event."""

    id: Id
    name: str | None = None
    status: str | None = None
    occurred_at: Moment | None = None
    resource_uri: str | None = None
    incident_uri: str | None = None
    description: str | None = None


class CapabilityReply(WireModel):
    """Schema Capability."""

    id: Id
    name: str | None = None
    units: tuple[str, ...] = ()


class WhoAmIReply(WireModel):
    """Schema WhoAmI."""

    username: str


class ProjectReply(WireModel):
    """Schema Project."""

    id: Id
    name: str
    description: str = ""
    user_ids: tuple[str, ...] = ()


class EntryReply(WireModel):
    """Schema AllocationEntry."""

    allocation: float
    usage: float
    unit: str


class AllocationReply(WireModel):
    """Schemas ProjectAllocation and UserAllocation."""

    id: Id
    entries: tuple[EntryReply, ...] = ()
    capability_uri: str | None = None
    user_id: str | None = None


class AccessReply(WireModel):
    """Schema AccessPermissions."""

    read: bool = True
    write: bool = True


class LocationReply(WireModel):
    """Schema StorageInstance."""

    logical_name: str
    path: str
    filesystem: str | None = None
    purge_policy_days: int | None = None
    shared: bool = False
    access: AccessReply = AccessReply()


class EndpointReply(WireModel):
    """Schema AccessEndpoint."""

    id: Id
    protocol: str
    display_name: str | None = None
    auth_type: str | None = None
    capabilities: list[str] | None = None
    endpoint_id: str | None = None
    uri: str | None = None
    root_path: str | None = None
    endpoint: str | None = None
    bucket: str | None = None
    region: str | None = None
    endpoint_url: str | None = None

    def details(self) -> Mapping[str, object]:
        """What this protocol has and others have not."""
        return self.model_dump(exclude={"id", "protocol", "display_name"}, exclude_none=True)
