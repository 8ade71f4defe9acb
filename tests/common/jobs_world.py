"""A facility out of thin air for the tests of jobs: no wire, no disk, and time that costs nothing."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from iri_common.model.errors import IriError
from iri_common.model.grades import Grades
from iri_common.model.job import Accepted, JobEntry, JobStatus
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord
from iri_common.model.outcome import Done, Pending
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState

T = TypeVar("T")


class TimelessLoop(asyncio.SelectorEventLoop):
    """Goes to the next timer at once: an hour of waiting takes no time, and every pause is exact."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__()

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        # As asyncio does it, but before the time is set: to wait for a cancelled timer would take real time.
        while self._scheduled and self._scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(self._scheduled)._scheduled = False
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


def timeless(work: Callable[[], Coroutine[Any, Any, T]], limit: float = 7 * 24 * 3600.0) -> T:
    """Run it to its end on a loop whose time costs nothing; ``limit`` seconds of that time at most."""

    async def bounded() -> T:
        async with asyncio.timeout(limit):
            return await work()

    with asyncio.Runner(loop_factory=TimelessLoop) as runner:
        return runner.run(bounded())


def seconds() -> float:
    """The time of the loop that runs."""
    return asyncio.get_running_loop().time()


def status(state: str, exit_code: int | None = None) -> JobStatus:
    known = state if state in set(JobState) else "unknown"
    return JobStatus(JobState(known), exit_code=exit_code, raw_state=state)


def ref(job_id: str, key: JobKey | None = None) -> JobRef:
    return JobRef("facility.example", "iri", "machine", key or JobKey.of("test", job_id), job_id)


def failing(kind: type[IriError], outcome: str | None, operation: str | None = "launchJob") -> IriError:
    """An error as the session raises it."""
    return kind(f"it went {outcome}", operation=operation, outcome=outcome)


class MemoryLedger:
    """Keeps its word while the test runs."""

    def __init__(self) -> None:
        self.records: dict[str, LedgerRecord] = {}
        self.written: list[LedgerRecord] = []
        self.claims: dict[str, str] = {}

    @property
    def stages(self) -> list[str]:
        return [str(record.stage) for record in self.written]

    async def read(self, key: JobKey) -> LedgerRecord | None:
        return self.records.get(key.identity)

    async def write(self, record: LedgerRecord, owner: str | None = None) -> bool:
        if owner is not None and self.claims.get(record.identity) != owner:
            return False
        self.written.append(record)
        self.records[record.identity] = record
        return True

    async def forget(self, key: JobKey) -> None:
        self.records.pop(key.identity, None)

    async def claim(self, key: JobKey, owner: str, seconds: float) -> bool:
        return self.claims.setdefault(key.identity, owner) == owner

    async def release(self, key: JobKey, owner: str) -> None:
        if self.claims.get(key.identity) == owner:
            del self.claims[key.identity]


@dataclass
class Ask:
    """A submit as it arrived."""

    at: float
    spec: Mapping[str, Any]
    key: str | None


@dataclass
class ScriptedJobs:
    """Answers submits by a script; keeps the jobs that the script makes, and lists them by name.

    Attributes:
        script: One entry for each submit: an error to raise, an answer to give, or a function of
            (jobs, ask) that gives one of these. At its end every ask is taken.
        listed: What the list shows: job id to (name, status).
        looking: One entry for each list request, raised if it is an error; then the truth is told.
    """

    script: list[Any] = field(default_factory=list)
    looking: list[Any] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    listed: dict[str, tuple[str | None, JobStatus]] = field(default_factory=dict)
    looks: list[tuple[float, bool]] = field(default_factory=list)

    def run(self, ask: Ask, replayed: bool | None = None) -> Done[Accepted]:
        """Take the job, as a facility does."""
        job_id = str(len(self.listed) + 1)
        self.listed[job_id] = (ask.spec["name"], status("queued"))
        return Done(Accepted(job_id, status("queued"), replayed))

    async def submit(self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None) -> Any:
        ask = Ask(seconds(), spec, idempotency_key)
        self.asks.append(ask)
        answer = self.script.pop(0) if self.script else self.run(ask)
        if callable(answer):
            answer = answer(self, ask)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
        known = self.listed.get(job_id)
        return Done(known[1] if known else JobStatus(JobState.MISSING))

    async def list(
        self, resource_id: str, *, offset: int, limit: int, historical: bool, names: bool
    ) -> Done[Sequence[JobEntry]]:
        self.looks.append((seconds(), historical))
        told = self.looking.pop(0) if self.looking else None
        if isinstance(told, BaseException):
            raise told
        if told is not None:
            return Done(told[offset : offset + limit])
        rows = [
            JobEntry(job_id, state, name if names else None)
            for job_id, (name, state) in self.listed.items()
            if historical or not state.state.terminal
        ]
        return Done(rows[offset : offset + limit])


class Tasks:
    """Operations that end when the test says so: task id to a list of what each look gives."""

    def __init__(self) -> None:
        self.looks: dict[str, list[Any]] = {}
        self.asked = 0

    async def check(self, pending: Pending[T]) -> Any:
        self.asked += 1
        told = self.looks[pending.task_id].pop(0)
        if isinstance(told, BaseException):
            raise told
        return pending if told is None else Done(pending.read(told))

    async def forget(self, task_id: str) -> Done[None]:
        return Done(None)


class ScriptedDialect:
    """The ports that a submission needs."""

    def __init__(self, jobs: Any = None, files: Any = None, **grades: Any) -> None:
        self.name = "iri"
        self.grades = Grades(**{"settle": "native", "files": "direct", "logs": "end", **grades})
        self.jobs = jobs if jobs is not None else ScriptedJobs()
        self.files = files
        self.operations = Tasks()
