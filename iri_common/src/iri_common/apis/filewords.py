"""What IRI and FirecREST, whose words IRI has for files, say of them alike."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from iri_common.apis.reading import Mode, Reading, Seconds, Size, WireModel
from iri_common.model.errors import UsageError
from iri_common.model.files import Checksum, FileStat, FileText


class StatReply(WireModel):
    """Schema FileStat."""

    size: Size
    mode: Mode = 0
    uid: int = 0
    gid: int = 0
    mtime: Seconds = 0.0


class ContentReply(WireModel):
    """Schema FileContent, in snake_case and in FirecREST's camelCase."""

    content: str
    start_position: int | None = Field(
        default=None, validation_alias=AliasChoices("startPosition", "start_position")
    )
    end_position: int | None = Field(
        default=None, validation_alias=AliasChoices("endPosition", "end_position")
    )


class ChecksumReply(WireModel):
    """Schema FileChecksum."""

    checksum: str
    algorithm: str = "SHA-256"


def extent(lines: int | None, size: int | None) -> dict[str, bool | int]:
    """How much of a file is asked for.

    Raises:
        UsageError: if that is not said, said twice, or nothing.
    """
    name, count = ("lines", lines) if size is None else ("bytes", size)
    if count is None or (lines is not None and size is not None):
        raise UsageError("say how much of the file: either lines or size, and not both")
    if count < 1:
        raise UsageError(f"a piece of a file has at least one of its {name}, not {count}")
    return {name: count}


def content_of(reading: Reading, value: object) -> FileText:
    """A piece of a file."""
    reply = reading.one(ContentReply, value)
    return FileText(reply.content, reply.start_position, reply.end_position)


def checksum_of(reading: Reading, value: object) -> Checksum:
    """The digest of a file."""
    reply = reading.one(ChecksumReply, value)
    return Checksum(reply.algorithm, reply.checksum.strip().lower())


def stat_of(reading: Reading, value: object) -> FileStat:
    """The facts of a file."""
    reply = reading.one(StatReply, value)
    return FileStat(reply.size, reply.mode, reply.uid, reply.gid, reply.mtime)
