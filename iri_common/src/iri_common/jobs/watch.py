"""One poller for all watched jobs of a resource: as many waiters as you like, the requests of one."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from iri_common.jobs.search import pages
from iri_common.model.errors import AuthError, IriError, JobLost, NotOffered, PermissionDenied, Refused
from iri_common.model.job import JobStatus
from iri_common.model.ports import JobsApi
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState
from iri_common.policy.pace import Pace, next_tick, still_missing

log = logging.getLogger(__name__)

OnChange = Callable[[JobStatus], None]
NORMAL = Pace()
BULK_FROM = 3  # watched jobs: fewer are asked for one by one


@dataclass(slots=True, eq=False)
class _Waiter:
    future: asyncio.Future[JobStatus]
    on_change: OnChange | None
    patient: bool = False


@dataclass(slots=True)
class _Watched:
    ref: JobRef
    changed_at: float
    pace: Pace
    status: JobStatus | None = None
    missing_since: float | None = None
    complained: bool = False
    waiters: list[_Waiter] = field(default_factory=list[_Waiter])


class Poller:
    """Looks at the watched jobs of one resource, as one principal, at one pace.

    Live jobs are read from the facility's list of live jobs, one request however many there are; a job
    that is not in it has ended or is late, and is asked for by its id. Nothing that goes wrong in a look
    loses a waiter: an outage is waited out, only a refused credential or a missing right is told to them.

    Args:
        jobs: The dialect's jobs.
        resource_id: Where they run.
        label: What messages call the facility.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self,
        jobs: JobsApi,
        resource_id: str,
        label: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = jobs
        self._resource_id = resource_id
        self._label = label
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._task: asyncio.Task[None] | None = None
        self._joined = asyncio.Event()
        self._last_look: float | None = None
        self._failures = 0
        self._lists = True
        self._strange: set[str] = set()

    async def wait(
        self,
        ref: JobRef,
        on_change: OnChange | None = None,
        *,
        pace: Pace = NORMAL,
        patient: bool = False,
    ) -> JobStatus:
        """Wait until the facility says that the job has ended.

        Args:
            ref: With its job id.
            on_change: Called on this loop with each status whose state is a new one.
            pace: How often to look; of several waits for one job the quickest counts.
            patient: Wait even if the credential is refused from the start.

        Raises:
            JobLost: if the job stays unlisted beyond the grace.
            AuthError: if the credential is refused; the job is not touched by that.
            PermissionDenied: if the principal may not see this job.
        """
        job_id = ref.job_id or ""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), on_change, patient)
        watched = self._watched.setdefault(job_id, _Watched(ref, self._clock(), pace))
        watched.pace = min(watched.pace, pace, key=lambda each: each.quickest)
        watched.waiters.append(waiter)
        if watched.status:
            _tell(waiter, watched.status)
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
                await self._look()
                # From the end of the look: one that took minutes to fail is no reason to hurry.
                self._last_look = self._clock()

    async def _pause(self) -> None:
        while True:
            self._joined.clear()
            try:
                await asyncio.wait_for(self._joined.wait(), self._delay())
            except TimeoutError:
                return

    def _delay(self) -> float:
        """Seconds until the next look, as of now."""
        if self._last_look is None:
            return 0.0
        now = self._clock()
        if not self._failures and any(each.status is None for each in self._watched.values()):
            # Whoever has just joined is looked at soon, and so are the others that join with it.
            pause = min(each.pace.quickest for each in self._watched.values() if each.status is None)
        else:
            pause = min(
                next_tick(each.pace, [now - each.changed_at], self._failures)
                for each in self._watched.values()
            )
        return max(0.0, self._last_look + pause - now)

    async def _look(self) -> None:
        try:
            wanted = list(self._watched)
            rest = await self._look_at_list() if self._bulk() else None
            errors = await self._look_one_by_one(wanted if rest is None else rest)
        except AuthError as error:
            self._failures += 1
            self._reject_all(error)
        except Exception as error:
            self._count_failure(error)
        else:
            if len(errors) < len(wanted):
                self._answered(errors)
            else:
                self._count_failure(next(iter(errors.values())))

    def _bulk(self) -> bool:
        return self._lists and len(self._watched) >= BULK_FROM

    async def _look_at_list(self) -> list[str] | None:
        """See what the list of live jobs shows; gives the ids that it does not show, None without a list."""
        wanted = set(self._watched)
        try:
            async for entries, _ in pages(self._jobs, self._resource_id, historical=False, names=False):
                for entry in entries:
                    if entry.job_id in wanted:
                        wanted.discard(entry.job_id)
                        self._saw(entry.job_id, entry.status)
                if not wanted:
                    break
        except (NotOffered, PermissionDenied):
            self._lists = False  # a site without the list: one by one from now on
            return None
        except AuthError:
            raise
        except IriError as error:
            # Some sites' lists time out where single looks work (iri-facility-api-python issue 55).
            log.info("the job list of %s is not to be had now (%s); asking one by one", self._label, error)
            return None
        return sorted(wanted)

    async def _look_one_by_one(self, job_ids: Iterable[str]) -> dict[str, BaseException]:
        """Ask for each; gives the questions that went unanswered."""
        ids = [job_id for job_id in job_ids if job_id in self._watched]
        results = await asyncio.gather(*(self._look_at(job_id) for job_id in ids), return_exceptions=True)
        errors = {
            job_id: result
            for job_id, result in zip(ids, results, strict=True)
            if isinstance(result, BaseException)
        }
        for error in errors.values():
            if isinstance(error, AuthError):
                raise error
        return errors

    async def _look_at(self, job_id: str) -> None:
        try:
            status = (await self._jobs.status(self._resource_id, job_id)).value
        except PermissionDenied as error:  # speaks of this job; the others may be seen
            if job_id in self._watched:
                self._reject(self._watched[job_id], error)
        except Refused as error:  # asked again it would say the same: as good as not listed
            self._saw(job_id, JobStatus(JobState.MISSING, message=error.message))
        else:
            self._saw(job_id, status)

    def _answered(self, errors: Mapping[str, BaseException]) -> None:
        if self._failures:
            log.info("%s answers again", self._label)
        self._failures = 0
        for job_id, error in errors.items():
            watched = self._watched.get(job_id)
            if watched is not None and not watched.complained:
                watched.complained = True
                log.warning("how %s is cannot be learned now (%s)", watched.ref.describe(), error)

    def _saw(self, job_id: str, status: JobStatus) -> None:
        watched = self._watched.get(job_id)
        if watched is None:
            return
        if status.state is JobState.MISSING:
            self._saw_nothing(watched, status.message)
            return
        watched.missing_since = None
        if status.state is JobState.UNKNOWN and status.raw_state and status.raw_state not in self._strange:
            self._strange.add(status.raw_state)
            log.warning("%s uses a job state we do not know: %r; waiting on", self._label, status.raw_state)
        if watched.status is None or watched.status.raw_state != status.raw_state:
            watched.changed_at = self._clock()
            for waiter in list(watched.waiters):
                _tell(waiter, status)
        watched.status = status
        if status.state.terminal:
            for waiter in watched.waiters:
                if not waiter.future.done():
                    waiter.future.set_result(status)
            del self._watched[job_id]

    def _saw_nothing(self, watched: _Watched, words: str | None) -> None:
        now = self._clock()
        watched.missing_since = watched.missing_since if watched.missing_since is not None else now
        last = watched.status.state if watched.status else None
        if still_missing(now - watched.missing_since, last):
            return
        seen = watched.status.describe() if watched.status else "never"
        said = f": {words}" if words else ""
        error = JobLost(
            f"{watched.ref.describe()} is no longer known there (last seen: {seen}{said}); "
            "whether it did its work is unknown. "
            "Look at its output, then ask again with the next generation if it must run",
            ref=watched.ref,
            facility=self._label,
        )
        self._reject(watched, error)

    def _reject_all(self, error: Exception) -> None:
        for watched in list(self._watched.values()):
            if not any(waiter.patient for waiter in watched.waiters):
                self._reject(watched, error)

    def _reject(self, watched: _Watched, error: Exception) -> None:
        self._watched.pop(watched.ref.job_id or "", None)
        for waiter in watched.waiters:
            if not waiter.future.done():
                waiter.future.set_exception(copy.copy(error))  # raised in several threads

    def _count_failure(self, error: BaseException) -> None:
        self._failures += 1
        if self._failures == 1:
            log.warning(
                "%s does not tell how its jobs are (%s); they are left alone and asked for again",
                self._label,
                error,
            )


def _tell(waiter: _Waiter, status: JobStatus) -> None:
    if waiter.on_change is None:
        return
    try:
        waiter.on_change(status)
    except Exception:
        # Its loop may be closed. The others that wait for this job must learn of it all the same.
        log.warning("telling a waiter that its job is %s failed", status.describe(), exc_info=True)
        waiter.on_change = None
