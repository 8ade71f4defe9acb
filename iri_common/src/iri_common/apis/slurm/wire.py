"""Replies of all versions: what is a number in one is an object in another, and a text behind S3M."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import Field

from iri_common.apis.reading import Id, Moment, WireModel

_MOST = 2**63  # no time, code or count is larger


class JobReply(WireModel):
    """A job as slurmctld or the accounting database shows it; their names for things differ."""

    job_id: Id
    name: Any = None
    user_name: Any = None
    user: Any = None
    job_state: Any = None
    state: Any = None
    state_reason: Any = None
    state_description: Any = None
    exit_code: Any = None
    submit_time: Any = None
    start_time: Any = None
    end_time: Any = None
    time: Any = None
    nodes: Any = None
    restart_cnt: Any = None
    current_working_directory: Any = None
    working_directory: Any = None
    standard_output: Any = None
    standard_error: Any = None
    stdout: Any = None
    stderr: Any = None
    stdout_expanded: Any = None
    stderr_expanded: Any = None
    array_job_id: Any = None
    array_task_id: Any = None
    array_task_string: Any = None
    array: Any = None

    @property
    def array_id(self) -> str:
        """The id of the array that it is a task of, or the rest of; "" for none."""
        told = number(self.array_job_id) or number(field(self.array, "job_id"))
        return str(told) if told else ""

    @property
    def array_index(self) -> int | None:
        """Which task of an array; None for the rest of one, and for what is none."""
        own = number(self.array_task_id)
        return own if own is not None else number(field(self.array, "task_id"))

    @property
    def array_rest(self) -> str:
        """The indices of the tasks that have not begun, where one record stands for them."""
        return text(self.array_task_string) or text(field(self.array, "task"))

    @property
    def words(self) -> Sequence[str]:
        """Its states."""
        current = self.job_state if self.job_state is not None else field(self.state, "current")
        return texts(current)

    @property
    def reason(self) -> str:
        """Why it waits or ended; "" for nothing."""
        told = text(self.state_reason) or text(field(self.state, "reason"))
        return "" if told == "None" else told

    @property
    def owner(self) -> str:
        """Whose it is, "" where that is not told."""
        return text(self.user_name) or text(self.user)


class PartitionReply(WireModel):
    """A partition; later versions have the state one level down."""

    name: Id
    state: Any = None
    partition: Any = None

    @property
    def words(self) -> Sequence[str]:
        """Its states."""
        return texts(self.state if self.state is not None else field(self.partition, "state"))


class ReservationReply(WireModel):
    """A reservation."""

    name: Id
    flags: Any = None
    start_time: Any = None
    end_time: Any = None
    node_count: Any = None
    node_list: Any = None
    partition: Any = None


class NodeReply(WireModel):
    """A node; the first version has one word for its state, and others for the flags of it."""

    name: Id
    state: Any = None
    state_flags: Any = None
    partitions: Any = None

    @property
    def words(self) -> Sequence[str]:
        """Its state and the flags of it."""
        return (*texts(self.state), *texts(self.state_flags))


class S3mResourceReply(WireModel):
    """A resource of S3M's status service."""

    name: Id
    description: str | None = None
    status: str | None = None
    organization: str | None = None


class DowntimeReply(WireModel):
    """A downtime of S3M's status service."""

    resource_name: str | None = Field(None, alias="resourceName")
    status: str | None = None
    start: Moment | None = None
    end: Moment | None = None
    description: str | None = None
    attributes: Any = None


def field(value: object, name: str) -> object:
    """A field of an object, None of anything else."""
    return cast("Mapping[str, object]", value).get(name) if isinstance(value, dict) else None


def text(value: object) -> str:
    """A text, "" for anything else."""
    return value if isinstance(value, str) else ""


def texts(value: object) -> Sequence[str]:
    """The texts of a list, or the only one."""
    if isinstance(value, str):
        return (value,) if value else ()
    entries = cast("Iterable[object]", value) if isinstance(value, list) else ()
    return tuple(each for each in entries if isinstance(each, str))


def number(value: object) -> int | None:
    """A whole number in any form: bare, as a text (proto3 JSON), or in an object that says if it is set.

    ``{"set": false, "number": 0}`` is no number, and an infinite one is none either.
    """
    if isinstance(value, dict):
        fields = cast("Mapping[str, object]", value)
        if fields.get("infinite") is True or fields.get("set") is False:
            return None
        value = fields.get("number")
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_MOST < value < _MOST else None


def moment(value: object) -> datetime | None:
    """A time in seconds since the epoch; 0 stands for none."""
    seconds = number(value)
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None
