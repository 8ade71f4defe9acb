"""Tasks under way: look once. They vanish about ten minutes after their end."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from iri_common.apis.reading import Reading, segment
from iri_common.apis.superfacility.files import promised
from iri_common.apis.superfacility.rules import REPLAYS
from iri_common.apis.superfacility.states import TaskState, task_state
from iri_common.apis.superfacility.wire import TaskReply, broken_off
from iri_common.http.session import Request, Session
from iri_common.model.errors import AmbiguousReply, IriError, NotFound, TransientError
from iri_common.model.outcome import Answer, Done, FacilityTask, Pending
from iri_common.policy.classify import Outcome
from iri_common.policy.retry import Replay

T = TypeVar("T")


class SuperfacilityTasks:
    """The task service."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def check(self, pending: Pending[T]) -> Answer[T]:
        """Look once. That a task has completed says that it ran; its result says whether that went well.

        A task that the facility has forgotten is no NotFound, which would speak of the job or the file: what
        may be repeated is a TransientError then, and any other an AmbiguousReply, so that a job is looked
        for by its name.
        """
        try:
            reply = await self._session.send(
                Request(
                    operation="read_task", method="GET", path=f"/tasks/{segment(pending.task_id, 'task')}"
                )
            )
        except NotFound as error:
            raise self._forgotten(pending.task_id, pending.operation, error) from None
        task = Reading(self._session.label, "read_task").one(TaskReply, reply.value)
        state = task_state(task.status)
        if state is TaskState.WORKING:
            return pending
        if state is TaskState.COMPLETED:
            # What a command wrote may be megabytes: reading leaves the loop that every wait lives on.
            return Done(await asyncio.to_thread(pending.read, task.result))
        canceled = state is TaskState.CANCELED
        lead = "the facility canceled the task" if canceled else "the task failed"
        reading = Reading(self._session.label, pending.operation, self._session.hiding(pending.secrets))
        raise broken_off(reading, lead, task.result)

    def promised(self, task: FacilityTask) -> Pending[object]:
        """What an operation on files was promised to give."""
        return promised(task, self._session.label)

    async def forget(self, task_id: str) -> Done[None]:
        """Nothing to do: results vanish by themselves, and to delete a task may be to cancel it."""
        return Done(None)

    def _forgotten(self, task_id: str, operation: str, error: NotFound) -> IriError:
        if REPLAYS.get(operation) is Replay.SAFE:
            kind, rest = TransientError, "ask for the operation again"
        else:
            kind, rest = AmbiguousReply, "whether it took effect is unknown, so look before asking"
        return kind(
            f"the facility no longer knows task {task_id} ({error.message}); {rest}",
            facility=self._session.label,
            operation=operation,
            request_id=error.request_id,
            status=error.status,
            outcome=Outcome.LOST,
        )
