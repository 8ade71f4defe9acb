"""The application behind ``/firecrest``."""

from __future__ import annotations

import contextlib
import json

from fastapi import FastAPI

from iri_local_facility.batch.directives import directives
from iri_local_facility.errors import Rejected
from iri_local_facility.facility import Facility
from iri_local_facility.manners import Manners

from . import compute, ops, pieces, refusals, status, transfer
from .tracing import Tracing

PREFIX = "/firecrest"


def make_app(core: Facility) -> FastAPI:
    """The face over a facility."""
    app = FastAPI(title="FirecREST at a local facility", openapi_url=None)
    app.state.core = core
    app.state.manners = Manners(
        refusal=lambda code, detail, path: refusals.document(detail),
        media_type="application/json",
        job_name=_job_name,
    )
    app.add_middleware(Tracing, prefix=PREFIX)
    refusals.install(app)
    for part in (status, compute, ops, pieces, transfer):
        app.include_router(part.router, prefix=PREFIX)
    return app


def _job_name(body: bytes) -> str | None:
    """The name of a submission, or else that in its script: pyfirecrest has no other."""
    job = json.loads(body).get("job", {})
    with contextlib.suppress(Rejected):
        return job.get("name") or directives(job.get("script") or "", "slurm").get("name")
    return None
