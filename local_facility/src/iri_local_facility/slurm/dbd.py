"""``/slurmdb/v0.0.NN``: what slurmdbd is asked."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from iri_local_facility.arrays import shown
from iri_local_facility.facility import Facility

from .access import admit
from .accounting import filtered, record
from .replies import answer
from .seeing import everybodys, one


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/slurmdb/{version}")

    async def jobs(request: Request) -> Response:
        call = admit(core, request)
        found = filtered(everybodys(core), request.query_params)
        return answer(request, call.version, {"jobs": [record(call.version, job) for job in shown(found)]})

    for slash in ("", "/"):
        router.add_api_route(f"/jobs{slash}", jobs, methods=["GET"], operation_id="slurmdbJobs")

    @router.get("/job/{job_id}", operation_id="slurmdbJob")
    async def job(request: Request, job_id: str) -> Response:
        call = admit(core, request)
        known = job_id.isascii() and job_id.isdecimal() and len(job_id) < 18
        found = one(core, int(job_id)) if known else []
        if not found:
            # slurmdbd has found nothing, and has not failed.
            if not call.version.plain:
                return answer(request, call.version, {"jobs": []}, warnings=["Query for jobs found nothing"])
            nothing = {
                "description": f"Unable to find JobId={job_id}",
                "error_number": 9003,
                "error": "Nothing found with query",
                "source": "slurmdb_jobs_get",
            }
            return answer(request, call.version, {"jobs": []}, errors=[nothing])
        return answer(request, call.version, {"jobs": [record(call.version, job) for job in shown(found)]})

    return router
