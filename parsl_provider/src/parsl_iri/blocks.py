"""One block: a pilot job at the facility, from the wish to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass

from parsl.jobs.states import TERMINAL_STATES, JobState

from iri_common import (
    AmbiguousReply,
    AuthError,
    Conflict,
    Facility,
    IriError,
    JobKey,
    JobLost,
    JobRef,
    JobSpec,
    NotFound,
)
from iri_common import JobState as State
from iri_common import JobStatus as Status
from parsl_iri import background
from parsl_iri.states import LIVE, FacilityJobStatus, final_state

# Below "parsl": that is the only tree of loggers that Parsl writes into a run's parsl.log.
log = logging.getLogger("parsl.providers.iri")

LONGEST_PAUSE = 30.0  # seconds between two attempts at the same thing
TAIL_SECONDS = 10.0  # for the last lines of a job; they only explain, so they are not waited for longer
TAIL_LINES = 20


@dataclass(frozen=True)
class Ask:
    """What a block asks of the facility.

    Attributes:
        spec: The pilot job.
        resource: Where; None for the facility's default.
        key: Under which it is asked for once.
        walltime: Seconds.
        retry_time: Seconds during which a submit that gets no answer is tried again.
    """

    spec: JobSpec
    resource: str | None
    key: JobKey
    walltime: float
    retry_time: float


@dataclass(frozen=True)
class _Seen:
    """What is known of a block; replaced as a whole, because Parsl's threads read it."""

    state: JobState
    message: str | None = None
    exit_code: int | None = None


class Block:
    """A pilot job. Its coroutines run on the background loop; ``status`` may be read from any thread.

    Attributes:
        id: What Parsl calls it: the name that its job has at the facility.
        ref: The job, once the facility has taken it.
    """

    def __init__(self, facility: Facility, ask: Ask) -> None:
        self.id = ask.key.job_name(ask.spec.name)
        self.ref: JobRef | None = None
        self._facility = facility
        self._ask = ask
        self._seen = _Seen(JobState.PENDING)
        self._active: tuple[Status, float] | None = None  # as first seen, and when by our clock
        self._unwanted = asyncio.Event()
        self._submitted = asyncio.Event()  # or given up: the fate of the submit is known
        self._life: Future[None] | None = None  # kept, because a loop alone does not keep its tasks alive
        self._cancelling: Future[bool] | None = None
        self._tails: dict[str, str] = {}

    # -- for Parsl's threads ---------------------------------------------------------------------------

    def status(self) -> FacilityJobStatus:
        """What is known now; a new object each time, because HTEX rewrites those it is given."""
        seen = self._seen
        return FacilityJobStatus(seen.state, seen.message, seen.exit_code, self.last_lines)

    def start(self) -> None:
        """Begin to submit and to watch."""
        self._life = background.start(self._live())

    def cancel(self) -> Future[bool]:
        """Begin to cancel: what waits is not submitted, what is on its way is cancelled on arrival.

        The result says whether the facility has been told, or need not be. It is tried for as long as the
        job lives, however long the caller waits.
        """
        if self._cancelling is None or self._cancelling.done():
            self._cancelling = background.start(self._cancel())
        return self._cancelling

    def last_lines(self, stream: str) -> str:
        """The end of "stdout" or "stderr" of the job, "" where it cannot be had soon."""
        with contextlib.suppress(Exception):
            return background.start(self._tail(stream)).result(TAIL_SECONDS + 1)
        return ""

    # -- on the background loop ------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            self.ref = await self._submit()
            self._submitted.set()
            if self.ref is not None:
                log.info("%s is %s", self.id, self.ref)
                await self._watch(self.ref)
        except Exception as error:  # or Parsl would wait for this block for ever
            log.exception("%s cannot be followed any more", self.id)
            self._end(JobState.FAILED, f"{self.id} cannot be followed any more: {error}")
        finally:
            self._submitted.set()

    async def _submit(self) -> JobRef | None:
        ask = self._ask
        deadline = time.monotonic() + ask.retry_time
        pause, maybe_sent = 1.0, False
        while maybe_sent or not self._unwanted.is_set():
            try:
                return await self._facility.aio.jobs.submit(ask.spec, resource=ask.resource, key=ask.key)
            except IriError as error:
                ambiguous = isinstance(error, AmbiguousReply)
                maybe_sent = maybe_sent or ambiguous
                if not (ambiguous or error.transient) or time.monotonic() + pause > deadline:
                    log.error("%s could not be submitted: %s", self.id, error)
                    self._end(JobState.FAILED, f"{self.id} could not be submitted: {error}")
                    return None
                log.warning("%s is not submitted yet, trying again in %.0f s: %s", self.id, pause, error)
            await self._pause(pause, wakes=not maybe_sent)
            pause = min(LONGEST_PAUSE, pause * 2)
        self._end(JobState.CANCELLED, f"{self.id} was cancelled before it was submitted")
        return None

    async def _pause(self, seconds: float, *, wakes: bool) -> None:
        """Sleep; with ``wakes`` a cancel ends it."""
        if not wakes:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._unwanted.wait()

    async def _watch(self, ref: JobRef) -> None:
        while True:
            try:
                status = await self._facility.aio.jobs.wait(ref, on_change=self._saw)
                return await self._ended(ref, status)
            except JobLost as error:
                log.error("%s: %s", self.id, error)
                return self._end(JobState.FAILED, str(error))
            except IriError as error:
                # A refused credential, in the main. The job lives on, and so does the last that is known.
                log.error("%s cannot be looked at, trying again in %.0f s: %s", self.id, LONGEST_PAUSE, error)
                await asyncio.sleep(LONGEST_PAUSE)

    def _saw(self, status: Status) -> None:
        if self._seen.state in TERMINAL_STATES or status.state not in LIVE:
            return
        if status.state is State.ACTIVE and self._active is None:
            self._active = (status, time.monotonic())
        if status.state is State.HELD:
            log.warning("%s waits: %s", self.id, status.describe())
        self._seen = _Seen(LIVE[status.state], status.message)

    async def _ended(self, ref: JobRef, status: Status) -> None:
        state = final_state(status, self._ran_for(status), self._ask.walltime)
        message = f"{ref.describe()} ended: {status.describe()}"
        if state is JobState.FAILED and not self._unwanted.is_set():
            said = await self._tail("stderr")
            log.error(
                "%s: %s%s", self.id, message, f"\nthe last lines of its stderr:\n{said}" if said else ""
            )
        else:
            log.info("%s: %s", self.id, message)
        self._end(state, message, status.exit_code)

    def _ran_for(self, status: Status) -> float | None:
        if self._active is None:
            return None
        began, seen_at = self._active
        if began.time is not None and status.time is not None:
            return status.time - began.time
        return time.monotonic() - seen_at

    def _end(self, state: JobState, message: str, exit_code: int | None = None) -> None:
        if state is JobState.FAILED and self._unwanted.is_set():
            state = JobState.CANCELLED  # we ended it; how it took that is no failure of the machine
        self._seen = _Seen(state, message, exit_code)

    async def _cancel(self) -> bool:
        self._unwanted.set()
        await self._submitted.wait()
        pause = 1.0
        while self.ref is not None and self._seen.state not in TERMINAL_STATES:
            try:
                await self._facility.aio.jobs.cancel(self.ref)
                return True
            except (NotFound, Conflict):
                return True  # it has ended; the watch learns how
            except IriError as error:
                log.warning("%s could not be cancelled: %s", self.id, error)
                if not (error.transient or isinstance(error, AuthError)):
                    return False
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        return True

    async def _tail(self, stream: str) -> str:
        if self.ref is None or stream in self._tails:
            return self._tails.get(stream, "")
        text = ""
        with contextlib.suppress(TimeoutError, IriError):
            async with asyncio.timeout(TAIL_SECONDS):
                text = await self._facility.aio.jobs.tail(self.ref, stream, lines=TAIL_LINES)
        text = text.rstrip()[-FacilityJobStatus.SUMMARY_TRUNCATION_THRESHOLD :]
        if text and self._seen.state in TERMINAL_STATES:
            self._tails[stream] = text
        return text
