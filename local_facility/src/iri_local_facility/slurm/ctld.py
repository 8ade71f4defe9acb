"""``/slurm/v0.0.NN``: what slurmctld is asked."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from iri_local_facility.errors import Conflict, FacilityError
from iri_local_facility.facility import Facility

from .access import admit
from .bodies import body_of
from .machine import nodes, partitions, ping, statistics
from .replies import ERRORS, Refusal, answer, refusal_of
from .reservations import add_reservations, reserved
from .seeing import everybodys, job_list, looked_up, remembered
from .signals import kill_status, send, signal_of
from .submissions import changes, submission
from .values import number
from .versions import Version


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/slurm/{version}")
    _add_looks(router, core)
    _add_jobs(router, core)
    _add_submit(router, core)
    _add_changes(router, core)
    add_reservations(router, core)
    return router


def _add_looks(router: APIRouter, core: Facility) -> None:
    def add(path: str, operation: str, body: Callable[[Version], dict[str, Any]]) -> None:
        async def look(request: Request) -> Response:
            call = admit(core, request)
            found = body(call.version)
            if path in ("nodes", "partitions", "reservations") and not call.version.plain:
                found["last_update"] = number(call.version, core.catalog.opened)
            return answer(request, call.version, found)

        for slash in ("", "/"):
            router.add_api_route(f"/{path}{slash}", look, methods=["GET"], operation_id=operation)

    add("ping", "slurmPing", lambda version: {"pings": [ping(core, version)]})
    add("diag", "slurmDiag", lambda version: {"statistics": statistics(core, version)})
    add("partitions", "slurmPartitions", lambda version: {"partitions": partitions(core, version)})
    add("nodes", "slurmNodes", lambda version: {"nodes": nodes(core, version)})
    add("reservations", "slurmReservations", lambda version: {"reservations": reserved(core, version)})


def _add_jobs(router: APIRouter, core: Facility) -> None:
    async def jobs(request: Request) -> Response:
        call = admit(core, request)
        text = request.query_params.get("update_time", "0")
        if not text.isdecimal():
            return answer(request, call.version, {"jobs": []}, status=400)
        found = remembered(core, everybodys(core))
        changed = max((job.changed for job in found), default=core.catalog.opened)
        if int(text) - 1 >= changed:
            if call.version.plain:
                return Response(status_code=304)
            late = f"No job changes since update_time={text}"
            return answer(request, call.version, job_list(call.version, []), warnings=[late])
        return answer(request, call.version, job_list(call.version, found))

    for slash in ("", "/"):
        router.add_api_route(f"/jobs{slash}", jobs, methods=["GET"], operation_id="slurmJobs")

    @router.get("/job/{job_id}", operation_id="slurmJob")
    async def job(request: Request, job_id: str) -> Response:
        call = admit(core, request)
        what = ("Unable to find JobId", "slurm_load_job")
        if not call.version.plain:
            what = ("Unable to query JobId", "_handle_job_get")
        found = looked_up(core, call, job_id, *what, body=job_list(call.version, []))
        return answer(request, call.version, job_list(call.version, found))


def _add_submit(router: APIRouter, core: Facility) -> None:
    @router.post("/job/submit", operation_id="slurmSubmit")
    async def submit(request: Request) -> Response:
        call = admit(core, request)
        version = call.version
        asked = submission(core.settings, call.user, version, await body_of(request))
        try:
            job = await core.scheduler.submit(call.user, asked.request, asked.document)
        except FacilityError as refused:
            raise refusal_of(refused) from None
        said: dict[str, Any] = {"job_id": job.id, "step_id": "batch", "job_submit_user_msg": ""}
        held = ERRORS[2042] if job.state == "held" else None
        if version.plain:
            # What is only a remark stands among the errors, and the job has been accepted.
            remarks = [{"error_code": 2042, "error": held}] if held else []
            return answer(request, version, said | {"step_id": "BATCH"}, errors=remarks)
        if version.tells_result:
            said["result"] = {**said, "error_code": 2042 if held else 0, "error": held or "No error"}
        return answer(request, version, said, warnings=[*asked.warnings, *([held] if held else [])])


def _add_changes(router: APIRouter, core: Facility) -> None:
    @router.post("/job/{job_id}", operation_id="slurmUpdate")
    async def update(request: Request, job_id: str) -> Response:
        call = admit(core, request)
        what = ("job update failed for JobId", "slurm_update_job2()")
        job = looked_up(core, call, job_id, *what, changing=True)[0]
        try:
            asked = changes(call.version, await body_of(request))
        except Refusal as refused:
            if not call.version.plain:
                raise
            # The first version complains of words that it does not know, and calls it a success.
            told = Refusal(refused.number, "job parsing failed", "_parse_job_list", first=refused.first)
            return answer(request, call.version, {}, errors=told.errors(call.version))
        try:
            core.scheduler.update(call.user, job.id, asked, job.document)
        except FacilityError as refused:
            why = refusal_of(refused).number
            if isinstance(refused, Conflict):
                why = 2084 if core.scheduler.jobs.get(job.id).finished else 2073
            raise Refusal(why, "Job update requested failed", "slurm_update_job2()") from None
        done = {"job_id": job.id, "step_id": "", "error": "No error", "error_code": 0, "why": ""}
        return answer(request, call.version, {} if call.version.plain else {"results": [done]})

    @router.delete("/job/{job_id}", operation_id="slurmCancel")
    async def cancel(request: Request, job_id: str) -> Response:
        call = admit(core, request)
        sent = signal_of(request.query_params.get("signal"))
        what = f"unable to kill JobId={job_id} with signal {int(sent)}"
        nothing = kill_status(call.version, [])
        jobs = looked_up(core, call, job_id, what, "slurm_kill_job", body=nothing, changing=True)
        if all(job.finished for job in jobs):
            done = f"Job was already sent signal {signal.strsignal(sent)}"
            return answer(request, call.version, nothing, warnings=[done])
        for job in jobs:
            if not job.finished:
                send(core, call, job, sent, what)
        return answer(request, call.version, kill_status(call.version, jobs[:1]))
