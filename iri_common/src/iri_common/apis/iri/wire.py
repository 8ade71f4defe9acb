"""Replies as the API sends them: only the fields that are used, and what does not fit said in words.

Facilities add fields (``_links`` is coming), leave out what is null and send null for what is absent, so
both count the same here and further fields are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import quote, unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    model_validator,
)

from iri_common.model.errors import AmbiguousReply, ReplyError, UsageError
from iri_common.policy.classify import Outcome


class WireModel(BaseModel):
    """A reply's object. Null is the same as absent; a number is taken where a text is expected."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        fields = cast("dict[object, object]", value)
        return {name: each for name, each in fields.items() if each is not None}


M = TypeVar("M", bound=WireModel)


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads the replies of one operation, and names it where they do not fit.

    Attributes:
        facility: What errors call the facility.
        operation: The API's name of what was asked.
    """

    facility: str
    operation: str

    def one(self, model: type[M], value: object) -> M:
        """Read one object.

        Raises:
            ReplyError: if it does not fit.
        """
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise self.unfit(_reasons(error)) from None

    def many(self, model: type[M], value: object) -> list[M]:
        """Read a list of objects.

        Raises:
            ReplyError: if it is no list, or an entry does not fit.
        """
        if not isinstance(value, list):
            raise self.unfit(f"a list was expected, not {kind(value)}")
        entries = cast("list[object]", value)
        return [self.one(model, entry) for entry in entries]

    def unfit(self, what: str) -> ReplyError:
        """The error that says what is wrong with a reply."""
        return ReplyError(
            f"the facility's answer does not fit its API: {what}",
            facility=self.facility,
            operation=self.operation,
            outcome=Outcome.UNREADABLE,
        )

    def ambiguous(self, what: str) -> AmbiguousReply:
        """The error for a request with an effect whose answer says success and nothing else."""
        return AmbiguousReply(
            f"the request was accepted, but whether it took effect is unknown: {what}",
            facility=self.facility,
            operation=self.operation,
            outcome=Outcome.UNREADABLE,
        )


def kind(value: object) -> str:
    """What a JSON value is, without telling its content."""
    name = type(value).__name__
    return {"NoneType": "nothing", "dict": "an object", "list": "a list", "str": "a text"}.get(name, name)


def _reasons(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    words = [f"{'.'.join(map(str, each['loc'])) or 'the object'}: {each['msg']}" for each in problems[:5]]
    return "; ".join(words)


def segment(text: str, what: str) -> str:
    """An opaque id as one segment of a path.

    Raises:
        UsageError: if it cannot be one: an empty id or a dot would ask for another object.
    """
    if text in {"", ".", ".."}:
        raise UsageError(f"{text!r} is not the id of a {what}")
    return quote(text, safe="", errors="replace")


def last_segment(uri: str | None) -> str | None:
    """The id at the end of an object's link; hosts and prefixes of links are not to be trusted."""
    path = (uri or "").partition("#")[0].partition("?")[0].rstrip("/")
    return unquote(path.rpartition("/")[2]) or None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count_or_none(value: object) -> object:
    # `File.size` is a text whose format nobody fixed: "4096", "", "4.0K".
    text = str(value).strip()
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _object_or_empty(value: object) -> object:
    return cast("dict[object, object]", value) if isinstance(value, dict) else {}


Id = Annotated[str, StringConstraints(min_length=1)]
Moment = Annotated[datetime, AfterValidator(_aware)]


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
    meta_data: Annotated[dict[str, object], BeforeValidator(_object_or_empty)] = {}


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


class StatReply(WireModel):
    """Schema FileStat of the reference server."""

    size: int
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: float = 0.0


class ContentReply(WireModel):
    """Schema FileContent of the reference server."""

    content: str
    start_position: int | None = None
    end_position: int | None = None


class ChecksumReply(WireModel):
    """Schema FileChecksum of the reference server."""

    checksum: str
    algorithm: str = "SHA-256"


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
    supported_endpoints: list[str] = []


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
    resource_uris: list[str] = []


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
    units: list[str] = []


class WhoAmIReply(WireModel):
    """Schema WhoAmI."""

    username: str


class ProjectReply(WireModel):
    """Schema Project."""

    id: Id
    name: str
    description: str = ""
    user_ids: list[str] = []


class EntryReply(WireModel):
    """Schema AllocationEntry."""

    allocation: float
    usage: float
    unit: str


class AllocationReply(WireModel):
    """Schemas ProjectAllocation and UserAllocation."""

    id: Id
    entries: list[EntryReply] = []
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
