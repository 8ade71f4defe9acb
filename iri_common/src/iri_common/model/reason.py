"""Why a job waits or ended as it did, and whether asking for it again makes sense."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class JobReason(StrEnum):
    """Why a job ended without success, or why it does not begin."""

    EXIT_CODE = "exit_code"
    TIME_LIMIT = "time_limit"
    DEADLINE = "deadline"
    MEMORY = "memory"
    NODE = "node"
    PREEMPTED = "preempted"
    DEPENDENCY = "dependency"
    HELD = "held"
    CANCELED = "canceled"
    DOUBLE = "double"  # another job does the work of this key
    NO_DIRECTORY = "no_directory"  # the guard's, which cannot be made or written
    NO_SPACE = "no_space"
    GUARD = "guard"
    LOST = "lost"
    UNKNOWN = "unknown"

    @property
    def retry_sensible(self) -> bool | None:
        """Whether the same job may well succeed if it is asked for again; None where nobody can tell."""
        return _RETRY.get(self)

    @property
    def advice(self) -> str:
        """What to do, one sentence for a person; "" where there is nothing to say."""
        return _ADVICE.get(self, "")


_RETRY: Mapping[JobReason, bool] = {
    JobReason.TIME_LIMIT: False,
    JobReason.DEADLINE: False,
    JobReason.MEMORY: False,
    JobReason.NODE: True,
    JobReason.PREEMPTED: True,
    JobReason.DEPENDENCY: False,
    JobReason.CANCELED: False,
    JobReason.DOUBLE: False,
    JobReason.NO_DIRECTORY: False,
    JobReason.NO_SPACE: False,
}

_ADVICE: Mapping[JobReason, str] = {
    JobReason.TIME_LIMIT: "A retry is not sensible as it is: ask for more time, or let the job do less",
    JobReason.DEADLINE: "A retry is not sensible as it is: its deadline has passed",
    JobReason.MEMORY: "A retry is not sensible as it is: ask for more memory, or let the job need less",
    JobReason.NODE: "A retry is sensible: the machine failed, not the job",
    JobReason.PREEMPTED: "A retry is sensible: the job had to give way to another one",
    JobReason.DEPENDENCY: "A retry is not sensible before the job that it depends on has succeeded",
    JobReason.CANCELED: "A retry is not sensible unless the job was canceled by mistake",
    JobReason.DOUBLE: "A retry is not sensible: another job with the same key does this work",
    JobReason.NO_DIRECTORY: (
        "A retry is not sensible before the guard directory can be written there (guard_directory)"
    ),
    JobReason.NO_SPACE: "A retry is not sensible before there is space, or quota, for the guard directory",
}
