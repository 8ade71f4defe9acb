"""The SENSE face: the orchestrator's northbound API, and the Keycloak beside it."""

from __future__ import annotations

from fastapi import FastAPI

from iri_local_facility.facility import Facility

from . import API, PREFIX, discovery, refusals, tokens, workflow

__all__ = ["PREFIX", "make_app"]


def make_app(core: Facility) -> FastAPI:
    """The application behind ``/sense``."""
    app = FastAPI(title="SENSE of a local facility", openapi_url=None, redirect_slashes=False)
    refusals.install(app)
    app.include_router(tokens.make_router(core))
    for part in (workflow, discovery):
        app.include_router(part.make_router(core), prefix=API)
    return app
