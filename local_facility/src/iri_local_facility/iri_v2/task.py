"""`/task`: operations in the background."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from iri_local_facility.facility import Facility as Core
from iri_local_facility.tasks import Task as TaskRecord

from .models import Task
from .routing import CurrentUser, bearer_token, route_class
from .version import Version


def make_router(core: Core, version: Version) -> APIRouter:
    """The routes."""
    router = APIRouter(
        tags=["task"], route_class=route_class(core.accounts, strict=False), dependencies=[bearer_token]
    )

    @router.get(
        "/task/{task_id}", operation_id="getTask", response_model=Task, response_model_exclude_unset=True
    )
    async def get_task(task_id: str, user: CurrentUser):
        return _document(core.tasks.get(user, task_id))

    @router.delete("/task/{task_id}", operation_id="deleteTask", response_model=str)
    async def delete_task(task_id: str, user: CurrentUser):
        core.tasks.delete(user, task_id)
        return f"Task {task_id} deleted successfully"

    @router.get(
        "/task", operation_id="getTasks", response_model=list[Task], response_model_exclude_unset=True
    )
    async def get_tasks(user: CurrentUser):
        return [_document(task) for task in core.tasks.all(user)]

    return router


def _document(task: TaskRecord) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": task.id,
        "status": task.status,
        "command": {"router": "filesystem", "command": task.command, "args": task.args},
    }
    if task.result is not None:
        document["result"] = task.result
    return document
