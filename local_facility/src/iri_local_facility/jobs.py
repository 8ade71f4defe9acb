"""What a job is: the request that made it, the record that is kept, and the table of records."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import Missing
from .store import Store

WAITING = ("new", "queued", "held")
FINISHED = ("completed", "failed", "canceled")


@dataclass(frozen=True)
class JobRequest:
    """What a user asks for, in the scheduler's terms and in no face's.

    Attributes:
        script: A batch script; the executable is its interpreter, and is given the file with the script.
        script_arguments: What the script is called with.
        scheduler: Whose variables a batch script sees: Slurm's (``slurm``) or PBS' (``pbs``).
        dependency: What other jobs must have done before it starts; see `dependencies`.
        array: The tasks that it is to be run as; see `arrays`.
        reservation: On whose nodes alone it runs; see `reservations`.
    """

    executable: str
    arguments: list[str] = field(default_factory=list)
    directory: str | None = None
    name: str | None = None
    inherit_environment: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    pre_launch: str | None = None
    post_launch: str | None = None
    launcher: str | None = None
    node_count: int = 1
    process_count: int = 1
    queue: str | None = None
    account: str | None = None
    duration: int | None = None
    hold: bool = False
    script: str | None = None
    script_arguments: list[str] = field(default_factory=list)
    scheduler: str = "slurm"
    dependency: str | None = None
    array: str | None = None
    reservation: str | None = None


@dataclass(frozen=True)
class Job:
    """One job as recorded.

    Attributes:
        document: The job as the face received it, to be echoed on demand.
        ending: Why the facility is ending it (``canceled``, ``time limit``, ``shutdown``), if it is.
        nodes: Names of the nodes it runs on, or ran on last.
        restarts: How often it went back to the queue after it had started.
        requeue: Whether it goes back there when the processes that are being ended are gone.
        birth: Start time of process ``pid``, so that a recycled pid is not mistaken for the job.
        array_job: The id of the array that it is a task of.
        array_index: Which task of it.
        array_rest: The indices, if it is shown in the place of all tasks that have not begun.
    """

    id: int
    resource_id: str
    user: str
    account: str
    queue: str
    name: str
    node_count: int
    duration: int
    request: JobRequest
    document: dict[str, Any]
    state: str
    message: str | None
    exit_code: int | None
    ending: str | None
    submitted: float
    started: float | None
    ended: float | None
    changed: float
    pid: int | None
    birth: str | None
    nodes: list[str]
    restarts: int
    requeue: bool
    array_job: int | None = None
    array_index: int | None = None
    array_rest: str = ""

    @property
    def finished(self) -> bool:
        """Whether the job has reached a state it will not leave."""
        return self.state in FINISHED

    @property
    def node_hours(self) -> float:
        """Node hours used so far."""
        if self.started is None:
            return 0.0
        return self.node_count * ((self.ended or time.time()) - self.started) / 3600


class JobTable:
    """Jobs in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, *, request: JobRequest, document: dict[str, Any], **values: Any) -> Job:
        """Record a new job."""
        now = time.time()
        number = self._store.insert(
            "jobs",
            request=json.dumps(asdict(request)),
            document=json.dumps(document),
            submitted=now,
            changed=now,
            **values,
        )
        return self.get(number)

    def add_array(self, indices: Sequence[int], **values: Any) -> Job:
        """Record a job for each index; the last one bears the array's id, as those who begin get others."""
        with self._store.together():
            last = self.add(array_index=indices[-1], **values)
            last = self.change(last.id, array_job=last.id)
            for index in indices[:-1]:
                self.add(array_job=last.id, array_index=index, **values)
        return last

    def tasks(self, number: int) -> list[Job]:
        """The jobs of an array in order of their indices; none if that is not the id of one."""
        return self.where("array_job = ? ORDER BY array_index", number)

    def get(self, number: int) -> Job:
        """The job of that number.

        Raises:
            Missing: There is none.
        """
        row = self._store.row("SELECT * FROM jobs WHERE id = ?", number)
        if row is None:
            raise Missing(f"Job {number} not found")
        return _job(row)

    def change(self, number: int, **values: Any) -> Job:
        """Change columns; a change of state is stamped."""
        if "request" in values:
            values["request"] = json.dumps(asdict(values["request"]))
        for name in {"document", "nodes"} & values.keys():
            values[name] = json.dumps(values[name])
        if "state" in values:
            values.setdefault("changed", time.time())
        self._store.update("jobs", number, **values)
        return self.get(number)

    def where(self, condition: str, *params: Any) -> list[Job]:
        """Jobs that satisfy an SQL condition, oldest first."""
        return [_job(row) for row in self._store.rows(f"SELECT * FROM jobs WHERE {condition}", *params)]

    def in_states(self, states: Iterable[str]) -> list[Job]:
        """Jobs in any of these states, oldest first."""
        states = tuple(states)
        return self.where(f"state IN ({', '.join('?' * len(states))}) ORDER BY id", *states)

    def next_waiting(self, resource_id: str, ready: Callable[[Job], bool]) -> Job | None:
        """The head of the queue: strictly first in, first out of those that are ready; tasks by index."""
        place = "COALESCE(array_job, id), COALESCE(array_index, 0)"
        after = f"resource_id = ? AND state = 'queued' AND ({place}) > (?, ?) ORDER BY {place} LIMIT 1"
        passed = (0, 0)
        while found := self.where(after, resource_id, *passed):
            if ready(found[0]):
                return found[0]
            passed = (found[0].array_job or found[0].id, found[0].array_index or 0)
        return None

    def nodes_in_use(self, resource_id: str) -> set[str]:
        """Nodes that active jobs hold."""
        rows = self._store.rows(
            "SELECT nodes FROM jobs WHERE resource_id = ? AND state = 'active'", resource_id
        )
        return {node for row in rows for node in json.loads(row["nodes"])}

    def begin_attempt(self, job: Job) -> None:
        """A job starts, maybe not for the first time."""
        self._store.run(
            "INSERT OR REPLACE INTO attempts (job, restarts, nodes, started) VALUES (?, ?, ?, ?)",
            job.id,
            job.restarts,
            json.dumps(job.nodes),
            job.started,
        )

    def end_attempt(self, job: Job, ended: float, message: str | None, code: int | None) -> None:
        """The processes of a job are gone."""
        self._store.run(
            "UPDATE attempts SET ended = ?, message = ?, exit_code = ? WHERE job = ? AND restarts = ?",
            ended,
            message,
            code,
            job.id,
            job.restarts,
        )

    def attempts(self) -> dict[int, list[dict[str, Any]]]:
        """What really ran, by job."""
        found: dict[int, list[dict[str, Any]]] = {}
        for row in self._store.rows("SELECT * FROM attempts ORDER BY job, restarts"):
            facts = {**dict(row), "nodes": json.loads(row["nodes"])}
            found.setdefault(facts.pop("job"), []).append(facts)
        return found


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    values["request"] = JobRequest(**json.loads(values["request"]))
    values["document"] = json.loads(values["document"])
    values["nodes"] = json.loads(values["nodes"])
    values["requeue"] = bool(values["requeue"])
    return Job(**values)
