"""Waits for a deferred task's job in the triggerer."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_iri.guard import STILL_WANTED, task_state

if TYPE_CHECKING:
    from iri_common import Facility, JobStatus


class IriJobTrigger(BaseTrigger):
    """Fires once when a job has ended, or when waiting for it makes no sense any more.

    However many of these a triggerer holds, the core asks a facility about all their jobs in one request.

    Args:
        iri_conn_id: The connection; its secrets are read here, none is stored with the trigger.
        ref: The job's reference.
        deadline: When to give up, in seconds since the epoch; None for never.
    """

    minimum_deferral: ClassVar[float] = 8.0
    """Seconds. The executor reports up to 5 s late that the deferring process has ended. If the task is
    queued again by then, the scheduler takes that report for the end of the new process and fails the task
    (apache/airflow threads 66374 and 67287)."""

    def __init__(self, iri_conn_id: str, ref: str, deadline: float | None = None) -> None:
        super().__init__()
        self.iri_conn_id = iri_conn_id
        self.ref = ref
        self.deadline = deadline
        self._facility: Facility | None = None
        self._fired = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where to find this class, and what to make it from."""
        words = {"iri_conn_id": self.iri_conn_id, "ref": self.ref, "deadline": self.deadline}
        return ("airflow_provider_iri.triggers.IriJobTrigger", words)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; an outage of the facility is waited out."""
        started = time.monotonic()
        try:
            payload = _told(await self._wait())
        except Exception as error:
            # An exception that left here would fail the task without a word to its operator.
            payload = {"trouble": type(error).__name__, "message": str(error)}
        await asyncio.sleep(max(0.0, started + self.minimum_deferral - time.monotonic()))
        self._fired = True
        yield TriggerEvent({"ref": self.ref, **payload})

    async def on_kill(self) -> None:
        """Cancel the job, but only if the task is really over.

        Airflow 3.3 also calls this for a triggerer that slept while another took its triggers over
        (apache/airflow thread 73454). A job that is wrongly left alone ends with its time limit; one that
        is wrongly cancelled has lost its place in the queue.
        """
        if self._fired or self.task_instance is None:
            return
        try:
            state = await asyncio.to_thread(task_state, self.task_instance)
        except Exception as error:
            self.log.warning("the job is left alone: Airflow does not tell the state of its task (%s)", error)
            return
        if state in STILL_WANTED:
            self.log.info("the job is left alone: its task is %s", state)
            return
        facility = await self._open()
        await facility.aio.jobs.cancel(self.ref)
        self.log.info("cancelled the job %s, because its task is %s", self.ref, state or "cleared")

    async def _wait(self) -> JobStatus:
        facility = await self._open()
        left = None if self.deadline is None else max(0.0, self.deadline - time.time())
        # The core calls back outside of this trigger's context, by which Airflow finds the task's log.
        say = partial(contextvars.copy_context().run, self._say)
        return await facility.aio.jobs.wait(self.ref, timeout=left, on_change=say)

    async def _open(self) -> Facility:
        if self._facility is None:
            from airflow_provider_iri.hooks import IriHook

            self._facility = await IriHook(self.iri_conn_id).open()
        return self._facility

    def _say(self, status: JobStatus) -> None:
        self.log.info("the job is %s", status.describe())


def _told(status: JobStatus) -> dict[str, Any]:
    """A status as JSON values."""
    return {
        "state": str(status.state),
        "exit_code": status.exit_code,
        "message": status.message,
        "time": status.time,
    }
