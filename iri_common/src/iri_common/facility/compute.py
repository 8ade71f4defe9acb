"""Commands and functions at endpoints of Globus Compute: asked for once, waited for together; two faces."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from iri_common.apis.globus import GlobusCredential
from iri_common.facility.collections import Globus, Speaker, open_globus
from iri_common.facility.facing import Face, awaited, awaited_watch, blocking, blocking_watch
from iri_common.facility.granted import Gate, speak_for
from iri_common.facility.profiles import speaker_of
from iri_common.jobs.computetasks import LABEL, TaskStarter
from iri_common.jobs.ledger import FileLedger
from iri_common.jobside.calls import Call, plain
from iri_common.jobside.guard import Guard
from iri_common.model.compute import ComputeApi, ComputeEndpoint, ComputeState, ComputeTask
from iri_common.model.errors import ComputeFailed, IriError, NotFound, NotOffered, UsageError, WaitTimeout
from iri_common.model.grant import Audit, Grant
from iri_common.model.key import JobKey
from iri_common.model.logfields import about
from iri_common.model.ports import Ledger
from iri_common.policy.globus_tasks import TaskPace
from iri_common.policy.operations import ask_of
from iri_common.policy.places import place

log = logging.getLogger(__name__)

LIMIT = 3600.0  # seconds without an answer after which a wait is given up; the task goes on
_FIELDS = about(facility=LABEL)
_SAID = 2000  # characters of an endpoint's words in a message; the task has them all
OnTask = Callable[[ComputeTask], object]


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """An endpoint, and how tasks run there.

    Attributes:
        id: Its id.
        config: What its owner lets users choose, as account and queue. Another one is another process of the
            endpoint, with batch jobs of its own: keep it the same, and nothing in it that changes by the run.
        resources: What one task takes, where the endpoint runs tasks of several ranks.
        root: The directory, on a file system that all its workers share, in which it is kept which task works
            for a key; None for ``.iri`` in the home directory.
    """

    id: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    resources: Mapping[str, Any] = field(default_factory=dict[str, Any])
    root: str | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "id", str(uuid.UUID(self.id)))
        except ValueError:
            raise UsageError(f"{self.id!r} is no endpoint's id, which is a UUID") from None
        Guard(JobKey("root"), self.root)
        plain([self.config, self.resources], "the configuration of an endpoint")


class ComputeService:
    """Tasks at one endpoint as one identity at Globus.

    Args:
        endpoint: Where.
        speaker: Whose, and what for.
        ledger: Where it is kept what was asked for.
        pace: Of looking.
    """

    def __init__(self, endpoint: EndpointSettings, speaker: Speaker, ledger: Ledger, pace: TaskPace) -> None:
        self._endpoint = endpoint
        self._speaker = speaker
        self._ledger = ledger
        self._pace = pace

    @property
    def _globus(self) -> Globus:
        return open_globus(self._speaker.credential)

    @property
    def _gate(self) -> Gate:
        return self._speaker.gate(LABEL)

    @property
    def _compute(self) -> ComputeApi:
        return self._gate.port("compute", self._globus.compute)

    @property
    def _starter(self) -> TaskStarter:
        where = self._endpoint
        return TaskStarter(self._compute, self._ledger, where.id, where.config, where.resources, where.root)

    async def endpoint(self) -> ComputeEndpoint:
        """The endpoint, and whether it is online."""
        return (await self._compute.endpoint(self._endpoint.id)).value

    async def endpoints(self, *, all_visible: bool = False) -> Sequence[ComputeEndpoint]:
        """The endpoints of this identity, or all that it may see; whether they are online is not told."""
        return (await self._compute.endpoints(all_visible=all_visible)).value

    async def start(self, call: Call, *, key: JobKey | None = None, queue: bool = False) -> str:
        """Have a command or a function run, once for each key; gives the task's id.

        Args:
            call: A :class:`ShellCall` or :class:`FunctionCall`.
            key: Who asks; by default somebody who asks once.
            queue: Leave it there if the endpoint is not online; Globus keeps it for two weeks.

        Raises:
            ResourceDown: if the endpoint is not online.
            SpecChanged: if the key was used for something else.
            SubmitUncertain: if whether it runs is unknown.
            AuthError: with the command to run, where a login or a consent is missing.
            Refused: if the endpoint does not take it.
        """
        asker, starter = key or JobKey.random(), self._starter
        speak_for(asker)
        await self._gate.admit(ask_of("compute", "submit", {"request": starter.request(asker, call)}))
        return await starter.start(asker, call, queue=queue)

    async def run(
        self,
        call: Call,
        *,
        key: JobKey | None = None,
        queue: bool = False,
        timeout: float | None = None,
        on_change: OnTask | None = None,
    ) -> ComputeTask:
        """Have something run as :meth:`start` does, and wait until it has done what was asked.

        A result that Globus has dropped, or has under an id that nobody tells, is asked for at the endpoint,
        which keeps those of plain data.

        Raises:
            ComputeFailed: if it does not: the function raised, the command ended with another code than 0.
            WaitTimeout: if it takes longer; it goes on.
        """
        key = key or JobKey.random()
        task_id = await self.start(call, key=key, queue=queue)
        task = await self.wait(task_id, timeout=timeout, on_change=on_change)
        elsewhere = task.state is ComputeState.DROPPED or task.double_of == ""
        if elsewhere and (again := await self._starter.recall(key, call)):
            left = await self.wait(again, timeout=timeout)
            told = left.state is ComputeState.SUCCEEDED and left.double_of is None
            task = replace(left, task_id=task.task_id) if told else task
        if not task.ok:
            raise ComputeFailed(_failure(task), task=task, facility=LABEL)
        return task

    async def wait(
        self, task_id: str, *, timeout: float | None = None, on_change: OnTask | None = None
    ) -> ComputeTask:
        """The task at its end, whatever end; the one that does the work, where this one is its double.

        Globus keeps a result for half an hour after the end: who waits later may be told that it was dropped.

        Args:
            task_id: Of the task.
            timeout: Seconds; None for as long as it takes.
            on_change: Called when its state has changed.

        Raises:
            WaitTimeout: if it takes longer; it goes on.
            NotFound: if this identity sees no such task.
        """
        await self._gate.admit(ask_of("compute", "tasks", {"task_ids": [task_id]}))
        try:
            async with asyncio.timeout(timeout):
                return await _Wait(self._globus, task_id, self._pace, on_change).to_the_end()
        except TimeoutError:
            raise WaitTimeout(
                f"task {task_id} was not over after {timeout:g} s; it goes on", facility=LABEL
            ) from None

    async def status(self, task_id: str) -> ComputeTask:
        """The task as it is now.

        Raises:
            NotFound: if this identity sees no such task.
        """
        task = (await self._compute.tasks([task_id])).value.get(task_id)
        if task is None:
            raise _gone(task_id)
        return task

    async def cancel(self, task_id: str) -> None:
        """Not offered.

        Raises:
            NotOffered: with what bounds a task instead.
        """
        raise NotOffered(
            f"Globus Compute ends no task that it has taken, and {task_id} goes on: give a ShellCall its "
            "seconds, or end the endpoint's batch job at the facility",
            facility=LABEL,
        )


class _Wait:
    """The wait for one task."""

    def __init__(self, globus: Globus, task_id: str, pace: TaskPace, on_change: OnTask | None) -> None:
        self._globus, self._task_id, self._pace, self._on_change = globus, task_id, pace, on_change
        self._asked_for = task_id
        self._seen: ComputeTask | None = None
        self._changed_at = self._answered_at = self._now()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def to_the_end(self) -> ComputeTask:
        delay = 0.0
        while True:
            try:
                task = await self._globus.compute_poller.look(self._task_id, delay)
            except IriError as error:
                if not error.transient or self._now() - self._answered_at > LIMIT:
                    raise
                log.info("task %s cannot be seen now: %s", self._task_id, error, extra=_FIELDS)
            else:
                self._answered_at = self._now()
                if task is None:
                    raise _gone(self._task_id)
                self._note(task)
                if task.double_of and task.double_of != self._asked_for:
                    log.info("task %s left the work to %s", task.task_id, task.double_of, extra=_FIELDS)
                    self._task_id = task.double_of
                    delay = 0.0
                    continue
                if task.state.over:
                    return task
            delay = self._pace.delay(self._now() - self._changed_at, random.random())

    def _note(self, task: ComputeTask) -> None:
        if task == self._seen:
            return
        self._seen, self._changed_at = task, self._now()
        if self._on_change is not None:
            self._on_change(task)


class AsyncCompute(Face[ComputeService]):
    """Commands and functions, awaited."""

    endpoint = awaited(ComputeService.endpoint)
    endpoints = awaited(ComputeService.endpoints)
    start = awaited(ComputeService.start)
    run = awaited_watch(ComputeService.run)
    wait = awaited_watch(ComputeService.wait)
    status = awaited(ComputeService.status)
    cancel = awaited(ComputeService.cancel)


class Compute(Face[ComputeService]):
    """Commands and functions at an endpoint of Globus Compute, each run once for its key.

    Example:
        >>> polaris = Compute("<endpoint id>", config={"account": "m1", "queue": "debug"})
        >>> polaris.run(ShellCall("make check", "~/src"), key=JobKey.of("check", 12)).shell.stdout
        >>> polaris.run(FunctionCall.of(reconstruct, 12), key=JobKey.of("scan", 12)).value

    Args:
        endpoint: Its id.
        config: As in :class:`EndpointSettings`.
        resources: As there.
        root: As there.
        credential: Who speaks to Globus; by default who the section ``[globus]`` names.
        grant: What it may be used for; of that section's it can only be a part.
        audit: What is written down: "off", "acts" or "all".
        ledger: Where it is kept what was asked for; by default files in the user's state directory.
        pace: Of looking.

    Raises:
        UsageError: if nobody is named who speaks to Globus.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        config: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        root: str | None = None,
        credential: GlobusCredential | None = None,
        grant: Grant | Mapping[str, Any] | str | None = None,
        audit: Audit | str | None = None,
        ledger: Ledger | None = None,
        pace: TaskPace | None = None,
    ) -> None:
        speaker = speaker_of(credential, grant, audit)
        # Apart from the jobs': whoever lists those does not know what a task of an endpoint is.
        kept = ledger or FileLedger(Path(place(os.environ, "state", "compute")).expanduser())
        where = EndpointSettings(endpoint, config or {}, resources or {}, root)
        service = ComputeService(where, speaker, kept, pace or TaskPace())
        super().__init__(service)
        self.aio = AsyncCompute(service)

    endpoint = blocking(ComputeService.endpoint)
    endpoints = blocking(ComputeService.endpoints)
    start = blocking(ComputeService.start)
    run = blocking_watch(ComputeService.run)
    wait = blocking_watch(ComputeService.wait)
    status = blocking(ComputeService.status)
    cancel = blocking(ComputeService.cancel)


def _failure(task: ComputeTask) -> str:
    """Why a task did not do what was asked."""
    lead = f"task {task.task_id}"
    if task.state is ComputeState.DROPPED:
        return (
            f"{lead} is over ({task.status}), and neither Globus, which keeps a result for half an hour, nor "
            "the endpoint has what came of it. The next generation of the key does the work again"
        )
    if task.double_of is not None:
        return (
            f"{lead} left the work to another task of the same key, and the endpoint does not tell which: "
            "its result is told to whoever asks with this key after its end"
        )
    if task.shell is None:
        return f"{lead} failed at the endpoint: {_end_of(task.trouble) or 'no reason is told'}"
    end = "took longer than its seconds" if task.shell.timed_out else f"ended with {task.shell.exit_code}"
    return f"the command of {lead} {end}: {_end_of(task.shell.stderr) or 'it wrote nothing to stderr'}"


def _end_of(words: str) -> str:
    text = words.strip()
    return text if len(text) <= _SAID else f"…{text[-_SAID:]}"


def _gone(task_id: str) -> NotFound:
    return NotFound(
        f"this identity sees no task {task_id}: it was asked for by another one, or is too old",
        facility=LABEL,
    )
