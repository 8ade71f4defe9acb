"""Runs of flows as recorded, with their logs."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from iri_local_facility.store import Store

from .flowtable import Flow
from .refusals import Refusal

OVER = ("SUCCEEDED", "FAILED", "ENDED")
_AS_JSON = ("document", "context", "details")


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        user: Who started it.
        client: With which application: its consents are those that count.
        session: Whether a person had logged in for that.
        document: What was said of it: its flow's title, tags, who may look at it.
        state: Where it is; ``begun`` once that state is at work.
        context: The data that states read and write.
        details: Why it is as it is.
        due: When it has waited long enough.
        submission: Of the transfer that an action asks for; ``action`` is its task.
        released: Whether clients have let it go.
    """

    id: str
    flow: str
    user: str
    client: str | None
    session: bool
    label: str | None
    document: dict[str, Any]
    status: str
    state: str
    begun: bool
    context: Any
    details: dict[str, Any]
    due: float | None
    submission: str | None
    action: str | None
    started: float
    completed: float | None
    released: bool

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.status in OVER


class RunTable:
    """Runs in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, flow: Flow, context: Any, **facts: Any) -> Run:
        """Record a new run; ``facts`` are user, client, session, label and document."""
        run = Run(
            id=str(uuid.uuid4()),
            flow=flow.id,
            status="ACTIVE",
            state=flow.begin,
            begun=False,
            context=context,
            details={
                "code": "FlowStarting",
                "description": "The Flow is starting execution",
                "details": {"input": context},
            },
            due=None,
            submission=None,
            action=None,
            started=time.time(),
            completed=None,
            released=False,
            **facts,
        )
        self._store.insert("globus_runs", **_columns(asdict(run)))
        self.note(run.id, "FlowStarted", "The Flow Instance started execution", {"input": context})
        return run

    def get(self, run_id: str) -> Run:
        """A run that was not released.

        Raises:
            Refusal: There is none.
        """
        for run in self._where("id = ? AND NOT released", run_id):
            return run
        raise Refusal(404, "NOT_FOUND", f"No run exists with id value {run_id}")

    def all(self) -> list[Run]:
        """All runs that ever were, newest first."""
        return self._where("1")

    def under_way(self) -> list[Run]:
        """The runs that get on by themselves."""
        return self._where("status = 'ACTIVE'")

    def update(self, run: Run, **changes: Any) -> Run:
        """Change a run, unless it is over already: how a run ends is settled once."""
        values = _columns(changes)
        sets = ", ".join(f"{name} = ?" for name in values)
        self._store.run(
            f"UPDATE globus_runs SET {sets} WHERE id = ? AND status NOT IN ('SUCCEEDED', 'FAILED', 'ENDED')",
            *values.values(),
            run.id,
        )
        return self.get(run.id)

    def release(self, run: Run) -> None:
        """Nobody is shown it any more."""
        self._store.update("globus_runs", run.id, released=True)

    def note(self, run_id: str, code: str, description: str, details: dict[str, Any]) -> None:
        """Add to a run's log."""
        self._store.insert(
            "globus_run_log",
            run=run_id,
            time=time.time(),
            code=code,
            description=description,
            details=json.dumps(details),
        )

    def log(self, run_id: str) -> list[sqlite3.Row]:
        """A run's log, oldest first."""
        return self._store.rows("SELECT * FROM globus_run_log WHERE run = ? ORDER BY number", run_id)

    def _where(self, condition: str, *params: Any) -> list[Run]:
        order = "ORDER BY started DESC, rowid DESC"
        rows = self._store.rows(f"SELECT * FROM globus_runs WHERE {condition} {order}", *params)
        return [_run(row) for row in rows]


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value) if name in _AS_JSON else value for name, value in values.items()}


def _run(row: sqlite3.Row) -> Run:
    values = dict(row)
    for name in _AS_JSON:
        values[name] = json.loads(values[name])
    for name in ("session", "begun", "released"):
        values[name] = bool(values[name])
    return Run(**values)
