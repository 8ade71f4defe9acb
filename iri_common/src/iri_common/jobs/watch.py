"""One poller for all watched jobs of a resource: as many waiters as you like, the requests of one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from iri_common.model.errors import AuthError, IriError, JobLost, NotOffered, PermissionDenied
from iri_common.model.job import JobStatus
from iri_common.model.ports import JobsApi
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState
from iri_common.policy.pace import Pace, next_tick, still_missing

log = logging.getLogger(__name__)

OnChange = Callable[[JobStatus], None]
BULK_FROM = 3  # watched jobs: fewer are asked for one by one
PAGE = 1000
MOST_PAGES = 20


@dataclass(slots=True, eq=False)
class _Waiter:
    future: asyncio.Future[JobStatus]
    on_change: OnChange | None


@dataclass(slots=True)
class _Watched:
    ref: JobRef
    changed_at: float
    status: JobStatus | None = None
    missing_since: float | None = None
    waiters: list[_Waiter] = field(default_factory=list[_Waiter])


class Poller:
    """Looks at the watched jobs of one resource, as one principal, at one pace.

    Live jobs are read from the facility's list of live jobs, one request however many there are; a job
    that is not in it has ended or is late, and is asked for by its id. Nothing that goes wrong in a look
    loses a waiter: an outage is waited out, only a refused credential is told to them.

    Args:
        jobs: The dialect's jobs.
        resource_id: Where they run.
        pace: How often to look.
        label: What messages call the facility.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self,
        jobs: JobsApi,
        resource_id: str,
        pace: Pace,
        label: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = jobs
        self._resource_id = resource_id
        self._pace = pace
        self._label = label
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._task: asyncio.Task[None] | None = None
        self._joined = asyncio.Event()
        self._last_look: float | None = None
        self._failures = 0
        self._lists = True
        self._strange: set[str] = set()

    async def wait(self, ref: JobRef, on_change: OnChange | None = None) -> JobStatus:
        """Wait until the facility says that the job has ended.

        Args:
            ref: With its job id.
            on_change: Called on this loop with each status whose state is a new one.

        Raises:
            JobLost: if the job stays unlisted beyond the grace.
            AuthError: if the credential is refused; the job is not touched by that.
        """
        job_id = ref.job_id or ""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), on_change)
        watched = self._watched.setdefault(job_id, _Watched(ref, self._clock()))
        watched.waiters.append(waiter)
        if on_change and watched.status:
            on_change(watched.status)
        self._joined.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"watch {self._label}/{self._resource_id}")
        try:
            return await waiter.future
        finally:
            self._leave(job_id, waiter)

    @property
    def watched(self) -> int:
        """How many jobs are watched now."""
        return len(self._watched)

    def _leave(self, job_id: str, waiter: _Waiter) -> None:
        watched = self._watched.get(job_id)
        if watched is not None and waiter in watched.waiters:
            watched.waiters.remove(waiter)
            if not watched.waiters:
                del self._watched[job_id]

    async def _run(self) -> None:
        while self._watched:
            await self._pause()
            if self._watched:
                self._last_look = self._clock()
                await self._look()

    async def _pause(self) -> None:
        now = self._clock()
        delay = next_tick(
            self._pace, (now - each.changed_at for each in self._watched.values()), self._failures
        )
        since = now - self._last_look if self._last_look is not None else None
        fresh = any(each.status is None for each in self._watched.values())
        if fresh and not self._failures:
            # Whoever has just joined is looked at soon, and so are the others that join with it.
            delay = 0.0 if since is None else max(0.0, self._pace.quickest - since)
        elif since is not None:
            delay = max(0.0, delay - since)
        if fresh or delay == 0.0:
            await asyncio.sleep(delay)
            return
        self._joined.clear()
        try:
            await asyncio.wait_for(self._joined.wait(), delay)
        except TimeoutError:
            return
        await self._pause()

    async def _look(self) -> None:
        try:
            rest = await self._look_at_list() if self._bulk() else list(self._watched)
            answered = await self._look_one_by_one(rest)
        except (AuthError, PermissionDenied) as error:
            self._reject_all(error)
        except Exception as error:
            self._count_failure(error)
        else:
            if answered:
                self._failures = 0

    def _bulk(self) -> bool:
        return self._lists and len(self._watched) >= BULK_FROM

    async def _look_at_list(self) -> list[str]:
        """See what the list of live jobs shows; gives the ids that it does not show."""
        wanted = set(self._watched)
        try:
            for page in range(MOST_PAGES):
                entries = await self._jobs.list(
                    self._resource_id, offset=page * PAGE, limit=PAGE, historical=False, names=False
                )
                for entry in entries.value:
                    if entry.job_id in wanted:
                        wanted.discard(entry.job_id)
                        self._saw(entry.job_id, entry.status)
                if len(entries.value) < PAGE or not wanted:
                    break
        except NotOffered:
            self._lists = False  # a site without the list: one by one from now on
        except (AuthError, PermissionDenied):
            raise
        except IriError as error:
            # Some sites' lists time out where single looks work (iri-facility-api-python issue 55).
            log.info("the job list of %s is not to be had now (%s); asking one by one", self._label, error)
        return sorted(wanted)

    async def _look_one_by_one(self, job_ids: Iterable[str]) -> bool:
        """Ask for each; True unless every single question went unanswered."""
        ids = list(job_ids)
        results = await asyncio.gather(*(self._look_at(job_id) for job_id in ids), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        for error in errors:
            if isinstance(error, AuthError | PermissionDenied):
                raise error
        if errors:
            self._count_failure(errors[0])
        return len(errors) < max(1, len(ids))

    async def _look_at(self, job_id: str) -> None:
        self._saw(job_id, (await self._jobs.status(self._resource_id, job_id)).value)

    def _saw(self, job_id: str, status: JobStatus) -> None:
        watched = self._watched.get(job_id)
        if watched is None:
            return
        if status.state is JobState.MISSING:
            self._saw_nothing(watched)
            return
        watched.missing_since = None
        if status.state is JobState.UNKNOWN and status.raw_state and status.raw_state not in self._strange:
            self._strange.add(status.raw_state)
            log.warning("%s uses a job state we do not know: %r; waiting on", self._label, status.raw_state)
        if watched.status is None or watched.status.raw_state != status.raw_state:
            watched.changed_at = self._clock()
            for waiter in list(watched.waiters):
                if waiter.on_change:
                    waiter.on_change(status)
        watched.status = status
        if status.state.terminal:
            for waiter in watched.waiters:
                if not waiter.future.done():
                    waiter.future.set_result(status)
            del self._watched[job_id]

    def _saw_nothing(self, watched: _Watched) -> None:
        now = self._clock()
        watched.missing_since = watched.missing_since if watched.missing_since is not None else now
        last = watched.status.state if watched.status else None
        if still_missing(now - watched.missing_since, last):
            return
        seen = watched.status.describe() if watched.status else "never"
        error = JobLost(
            f"{watched.ref.describe()} is no longer known there (last seen: {seen}); "
            "whether it did its work is unknown. "
            "Look at its output, then ask again with the next generation if it must run",
            ref=watched.ref,
            facility=self._label,
        )
        self._reject(watched, error)

    def _reject_all(self, error: Exception) -> None:
        for watched in list(self._watched.values()):
            self._reject(watched, error)

    def _reject(self, watched: _Watched, error: Exception) -> None:
        self._watched.pop(watched.ref.job_id or "", None)
        for waiter in watched.waiters:
            if not waiter.future.done():
                waiter.future.set_exception(error)

    def _count_failure(self, error: BaseException) -> None:
        self._failures += 1
        if self._failures == 1:
            log.warning(
                "%s does not tell how its jobs are (%s); they are left alone and asked for again",
                self._label,
                error,
            )
