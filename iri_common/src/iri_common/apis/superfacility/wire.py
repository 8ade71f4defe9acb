"""Replies as this API sends them, and the documents inside their texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field

from iri_common.apis.reading import Id, Moment, Reading, WireModel, kind
from iri_common.apis.superfacility.rules import REPLAYS, failure_of, told_failure
from iri_common.apis.superfacility.states import NOTHING
from iri_common.model.errors import IriError
from iri_common.policy.classify import Outcome
from iri_common.policy.retry import Replay

_DECODER = json.JSONDecoder()
_BRACES = 64  # of login noise; a message of the day has none at all

Row = Mapping[str, str]


def _count(value: object) -> object:
    # Sizes come as floats.
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value


def _text(value: object) -> object:
    return value if isinstance(value, str) else None


class AcceptedReply(WireModel):
    """What every request gets that is worked on later."""

    task_id: Id


class TaskReply(WireModel):
    """Schema Task."""

    status: str = "new"
    result: Any = None


class RowsReply(WireModel):
    """Schemas QueueOutput and JobOutput."""

    output: Any = None


class EntryReply(WireModel):
    """Schema DirectoryEntry."""

    name: str
    perms: str = ""
    user: str = ""
    group: str = ""
    size: Annotated[int | None, BeforeValidator(_count)] = None
    date: str = ""


class DirectoryReply(WireModel):
    """Schema DirectoryOutput."""

    entries: tuple[EntryReply, ...]


class DownloadReply(WireModel):
    """Schema FileDownload."""

    file: str
    is_binary: bool = True


class StatusReply(WireModel):
    """Schema Status."""

    name: Id
    full_name: str | None = None
    description: str | None = None
    system_type: str = ""
    status: Annotated[str | None, BeforeValidator(_text)] = None


class OutageReply(WireModel):
    """Schema Outage."""

    name: Id
    start_at: Moment | None = None
    end_at: Moment | None = None
    description: str | None = None
    notes: str | None = None
    status: str = ""


class UserReply(WireModel):
    """Schema UserInfo."""

    name: Id


class StorageReply(WireModel):
    """Schema StorageStats."""

    name: str = ""
    bytes_given: float | None = None
    bytes_used: float | None = None


class ProjectReply(WireModel):
    """Schema ProjectStats."""

    repo_name: Id
    description: str = ""
    hours_given: float | None = None
    hours_used: float | None = None
    project_hours_given: float | None = None
    project_hours_used: float | None = None
    cpu_hours_given: float | None = None
    cpu_hours_used: float | None = None
    cpu_project_hours_given: float | None = None
    cpu_project_hours_used: float | None = None
    gpu_hours_given: float | None = None
    gpu_hours_used: float | None = None
    gpu_project_hours_given: float | None = None
    gpu_project_hours_used: float | None = None
    project_projdir_usage: tuple[StorageReply, ...] = ()


class ClientReply(WireModel):
    """Schema Client."""

    client_id: Id = Field(alias="clientId")
    name: str = ""
    expires_at: str = Field(alias="expiresAt", default="")


class TransferBegunReply(WireModel):
    """Schema GlobusTransfer."""

    transfer_id: Id


class TransferReply(WireModel):
    """Schema GlobusTransferResult."""

    globus_status: Annotated[str | None, BeforeValidator(_text)] = None
    bytes_transferred: Annotated[int | None, BeforeValidator(_count)] = None
    reason: Annotated[str | None, BeforeValidator(_text)] = None


def rows_of(reading: Reading, value: object) -> list[Row]:
    """The rows of squeue or sacct: columns that tell something, all of them texts."""
    output = reading.one(RowsReply, value).output
    if output is None:
        return []
    if not isinstance(output, list):
        raise reading.unfit(f"output: a list was expected, not {kind(output)}")
    rows: list[Row] = []
    for each in cast("list[object]", output):
        if not isinstance(each, dict):
            raise reading.unfit(f"output: an object was expected, not {kind(each)}")
        columns = cast("dict[str, object]", each)
        rows.append({name: str(column) for name, column in columns.items() if _tells(column)})
    return rows


def _tells(column: object) -> bool:
    if isinstance(column, str):
        return column not in NOTHING
    return isinstance(column, int | float) and not isinstance(column, bool)


def result_of(reading: Reading, result: object) -> Mapping[str, object]:
    """The document in the result of a task that has ended well: an object, or a text that holds one.

    Raises:
        IriError: what the document says that the operation failed with; AmbiguousReply if it says nothing.
    """
    document = _document(result)
    if document is None:
        raise unreadable(reading, f"the task's result is {kind(result)} that tells nothing")
    told = told_failure(reading.operation, document)
    if told is not None:
        # The same word stands for what was refused and for what was begun and went wrong.
        raise failed(reading, told or _said(document), unknown=Outcome.BROKEN)
    return document


def failed(reading: Reading, text: str, *, unknown: Outcome) -> IriError:
    """The error that the words of a task tell which came to its end."""
    lead = "the facility could not do it"
    return failure_of(reading, lead, text, unknown)


def broken_off(reading: Reading, lead: str, result: object) -> IriError:
    """The error of a task that did not come to its end, which may have done its work before."""
    document = _document(result)
    text = _said(document) if document is not None else result if isinstance(result, str) else ""
    return failure_of(reading, lead, text, Outcome.BROKEN)


def unreadable(reading: Reading, what: str) -> IriError:
    """The error for a result that cannot be read: of what arrives once, nobody knows whether it worked."""
    safe = REPLAYS.get(reading.operation) is Replay.SAFE
    return reading.unfit(what) if safe else reading.ambiguous(what)


def _said(document: Mapping[str, object]) -> str:
    told = (document.get(word) for word in ("error", "output"))
    return next((each for each in told if isinstance(each, str) and each.strip()), "")


def _document(result: object) -> Mapping[str, object] | None:
    if isinstance(result, dict):
        return cast("dict[str, object]", result)
    if not isinstance(result, str):
        return None
    if result.strip().strip('"').lower() == "ok":
        return {"status": "ok"}
    # What the login shell writes comes before the document, and may have braces of its own.
    start = result.find("{")
    for _ in range(_BRACES):
        if start < 0:
            break
        try:
            value: Any = _DECODER.raw_decode(result, start)[0]
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and "status" in value:
            return cast("dict[str, object]", value)
        start = result.find("{", start + 1)
    return None
