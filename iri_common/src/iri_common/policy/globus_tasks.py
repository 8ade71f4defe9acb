"""What a look at a task of Globus Transfer means, and when to look again; pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from iri_common.model.key import JobKey
from iri_common.model.transfer import TaskState, TransferTask

# A task that meets one of these stays ACTIVE until its deadline, a day by default, and blocks its paths for
# every other (globus-cli#1056): nothing but a person changes them.
FATAL = frozenset(
    {
        "FILE_NOT_FOUND",
        "PERMISSION_DENIED",
        "NO_SPACE_LEFT",
        "QUOTA_EXCEEDED",
        "IS_A_DIRECTORY",
        "NOT_A_DIRECTORY",
        "INVALID_PATH_NAME",
        "INVALID_SYMLINK",
        "NO_CREDENTIALS",
    }
)
LOOKS = 2  # in a row that must show a fatal fault: one that Globus gets over by itself is gone by the next
LONGEST_LABEL = 128
LONGEST_RUN_LABEL = 64

DAY = 86_400.0  # seconds: what Globus itself gives a task that does not get on
SLOWEST = 20e6  # bytes per second: a transfer that takes longer than that is given up


class Meaning(StrEnum):
    """Of one look at a task."""

    GOES_ON = "goes on"
    WHOLE = "whole"
    HOLES = "holes"  # it "succeeded", but left files out
    FAILED = "failed"
    DOOMED = "doomed"  # alive, and will not get any further
    PAUSED = "paused"  # waits for somebody


@dataclass(frozen=True, slots=True)
class Sight:
    """A task as it was seen last.

    Attributes:
        task: Its document.
        doomed: How many looks in a row showed the same fatal fault.
    """

    task: TransferTask
    doomed: int = 0

    @property
    def meaning(self) -> Meaning:
        """What follows from it."""
        task = self.task
        if task.state is TaskState.SUCCEEDED:
            return Meaning.HOLES if task.skipped_errors else Meaning.WHOLE
        if task.state is TaskState.FAILED:
            return Meaning.FAILED
        if task.state is TaskState.INACTIVE:
            return Meaning.PAUSED
        return Meaning.DOOMED if self.doomed >= LOOKS else Meaning.GOES_ON


def seen(task: TransferTask, before: Sight | None = None) -> Sight:
    """A look at a task after the one before."""
    # Old tasks do not tell is_ok; the word itself is then what there is.
    stuck = task.state is TaskState.ACTIVE and task.healthy is not True and task.code in FATAL
    if not stuck:
        return Sight(task)
    same = before is not None and before.task.code == task.code
    return Sight(task, before.doomed + 1 if before and same else 1)


@dataclass(frozen=True, slots=True)
class TaskPace:
    """Seconds between two looks: from ``quickest``, growing with the time since something changed."""

    quickest: float = 5.0
    slowest: float = 60.0
    fraction: float = 0.1

    def delay(self, since_change: float, chance: float) -> float:
        """Seconds until the next look.

        Args:
            since_change: Seconds since the task last got on.
            chance: A random number in [0, 1): many tasks that began at once spread.
        """
        base = max(self.quickest, min(self.slowest, since_change * self.fraction))
        return base * (0.8 + 0.4 * chance)


def got_on(before: Sight | None, now: Sight) -> bool:
    """Whether a task moved between two looks."""
    if before is None:
        return True
    return _marks(before.task) != _marks(now.task)


def _marks(task: TransferTask) -> tuple[object, ...]:
    return (task.state, task.code, task.files_done, task.bytes_done)


def label_of(transfer: str, items: str) -> str:
    """What a task is found by: the same for the same files of the same transfer."""
    return f"iri-workflows {transfer} {items}"[:LONGEST_LABEL]


def run_label(key: JobKey, name: str) -> str:
    """What a run of a flow is found by: the user's words as far as there is room, then the key's tag.

    Flows strips white space, and makes one blank of several.
    """
    room = LONGEST_RUN_LABEL - len(key.job_name("")) + len("iri")
    return key.job_name(" ".join(name.split())[:room].strip())


def deadline(now: float, size: int) -> float:
    """When Globus gives a task up, seconds since the epoch; it is not extended while the task gets on."""
    return now + DAY + size / SLOWEST
