"""The one exception tree of the project.

```
IriError
├── UsageError                bad input; nothing was sent
│   ├── ProfileError          a profile that does not exist or cannot be read
│   ├── SpecChanged           the key belongs to another spec
│   ├── GrantExceeded         more than the profile may be used for
│   └── NotOffered            this door has no such capability (says what could serve instead)
├── AuthError                 the credential was refused; a person must act
├── PermissionDenied          the credential is fine, the right is missing
├── Refused                   the facility said no to this request
│   ├── NotFound
│   ├── Conflict              in use, or in flight under the same key
│   └── TooLarge              over a size limit of the API
├── TransientError            a retry is sensible
│   ├── RateLimited
│   ├── ResourceDown          the facility says that the resource is down, and waiting has an end
│   └── Unreachable           no answer from the facility
├── AmbiguousReply            sent, but whether it took effect is unknown
│   └── SubmitUncertain       ... and it was a submit: carries the key and the way out
├── ReplyError                the facility answered something that its API does not describe
├── JobFailed                 the job ended without success
├── JobLost                   the facility no longer knows the job and nothing tells how it ended
├── PathFailed                a path through a network is not up, and will not be
├── StreamLost                a cluster of message brokers is gone, and what was in it
├── ReservationLost           nodes are not kept any more
├── FlowFailed                a run of a flow ended without success
├── ComputeFailed             a command or function at an endpoint did not do what was asked
├── WaitTimeout               the caller's own limit on a wait was reached; the job lives on
└── TransferError             a file did not arrive whole
```

Every error says what happened, to which operation at which facility, and what to do. None carries a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iri_common.model.compute import ComputeTask
    from iri_common.model.credential import Principal
    from iri_common.model.flows import FlowRun
    from iri_common.model.job import JobStatus
    from iri_common.model.key import JobKey
    from iri_common.model.network import NetworkPath
    from iri_common.model.outcome import FacilityTask
    from iri_common.model.reason import JobReason
    from iri_common.model.ref import JobRef


class IriError(Exception):
    """Base of every error that this project raises on purpose.

    Attributes:
        message: What happened and what to do, for a person.
        facility: The door it happened at (profile name or URL), where known.
        operation: The operation in the API's own words, where one was asked for.
        request_id: The facility's id of the request, for its support desk.
        status: HTTP status of the reply, where there was one.
        outcome: What became of the request, a word of :class:`iri_common.policy.classify.Outcome`.
        transient: Whether the same call may succeed later without anything being changed.
    """

    transient: bool = False

    def __init__(
        self,
        message: str,
        *,
        facility: str | None = None,
        operation: str | None = None,
        request_id: str | None = None,
        status: int | None = None,
        outcome: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.facility = facility
        self.operation = operation
        self.request_id = request_id
        self.status = status
        self.outcome = outcome

    def __str__(self) -> str:
        where = " ".join(
            part
            for part in (
                self.operation and f"operation {self.operation}",
                self.facility and f"at {self.facility}",
                self.request_id and f"request {self.request_id}",
            )
            if part
        )
        return f"{self.message} ({where})" if where else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments: the default reduce would call cls(*args) and lose the context
        # when an engine pickles the error between its processes.
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[IriError], args: tuple[object, ...], state: dict[str, object]) -> IriError:
    error = cls.__new__(cls)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class UsageError(IriError):
    """The request makes no sense as it stands; nothing was sent."""


class ProfileError(UsageError):
    """A profile that does not exist, or whose file cannot be read."""


class SpecChanged(UsageError):
    """A key was used before, for something else: another spec under one key cannot be "the same job"."""


class GrantExceeded(UsageError):
    """More was asked for than the profile may be used for.

    Attributes:
        profile: Whose grant it is.
        asked: What for.
        allowed: What would be, for a person.
    """

    def __init__(
        self, message: str, *, profile: str, asked: str, allowed: str, **context: str | int | None
    ) -> None:
        super().__init__(message, **context)  # type: ignore[arg-type]
        self.profile = profile
        self.asked = asked
        self.allowed = allowed


class NotOffered(UsageError):
    """This facility, or this dialect, has no such capability."""


class AuthError(IriError):
    """The facility refused the credential, or the token service gave none.

    Attributes:
        why: The message without what to do.
        mend: What to do, where that is not to give another credential; "" where it is.
    """

    def __init__(self, message: str, *, mend: str = "", **context: str | int | None) -> None:
        super().__init__(f"{message}; {mend}" if mend else message, **context)  # type: ignore[arg-type]
        self.why = message
        self.mend = mend


class PermissionDenied(IriError):
    """The credential is accepted, but does not carry this right."""


class Refused(IriError):
    """The facility read the request and said no."""


class NotFound(Refused):
    """The facility does not know this object."""


class Conflict(Refused):
    """The object is in use, or the same key is in flight or was used for something else."""


class TooLarge(Refused):
    """More bytes than this operation of the API takes."""


class TransientError(IriError):
    """Something that passes by itself; the call can be made again."""

    transient = True


class RateLimited(TransientError):
    """The facility asks for fewer requests."""


class ResourceDown(TransientError):
    """The facility says that the resource is down, and the caller does not want to wait any longer."""


class Unreachable(TransientError):
    """No answer from the facility: name, network, or service down."""


class AmbiguousReply(IriError):
    """The request left this machine, and no readable answer tells whether it took effect."""


class SubmitUncertain(AmbiguousReply):
    """A submit whose fate could not be settled by looking.

    Attributes:
        key: Submit again with the same key once the facility answers; a job found under it is adopted.
        candidates: Ids of new jobs that may be it, where ids are all that the facility shows.
    """

    def __init__(
        self, message: str, *, key: JobKey, candidates: tuple[str, ...] = (), **context: str | int | None
    ) -> None:
        super().__init__(message, **context)  # type: ignore[arg-type]
        self.key = key
        self.candidates = candidates


class ReplyError(IriError):
    """The facility's reply does not fit the description of its API."""


class JobFailed(IriError):
    """The job ended, and not with success.

    Attributes:
        ref: Which job.
        job_status: Its last status: state, exit code, message, reason.
        stderr_tail: The last lines of its standard error, where the facility lets us read them.
        principal: In whose name it was asked for, and whom it and its files belong to; None where nobody has
            told that.
        transient: Whether the same job, asked for again, may well succeed (a node died, it was preempted).
    """

    def __init__(
        self,
        message: str,
        *,
        ref: JobRef,
        job_status: JobStatus,
        stderr_tail: str = "",
        principal: Principal | None = None,
        facility: str | None = None,
    ) -> None:
        reason = job_status.reason
        advice = reason.advice if reason else ""
        super().__init__(f"{message}\n{advice}" if advice else message, facility=facility)
        self.ref = ref
        self.job_status = job_status
        self.stderr_tail = stderr_tail
        self.principal = principal
        self.transient = bool(reason and reason.retry_sensible)

    @property
    def reason(self) -> JobReason | None:
        """Why it failed, as far as that is known."""
        return self.job_status.reason


class JobLost(IriError):
    """The facility no longer lists the job and nothing tells how it ended: neither success nor failure.

    Attributes:
        ref: Which job.
        candidates: Ids of jobs that may be the one whose double it was, where ids are all there is to see.
        principal: In whose name it was asked for; None where nobody has told that.
    """

    principal: Principal | None = None

    def __init__(
        self, message: str, *, ref: JobRef, candidates: tuple[str, ...] = (), facility: str | None = None
    ) -> None:
        super().__init__(message, facility=facility)
        self.ref = ref
        self.candidates = candidates


class FlowFailed(IriError):
    """A run of a flow ended, and not with success.

    Attributes:
        run: As it ended.
    """

    def __init__(self, message: str, *, run: FlowRun, **context: str | int | None) -> None:
        super().__init__(message, **context)  # type: ignore[arg-type]
        self.run = run


class ComputeFailed(IriError):
    """A command or a function at an endpoint of Globus Compute is over, and did not do what was asked.

    Attributes:
        task: As it ended; its ``trouble`` is the traceback at the endpoint.
    """

    def __init__(self, message: str, *, task: ComputeTask, **context: str | int | None) -> None:
        super().__init__(message, **context)  # type: ignore[arg-type]
        self.task = task


class WaitTimeout(IriError):
    """The caller's limit on a wait was reached; what was waited for was left alone.

    Attributes:
        ref: Which job; wait for it again with this.
        task: Which operation on files; finish it with this.
    """

    transient = True

    def __init__(
        self,
        message: str,
        *,
        ref: JobRef | None = None,
        task: FacilityTask | None = None,
        facility: str | None = None,
    ) -> None:
        super().__init__(message, facility=facility)
        self.ref = ref
        self.task = task


class PathFailed(IriError):
    """A path through a network that does not come up, was given back, or has expired.

    Attributes:
        path: As it was seen last.
    """

    def __init__(self, message: str, *, path: NetworkPath, **context: str | int | None) -> None:
        super().__init__(message, **context)  # type: ignore[arg-type]
        self.path = path


class StreamLost(IriError):
    """A cluster of message brokers is not there any more: its time was over, or somebody released it.

    Attributes:
        ref: Which one it was.
    """

    def __init__(self, message: str, *, ref: JobRef, facility: str | None = None) -> None:
        super().__init__(message, facility=facility)
        self.ref = ref


class ReservationLost(IriError):
    """Nodes are not reserved any more: their time was over, or somebody gave them back.

    Attributes:
        ref: Which reservation it was.
    """

    def __init__(self, message: str, *, ref: JobRef, facility: str | None = None) -> None:
        super().__init__(message, facility=facility)
        self.ref = ref


class TransferError(IriError):
    """A file did not arrive whole; nothing was put in the place of the target."""
