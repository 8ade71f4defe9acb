"""``/tasks``: how it went."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from iri_local_facility.accounts import User
from iri_local_facility.facility import Facility

from .access import user_of


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter()
    caller = Depends(user_of(core))
    tasks = core.superfacility.tasks

    @router.get("/tasks", operation_id="sfGetTasks")
    async def all_tasks(user: User = caller) -> dict[str, Any]:
        return {"tasks": [task.shown for task in tasks.all(user)]}

    @router.get("/tasks/{task_id}", operation_id="sfGetTask")
    async def task(task_id: str, user: User = caller) -> dict[str, Any]:
        return tasks.get(user, task_id).shown

    @router.delete("/tasks/{task_id}", operation_id="sfDeleteTask")
    async def cancel(task_id: str, user: User = caller) -> dict[str, Any]:
        tasks.cancel(user, task_id)
        return {"task_id": task_id, "status": "OK", "error": None}

    return router
