"""The Superfacility face: the API, and the token endpoint beside it."""

from __future__ import annotations

from fastapi import FastAPI

from iri_local_facility.facility import Facility

from . import API, PREFIX, account, compute, progress, refusals, status, storage, tokens, utilities

__all__ = ["PREFIX", "make_app"]


def make_app(core: Facility) -> FastAPI:
    """The application behind ``/sfapi``."""
    app = FastAPI(title="Superfacility API of a local facility", openapi_url=None, redirect_slashes=False)
    refusals.install(app)
    app.include_router(tokens.make_router(core))
    for part in (status, account, compute, progress, utilities, storage):
        app.include_router(part.make_router(core), prefix=API)
    return app
