"""The bodies of the filesystem operations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    create_model,
    model_validator,
)

from .fields import COMPRESSION_URN, Count, Flag, Natural, Text, Whole, whole

_GZIP = "urn:doe-iri:compression:gzip"


def _option(wire: str, snake: str) -> Any:
    """An option whose name on the wire is not the Python one; both are understood."""
    return Field(default=False, validation_alias=AliasChoices(wire, snake), serialization_alias=wire)


class OfPath(BaseModel):
    """An operation on one path."""

    path: str


class FromPath(BaseModel):
    """An operation that also knows its path as ``source_path``; without either, the task fails."""

    path: str | None = Field(default=None, validation_alias=AliasChoices("path", "source_path"))


class PostLsRequest(OfPath):
    """List."""

    show_hidden: Flag = _option("showHidden", "show_hidden")
    numeric_uid: Flag = _option("numericUid", "numeric_uid")
    recursive: Flag = False
    dereference: Flag = False


class PostStatRequest(OfPath):
    """Stat."""

    dereference: Flag = False


class PostChecksumRequest(OfPath):
    """Checksum."""


class PostFileRequest(OfPath):
    """Type of a file."""


class PostDownloadRequest(OfPath):
    """Download."""


class PostRmRequest(OfPath):
    """Remove."""


def _only(name: str, other: str) -> dict[str, Any]:
    properties = {name: {"type": "integer"}, other: {"type": "null"}}
    return {"required": [name], "properties": properties}


class BytesOrLines(BaseModel):
    """How much of a file, in one of two units."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only("bytes", "lines"), _only("lines", "bytes")]})

    @model_validator(mode="after")
    def _one_of_both(self) -> Any:
        if (getattr(self, "file_bytes", None) is None) == (getattr(self, "lines", None) is None):
            raise ValueError("exactly one of bytes and lines")
        return self


class PostHeadRequest(BytesOrLines, OfPath):
    """The beginning of a file."""

    file_bytes: Whole | None = Field(
        default=None, validation_alias=AliasChoices("bytes", "file_bytes"), serialization_alias="bytes"
    )
    lines: Whole | None = None
    skip_trailing: Flag = _option("skipTrailing", "skip_trailing")


class PostTailRequest(BytesOrLines):
    """The end of a file."""

    path: Text
    file_bytes: Count | None = Field(
        default=None, validation_alias=AliasChoices("bytes", "file_bytes"), serialization_alias="bytes"
    )
    lines: Count | None = None
    skip_heading: Flag = _option("skipHeading", "skip_heading")


class PostViewRequest(OfPath):
    """A piece of a file; the default size is the API's, and shows nothing."""

    size: Count = 0
    offset: Natural = 0


def limited_view(limit: int) -> type[PostViewRequest]:
    """The body of a view at a facility with this limit, which the OpenAPI document then shows."""
    size = Annotated[StrictInt, Field(ge=1, le=limit), BeforeValidator(whole)]
    return create_model("PostViewRequest", __base__=PostViewRequest, size=(size, 0))


class PutFileChmodRequest(FromPath):
    """Change permissions."""

    mode: str


class PutFileChownRequest(FromPath):
    """Change ownership."""

    owner: str = ""
    group: str = ""


class PostMakeDirRequest(FromPath):
    """Make a directory."""

    parent: Flag = False


class PostFileSymlinkRequest(FromPath):
    """Make a symbolic link."""

    link_path: str


class PostCopyRequest(FromPath):
    """Copy."""

    target_path: str
    dereference: Flag = False


class PostMoveRequest(FromPath):
    """Move."""

    target_path: str


class PostCompressRequest(FromPath):
    """Pack."""

    target_path: str
    match_pattern: str | None = None
    dereference: Flag = False
    compression: str = Field(default=_GZIP, min_length=25, pattern=COMPRESSION_URN)


class PostExtractRequest(FromPath):
    """Unpack."""

    target_path: str
    compression: str = Field(default=_GZIP, min_length=25, pattern=COMPRESSION_URN)


OF_BOTH_VERSIONS: dict[str, type[BaseModel]] = {
    "chmod": PutFileChmodRequest,
    "chown": PutFileChownRequest,
    "mkdir": PostMakeDirRequest,
    "symlink": PostFileSymlinkRequest,
    "mv": PostMoveRequest,
    "cp": PostCopyRequest,
}
