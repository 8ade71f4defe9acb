"""Exit codes of the ``iri`` command: one closed table, for shells and CI to act on."""

from __future__ import annotations

from enum import IntEnum

from iri_common.model.errors import (
    AmbiguousReply,
    AuthError,
    ComputeFailed,
    FlowFailed,
    GrantExceeded,
    IriError,
    JobFailed,
    JobLost,
    NotFound,
    PathFailed,
    PermissionDenied,
    Refused,
    ReservationLost,
    StreamLost,
    TransferError,
    TransientError,
    UsageError,
    WaitTimeout,
)
from iri_common.model.job import JobStatus
from iri_common.model.state import JobState


class Exit(IntEnum):
    """What a code means; ``meaning`` says it in words."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Exit:
        """A code with its words."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    OK = 0, "success"
    OTHER = 1, "anything without a code of its own"
    USAGE = 2, "options, profile or job make no sense; nothing was sent"
    JOB_FAILED = 3, "the job, flow, path, lease or stream ended without success"
    JOB_CANCELED = 4, "the job was cancelled"
    JOB_LOST = 5, "the facility forgot the job and nothing tells how it ended"
    UNCERTAIN = 6, "sent, and whether it arrived is unknown: run the same key again"
    TIMEOUT = 7, "--timeout was reached; the job goes on"
    AUTH = 8, "the token is refused, expired or missing"
    PERMISSION = 9, "the token, or the grant of the profile, lacks the right"
    NOT_FOUND = 10, "no such job, file or resource"
    REFUSED = 11, "the facility said no to the request"
    DOWN = 12, "the facility is down or unreachable; try again later"
    TRANSFER = 13, "a file did not arrive whole"
    INTERRUPTED = 130, "Ctrl-C (SIGINT); the job goes on unless --cancel-on-interrupt"
    UNREAD = 141, "nobody reads the output any more (a closed pipe); the job goes on"
    TERMINATED = 143, "SIGTERM; the job goes on unless --cancel-on-interrupt"


# In order: the first that fits, so a kind stands before those it is a kind of.
_KINDS: tuple[tuple[type[IriError], Exit], ...] = (
    (GrantExceeded, Exit.PERMISSION),
    (UsageError, Exit.USAGE),
    (AuthError, Exit.AUTH),
    (PermissionDenied, Exit.PERMISSION),
    (NotFound, Exit.NOT_FOUND),
    (Refused, Exit.REFUSED),
    (WaitTimeout, Exit.TIMEOUT),
    (TransientError, Exit.DOWN),
    (AmbiguousReply, Exit.UNCERTAIN),
    (JobLost, Exit.JOB_LOST),
    (FlowFailed, Exit.JOB_FAILED),
    (PathFailed, Exit.JOB_FAILED),
    (StreamLost, Exit.JOB_FAILED),
    (ReservationLost, Exit.JOB_FAILED),
    (ComputeFailed, Exit.JOB_FAILED),
    (TransferError, Exit.TRANSFER),
)


def exit_of_error(error: BaseException) -> Exit:
    """The code of an error."""
    if isinstance(error, JobFailed):
        return exit_of_status(error.job_status)
    return next((code for kind, code in _KINDS if isinstance(error, kind)), Exit.OTHER)


def exit_of_status(status: JobStatus) -> Exit:
    """The code of a job's end."""
    if status.succeeded:
        return Exit.OK
    return Exit.JOB_CANCELED if status.state is JobState.CANCELED else Exit.JOB_FAILED


def propagated(status: JobStatus) -> int:
    """The job's own exit code where it is known and fits one, otherwise the code of its end."""
    own = status.exit_code
    return own if own is not None and 0 < own < 256 else int(exit_of_status(status))


def table() -> str:
    """All codes, a line each, for ``iri --help``."""
    return "\n".join(f"{code.value:>3}  {code.meaning}" for code in Exit)
