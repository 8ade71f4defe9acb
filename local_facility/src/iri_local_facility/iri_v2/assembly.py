"""The application of one major of the API, put together from its parts."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request

from iri_local_facility.facility import Facility

from . import problems
from .links import origin
from .openapi import document
from .version import Version


def assemble(core: Facility, version: Version, parts: Iterable[ModuleType]) -> FastAPI:
    """The application behind the version's prefix; each part gives it a router."""
    app = FastAPI(
        title="IRI Facility API of a local facility",
        description="No production service.",
        version=version.number,
        openapi_url=None,
    )
    app.state.prefix = version.prefix
    problems.install(app)
    for part in parts:
        app.include_router(part.make_router(core, version), prefix=version.prefix)

    @app.get(version.document, include_in_schema=False)
    async def openapi(request: Request) -> dict[str, Any]:
        return document(app, origin(request), version)

    return app
