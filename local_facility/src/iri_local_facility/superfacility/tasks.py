"""Tasks: what this API only accepts at first. Each waits, is worked on, and some time later is forgotten.

There is no word for being worked on: a task is ``new`` until it ends.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from iri_local_facility.accounts import User
from iri_local_facility.errors import Missing
from iri_local_facility.exchange import current
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store

Result = dict[str, Any]
Work = Callable[["Task"], Awaitable[Result]]


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        kind: What it does; `Tasks` knows how.
        document: With what.
        request: The id of the request that it came with.
        begun: Whether it is, or was, worked on.
        result: How it went, as JSON.
    """

    id: int
    user: str
    kind: str
    document: dict[str, Any]
    request: str
    status: str
    begun: bool
    created: float
    ended: float | None
    result: str | None

    @property
    def shown(self) -> dict[str, Any]:
        """The task on the wire, where its result is a document within a string."""
        return {"id": str(self.id), "status": self.status, "result": self.result}


class Tasks:
    """The tasks of all users, in the store.

    A task that had begun when its server died has failed, whatever it did; one that had not is worked on by
    the next server.
    """

    def __init__(self, settings: Settings, store: Store, works: Mapping[str, Work]) -> None:
        self._settings = settings
        self._store = store
        self._works = works
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._stopping = False

    def start(self) -> None:
        """Go on after an earlier server; needs a running event loop."""
        for task in self._where("ended IS NULL ORDER BY id"):
            if task.begun:
                self._end(task, "failed", {"status": "error", "error": "the service was restarted"})
            else:
                self._wait(task.id)

    async def stop(self) -> None:
        """Let go of what is under way."""
        self._stopping = True
        for running in (under_way := list(self._under_way.values())):
            running.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def accept(self, user: User, kind: str, **document: Any) -> str:
        """Accept work; returns the id of its task."""
        exchange = current.get()
        self._store.run("DELETE FROM superfacility_tasks WHERE ended < ?", self._old)
        number = self._store.insert(
            "superfacility_tasks",
            user=user.name,
            kind=kind,
            document=json.dumps(document),
            request=exchange.request_id if exchange else "",
            status="new",
            created=time.time(),
        )
        self._wait(number)
        return str(number)

    def get(self, user: User, task_id: str) -> Task:
        """A user's task.

        Raises:
            Missing: There is none of that id, or it was forgotten.
        """
        for task in self._known("user = ? AND CAST(id AS TEXT) = ?", user.name, task_id):
            return task
        raise Missing(f"Task {task_id} not found")

    def all(self, user: User) -> list[Task]:
        """A user's tasks, oldest first."""
        return self._known("user = ?", user.name)

    def cancel(self, user: User, task_id: str) -> None:
        """End a task, if it has not ended; what it has done stays done.

        Raises:
            Missing: There is none of that id.
        """
        task = self.get(user, task_id)
        if (running := self._under_way.get(task.id)) is not None:
            running.cancel()
        self._end(task, "cancelled", None)

    def _known(self, condition: str, *params: Any) -> list[Task]:
        """Those that are not forgotten, oldest first."""
        return self._where(f"{condition} AND COALESCE(ended >= ?, 1) ORDER BY id", *params, self._old)

    @property
    def _old(self) -> float:
        """What ended before that is forgotten."""
        return time.time() - self._settings.superfacility_retention

    def _where(self, condition: str, *params: Any) -> list[Task]:
        rows = self._store.rows(f"SELECT * FROM superfacility_tasks WHERE {condition}", *params)
        return [_task(row) for row in rows]

    # -- working

    def _wait(self, number: int) -> None:
        # Without the context of the request, which is over by then: its orders strike nothing that is later.
        running = asyncio.get_running_loop().create_task(self._run(number), context=Context())
        self._under_way[number] = running
        running.add_done_callback(lambda _: self._under_way.pop(number, None))

    async def _run(self, number: int) -> None:
        await asyncio.sleep(self._settings.superfacility_delay)
        (task,) = self._where("id = ?", number)
        self._store.update("superfacility_tasks", number, begun=True)
        try:
            result = await self._works[task.kind](task)
        except Exception as fault:
            self._end(task, "failed", {"status": "error", "error": f"internal error: {fault!r}"})
        else:
            self._end(task, "completed", result)

    def _end(self, task: Task, status: str, result: Result | None) -> None:
        """How a task ends is settled once."""
        self._store.run(
            "UPDATE superfacility_tasks SET status = ?, ended = ?, result = ? WHERE id = ? AND ended IS NULL",
            status,
            time.time(),
            None if result is None else json.dumps(result),
            task.id,
        )


def _task(row: sqlite3.Row) -> Task:
    values = dict(row)
    return Task(**{**values, "document": json.loads(values["document"]), "begun": bool(values["begun"])})
