"""Query parameters that lists share, and the two things lists do with them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from .fields import Moment

TextFilter = Annotated[str | None, Query(min_length=1)]
ModifiedSince = Annotated[Moment | None, Query()]


def page(items: list[Any], offset: int, limit: int) -> list[Any]:
    """One page; there is no total and no link to the next one."""
    return items[offset : offset + limit]


def changed_since(items: list[dict[str, Any]], moment: datetime | None) -> list[dict[str, Any]]:
    """Documents changed at or after a moment."""
    if moment is None:
        return items
    return [item for item in items if item["last_modified"] >= moment.timestamp()]


def not_modified(item: dict[str, Any], moment: datetime | None) -> Response | None:
    """The 304 for a single document that is older than the client's copy."""
    if moment is None or item["last_modified"] >= moment.timestamp():
        return None
    changed = format_datetime(datetime.fromtimestamp(item["last_modified"], UTC), usegmt=True)
    return Response(status_code=304, headers={"Last-Modified": changed})
