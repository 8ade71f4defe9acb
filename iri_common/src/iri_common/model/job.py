"""What is known of a job at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from iri_common.model.credential import Principal
from iri_common.model.reason import JobReason
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One look at a job.

    Attributes:
        state: In our words; ``raw_state`` keeps the facility's.
        exit_code: Of the job's process, where the facility tells.
        message: The facility's explanation, for a person.
        time: When the facility took note of this state, seconds since the epoch.
        raw_state: The word the facility used.
        meta: Whatever else the facility says about the job; its keys are the facility's own.
        reason: Why it failed or does not begin, as far as the facility's words and numbers tell.
        tasks: Of an array, each task by its index, as far as the facility tells them one by one.
        others: Of an array whose tasks are not all told one by one, how the rest is.
    """

    state: JobState
    exit_code: int | None = None
    message: str | None = None
    time: float | None = None
    raw_state: str | None = None
    meta: Mapping[str, object] = field(default_factory=dict[str, object])
    reason: JobReason | None = None
    tasks: Mapping[int, JobStatus] = field(default_factory=dict[int, "JobStatus"])
    others: JobStatus | None = None

    @property
    def exit_codes(self) -> Mapping[int, int | None]:
        """Of an array, the exit code of each task by its index; None while or where there is none."""
        return {index: each.exit_code for index, each in self.tasks.items()}

    @property
    def failed_tasks(self) -> tuple[int, ...]:
        """Of an array, the indices of the tasks that failed."""
        return tuple(index for index, each in self.tasks.items() if each.reported is JobState.FAILED)

    @property
    def succeeded(self) -> bool:
        """Completed, with exit code 0 where one is known ("completed" alone is not "exit 0" everywhere)."""
        return self.state is JobState.COMPLETED and self.exit_code in (None, 0)

    @property
    def reported(self) -> JobState:
        """The state to tell an engine: a completion that its exit code belies is a failure."""
        failed = self.state is JobState.COMPLETED and not self.succeeded
        return JobState.FAILED if failed else self.state

    def describe(self) -> str:
        """One line for a log: state, exit code, the facility's message."""
        parts = [str(self.state)]
        if self.state is JobState.UNKNOWN and self.raw_state:
            parts = [f"unknown state {self.raw_state!r}"]
        if self.exit_code is not None:
            parts.append(f"exit code {self.exit_code}")
        line = ", ".join(parts)
        # Some facilities say "exit code 3" in words as well; once is enough.
        return f"{line}: {self.message}" if self.message and self.message.casefold() not in line else line


@dataclass(frozen=True, slots=True)
class Accepted:
    """The facility's answer to a submit.

    Attributes:
        job_id: Opaque, and unique at one resource only.
        status: Its state as the answer gives it; a replayed answer shows the state of long ago.
        replayed: True if the facility recognised the idempotency key and ran nothing new, False if it
            stored the key, None if it did not look at it (no ``Idempotency-Key-Reply`` header).
    """

    job_id: str
    status: JobStatus
    replayed: bool | None = None


@dataclass(frozen=True, slots=True)
class JobEntry:
    """One row of a job list.

    Attributes:
        job_id: As in :class:`Accepted`.
        status: At the moment of listing; of an array, that of all its tasks together.
        name: The job's name, where the list carries its specification.
    """

    job_id: str
    status: JobStatus
    name: str | None = None


@dataclass(frozen=True, slots=True)
class JobResult:
    """A job that ended with success.

    Attributes:
        ref: Which one.
        status: Its last.
        principal: In whose name it was asked for, and whom it and its files belong to; None where nobody has
            told that.
    """

    ref: JobRef
    status: JobStatus
    principal: Principal | None = None

    @property
    def exit_codes(self) -> Mapping[int, int | None]:
        """Of an array, the exit code of each task by its index."""
        return self.status.exit_codes
