"""`/compute`: jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Query, Response
from starlette.requests import Request

from iri_local_facility.accounts import User
from iri_local_facility.facility import Facility as Core
from iri_local_facility.jobs import Job as JobRecord

from .fields import Limit, Offset, QueryBool
from .idempotency import Idempotency
from .jobspec import Job, JobSpec, spec_of, to_changes, to_job, to_request
from .links import Links
from .models import Resource
from .paging import page
from .represent import Represent
from .routing import CurrentUser, bearer_token, route_class
from .version import Version

Switch = Annotated[QueryBool, Query()]


def make_router(core: Core, version: Version) -> APIRouter:
    """The routes."""
    router = APIRouter(
        tags=["compute"],
        route_class=route_class(core.accounts, strict=True, tolerated=frozenset({"filters"})),
    )
    _add_changes(router, core, version)
    _add_queries(router, core, version)
    return router


def _add_changes(router: APIRouter, core: Core, version: Version) -> None:
    idempotency = Idempotency(core.store, core.settings.key_lock)

    async def launch_job(resource_id: str, spec: JobSpec, user: CurrentUser, key: Any = None):
        async def submit() -> dict[str, Any]:
            core.catalog.resource(resource_id, "compute")
            document = spec.model_dump(exclude_unset=True)
            request = to_request(spec)
            if "stdout_path" in core.settings.without:
                request = replace(request, stdout=None, stderr=None)
            return _shown(core, await core.scheduler.submit(user, request, document))

        return await idempotency.answer(f"{user.name}/launchJob", key, spec, submit)

    async def update_job(resource_id: str, job_id: str, spec: JobSpec, user: CurrentUser, key: Any = None):
        async def update() -> dict[str, Any]:
            job = _job(core, user, resource_id, job_id)
            changes, merged = to_changes(spec, JobSpec(**spec_of(job)))
            document = merged.model_dump(exclude_unset=True)
            return _shown(core, core.scheduler.update(user, job.id, changes, document))

        return await idempotency.answer(f"{user.name}/updateJob/{job_id}", key, spec, update)

    for verb, path, name, change in (
        ("POST", "/compute/job/{resource_id}", "launchJob", launch_job),
        ("PUT", "/compute/job/{resource_id}/{job_id}", "updateJob", update_job),
    ):
        change.__annotations__["key"] = version.key
        router.add_api_route(
            path,
            change,
            methods=[verb],
            operation_id=name,
            response_model=Job,
            dependencies=[bearer_token],
        )

    @router.delete(
        "/compute/cancel/{resource_id}/{job_id}",
        operation_id="cancelJob",
        status_code=204,
        dependencies=[bearer_token],
    )
    async def cancel_job(resource_id: str, job_id: str, user: CurrentUser) -> Response:
        job = _job(core, user, resource_id, job_id)
        core.scheduler.cancel(user, job.id)
        return Response(status_code=204)


def _add_queries(router: APIRouter, core: Core, version: Version) -> None:
    @router.get(
        "/compute/resources",
        operation_id="getComputeResources",
        response_model=list[version.answer(Resource)],
        response_model_exclude_none=True,
    )
    async def get_compute_resources(request: Request):
        represent = Represent(core.catalog, Links(request))
        return [represent.resource(item) for item in core.catalog.resources if "compute" in item.endpoints]

    @router.get(
        "/compute/status/{resource_id}/{job_id}",
        operation_id="getJob",
        response_model=Job,
        response_model_exclude_unset=True,
        dependencies=[bearer_token],
    )
    async def get_job(
        resource_id: str,
        job_id: str,
        user: CurrentUser,
        historical: Switch = True,
        include_spec: Switch = False,
    ):
        job = _job(core, user, resource_id, job_id)
        if job.finished and not historical:
            raise HTTPException(404, f"Job {job_id} not found")
        return _shown(core, job, include_spec=include_spec)

    @router.post(
        "/compute/status/{resource_id}",
        operation_id="getJobs",
        response_model=list[Job],
        response_model_exclude_unset=True,
        dependencies=[bearer_token],
    )
    async def get_jobs(
        resource_id: str,
        user: CurrentUser,
        offset: Offset = 0,
        limit: Limit = 100,
        historical: Switch = False,
        include_spec: Switch = False,
        filters: Annotated[dict[str, Any] | None, Body()] = None,
    ):
        core.catalog.resource(resource_id, "compute")
        jobs = core.scheduler.jobs_of(user, finished=historical)
        found = [job for job in jobs if _passes(job, filters or {})]
        return [_shown(core, job, include_spec=include_spec) for job in page(found, offset, limit)]


def _shown(core: Core, job: JobRecord, *, include_spec: bool = False) -> dict[str, Any]:
    """A job as this facility answers it."""
    document = to_job(job, include_spec=include_spec)
    if "output_paths" in core.settings.without:
        for name in ("stdout_path", "stderr_path"):
            del document["status"]["meta_data"][name]
    return document


def _passes(job: JobRecord, filters: dict[str, Any]) -> bool:
    """Which keys a filter map has is up to the facility; on one that is not a job's, no job agrees."""
    facts = {
        "id": str(job.id),
        "name": job.name,
        "state": job.state,
        "queue_name": job.queue,
        "account": job.account,
    }
    return all(
        facts.get(name) in (wanted if isinstance(wanted, list) else [wanted]) and name in facts
        for name, wanted in filters.items()
    )


def _job(core: Core, user: User, resource_id: str, job_id: str) -> JobRecord:
    core.catalog.resource(resource_id, "compute")
    # Job ids are decimal numbers that fit SQLite's integers; whatever else a client asks for does not exist.
    if not (job_id.isascii() and job_id.isdigit() and len(job_id) < 18):
        raise HTTPException(404, f"Job {job_id} not found")
    return core.scheduler.job_of(user, int(job_id))
