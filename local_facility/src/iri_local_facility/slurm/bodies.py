"""The body of a request."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from .replies import Plain


async def body_of(request: Request) -> Any:
    """The JSON of a request; nothing at all is an empty object.

    Raises:
        Plain: It is none.
    """
    try:
        if (body := await request.body()) and "json" not in request.headers.get("content-type", "json"):
            raise ValueError
        return json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Plain(400, "Unable to parse query.") from None
