"""``/compute``: what is asked of the queue is answered, what changes it is a task."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query

from iri_local_facility.accounts import User
from iri_local_facility.errors import Rejected
from iri_local_facility.facility import Facility

from .access import user_of
from .machines import COMPUTE, Machine
from .refusals import failure

_NO_QUEUE = "there is no batch system on {machine}"


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter()
    _add_changes(router, core)
    _add_queries(router, core)
    return router


def _add_changes(router: APIRouter, core: Facility) -> None:
    caller = Depends(user_of(core, "jobs"))
    tasks = core.superfacility.tasks

    @router.post("/compute/jobs/{resource_id}", operation_id="sfSubmitJob")
    async def submit(
        resource_id: Machine,
        job: Annotated[str, Form()],
        is_path: Annotated[bool, Form(alias="isPath")],
        args: Annotated[list[str] | None, Form()] = None,
        callback_url: Annotated[str, Form(alias="callbackUrl")] = "",
        callback_email: Annotated[str, Form(alias="callbackEmail")] = "",
        user: User = caller,
    ) -> dict[str, Any]:
        if resource_id != COMPUTE:
            return _refused(_NO_QUEUE.format(machine=resource_id))
        if callback_url or callback_email:
            return _refused("this facility calls nobody back")
        if args and not is_path:
            return _refused("args may only be given when isPath is true")
        return _accepted(tasks.accept(user, "submit", job=job, is_path=is_path, args=args or []))

    @router.delete("/compute/jobs/{resource_id}/{job_id}", operation_id="sfCancelJob")
    async def cancel(resource_id: Machine, job_id: str, user: User = caller) -> dict[str, Any]:
        if resource_id != COMPUTE:
            return _refused(_NO_QUEUE.format(machine=resource_id))
        return _accepted(tasks.accept(user, "cancel", job=job_id))


def _add_queries(router: APIRouter, core: Facility) -> None:
    caller = Depends(user_of(core))

    @router.get("/compute/jobs/{resource_id}", operation_id="sfGetJobs")
    async def jobs(
        resource_id: Machine,
        index: int = 0,
        limit: int | None = None,
        sacct: bool = False,
        cached: bool = True,
        kwargs: Annotated[list[str] | None, Query()] = None,
        user: User = caller,
    ) -> dict[str, Any]:
        options = kwargs or []
        end = None if limit is None else index + limit
        return _asked(core, resource_id, user, options, sacct, cached, slice(index, end))

    @router.get("/compute/jobs/{resource_id}/{job_id}", operation_id="sfGetJob")
    async def job(
        resource_id: Machine, job_id: str, sacct: bool = False, cached: bool = True, user: User = caller
    ) -> dict[str, Any]:
        return _asked(core, resource_id, user, [f"jobid={job_id}"], sacct, cached)


def _asked(
    core: Facility,
    machine: Machine,
    user: User,
    options: list[str],
    sacct: bool,
    cached: bool,
    part: slice = slice(None),
) -> dict[str, Any]:
    """What squeue or sacct tells; that it does not work is a success with an error inside."""
    if machine != COMPUTE:
        return failure(_NO_QUEUE.format(machine=machine), output=[])
    queue = core.superfacility.queue
    try:
        rows = queue.sacct(user, options) if sacct else queue.squeue(user, options, cached=cached)
    except Rejected as refused:
        return failure(str(refused), output=[])
    return {"status": "OK", "output": rows[part], "error": None}


def _accepted(task_id: str) -> dict[str, Any]:
    return {"task_id": task_id, "status": "OK", "error": None}


def _refused(error: str) -> dict[str, Any]:
    return failure(error, task_id="")
