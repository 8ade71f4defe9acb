"""One server for all faces: each is an application of its own, found by the prefix of the path."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from . import control, iri_v1, iri_v2, oauth
from .facility import Facility
from .requestlog import LogRequests


def make_app(facility: Facility) -> ASGIApp:
    """The ASGI application of a facility."""
    iri = iri_v2.make_app(facility)
    faces: dict[str, ASGIApp] = {
        iri_v2.PREFIX: iri,
        **dict.fromkeys(iri_v1.PATHS, iri_v1.make_app(facility)),
        oauth.PREFIX: oauth.make_app(facility),
        control.PREFIX: control.make_app(facility),
    }

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        for prefix, face in faces.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                await face(scope, receive, send)
                return
        # Outside all prefixes there is nothing; the main face says so in its own words.
        await iri(scope, receive, send)

    return LogRequests(dispatch, facility.store)
