"""One poller for all watched jobs of a resource: as many waiters as you like, the requests of one."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping

from iri_common.http import telemetry
from iri_common.jobs.looking import FEW, Look, Looker
from iri_common.jobs.trouble import Trouble
from iri_common.jobs.watched import OnChange, Waiter, Watched, Witness
from iri_common.jobs.witness import Witnesses
from iri_common.model.errors import AuthError, JobLost, PermissionDenied
from iri_common.model.job import JobStatus
from iri_common.model.logfields import about
from iri_common.model.ports import JobsApi
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState
from iri_common.policy.bulk import BULK_FROM, Way, choose, quicker_singly
from iri_common.policy.pace import Allowance, Pace, after_failures, per_minute, while_refused
from iri_common.policy.reason import explained
from iri_common.policy.vanished import Absence, judge

__all__ = ["OnChange", "Poller", "Witness"]

log = logging.getLogger(__name__)

NORMAL = Pace()
HOPELESS = 30.0  # seconds that a credential which cannot be another one is refused before that is told
NEWS = 8  # single questions at most about jobs that nobody has looked at yet
TOGETHER = 0.25  # of the quickest pace: jobs that are due so soon after another are looked at with it


class Poller:
    """Looks at the watched jobs of one resource, as one principal, each at its own pace.

    The jobs are read from the facility's list, a few requests however many they are; a job that is not in
    it has ended or is late, and is asked for by its id. Nothing that goes wrong in a look loses a waiter:
    an outage is waited out, and so is a credential that dies after it has worked.

    Args:
        jobs: The dialect's jobs.
        resource_id: Where they run.
        label: What messages call the facility.
        clock: Seconds from any fixed moment.
        witness: Whom to ask about a job that the facility does not know any more, if its wait names nobody.
        mendable: Whether the credential can ever be another one here. One that cannot, a plain token, is
            tried for half a minute (a 401 may also be the trouble of the facility's own token check), and
            then those who wait are told.
        mend: What a person does about a credential that is refused.
        began: Is told of each job that was seen to begin, and for how many seconds it had waited.
    """

    def __init__(
        self,
        jobs: JobsApi,
        resource_id: str,
        label: str,
        clock: Callable[[], float] = time.monotonic,
        witness: Witness | None = None,
        *,
        mendable: bool = True,
        mend: str = "renew it",
        began: Callable[[str, float], None] | None = None,
    ) -> None:
        self._trouble = Trouble(label, mend if mendable else None)
        self._began = began
        self._label = label
        self._resource_id = resource_id
        self._name = f"watch {label}/{resource_id}"
        self._clock = clock
        self._watched: dict[str, Watched] = {}
        self._looker = Looker(jobs, resource_id, label, self._watched, self._saw, clock)
        self._witnesses = Witnesses(self._heard, clock)
        self._witness = witness
        self._allowance = Allowance(at=clock())
        self._task: asyncio.Task[None] | None = None
        self._poked = asyncio.Event()
        self._wake_at = -math.inf
        self._last_look = -math.inf
        self._quickest = NORMAL
        self._strange: set[str] = set()

    async def wait(
        self,
        ref: JobRef,
        on_change: OnChange | None = None,
        *,
        pace: Pace = NORMAL,
        patient: bool = False,
        limit: float | None = None,
        witness: Witness | None = None,
    ) -> JobStatus:
        """Wait until the facility says that the job has ended.

        Args:
            ref: With its job id.
            on_change: Called on this loop with each status whose state is a new one.
            pace: How often to look; of several waits for one job the quickest counts.
            patient: Wait even if the credential is refused from the start.
            limit: The job's time limit in seconds, where it is known; near it the looks are quick.
            witness: Whom to ask about this job if the facility does not know it any more.

        Raises:
            JobLost: if the job stays unlisted beyond the grace, and nobody tells how it ended.
            AuthError: if the credential is refused and has never worked here; the job is not touched.
            PermissionDenied: if the principal may not see this job, and never could.
        """
        job_id = ref.job_id or ""
        waiter = Waiter(asyncio.get_running_loop().create_future(), on_change, patient)
        watched = self._watched.get(job_id)
        now = self._clock()
        soon = max(now, self._last_look + pace.quickest)  # together with the others that join now
        if watched is None:
            watched = self._watched[job_id] = Watched(ref, pace, changed_at=now, due=soon)
            if not self._trouble:
                self._wake(soon)
        if self._trouble.refused and not self._trouble.worked and not patient:
            self._wake(soon)  # to be told
        watched.joined(waiter, pace, limit, witness or self._witness)
        self._keep_running()
        try:
            return await waiter.future
        finally:
            watched.waiters.pop(waiter, None)
            if not watched.waiters and self._watched.get(job_id) is watched:
                del self._watched[job_id]

    @property
    def watched(self) -> int:
        """How many jobs are watched now."""
        return len(self._watched)

    # ------------------------------------------------------------------------------------- the task

    def _keep_running(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=self._name)
            self._task.add_done_callback(self._stopped)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if not self._watched or task is not self._task:
            return
        # Somebody has cancelled it, or it met what nobody foresaw: those who wait need it all the same.
        task.get_loop().call_later(self._quickest.quickest, self._revive, error)

    def _revive(self, error: BaseException | None) -> None:
        if self._watched:  # else the whole loop is being shut down
            log.error(
                "the watch at %s was stopped and goes on",
                self._label,
                exc_info=error,
                extra=about(facility=self._label),
            )
            self._keep_running()

    async def _run(self) -> None:
        while self._watched:
            await self._sleep()
            now = self._clock()
            way, due, limit, wait = self._plan(now)
            if wait > 0:
                self._wake_at = now + wait
                continue
            await self._look(way, due, limit)

    async def _sleep(self) -> None:
        while (left := self._wake_at - self._clock()) > 0:
            self._poked.clear()
            try:
                await asyncio.wait_for(self._poked.wait(), left)
            except TimeoutError:
                return

    def _wake(self, when: float) -> None:
        if when < self._wake_at:
            self._wake_at = when
            self._poked.set()

    def _plan(self, now: float) -> tuple[Way, list[str], int, float]:
        """Way, jobs, most single questions of a look now; or the seconds to wait before there is one."""
        everyone = self._watched.values()
        self._quickest = min((each.pace for each in everyone), key=lambda pace: pace.quickest, default=NORMAL)
        self._allowance.set_rate(per_minute(self._quickest, len(everyone)), now)
        if self._trouble:
            return self._try_again(now)
        first = min((each.due for each in everyone), default=now)
        if first > now + 1e-6:
            return Way.ONE_BY_ONE, [], 0, first - now
        soon = now + self._quickest.quickest * TOGETHER
        due = [job_id for job_id, each in self._watched.items() if each.due <= soon]
        memory, total = self._looker.memory, len(everyone)
        way = choose(memory, due=len(due), watched=total, now=now)
        if any(self._watched[job_id].tried_at is None for job_id in due) and self._allowance.credit(now):
            # A job that nobody has looked at yet may have ended long ago.
            return way, due, NEWS, 0.0
        if way is Way.ONE_BY_ONE and total >= BULK_FROM and memory.usable(now):
            need, rate = memory.cost(Way.LIVE, total), self._allowance.per_second
            hurried = sum(1 for each in everyone if each.delay < need / rate)
            if quicker_singly(hurried, need, rate, self._quickest.slowest):
                # What is left for those in a hurry when the list of all the others is paid for.
                later = min((each.due for each in everyone if each.due > soon), default=now)
                spare = self._allowance.expected(later) - need
                if spare >= 1:
                    return way, due, int(spare), 0.0
                return Way.LIVE, due, 0, max(later - now, self._allowance.ready_in(need, now))
            way = Way.LIVE
        wait = self._allowance.ready_in(memory.cost(way, total), now)
        return way, due, max(1, int(self._allowance.count(now))), wait

    def _try_again(self, now: float) -> tuple[Way, list[str], int, float]:
        """One question while nothing is answered; the list as well, where it is cheap."""
        refused, quickest = self._trouble.refused, self._quickest
        pause = while_refused(quickest) if refused else after_failures(quickest, self._trouble.failures)
        if refused and not self._trouble.worked and self._impatient():
            pause = min(pause, quickest.quickest)  # they wait to be told that it is refused
        way, limit = Way.ONE_BY_ONE, 1
        if not refused:
            way, limit = choose(self._looker.memory, due=10**6, watched=len(self._watched), now=now), FEW
        return way, list(self._watched), limit, max(0.0, self._last_look + pause - now)

    def _impatient(self) -> bool:
        return any(not waiter.patient for each in self._watched.values() for waiter in each.waiters)

    # -------------------------------------------------------------------------------------- one look

    async def _look(self, way: Way, due: Iterable[str], limit: int) -> None:
        with telemetry.tick(self._label, self._resource_id, len(self._watched)) as ending:
            try:
                look = await self._looker.look(way, due, limit, quickest=self._quickest.quickest)
            except AuthError as error:
                ending.outcome = "bad token"
                self._allowance.spend(1)
                self._credential_refused(error)
            except Exception as error:
                ending.outcome = "failed"
                self._allowance.spend(1)
                self._trouble.unanswered(error)
            else:
                troubled = look.denied or look.errors or look.list_error
                ending.outcome = "failed" if troubled and not look.learned else "ok"
                self._allowance.spend(look.requests)
                self._make_of(look)
        # From the end of the look: one that took minutes to fail is no reason to hurry.
        self._last_look = self._clock()
        self._wake_at = -math.inf

    def _make_of(self, look: Look) -> None:
        denied = self._judge_denied(look.denied)
        if look.learned:
            self._answered()
        elif denied:
            self._credential_refused(next(iter(denied.values())))
            return
        elif look.errors or look.list_error:
            self._trouble.unanswered(next(iter(look.errors.values()), None) or look.list_error)
            return
        now = self._clock()
        for job_id, error in {**look.errors, **denied}.items():
            if (watched := self._watched.get(job_id)) is not None:
                watched.unanswered(now)
                if not watched.complained:
                    watched.complained = True
                    fields = about(facility=self._label, ref=watched.ref, error=error)
                    log.warning(
                        "how %s is cannot be learned now (%s)", watched.ref.describe(), error, extra=fields
                    )

    def _judge_denied(self, denied: Mapping[str, PermissionDenied]) -> dict[str, PermissionDenied]:
        """Tell those who may not see their job; gives the jobs that could be seen before.

        Some gateways answer 403 for a token that has died.
        """
        seen: dict[str, PermissionDenied] = {}
        for job_id, error in denied.items():
            watched = self._watched.get(job_id)
            if watched is not None and watched.status is not None:
                seen[job_id] = error
            elif watched is not None:
                self._reject(watched, error)
        return seen

    def _answered(self) -> None:
        if self._trouble.over():
            now = self._clock()
            for watched in self._watched.values():
                watched.due = min(watched.due, now + self._quickest.quickest)

    def _credential_refused(self, error: Exception) -> None:
        now, trouble = self._clock(), self._trouble
        if trouble.hopeless(now, HOPELESS) or not trouble.worked:
            for watched in list(self._watched.values()):
                self._reject(watched, error, patient=False)
        trouble.refuse(error, len(self._watched), now)

    # -------------------------------------------------------------------------------------- one job

    def _saw(self, watched: Watched, status: JobStatus) -> None:
        if status.state is JobState.MISSING:
            self._saw_nothing(watched, status.message)
            return
        if status.state is JobState.UNKNOWN and status.raw_state and status.raw_state not in self._strange:
            self._strange.add(status.raw_state)
            fields = about(facility=self._label, ref=watched.ref)
            words = "%s uses a job state we do not know: %r; waiting on"
            log.warning(words, self._label, status.raw_state, extra=fields)
        if status.state is JobState.ACTIVE and watched.active_at is None:
            job_id, waited = watched.ref.job_id or "", watched.waited(status)
            telemetry.started(self._label, self._resource_id, job_id, waited)
            if self._began is not None and waited is not None:
                self._began(job_id, waited)
        if watched.saw(status, self._clock()):
            for waiter in list(watched.waiters):
                waiter.tell(status)
        if status.state.terminal:
            watched.end(status)
            self._forget(watched)

    def _saw_nothing(self, watched: Watched, words: str | None) -> None:
        now = self._clock()
        absent = watched.saw_nothing(now)
        verdict = judge(
            absent,
            seen=watched.status is not None,
            witness=watched.witness is not None,
            begun=watched.begun,
            since_asked=None if watched.asked_at is None else now - watched.asked_at,
        )
        if verdict is Absence.ASK:
            self._witnesses.ask(watched, words)
        elif verdict is Absence.LOST:
            self._lost(watched, words)

    def _heard(self, watched: Watched, told: JobStatus | None, words: str | None) -> None:
        """What the witness says of a job that the facility does not know."""
        if watched.absent is None or self._watched.get(watched.ref.job_id or "") is not watched:
            return  # it was found in the meantime, or nobody waits any more
        if told is None:
            self._lost(watched, words)
        elif told.state.terminal:
            self._saw(watched, explained(told))
        else:
            watched.begun = True

    def _lost(self, watched: Watched, words: str | None) -> None:
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

    def _reject(self, watched: Watched, error: Exception, *, patient: bool = True) -> None:
        if watched.reject(error, patient=patient):
            self._forget(watched)

    def _forget(self, watched: Watched) -> None:
        job_id = watched.ref.job_id or ""
        if self._watched.get(job_id) is watched:
            del self._watched[job_id]
