"""Flows that Globus runs: started once, waited for together; one service and its two faces."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iri_common.apis.globus import GlobusCredential
from iri_common.facility.collections import Globus, Speaker, open_globus
from iri_common.facility.facing import Face, awaited, awaited_watch, blocking, blocking_watch
from iri_common.facility.granted import Gate, speak_for
from iri_common.facility.profiles import speaker_of
from iri_common.jobs.flowruns import DIALECT, LABEL, RunStarter
from iri_common.jobs.ledger import FileLedger
from iri_common.model.errors import AuthError, FlowFailed, IriError, NotFound, UsageError, WaitTimeout
from iri_common.model.flows import FlowRun, FlowsApi, RunEvent, RunRequest, RunState
from iri_common.model.grant import Audit, Grant
from iri_common.model.key import JobKey
from iri_common.model.logfields import about
from iri_common.model.ports import Ledger
from iri_common.model.ref import JobRef
from iri_common.policy.globus_tasks import TaskPace, run_label
from iri_common.policy.operations import RUN, ask_of
from iri_common.policy.places import place
from iri_common.transfers.globus_poller import TaskPoller

log = logging.getLogger(__name__)

LIMIT = 3600.0  # seconds without an answer after which a wait is given up; the run goes on
_FIELDS = about(facility=LABEL)
OnRun = Callable[[FlowRun], object]


class FlowService:
    """Runs of flows as one identity at Globus.

    Args:
        speaker: Whose, and what for.
        ledger: Where it is kept what was started.
        pace: Of looking.
    """

    def __init__(self, speaker: Speaker, ledger: Ledger, pace: TaskPace) -> None:
        self._speaker = speaker
        self._ledger = ledger
        self._pace = pace

    @property
    def _globus(self) -> Globus:
        return open_globus(self._speaker.credential)

    @property
    def _gate(self) -> Gate:
        return self._speaker.gate(LABEL, self._flow_of)

    @property
    def _flows(self) -> FlowsApi:
        return self._gate.port("flows", self._globus.flows)

    async def _flow_of(self, name: str) -> Sequence[str]:
        """Of which flow a run is; whoever may use some flows may use the runs of those."""
        what, _, run_id = name.partition(" ")
        run = (await self._globus.flows.runs([run_id])).value.get(run_id) if what == RUN else None
        return [run.flow_id] if run is not None else []

    async def start(
        self,
        flow: str,
        body: Mapping[str, Any],
        *,
        key: JobKey | None = None,
        label: str = "",
        tags: Sequence[str] = (),
    ) -> str:
        """Start a flow, once for each key; gives the run's id.

        Args:
            flow: Its id.
            body: Its input.
            key: Who asks; by default somebody who asks once.
            label: For people; the key is added to it.
            tags: For people.

        Raises:
            SpecChanged: if the key was used for another flow or input.
            SubmitUncertain: if whether it runs is unknown.
            AuthError: with the command to run, where a login or a consent is missing.
            Refused: if the input does not fit the flow.
        """
        asker = key or JobKey.random()
        request = RunRequest(_flow_id(flow), _json(body), run_label(asker, label), tuple(tags))
        speak_for(asker)
        await self._gate.admit(ask_of("flows", "start", {"request": request}))
        starter = RunStarter(self._flows, self._ledger)
        return await starter.start(asker, request, search=key is not None)

    async def run(
        self,
        flow: str,
        body: Mapping[str, Any],
        *,
        key: JobKey | None = None,
        label: str = "",
        tags: Sequence[str] = (),
        timeout: float | None = None,
        on_change: OnRun | None = None,
    ) -> FlowRun:
        """Start a flow as :meth:`start` does, and wait until it succeeds.

        Raises:
            FlowFailed: if it does not.
            WaitTimeout: if it takes longer; it goes on.
        """
        run_id = await self.start(flow, body, key=key, label=label, tags=tags)
        run = await self.wait(run_id, timeout=timeout, on_change=on_change)
        if run.state is not RunState.SUCCEEDED:
            why = ": ".join(each for each in (run.code, run.words) if each) or "no reason is told"
            raise FlowFailed(f"run {run_id} of flow {flow} {run.state}: {why}", run=run, facility=LABEL)
        return run

    async def wait(
        self, run_id: str, *, timeout: float | None = None, on_change: OnRun | None = None
    ) -> FlowRun:
        """The run at its end, whatever end.

        One that waits for a consent is resumed once for it, which is enough where the credential can give it
        by itself, or somebody has given it meanwhile.

        Args:
            run_id: Of the run.
            timeout: Seconds; None for as long as it takes.
            on_change: Called when its state or its reason has changed.

        Raises:
            AuthError: with the command to run; the run stays as it is, and is to be waited for again.
            WaitTimeout: if it takes longer; it goes on.
            NotFound: if this identity sees no such run.
        """
        await self._gate.admit(ask_of("flows", "runs", {"run_ids": [run_id]}))
        try:
            async with asyncio.timeout(timeout):
                poller = self._globus.run_poller
                return await _Wait(self._flows, poller, run_id, self._pace, on_change).to_the_end()
        except TimeoutError:
            raise WaitTimeout(
                f"run {run_id} was not over after {timeout:g} s; it goes on", facility=LABEL
            ) from None

    async def status(self, run_id: str) -> FlowRun:
        """The run as it is now.

        Raises:
            NotFound: if this identity sees no such run.
        """
        run = (await self._flows.runs([run_id])).value.get(run_id)
        if run is None:
            raise _gone(run_id)
        return run

    async def statuses(self, run_ids: Sequence[str]) -> Mapping[str, FlowRun]:
        """Several runs as they are now; those that this identity does not see are missing."""
        return (await self._flows.runs(run_ids)).value if run_ids else {}

    async def mine(self) -> Sequence[JobRef]:
        """The runs that are on record here, by flow (``resource_id``) and run (``job_id``), oldest first."""
        records = sorted(await self._ledger.records(), key=lambda each: each.asked_at)
        refs = [JobRef.parse(each.ref) for each in records]
        return [each for each in refs if each.dialect == DIALECT and each.job_id is not None]

    async def find(self, flow: str, key: JobKey, *, label: str = "") -> FlowRun | None:
        """The run that was started under a key and label, from wherever; None where there is none."""
        found = (await self._flows.find(_flow_id(flow), run_label(key, label))).value
        return found[-1] if found else None

    async def log(self, run_id: str, *, limit: int = 100) -> Sequence[RunEvent]:
        """The newest lines of a run's log, oldest of them first; at most 100."""
        if not 1 <= limit <= 100:
            raise UsageError(f"a log is told in 1 to 100 lines, not {limit}")
        return (await self._flows.log(run_id, limit)).value

    async def resume(self, run_id: str) -> None:
        """Have a run that is INACTIVE go on.

        Raises:
            AuthError: with the command to run.
        """
        await self._flows.resume(await self.status(run_id))

    async def cancel(self, run_id: str) -> None:
        """End a run, and with it, as far as they take notice, the actions that it waits for."""
        await self._flows.cancel(run_id)

    async def release(self, run_id: str) -> None:
        """Have Globus forget a run that is over, with its log and output.

        Raises:
            Conflict: if it is not over.
        """
        await self._flows.release(run_id)


class _Wait:
    """The wait for one run."""

    def __init__(
        self,
        flows: FlowsApi,
        poller: TaskPoller[FlowRun],
        run_id: str,
        pace: TaskPace,
        on_change: OnRun | None,
    ) -> None:
        self._flows, self._poller = flows, poller
        self._run_id, self._pace, self._on_change = run_id, pace, on_change
        self._seen: FlowRun | None = None
        self._resumed = set[Sequence[str]]()  # for what
        self._changed_at = self._answered_at = self._now()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def to_the_end(self) -> FlowRun:
        delay = 0.0
        while True:
            try:
                run = await self._poller.look(self._run_id, delay)
            except IriError as error:
                if not error.transient or self._now() - self._answered_at > LIMIT:
                    raise
                log.info("run %s cannot be seen now: %s", self._run_id, error, extra=_FIELDS)
            else:
                self._answered_at = self._now()
                if run is None:
                    raise _gone(self._run_id)
                self._note(run)
                if run.state.over:
                    return run
                if run.state is RunState.INACTIVE and run.remedy:
                    await self._resume(run)
            delay = self._pace.delay(self._now() - self._changed_at, random.random())

    def _note(self, run: FlowRun) -> None:
        if run == self._seen:
            return
        self._seen, self._changed_at = run, self._now()
        if run.state is RunState.INACTIVE and not run.remedy:
            log.warning("run %s waits for somebody: %s", self._run_id, run.words, extra=_FIELDS)
        if self._on_change is not None:
            self._on_change(run)

    async def _resume(self, run: FlowRun) -> None:
        if run.wants in self._resumed:
            what = f"run {run.run_id} of flow {run.flow_id} waits ({run.words})"
            raise AuthError(f"{what}; {run.remedy}, then wait for it again", facility=LABEL)
        self._resumed.add(run.wants)
        await self._flows.resume(run)


class AsyncFlows(Face[FlowService]):
    """Flows, awaited."""

    start = awaited(FlowService.start)
    run = awaited_watch(FlowService.run)
    wait = awaited_watch(FlowService.wait)
    status = awaited(FlowService.status)
    statuses = awaited(FlowService.statuses)
    mine = awaited(FlowService.mine)
    find = awaited(FlowService.find)
    log = awaited(FlowService.log)
    resume = awaited(FlowService.resume)
    cancel = awaited(FlowService.cancel)
    release = awaited(FlowService.release)


class Flows(Face[FlowService]):
    """Flows that Globus runs: started once for each key, watched, cancelled, released.

    Example:
        >>> flows = Flows()
        >>> run = flows.run("<flow id>", {"source": "…"}, key=JobKey.of("scan", 12))
        >>> run.output

    Args:
        credential: Who speaks to Globus; by default who the section ``[globus]`` names.
        grant: What it may be used for; of that section's it can only be a part.
        audit: What is written down: "off", "acts" or "all".
        ledger: Where it is kept what was started; by default files in the user's state directory.
        pace: Of looking.

    Raises:
        UsageError: if nobody is named who speaks to Globus.
    """

    def __init__(
        self,
        credential: GlobusCredential | None = None,
        *,
        grant: Grant | Mapping[str, Any] | str | None = None,
        audit: Audit | str | None = None,
        ledger: Ledger | None = None,
        pace: TaskPace | None = None,
    ) -> None:
        speaker = speaker_of(credential, grant, audit)
        # Apart from the jobs': whoever lists those does not know what a run of a flow is.
        kept = ledger or FileLedger(Path(place(os.environ, "state", "flows")).expanduser())
        service = FlowService(speaker, kept, pace or TaskPace())
        super().__init__(service)
        self.aio = AsyncFlows(service)

    start = blocking(FlowService.start)
    run = blocking_watch(FlowService.run)
    wait = blocking_watch(FlowService.wait)
    status = blocking(FlowService.status)
    statuses = blocking(FlowService.statuses)
    mine = blocking(FlowService.mine)
    find = blocking(FlowService.find)
    log = blocking(FlowService.log)
    resume = blocking(FlowService.resume)
    cancel = blocking(FlowService.cancel)
    release = blocking(FlowService.release)


def _gone(run_id: str) -> NotFound:
    return NotFound(
        f"this identity sees no run {run_id}: it was started by another one, was released, or is too old",
        facility=LABEL,
    )


def _flow_id(flow: str) -> str:
    try:
        return str(uuid.UUID(flow))
    except ValueError:
        raise UsageError(f"{flow!r} is no flow's id, which is a UUID") from None


def _json(body: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return json.loads(json.dumps(dict(body), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(f"the input of a flow is plain JSON: {error}") from None
