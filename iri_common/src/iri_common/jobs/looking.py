"""One look at the watched jobs: by their list or one by one, and what of it got an answer."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from iri_common.jobs.search import PAGE, pages
from iri_common.jobs.watched import Watched
from iri_common.model.errors import AuthError, NotOffered, PermissionDenied, Refused
from iri_common.model.job import JobStatus
from iri_common.model.logfields import about
from iri_common.model.ports import JobsApi
from iri_common.model.state import JobState
from iri_common.policy.arrays import accounted
from iri_common.policy.bulk import ListMemory, Way, list_lies, list_the_ended

log = logging.getLogger(__name__)

LIST_SECONDS = 20.0  # for one page: a list that takes longer is of no use to those who wait
AT_ONCE = 8  # single questions
FEW = 3  # ... while nothing answers


@dataclass(slots=True)
class Look:
    """What one look cost and brought.

    Attributes:
        requests: How many were made.
        learned: Of how many jobs it told anything.
        left: How many were asked for because they had left the list, and
        alive: how many of those live.
        errors: Job id to the error of a question that went unanswered.
        denied: Jobs of which it was said that this principal may not see them.
        list_error: Why the list was not to be had.
    """

    requests: int = 0
    learned: int = 0
    left: int = 0
    alive: int = 0
    errors: dict[str, BaseException] = field(default_factory=dict[str, BaseException])
    denied: dict[str, PermissionDenied] = field(default_factory=dict[str, PermissionDenied])
    list_error: Exception | None = None


class Looker:
    """Looks at the jobs of one resource; a credential's refusal is raised, all else is in the answer.

    Args:
        jobs: The dialect's jobs.
        resource_id: Where they run.
        label: What messages call the facility.
        table: The watched jobs by id.
        saw: Is told each status.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self,
        jobs: JobsApi,
        resource_id: str,
        label: str,
        table: Mapping[str, Watched],
        saw: Callable[[Watched, JobStatus], None],
        clock: Callable[[], float],
    ) -> None:
        self.memory = ListMemory()
        self._jobs = jobs
        self._resource_id = resource_id
        self._label = label
        self._table = table
        self._saw = saw
        self._clock = clock
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def look(self, way: Way, due: Iterable[str], limit: int, *, quickest: float) -> Look:
        """Look once.

        Args:
            way: As :func:`iri_common.policy.bulk.choose` says.
            due: Whom to look at; a list tells of the others as well.
            limit: The most single questions.
            quickest: The pace of the liveliest, for how long a failing list is left alone.

        Raises:
            AuthError: if the credential is refused.
        """
        look = Look()
        if way is Way.ENDED:
            asked = await self._look_at_list(
                look, ended=True, most=self.memory.ended_cost(len(self._table)) + 1
            )
            if asked is None or len(asked) > AT_ONCE:  # it fails, or is longer than it was
                asked = await self._look_at_list(look, ended=False, wanted=set(asked or self._table))
        elif way is Way.LIVE:
            asked = await self._look_at_list(look, ended=False)
        else:
            asked = list(due)
        if asked is None:
            asked = list(due)
        elif way is not Way.ONE_BY_ONE:
            asked = await self._after_list(look, asked, way)
            limit = max(limit, 2 * look.requests, AT_ONCE)
        await self._look_one_by_one(look, asked, limit)
        if list_lies(look.left, look.alive):
            log.info(
                "the job list of %s leaves out jobs that live; asking one by one",
                self._label,
                extra=about(facility=self._label),
            )
            self.memory.failed(self._clock(), quickest)
        elif way is not Way.ONE_BY_ONE and look.list_error is None:
            self.memory.answered()
        if look.list_error is not None and look.learned:
            # Where single questions are answered it is the list that fails (iri-facility-api-python
            # thread 55); where nothing is, the facility is away, and its list may be as good as ever.
            self._blame_list(look.list_error, quickest)
        return look

    def _blame_list(self, error: Exception, quickest: float) -> None:
        now = self._clock()
        if isinstance(error, NotOffered):
            self.memory.refused(now, for_good=True)
        elif isinstance(error, PermissionDenied) and not self.memory.worked:
            self.memory.refused(now, for_good=False)
        else:
            self.memory.failed(now, quickest)
            log.info(
                "the job list of %s is not to be had now (%s); asking one by one",
                self._label,
                error,
                extra=about(facility=self._label, error=error),
            )

    async def _after_list(self, look: Look, unlisted: list[str], way: Way) -> list[str]:
        """Those not in the list who must be asked for, after a list of the ended if that is cheaper."""
        now = self._clock()
        ask: list[str] = []
        gone = 0
        for job_id in unlisted:
            watched = self._table[job_id]
            gone += watched.listed
            # One that was seen alive should be listed, whether by this list or by its id.
            known = watched.listed or (watched.status is not None and watched.due <= now)
            watched.suspect = watched.suspect or known
            watched.listed = False
            if watched.suspect or watched.due <= now:
                ask.append(job_id)
        if way is Way.LIVE:
            self.memory.counted_ends(gone)
            if list_the_ended(self.memory, gone=len(ask), watched=len(self._table), now=now):
                found = await self._look_at_list(look, ended=True, wanted=set(ask), most=len(ask))
                ask = ask if found is None else found
        return ask

    async def _look_at_list(
        self, look: Look, *, ended: bool, wanted: set[str] | None = None, most: int | None = None
    ) -> list[str] | None:
        """See what a list shows; gives the ids that it does not show, None if it was not to be had."""
        wanted = set(self._table) if wanted is None else wanted
        count, complete = 0, False
        reading = pages(self._jobs, self._resource_id, historical=ended, names=False)
        try:
            while wanted and not complete and (most is None or count < most):
                look.requests, count = look.requests + 1, count + 1
                async with asyncio.timeout(LIST_SECONDS):
                    page = await anext(reading, None)
                if page is None:
                    break
                entries, complete = page
                for entry in entries:
                    if entry.job_id in wanted:
                        wanted.discard(entry.job_id)
                        self._took(look, entry.job_id, entry.status, listed=True)
                if len(entries) >= PAGE:
                    await asyncio.sleep(0)  # thousands of waiters are told: let others have their turn
        except AuthError:
            raise
        except Exception as error:  # time-outs and whatever a list may hold
            if ended:
                self.memory.ended_failed(self._clock())
            else:
                look.list_error = error
            return None
        self.memory.worked = True
        if ended:
            # Where it was not read to its end it is longer than that.
            self.memory.ended_pages = count if complete or not wanted else count + 1
        else:
            self.memory.live_pages = count
        return [job_id for job_id in wanted if job_id in self._table]

    async def _look_one_by_one(self, look: Look, job_ids: Iterable[str], limit: int) -> None:
        now = self._clock()
        here = [self._table[job_id] for job_id in job_ids if job_id in self._table]
        chosen = heapq.nlargest(limit, here, key=lambda each: (each.suspect, each.urgency(now)))
        results = await asyncio.gather(
            *(self._look_at(look, each) for each in chosen), return_exceptions=True
        )
        for watched, result in zip(chosen, results, strict=True):
            if isinstance(result, AuthError):
                raise result
            if isinstance(result, BaseException):
                look.errors[watched.ref.job_id or ""] = result

    async def _look_at(self, look: Look, watched: Watched) -> None:
        job_id = watched.ref.job_id or ""
        async with self._slots:
            look.requests += 1
            watched.tried_at = self._clock()
            try:
                status = (await self._jobs.status(self._resource_id, job_id)).value
            except PermissionDenied as error:  # speaks of this job; the others may be seen
                look.denied[job_id] = error
            except Refused as error:  # asked again it would say the same: as good as not listed
                self._took(look, job_id, JobStatus(JobState.MISSING, message=error.message))
            else:
                self._took(look, job_id, status)

    def _took(self, look: Look, job_id: str, status: JobStatus, *, listed: bool = False) -> None:
        watched = self._table.get(job_id)
        if watched is None:
            return
        if watched.ref.array is not None:
            status = accounted(status, watched.ref.array)
        look.learned += 1
        if watched.suspect:
            look.left += 1
            look.alive += not status.state.terminal and status.state is not JobState.MISSING
        watched.listed = listed and not status.state.terminal
        self._saw(watched, status)
