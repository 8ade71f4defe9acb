"""Transfer tasks as recorded, and as documents."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import uuid
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from iri_local_facility.store import Store

from .refusals import Refusal

FINISHED = ("SUCCEEDED", "FAILED")
_RETENTION = 30 * 24 * 3600.0


@dataclass
class Progress:
    """What a task has done so far.

    Attributes:
        files: How many it knows of; directories are looked into as it goes.
        seconds: How long it has been at work, for its rate.
        faults: How often it could not go on, and tried again later.
    """

    files: int = 0
    directories: int = 0
    files_transferred: int = 0
    files_skipped: int = 0
    skipped_errors: int = 0
    bytes_transferred: int = 0
    bytes_checksummed: int = 0
    seconds: float = 0.0
    faults: int = 0


@dataclass(frozen=True)
class Trouble:
    """Why a task does not get on, in Globus' words."""

    code: str
    details: str


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        document: As submitted, but for its items, which may be many.
        likeness: The same for tasks that do the same with the same paths.
        trouble: What is in its way at present.
        fatal: What it failed of.
        faults: The orders that strike it.
    """

    id: str
    user: str
    submission: str
    label: str | None
    document: dict[str, Any]
    likeness: str
    status: str
    requested: float
    deadline: float
    completed: float | None
    progress: Progress = field(default_factory=Progress)
    trouble: Trouble | None = None
    fatal: Trouble | None = None
    faults: tuple[str, ...] = ()

    @property
    def transfers(self) -> bool:
        """Whether it moves files; otherwise it deletes some."""
        return self.document["DATA_TYPE"] == "transfer"

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.status in FINISHED

    @property
    def collections(self) -> tuple[str, ...]:
        """The collections it works on, source first."""
        if self.transfers:
            return self.document["source_endpoint"], self.document["destination_endpoint"]
        return (self.document["endpoint"],)


_COLUMNS = ", ".join(each.name for each in fields(Task))


class TaskTable:
    """Tasks, their files and their events, in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def trim(self) -> None:
        """Forget what is long over."""
        old = time.time() - _RETENTION
        for table in ("globus_files", "globus_events"):
            self._store.run(
                f"DELETE FROM {table} WHERE task IN (SELECT id FROM globus_tasks WHERE completed < ?)", old
            )
        self._store.run("DELETE FROM globus_tasks WHERE completed < ?", old)

    def add(self, user: str, submission: str, document: dict[str, Any], deadline: float) -> Task:
        """Record a new task."""
        task = Task(
            id=str(uuid.uuid4()),
            user=user,
            submission=submission,
            label=document.get("label"),
            document={name: value for name, value in document.items() if name != "DATA"},
            likeness=likeness(document),
            status="ACTIVE",
            requested=time.time(),
            deadline=deadline,
            completed=None,
        )
        as_text = {name: json.dumps(asdict(task)[name]) for name in ("document", "progress", "faults")}
        items = json.dumps(document["DATA"])
        self._store.insert("globus_tasks", **{**asdict(task), **as_text, "items": items})
        self.note(task.id, "STARTED", "started", "")
        return task

    def get(self, task_id: str, user: str | None = None) -> Task:
        """A task, of anybody or of one user.

        Raises:
            Refusal: There is none.
        """
        for task in self._where("id = ?", task_id):
            if user in (None, task.user):
                return task
        raise Refusal(404, "ClientError.NotFound", f"No task '{task_id}'")

    def items(self, task_id: str) -> list[dict[str, Any]]:
        """The items that were submitted."""
        row = self._store.row("SELECT items FROM globus_tasks WHERE id = ?", task_id)
        return json.loads(row["items"]) if row else []

    def of_submission(self, user: str, submission: str) -> Task | None:
        """What a submission id has become, if it was used."""
        return next(iter(self._where("user = ? AND submission = ?", user, submission)), None)

    def all(self, user: str | None = None) -> list[Task]:
        """All tasks of a user, or of everybody, newest first."""
        return self._where("user = COALESCE(?, user) ORDER BY requested DESC, rowid DESC", user)

    def unfinished(self) -> list[Task]:
        """The tasks that are not over, oldest first."""
        return self._where("status NOT IN ('SUCCEEDED', 'FAILED') ORDER BY requested, rowid")

    def update(self, task: Task, **changes: Any) -> Task:
        """Change a task, unless it is over already: how a task ends is settled once."""
        # Only what is named: a thread that tells its progress must not undo what an order has changed.
        values = {name: _column(value) for name, value in changes.items()}
        sets = ", ".join(f"{name} = ?" for name in values)
        self._store.run(
            f"UPDATE globus_tasks SET {sets} WHERE id = ? AND status NOT IN ('SUCCEEDED', 'FAILED')",
            *values.values(),
            task.id,
        )
        return self.get(task.id)

    def _where(self, condition: str, *params: Any) -> list[Task]:
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM globus_tasks WHERE {condition}", *params)
        return [_task(row) for row in rows]

    # -- files and events

    def moved(self, task_id: str, source: str, destination: str, size: int, checksum: str | None) -> None:
        """A file has arrived."""
        self._store.insert(
            "globus_files", task=task_id, source=source, destination=destination, size=size, checksum=checksum
        )

    def skipped(self, task_id: str, source: str, destination: str, trouble: Trouble) -> None:
        """A file was left out because of an error."""
        self._store.insert(
            "globus_files",
            task=task_id,
            source=source,
            destination=destination,
            size=0,
            error=trouble.code,
            details=trouble.details,
        )

    def files(self, task_id: str, *, skipped: bool) -> list[sqlite3.Row]:
        """The files that arrived, or those that were left out."""
        what = "NOT NULL" if skipped else "NULL"
        return self._store.rows(
            f"SELECT * FROM globus_files WHERE task = ? AND error IS {what} ORDER BY number", task_id
        )

    def note(self, task_id: str, code: str, description: str, details: str, *, error: bool = False) -> None:
        """Add to a task's events."""
        self._store.insert(
            "globus_events",
            task=task_id,
            time=time.time(),
            code=code,
            is_error=error,
            description=description,
            details=details,
        )

    def events(self, task_id: str) -> list[sqlite3.Row]:
        """A task's events, newest first."""
        return self._store.rows("SELECT * FROM globus_events WHERE task = ? ORDER BY number DESC", task_id)


def likeness(document: dict[str, Any]) -> str:
    """What is the same for submissions that would do the same with the same paths."""
    moves = document["DATA_TYPE"] == "transfer"
    ends = ("source_endpoint", "destination_endpoint") if moves else ("endpoint",)
    names = ("source_path", "destination_path") if moves else ("path",)
    paths = sorted([item[name] for name in names] for item in document["DATA"])
    about = [document["DATA_TYPE"], *(document[end] for end in ends), paths]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def moment(seconds: float | None) -> str | None:
    """A time as Transfer writes it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _task(row: sqlite3.Row) -> Task:
    values = dict(row)
    for name in ("trouble", "fatal"):
        values[name] = Trouble(**json.loads(values[name])) if values[name] else None
    values["document"] = json.loads(values["document"])
    values["progress"] = Progress(**json.loads(values["progress"]))
    values["faults"] = tuple(json.loads(values["faults"]))
    return Task(**values)


def _column(value: Any) -> Any:
    match value:
        case Trouble() | Progress():
            return json.dumps(asdict(value))
        case tuple():
            return json.dumps(value)
        case _:
            return value
