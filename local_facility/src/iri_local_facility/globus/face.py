"""The Globus face: Auth, Transfer, Flows, Compute, and the HTTPS server of collections."""

from __future__ import annotations

from fastapi import FastAPI

from iri_local_facility.facility import Facility

from . import auth, compute, flows, https, operations, refusals, runs, transfer

PREFIX = "/globus"


def make_app(core: Facility) -> FastAPI:
    """The application behind ``/globus``."""
    app = FastAPI(title="Globus at a local facility", openapi_url=None, redirect_slashes=False)
    refusals.install(app)
    for part in (auth, transfer, operations, https, flows, runs, compute):
        app.include_router(part.make_router(core))
    return app
