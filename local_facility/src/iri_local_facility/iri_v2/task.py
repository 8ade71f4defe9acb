"""`/task`: operations in the background."""

from __future__ import annotations

import asyncio
import json

from fastapi import APIRouter, Response

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
        task = await asyncio.to_thread(core.tasks.get, user, task_id)
        # A download is in here: it goes out as it is stored, not through a dictionary and a model.
        return Response(_text(task), media_type="application/json")

    @router.delete("/task/{task_id}", operation_id="deleteTask", response_model=str)
    async def delete_task(task_id: str, user: CurrentUser):
        core.tasks.delete(user, task_id)
        return f"Task {task_id} deleted successfully"

    @router.get(
        "/task", operation_id="getTasks", response_model=list[Task], response_model_exclude_unset=True
    )
    async def get_tasks(user: CurrentUser):
        tasks = await asyncio.to_thread(core.tasks.all, user)
        return Response(f"[{','.join(map(_text, tasks))}]", media_type="application/json")

    return router


def _text(task: TaskRecord) -> str:
    command = {"router": "filesystem", "command": task.command, "args": task.args}
    head = json.dumps({"id": task.id, "status": task.status, "command": command})
    return head if task.result is None else f'{head[:-1]}, "result": {task.result}}}'
