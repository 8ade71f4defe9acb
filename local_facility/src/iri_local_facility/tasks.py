"""Tasks: operations that are accepted now, done in the background, and asked about later."""

from __future__ import annotations

import json
import sqlite3
import tarfile
import time
import uuid
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .accounts import User
from .errors import FacilityError, Missing
from .store import Store

_RETENTION = 24 * 3600
# What an operation on files may fail with; anything else is a fault of this program and is shown as one.
_EXPECTED = (FacilityError, OSError, ValueError, EOFError, tarfile.TarError, zlib.error)


@dataclass(frozen=True)
class Task:
    """One task as recorded; its result, which may be long, is JSON already."""

    id: str
    user: str
    resource_id: str
    command: str
    args: dict[str, Any]
    status: str
    result: str | None


class Tasks:
    """Runs operations on a few threads and keeps their outcome in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="task")

    def start(self) -> None:
        """Fail what an earlier server did not get to the end of; forget what is old."""
        lost = json.dumps({"output": "Error: the facility restarted before the task was finished"})
        self._store.run(
            "UPDATE tasks SET status = 'failed', result = ? WHERE status IN ('pending', 'active')", lost
        )
        self._store.run("DELETE FROM tasks WHERE created < ?", time.time() - _RETENTION)

    def submit(
        self, user: User, resource_id: str, command: str, args: dict[str, Any], operation: Callable[[], Any]
    ) -> str:
        """Accept an operation; returns the task's id."""
        task_id = uuid.uuid4().hex
        self._store.insert(
            "tasks",
            id=task_id,
            user=user.name,
            resource_id=resource_id,
            command=command,
            args=json.dumps(args),
            status="pending",
            created=time.time(),
        )
        self._pool.submit(self._run, task_id, operation)
        return task_id

    def _run(self, task_id: str, operation: Callable[[], Any]) -> None:
        if not self._store.update("tasks", task_id, status="active"):
            return  # deleted while it was waiting
        try:
            status, output = "completed", operation()
        except _EXPECTED as problem:
            status, output = "failed", f"Error: {problem}"
        except Exception as fault:
            status, output = "failed", f"Error: internal error: {fault!r}"
        self._store.update("tasks", task_id, status=status, result=json.dumps({"output": output}))

    def get(self, user: User, task_id: str) -> Task:
        """A user's task.

        Raises:
            Missing: There is none of that id.
        """
        row = self._store.row("SELECT * FROM tasks WHERE id = ? AND user = ?", task_id, user.name)
        if row is None:
            raise Missing(f"Task {task_id} not found")
        return _task(row)

    def all(self, user: User) -> list[Task]:
        """A user's tasks, oldest first."""
        rows = self._store.rows("SELECT * FROM tasks WHERE user = ? ORDER BY created, rowid", user.name)
        return [_task(row) for row in rows]

    def delete(self, user: User, task_id: str) -> None:
        """Forget a task; if it has not begun, it will not.

        Raises:
            Missing: There is none of that id.
        """
        self.get(user, task_id)
        self._store.run("DELETE FROM tasks WHERE id = ?", task_id)

    def stop(self) -> None:
        """Finish what runs, drop what waits."""
        self._pool.shutdown(cancel_futures=True)


def _task(row: sqlite3.Row) -> Task:
    return Task(
        id=row["id"],
        user=row["user"],
        resource_id=row["resource_id"],
        command=row["command"],
        args=json.loads(row["args"]),
        status=row["status"],
        result=row["result"],
    )
