"""The S3M face: jobs by way of gRPC, tokens, status and streaming."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request

from iri_local_facility.facility import Facility
from iri_local_facility.manners import Manners
from iri_local_facility.slurm.submissions import name_in as job_name_in

from . import compute, refusals, status, streaming
from .tokens import caller, introspection

PREFIXES = (compute.PREFIX, "/olcf")
_TOKEN = "/olcf/v1/token/ctls"


def name_in(body: bytes) -> str | None:
    """The name of the job, or of the cluster of brokers, that a body describes, for orders.

    Raises:
        ValueError: It describes none.
        AttributeError: Likewise.
    """
    return job_name_in(body) or json.loads(body).get("name")


def make_app(core: Facility) -> FastAPI:
    """The application that plays the mesh."""
    app = FastAPI(title="S3M of a local facility", openapi_url=None, redirect_slashes=False)
    app.state.manners = Manners(refusals.document, "application/json", name_in)
    refusals.install(app)
    for part in (compute, status, streaming):
        app.include_router(part.make_router(core))

    @app.get(f"{_TOKEN}/introspect", operation_id="s3mIntrospect")
    async def introspect(request: Request) -> dict[str, Any]:
        wanted = request.query_params.get("grpcPermissions") == "true"
        paths = ("/slurm.v0044.Slurm",) if wanted else ()
        return {"token": introspection(caller(core, request), paths=paths)}

    @app.delete(f"{_TOKEN}/revoke", operation_id="s3mRevoke")
    async def revoke(request: Request) -> dict[str, Any]:
        core.accounts.revoke(caller(core, request).token)
        return {}

    return app
