"""What happens to every request before its route: paths in lower case, tracing ids, headers of replies."""

from __future__ import annotations

import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iri_local_facility.exchange import current

VERSION = "2.6.0"


class Tracing:
    """ASGI middleware of the face."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["path"] = scope["path"].lower()
        asked = Headers(scope=scope)
        ids = {name: asked.get(name) or str(uuid.uuid4()) for name in ("x-request-id", "x-correlation-id")}
        if not all(_is_uuid(value) for value in ids.values()):
            await Response(status_code=400)(scope, receive, send)
            return
        if (exchange := current.get()) is not None:
            exchange.request_id = ids["x-request-id"]  # the log gives it to the reply

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-correlation-id"] = ids["x-correlation-id"]
                headers["f7t-timestamp"] = str(time.time())
                headers["f7t-appversion"] = VERSION
            await send(message)

        await self._app(scope, receive, marked)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
