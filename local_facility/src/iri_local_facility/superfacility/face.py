"""The Superfacility face: the API, and the token endpoint beside it."""

from __future__ import annotations

from fastapi import FastAPI

from iri_local_facility.facility import Facility

from . import account, compute, progress, refusals, status, storage, tokens, utilities

PREFIX = "/sfapi"
API = f"{PREFIX}/api/v1.2"


def make_app(core: Facility) -> FastAPI:
    """The application behind ``/sfapi``."""
    app = FastAPI(title="Superfacility API of a local facility", openapi_url=None, redirect_slashes=False)
    refusals.install(app)
    app.include_router(tokens.make_router(core))
    for part in (status, account, compute, progress, utilities, storage):
        app.include_router(part.make_router(core), prefix=API)
    return app
