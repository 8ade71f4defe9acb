"""Waits in the triggerer for what a deferred task is about: its job, or something else to be so."""

from __future__ import annotations

import asyncio
import contextvars
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_iri import lasting
from airflow_provider_iri.guard import (
    HELD_BY_A_WORKER,
    STILL_WANTED,
    TASK_ENDED,
    has_another,
    task_state,
)
from airflow_provider_iri.outcome import told_of
from airflow_provider_iri.states import state_of

if TYPE_CHECKING:
    from airflow_provider_iri.hooks import IriHook
    from airflow_provider_iri.limits import Patience
    from iri_common import Facility, JobStatus

T = TypeVar("T")

TELLS = hasattr(BaseTrigger, "on_kill")
"""Whether Airflow tells a trigger that its task is over; 3.2 only cancels it, as when a triggerer stops."""


class IriTrigger(BaseTrigger):
    """Fires once: when what it waits for has come about, or when waiting for it makes no sense any more.

    Args:
        iri_conn_id: The connection; its secrets are read here, none is stored with the trigger.

    Attributes:
        owned: Something at the facility is the task's own: it is ended when a person ends the task.
        what: That, for the log.
        wanted: States of the task in which it is not.
        known_as: The XCom in which the task names it.
        tells_connection: The operator goes on through this one: a template may say another by then.
    """

    owned: bool = False
    what: ClassVar[str] = ""
    wanted: ClassVar[frozenset[str | None]] = STILL_WANTED
    known_as: ClassVar[str] = ""
    tells_connection: ClassVar[bool] = False

    minimum_deferral: ClassVar[float] = 8.0
    """Seconds. The executor reports up to 5 s late that the deferring process has ended. If the task is
    queued again by then, the scheduler takes that report for the end of the new process and fails the task
    (apache/airflow threads 66374 and 67287)."""

    def __init__(self, iri_conn_id: str) -> None:
        super().__init__()
        self.iri_conn_id = iri_conn_id
        self._hook: IriHook | None = None
        self._fired = False
        self._ending: asyncio.Task[None] | None = None

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {"iri_conn_id": self.iri_conn_id}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where to find this class, and what to make it from."""
        return (f"{type(self).__module__}.{type(self).__qualname__}", self.words())

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; an outage of the facility is waited out."""
        try:
            payload = await self._payload()
        except asyncio.CancelledError as error:
            if TASK_ENDED in error.args:
                self._begin_to_end()
            elif not TELLS:
                await self.on_kill()
            raise
        self._fired = True
        through = {"iri_conn_id": self.iri_conn_id} if self.tells_connection else {}
        yield TriggerEvent({**through, **self.about, **payload})

    async def _payload(self) -> dict[str, Any]:
        started = time.monotonic()
        try:
            payload = await self._believed(self.come_about)
        except Exception as error:
            # An exception that left here would fail the task without a word to its operator.
            payload = {"trouble": type(error).__name__, "message": str(error)}
        await asyncio.sleep(max(0.0, started + self.minimum_deferral - time.monotonic()))
        return payload

    @property
    def about(self) -> dict[str, Any]:
        """What the operator is told however the wait ends."""
        return {}

    @abstractmethod
    async def come_about(self) -> dict[str, Any]:
        """Wait for it; gives what the operator is told."""

    async def on_kill(self) -> None:
        """End what the task has at the facility, but only if the task is really over.

        Airflow 3.3 also calls this for a triggerer that slept while another took its triggers over
        (apache/airflow thread 73454). A job left alone has its time limit; one cancelled has lost its place.
        """
        self._begin_to_end()
        if self._ending is not None:
            await lasting.see_through(self._ending)

    def _begin_to_end(self) -> None:
        """Begin with it once, and go on whatever Airflow does.

        Airflow 3.3.2 cancels a trigger that is being ended anew at each turn of its loop, about every second:
        also before it has come to ``on_kill``, and then that is called no more. What is slow, or one of
        hundreds, would never be ended.
        """
        if self._ending is None and not self._fired and self.owned and self.task_instance is not None:
            self._ending = lasting.begin(self._end_unless_wanted())

    async def _end_unless_wanted(self) -> None:
        try:
            state = await self._state()
        except Exception as error:
            self.log.warning(
                "%s is left alone: Airflow does not tell the state of its task (%s)", self.what, error
            )
            return
        if state in self.wanted:
            self.log.info("%s is left alone: its task is %s", self.what, state or "cleared")
            return
        try:
            await self._believed(self.end)
        except Exception as error:
            self.log.warning("%s could not be ended; a clear of its task does: %s", self.what, error)
        else:
            self.log.info("ended %s, because its task is %s", self.what, state or "cleared")

    async def _state(self) -> str | None:
        """Of the task; None, too, if it was cleared and waits for another one by now."""
        ti = self.task_instance
        state = await state_of(ti, task_state)
        if state not in self.wanted or not self.known_as:
            return state
        another = await lasting.ask_airflow(has_another, ti, self.known_as, *self.about.values())
        return None if another else state

    async def end(self) -> None:
        """End what the task has at the facility."""

    async def open(self) -> Facility:
        """The facility of the connection."""
        if self._hook is None:
            from airflow_provider_iri.hooks import IriHook

            self._hook = IriHook(self.iri_conn_id)
        return await self._hook.open()

    async def _believed(self, step: Callable[[], Awaitable[T]]) -> T:
        """Take a step; again if its credential was refused and the connection holds another one by now.

        A task may be deferred for days, in which who keeps the connection renews its token many times.
        """
        from iri_common import AuthError

        while True:
            try:
                return await step()
            except AuthError:
                if self._hook is None or not await self._hook.reopen():
                    raise
                self.log.info("the credential is refused: going on with what the connection holds by now")


class IriJobTrigger(IriTrigger):
    """Fires once when a job has ended, or when waiting for it makes no sense any more.

    However many of these a triggerer holds, the core asks a facility about all their jobs in one request.

    Args:
        iri_conn_id: The connection; its secrets are read here, none is stored with the trigger.
        ref: The job's reference.
        deadline: When to give up, in seconds since the epoch; None for never.
        queue_deadline: Likewise, if the job has not begun by then.
        run_seconds: Give up when the job has run for so long.
        owned: The job belongs to the task: it is cancelled when a person ends that.
        follow: What the job writes is told in the task's log.
    """

    what = "the job"
    known_as = "iri_job"
    tells_connection = True

    def __init__(
        self,
        iri_conn_id: str,
        ref: str,
        deadline: float | None = None,
        queue_deadline: float | None = None,
        run_seconds: float | None = None,
        owned: bool = True,
        follow: bool = False,
    ) -> None:
        super().__init__(iri_conn_id)
        self.ref = ref
        self.deadline = deadline
        self.queue_deadline = queue_deadline
        self.run_seconds = run_seconds
        self.owned = owned
        self.follow = follow

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {
            "iri_conn_id": self.iri_conn_id,
            "ref": self.ref,
            "deadline": self.deadline,
            "queue_deadline": self.queue_deadline,
            "run_seconds": self.run_seconds,
            "owned": self.owned,
            "follow": self.follow,
        }

    @property
    def about(self) -> dict[str, Any]:
        """Which job it was."""
        return {"ref": self.ref}

    async def come_about(self) -> dict[str, Any]:
        """Wait for the end of the job."""
        from airflow_provider_iri.limits import Limits, Patience
        from iri_common import WaitTimeout

        facility = await self.open()
        limits = Limits(self.deadline, self.queue_deadline, self.run_seconds)
        # The core calls back outside of this trigger's context, by which Airflow finds the task's log.
        patience = Patience(limits, partial(contextvars.copy_context().run, self._say))
        try:
            return await self._waited(facility, patience)
        except WaitTimeout:
            if self.owned:
                await self._cancel_in_time()
            raise

    async def _waited(self, facility: Facility, patience: Patience) -> dict[str, Any]:
        waiting = patience.wait_awaited(facility.aio, self.ref)
        if not self.follow:
            return told_of(await waiting, patience.began)
        from airflow_provider_iri.output import JobOutput, TriggerBookmark

        # The triggerer of Airflow 3.2.0, which tells triggers of no end either, dies of what a thread asks of
        # its supervisor.
        kept = self.task_instance is not None and hasattr(BaseTrigger, "on_kill")
        bookmark = TriggerBookmark(self.task_instance, self.ref) if kept else None
        output = JobOutput(self.ref, self.log, bookmark)
        status = await output.beside(facility.aio, waiting)
        return {**told_of(status, patience.began), "told": output.complete}

    async def _cancel_in_time(self) -> None:
        """Cancel it here: it may be long until a worker is free, who sees to the rest."""
        try:
            await self._believed(self.end)
        except Exception as error:
            self.log.warning("the job cannot be cancelled now; its task does: %s", error)

    async def end(self) -> None:
        """Cancel the job."""
        await (await self.open()).aio.jobs.cancel(self.ref)

    def _say(self, status: JobStatus) -> None:
        self._fired = self._fired or status.state.terminal  # from now on there is nothing to end
        self.log.info("the job is %s", status.describe())


class IriPathTrigger(IriTrigger):
    """Fires once when a path through a network is up; one that does not come up is given back.

    Args:
        iri_conn_id: The connection.
        ref: The path's reference.
        deadline: When to give up, in seconds since the epoch.
    """

    owned = True
    what = "the path"
    # Unlike a job it stands when the wait is over. A triggerer that slept while another took over finds a
    # task that goes on, or that has succeeded. Where a clear made it go on, its new try gives the path back.
    # Where nothing is kept (3.2), that takes up this path, as the same one.
    wanted = HELD_BY_A_WORKER | ({"success"} if TELLS else {"success", None})

    def __init__(self, iri_conn_id: str, ref: str, deadline: float) -> None:
        super().__init__(iri_conn_id)
        self.ref = ref
        self.deadline = deadline

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {**super().words(), "ref": self.ref, "deadline": self.deadline}

    async def come_about(self) -> dict[str, Any]:
        """Wait until it is up."""
        from iri_common import PathFailed, WaitTimeout

        networks = (await self.open()).aio.networks
        try:
            path = await networks.wait(self.ref, timeout=max(0.0, self.deadline - time.time()))
        except (PathFailed, WaitTimeout):
            await self.end()
            raise
        return {"ref": str(path.ref)}

    async def end(self) -> None:
        """Give the path back."""
        # By its reference: who asked may have kept the record of its key on another host.
        networks = (await self.open()).aio.networks
        await networks.cancel(self.ref)
        await networks.delete(self.ref)


class IriPathReleaseTrigger(IriTrigger):
    """Fires once when a path is given back.

    Args:
        iri_conn_id: The connection.
        ref: The path's reference.
        seconds: For its end.
    """

    def __init__(self, iri_conn_id: str, ref: str, seconds: float) -> None:
        super().__init__(iri_conn_id)
        self.ref = ref
        self.seconds = seconds

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {**super().words(), "ref": self.ref, "seconds": self.seconds}

    async def come_about(self) -> dict[str, Any]:
        """Give it back."""
        networks = (await self.open()).aio.networks
        await networks.cancel(self.ref, timeout=self.seconds)
        await networks.delete(self.ref)
        return {"ref": self.ref}


class IriSightTrigger(IriTrigger):
    """Fires once when one look or another at a facility finds things as they are waited for.

    Args:
        iri_conn_id: The connection.
        kind: What is looked at, a word of :data:`airflow_provider_iri.sights.SIGHTS`.
        words: Of it.
        seconds: Between two looks.
    """

    def __init__(self, iri_conn_id: str, kind: str, words: dict[str, Any], seconds: float) -> None:
        super().__init__(iri_conn_id)
        self.kind = kind
        self.of_kind = words
        self.seconds = seconds

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {**super().words(), "kind": self.kind, "words": self.of_kind, "seconds": self.seconds}

    async def come_about(self) -> dict[str, Any]:
        """Look again and again; whatever passes by itself is waited out."""
        from airflow_provider_iri.sights import SIGHTS, NotYet

        sight, facility, said = SIGHTS[self.kind](**self.of_kind), await self.open(), ""
        while True:
            # In a thread: its few requests are made one after the other, by the same code as in a worker.
            found = await asyncio.to_thread(sight.patiently, facility)
            if not isinstance(found, NotYet):
                return found
            if found.why != said:
                self.log.info("%s; looking again every %g s", found.why, self.seconds)
                said = found.why
            await asyncio.sleep(self.seconds)
