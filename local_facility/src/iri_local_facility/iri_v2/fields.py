"""Types of single fields, with exactly the strictness of the API."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, StrictBool, StrictInt, WithJsonSchema

_SEGMENT = r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2}|[!$&'()*+,;=@]|/)+"
RESOURCE_URN = rf"^urn:doe-iri:[A-Za-z0-9][A-Za-z0-9-]{{0,31}}:{_SEGMENT}(?::{_SEGMENT})*$"
ALLOCATION_URN = rf"^urn:doe-iri:allocation:{_SEGMENT}(?::{_SEGMENT})*$"
COMPRESSION_URN = rf"^urn:doe-iri:compression:{_SEGMENT}(?::{_SEGMENT})*$"
_ISO8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError("only true or false")


def _moment(value: Any) -> datetime:
    if not isinstance(value, str) or not _ISO8601.fullmatch(value):
        raise ValueError("not an ISO 8601 date and time")
    try:
        return datetime.fromisoformat(value.upper())
    except OverflowError:
        raise ValueError("out of range") from None


def whole(value: Any) -> Any:
    """JSON knows no integers: 60.0 is one, "60" and true are not."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def digits(value: Any) -> int:
    """A number as a query has it."""
    if isinstance(value, int):  # a default: what a client sends arrives as text
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,4000}", value, re.ASCII):
        return int(value)
    raise ValueError("not an integer")


def _zulu(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_DATE_TIME = {"type": "string", "format": "date-time"}

QueryBool = Annotated[bool, BeforeValidator(_boolean), WithJsonSchema({"type": "boolean"})]
# Bounds come before the validators: the OpenAPI document shows only those next to the type.
Offset = Annotated[int, Field(ge=0), BeforeValidator(digits)]
ShortOffset = Annotated[int, Field(ge=0, le=1000), BeforeValidator(digits)]
Limit = Annotated[int, Field(ge=0, le=1000), BeforeValidator(digits)]
QueryInteger = Annotated[int, BeforeValidator(digits)]
QueryCount = Annotated[int, Field(ge=1), BeforeValidator(digits)]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema(_DATE_TIME)]
Timestamp = Annotated[float, PlainSerializer(_zulu, return_type=str), WithJsonSchema(_DATE_TIME)]
Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[StrictInt, BeforeValidator(whole)]
Natural = Annotated[StrictInt, Field(ge=0), BeforeValidator(whole)]
Count = Annotated[StrictInt, Field(ge=1), BeforeValidator(whole)]
Flag = StrictBool
