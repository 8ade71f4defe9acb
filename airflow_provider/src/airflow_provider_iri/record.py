"""What a task remembers of its job from one try to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self

from iri_common import JobKey, JobRef, JobSpec, JobState

if TYPE_CHECKING:
    from airflow.sdk import Context

STORE_KEY = "iri_job"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One task instance's ask, written before it is sent and kept over retries and clears.

    Attributes:
        nonce: Makes the ask unique: the id of the task instance's first try, or what tries share where
            nothing is kept (:mod:`airflow_provider_iri.storeless`). Run ids are not enough, since two
            deployments, or a run that was deleted and made again, have the same ones.
        generation: Of the key.
        max_tries: Airflow's at the latest try. A clear sets it anew, a retry does not.
        digest: Of what is asked: spec, resource and connection. A mapped task's index can come to mean
            another input.
        iri_conn_id: Through which connection it was asked.
        resource: As the task names it.
        name: The job's own, by which it is found again if its id was never learned.
        ref: The job's reference, once there is one.
        reported: The end of the job that a try ended on.
        left: The last try ended with a trouble of its own and left its job alive.
        astray: That trouble was that the job cannot be looked at, and somebody was told so.
        unwanted: The job was to be cancelled when its limit had passed, and may live all the same.
        submitted_at: When the job was asked for, in seconds since the epoch.
        grown: How often jobs of before ended for want of more, by the word of the spec.
        done: Of an array, the elements that have succeeded.
    """

    nonce: str
    generation: int
    max_tries: int
    digest: str
    iri_conn_id: str
    resource: str | None = None
    name: str | None = None
    ref: str | None = None
    reported: str | None = None
    left: bool = False
    astray: bool = False
    unwanted: bool = False
    submitted_at: float | None = None
    grown: Mapping[str, int] = field(default_factory=dict[str, int])
    done: Sequence[int] = field(default_factory=list[int])  # a tuple is no JSON to Airflow's store

    @property
    def job(self) -> JobRef | None:
        """The job, if its id is known."""
        return JobRef.parse(self.ref) if self.ref else None

    @property
    def reported_state(self) -> JobState | None:
        """The end that Airflow was told of."""
        return JobState(self.reported) if self.reported else None

    def key(self, ti: Any) -> JobKey:
        """Who asks: this task instance, for this time."""
        return JobKey.of(
            "airflow",
            ti.dag_id,
            ti.run_id,
            ti.task_id,
            ti.map_index,
            self.nonce,
            generation=self.generation,
        )

    def asks_for(self, ask: JobRecord) -> Self:
        """The next generation, with what is asked now."""
        same = ask.digest == self.digest and ask.max_tries == self.max_tries
        kept = {
            "nonce": self.nonce,
            "generation": max(self.generation + 1, ask.generation),
            "grown": self.grown if same else {},
            "done": self.done if same else [],
        }
        return replace(self, **(asdict(ask) | kept))


def new_ask(ti: Any, spec: JobSpec, resource: str | None, iri_conn_id: str, more: str = "") -> JobRecord:
    """The record of a first ask; ``more`` is what it means beside its spec."""
    return JobRecord(
        nonce=str(ti.id),
        generation=1,
        max_tries=ti.max_tries,
        digest=f"{spec.digest()} {resource or ''} {iri_conn_id}{more}",
        iri_conn_id=iri_conn_id,
        resource=resource,
        name=spec.name,
    )


class Memory:
    """The record in Airflow's task state store (Airflow 3.3 and newer).

    XCom would not do: it is emptied when a new try begins. Without a store, it lasts as long as this object.

    Attributes:
        lasts: The tries after this one find it.
    """

    def __init__(self, context: Context) -> None:
        self._store: Any = context.get("task_state_store")
        self._held: JobRecord | None = None
        self.lasts = self._store is not None

    def read(self) -> JobRecord | None:
        """What is remembered."""
        if self._store is None:
            return self._held
        found = self._store.get(STORE_KEY)
        # Another version of this package may have written it, with words that this one does not know.
        known = {each.name for each in fields(JobRecord)}
        return JobRecord(**{name: found[name] for name in known & found.keys()}) if found else None

    def write(self, record: JobRecord) -> JobRecord:
        """Remember."""
        self._held = record
        if self._store is not None:
            remember(self._store, STORE_KEY, asdict(record))
        return record

    def note(self, **changes: Any) -> None:
        """Change the record, if there is one."""
        if (record := self.read()) is not None:
            self.write(replace(record, **changes))

    def grow(self, word: str) -> bool:
        """Have the next try ask for more of something; False if there is nothing to remember that in."""
        if (record := self.read()) is None:
            return False
        self.write(replace(record, grown={**record.grown, word: record.grown.get(word, 0) + 1}))
        return True


def remember(store: Any, key: str, value: dict[str, Any]) -> None:
    """Keep it for as long as the run exists: a job can wait longer than the store's default."""
    from airflow.sdk import NEVER_EXPIRE

    store.set(key, value, retention=NEVER_EXPIRE)
