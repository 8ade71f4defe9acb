"""``/slurm/open/v0.0.4x/{resource}``: jobs by way of gRPC, which is like slurmrestd and is not slurmrestd."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from iri_local_facility.errors import FacilityError, Missing
from iri_local_facility.facility import Facility
from iri_local_facility.jobs import WAITING, Job
from iri_local_facility.slurm import accounting, machine
from iri_local_facility.slurm import replies as slurm
from iri_local_facility.slurm.seeing import job_list, remembered
from iri_local_facility.slurm.signals import kill_status, signal_of
from iri_local_facility.slurm.submissions import submission
from iri_local_facility.slurm.versions import VERSIONS, Version

from .protojson import JOB, RECORD, chosen, written
from .refusals import Refusal
from .tokens import READ, WRITE, Caller, caller

PREFIX = "/slurm/open"
# Which versions a resource has depends on the resource; no version is good for all of OLCF's.
_VERSIONS = {"cluster": ("v0.0.43", "v0.0.44")}
# What a description may say: whatever is not here, the gateway does not know. No arrays, no GPUs.
_FIELDS = """
    account begin_time comment cpus_per_task current_working_directory distribution_plane_size
    environment licenses maximum_cpus maximum_nodes memory_per_cpu memory_per_node
    minimum_boards_per_node minimum_cpus minimum_cpus_per_node minimum_nodes minimum_sockets_per_board
    name nodes ntasks_per_tres partition priority qos reservation script sockets_per_node standard_error
    standard_input standard_output tasks tasks_per_board tasks_per_core tasks_per_node tasks_per_socket
    threads_per_core time_limit time_minimum wait_all_nodes
"""


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=f"{PREFIX}/{{version}}/{{resource_id}}")
    _add_looks(router, core)
    _add_jobs(router, core)
    _add_changes(router, core)
    return router


def _add_looks(router: APIRouter, core: Facility) -> None:
    def add(path: str, operation: str, body: Callable[[Version], dict[str, Any]]) -> None:
        @router.get(f"/{path}", operation_id=operation)
        async def look(request: Request) -> JSONResponse:
            version = _version(request)
            caller(core, request, READ, WRITE)
            return _answer(request, version, body(version))

    add("ping", "s3mPing", lambda version: {"pings": [machine.ping(core, version)]})
    add("diag", "s3mDiag", lambda version: {"statistics": machine.statistics(core, version)})
    add("partitions", "s3mPartitions", lambda version: {"partitions": machine.partitions(core, version)})
    add("nodes", "s3mNodes", lambda version: {"nodes": machine.nodes(core, version)})
    add("reservations", "s3mReservations", lambda version: {"reservations": []})


def _add_jobs(router: APIRouter, core: Facility) -> None:
    @router.get("/jobs", operation_id="s3mJobs")
    async def jobs(request: Request) -> JSONResponse:
        version = _version(request)
        asked = caller(core, request, READ, WRITE)
        mine = core.scheduler.jobs_of(asked.user, finished=True)
        seen = [job for job in remembered(core, mine) if job.account == asked.grant.project]
        found = job_list(version, seen)
        found["jobs"] = [_owned(chosen(each, JOB), asked, "user_name") for each in found["jobs"]]
        for job, document in zip(seen, found["jobs"], strict=True):
            document["job_resources"] = _resources(job)
        return _answer(request, version, found)

    @router.get("/job/{job_id}", operation_id="s3mJob")
    async def job(request: Request, job_id: str) -> JSONResponse:
        version = _version(request)
        asked = caller(core, request, READ, WRITE)
        try:
            record = accounting.record(version, _job(core, asked, job_id))
        except Missing:
            return _unknown(request, version, {"jobs": []})
        return _answer(request, version, {"jobs": [_owned(chosen(record, RECORD), asked, "user")]})


def _add_changes(router: APIRouter, core: Facility) -> None:
    @router.post("/job/submit", operation_id="s3mSubmit")
    async def submit(request: Request) -> JSONResponse:
        version = _version(request)
        asked = caller(core, request, WRITE)
        body = await _described(request, version, asked.grant.project)
        try:
            wanted = submission(core.settings, asked.user, version, body)
            job = await core.scheduler.submit(asked.user, wanted.request, wanted.document)
        except slurm.Refusal as refused:
            return _answer(request, version, {}, refused.errors(version))
        except FacilityError as refused:
            return _answer(request, version, {}, slurm.refusal_of(refused).errors(version))
        said = {"job_id": job.id, "step_id": "batch", "job_submit_user_msg": ""}
        return _answer(request, version, said)

    @router.delete("/job/{job_id}", operation_id="s3mCancel")
    async def cancel(request: Request, job_id: str) -> JSONResponse:
        version = _version(request)
        asked = caller(core, request, WRITE)
        try:
            sent = signal_of(request.query_params.get("signal", "SIGTERM"))
            job = _job(core, asked, job_id)
        except slurm.Refusal:
            raise Refusal(400, "invalid signal") from None
        except Missing:
            return _unknown(request, version, {"status": []})
        if job.state in WAITING or sent.name == "SIGKILL":
            core.scheduler.cancel(asked.user, job.id)
        else:
            core.scheduler.send_signal(asked.user, job.id, sent)
        return _answer(request, version, kill_status(version, [job]))


def _version(request: Request) -> Version:
    """The version, if the resource has it.

    Raises:
        Refusal: No such pair.
    """
    name = request.path_params["version"]
    if name not in _VERSIONS.get(request.path_params["resource_id"], ()):
        raise Refusal(404, "Not Found")
    return VERSIONS[name]


def _job(core: Facility, asked: Caller, job_id: str) -> Job:
    if not (job_id.isascii() and job_id.isdecimal() and len(job_id) < 10 and int(job_id)):
        raise Refusal(400, "invalid job_id: value must be numeric, greater than 0 and below 10 digits")
    job = core.scheduler.job_of(asked.user, int(job_id))
    if job.account != asked.grant.project:
        raise Missing(f"Job {job_id} not found")
    return job


async def _described(request: Request, version: Version, project: str) -> dict[str, Any]:
    """The body of a submission, for as much of it as the gateway lets through.

    Raises:
        Refusal: It says more, or too little.
    """
    try:
        body = json.loads(await request.body())
        described = [body["job"]] if "job" in body else list(body.get("jobs") or [])
        unknown = body.keys() - {"job", "jobs", "script"}
        for each in described:
            unknown |= each.keys() - set(_FIELDS.split())
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Refusal(400, "proto: syntax error") from None
    if unknown or (version.number < 44 and "jobs" in body):
        raise Refusal(400, f'proto: unknown field "{min(unknown or {"jobs"})}"')
    if "job" in body and "jobs" in body:
        raise Refusal(400, "only one of job and jobs may be set")
    for each in described:
        account = str(each.get("account") or project).lower()
        if account != project:
            raise Refusal(403, f"permission denied: the token is not for project {account.upper()}")
        if not each.get("current_working_directory"):
            raise Refusal(400, "current_working_directory is required")
        each["account"] = account
    return body


def _owned(document: dict[str, Any], asked: Caller, name: str) -> dict[str, Any]:
    """A job as the project's own user has it, whoever's token it was."""
    return document | {name: asked.grant.username, "account": asked.grant.project.upper()}


def _resources(job: Job) -> dict[str, Any]:
    nodes = {
        "count": len(job.nodes),
        "list": ",".join(job.nodes),
        "whole": True,
        "select_type": ["AVAILABLE"],
    }
    return {"cpus": job.request.process_count, "nodes": nodes}


def _unknown(request: Request, version: Version, body: dict[str, Any]) -> JSONResponse:
    refusal = slurm.Refusal(2017, "Unable to query JobId", "slurmdb_jobs_get()")
    return _answer(request, version, body, refusal.errors(version))


def _answer(
    request: Request, version: Version, body: dict[str, Any], errors: Sequence[Any] = ()
) -> JSONResponse:
    """A document in Slurm's envelope; Slurm's errors come with a status of success."""
    meta = slurm.meta(request, version)
    del meta["command"], meta["plugin"]["accounting_storage"]
    return JSONResponse(written({**body, "meta": meta, "errors": list(errors), "warnings": []}))
