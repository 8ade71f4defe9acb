"""Operations under way: look once, and let go."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import TypeVar, cast

from iri_common.apis.iri import unwrap
from iri_common.apis.iri.files import promised
from iri_common.apis.iri.rules import FILE_REPLAYS
from iri_common.apis.iri.states import TaskState, task_state
from iri_common.apis.iri.wire import TaskReply
from iri_common.apis.reading import Reading, segment
from iri_common.http.session import Request, Session
from iri_common.http.turns import in_turn
from iri_common.model.errors import (
    AmbiguousReply,
    IriError,
    NotFound,
    PermissionDenied,
    Refused,
    TooLarge,
    TransientError,
)
from iri_common.model.outcome import Answer, Done, FacilityTask, Pending
from iri_common.policy.classify import Outcome
from iri_common.policy.retry import Replay
from iri_common.policy.telling import bounded, told

T = TypeVar("T")

# What a task failed of is told by nothing but a text, mostly the words of strerror(3) or of the tool.
_CAUSES: tuple[tuple[re.Pattern[str], type[IriError], Outcome], ...] = (
    (re.compile(r"no such file|not found|does not exist", re.IGNORECASE), NotFound, Outcome.NOT_FOUND),
    (re.compile(r"permission|not permitted", re.IGNORECASE), PermissionDenied, Outcome.FORBIDDEN),
    # A quota that is exceeded is no limit of this API, so neither word is enough alone.
    (
        re.compile(
            r"\btoo (large|big)\b"
            r"|\b(size|bytes)\b.*\b(limit|exceed)|\b(limit|exceed)\w*\b.*\b(size|bytes)\b",
            re.IGNORECASE | re.DOTALL,
        ),
        TooLarge,
        Outcome.TOO_LARGE,
    ),
)
_UNTOLD: tuple[type[IriError], Outcome] = (Refused, Outcome.INVALID)

# Names of files may hold any of those words.
_NAMES = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"|/\S+")


class IriTasks:
    """The task service. Tasks expire, and are asked for by id: the host in ``task_uri`` is not trusted."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def check(self, pending: Pending[T]) -> Answer[T]:
        """Look once; a failed or canceled operation is raised as the error that its words name.

        A task that the facility has forgotten is no NotFound, which would speak of the file: an operation
        that may be repeated is a TransientError then, any other an AmbiguousReply.
        """
        try:
            reply = await self._session.send(
                Request(operation="getTask", method="GET", path=f"/task/{segment(pending.task_id, 'task')}")
            )
        except NotFound as error:
            raise self._forgotten(pending.task_id, pending.operation, error) from None
        task = Reading(self._session.label, "getTask").one(TaskReply, reply.value)
        state = task_state(task.status)
        if state is TaskState.WORKING:
            return pending
        if state is TaskState.COMPLETED:
            # A download is megabytes of base64: decoding leaves the loop that every wait lives on.
            return Done(await in_turn(lambda: pending.read(task.result)))
        raise self._failure(pending, state, task.result)

    def promised(self, task: FacilityTask) -> Pending[object]:
        """What an operation on files was promised to give."""
        return promised(task, self._session.label)

    async def forget(self, task_id: str) -> Done[None]:
        """Drop the result. A task that is gone already is as good; some facilities answer NotOffered."""
        with contextlib.suppress(NotFound):
            await self._session.send(
                Request(operation="deleteTask", method="DELETE", path=f"/task/{segment(task_id, 'task')}")
            )
        return Done(None)

    def _failure(self, pending: Pending[T], state: TaskState, result: object) -> IriError:
        text = failure_text(result)
        if state is TaskState.CANCELED:
            (kind, outcome), lead = _UNTOLD, "the facility canceled the operation"
        else:
            (kind, outcome), lead = cause(text), "the operation failed"
        reason = told(text, self._session.hiding(pending.secrets)) or "it gives no reason"
        label = self._session.label
        return kind(f"{lead}: {reason}", facility=label, operation=pending.operation, outcome=outcome)

    def _forgotten(self, task_id: str, operation: str, error: NotFound) -> IriError:
        lead = f"the facility no longer knows task {task_id}"
        if FILE_REPLAYS.get(operation) is Replay.SAFE:
            kind, rest = TransientError, "ask for the operation again"
        else:
            kind, rest = AmbiguousReply, "whether the operation took effect is unknown, so look before asking"
        return kind(
            f"{lead} ({error.message}); {rest}",
            facility=self._session.label,
            operation=operation,
            request_id=error.request_id,
            status=error.status,
            outcome=Outcome.LOST,
        )


def failure_text(result: object) -> str:
    """The words of a failed task: ``{"output": "Error: …"}``, or ``{"error": "…"}`` at ALCF."""
    words = _error_field(result) or _error_field(unwrap.text(result))
    return words.strip().removeprefix("Error:").strip()


def _error_field(value: object) -> str:
    if isinstance(value, dict):
        value = cast("Mapping[str, object]", value).get("error")
    return value if isinstance(value, str) else ""


def cause(text: str) -> tuple[type[IriError], Outcome]:
    """What the words of a failed task name; a refusal where they name nothing that we know."""
    bare = _NAMES.sub(" ", bounded(text))
    causes = ((kind, outcome) for pattern, kind, outcome in _CAUSES if pattern.search(bare))
    return next(causes, _UNTOLD)
