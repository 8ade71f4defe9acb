"""The IRI v2 face: the DOE Integrated Research Infrastructure Facility API."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request

from iri_local_facility.facility import Facility

from . import account, compute, facility, filesystem, problems, status, storage, task
from .links import PREFIX, origin
from .openapi import document

__all__ = ["PREFIX", "make_app"]


def make_app(core: Facility) -> FastAPI:
    """The application behind ``/api/v2``."""
    app = FastAPI(
        title="IRI Facility API of a local facility",
        description="No production service.",
        version="2.0.0",
        openapi_url=None,
    )
    problems.install(app)
    for part in (facility, status, account, compute, filesystem, storage, task):
        app.include_router(part.make_router(core), prefix=PREFIX)

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> dict[str, Any]:
        return document(app, origin(request))

    return app
