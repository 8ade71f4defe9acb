"""What the file operations of v1 take in another way than those of v2; options in camelCase only.

An option that is not known is no error here: it has no effect, as on real servers.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, create_model

from iri_local_facility.iri_v2 import filerequests as bodies
from iri_local_facility.iri_v2.fields import Offset, QueryBool, QueryCount, QueryInteger, Text, digits

Compression = Literal["none", "bzip2", "gzip", "xz"]


class OfPath(BaseModel):
    """An operation on one path."""

    path: str


class Stat(OfPath):
    """Stat."""

    dereference: QueryBool = False


class Ls(OfPath):
    """List."""

    show_hidden: QueryBool = Field(default=False, alias="showHidden")
    numeric_uid: QueryBool = Field(default=False, alias="numericUid")
    recursive: QueryBool = False
    dereference: QueryBool = False


class Head(bodies.BytesOrLines, OfPath):
    """The beginning of a file."""

    file_bytes: QueryInteger | None = Field(default=None, alias="bytes")
    lines: QueryInteger | None = None
    skip_trailing: QueryBool = Field(default=False, alias="skipTrailing")


class Tail(bodies.BytesOrLines):
    """The end of a file."""

    path: Text
    file_bytes: QueryCount | None = Field(default=None, alias="bytes")
    lines: QueryCount | None = None
    skip_heading: QueryBool = Field(default=False, alias="skipHeading")


class View(OfPath):
    """A piece of a file; by default as much as the facility gives at once."""

    size: QueryCount
    offset: Offset = 0


def limited_view(limit: int) -> type[View]:
    """The options of a view at a facility with this limit."""
    size = Annotated[int, Field(ge=1, le=limit), BeforeValidator(digits)]
    return create_model("View", __base__=View, size=(size, limit))


class PostCompressRequest(bodies.PostCompressRequest):
    """Pack."""

    compression: Compression = "gzip"  # type: ignore[assignment]


class PostExtractRequest(bodies.PostExtractRequest):
    """Unpack."""

    compression: Compression = "gzip"  # type: ignore[assignment]
