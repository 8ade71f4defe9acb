"""One watched job and those who wait for it."""

from __future__ import annotations

import asyncio
import copy
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from iri_common.model.job import JobStatus
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState
from iri_common.policy.pace import ENDING_WORDS, Pace
from iri_common.policy.vanished import counted

log = logging.getLogger(__name__)

OnChange = Callable[[JobStatus], None]
Witness = Callable[[JobRef], Awaitable[JobStatus | None]]
"""Tells how a job ended; a status that is not terminal if it began and its end is not written; else None."""

_WAITING = frozenset({JobState.NEW, JobState.QUEUED, JobState.HELD})
LONGEST_TROUBLE = 60.0  # seconds between two questions about a job that cannot be looked at


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody who waits for one job.

    Attributes:
        future: Of the job's last status.
        on_change: Is told each new state.
        patient: Waits even for a credential that was never accepted.
    """

    future: asyncio.Future[JobStatus]
    on_change: OnChange | None
    patient: bool = False

    def tell(self, status: JobStatus) -> None:
        """Tell a new state; whatever the callback does, the others must learn of it all the same."""
        if self.on_change is None:
            return
        try:
            self.on_change(status)
        except (Exception, asyncio.CancelledError):
            # Its loop may be closed, its future cancelled; that is its own affair.
            log.warning("telling a waiter that its job is %s failed", status.describe(), exc_info=True)
            self.on_change = None


@dataclass(slots=True, eq=False)
class Watched:
    """What is known of one job.

    Attributes:
        ref: With its job id.
        pace: The quickest of its waiters'.
        changed_at: When its state was seen to change; at first, when it was joined.
        due: When to look at it again; at once for the first time.
        limit: Its known time limit in seconds.
        witness: Whom to ask about it if the facility does not know it any more.
        status: As last seen.
        active_at: When it was first seen to run.
        queued_at: When it began to wait, by the facility's own clock.
        looked_at: When a look last told of it.
        tried_at: When a question about it last came back, with an answer or without.
        delay: Seconds between its looks now.
        listed: Whether the last list of live jobs showed it.
        suspect: Whether it has left that list and has not been asked for since.
        absent: Seconds for which looks have not found it.
        begun: Whether the witness has said that it began.
        asked_at: When the witness was asked.
        troubles: Questions about it in a row that got no answer.
        complained: Whether that was said.
        waiters: In the order in which they joined.
    """

    ref: JobRef
    pace: Pace
    changed_at: float
    due: float
    limit: float | None = None
    witness: Witness | None = None
    status: JobStatus | None = None
    active_at: float | None = None
    queued_at: float | None = None
    looked_at: float | None = None
    tried_at: float | None = None
    delay: float = 1.0
    listed: bool = False
    suspect: bool = False
    absent: float | None = None
    begun: bool = False
    asked_at: float | None = None
    troubles: int = 0
    complained: bool = False
    waiters: dict[Waiter, None] = field(default_factory=dict[Waiter, None])

    def urgency(self, now: float) -> float:
        """How much longer than its pace allows it has gone unseen; the young come first, none starves."""
        return math.inf if self.tried_at is None else (now - self.tried_at) / self.delay

    def joined(self, waiter: Waiter, pace: Pace, limit: float | None, witness: Witness | None) -> None:
        """One more waits for it, and brings what it knows."""
        self.waiters[waiter] = None
        self.witness = self.witness or witness
        if pace.quickest < self.pace.quickest:
            self.pace = pace
        self.limit = limit if self.limit is None else self.limit
        if self.status is not None:
            waiter.tell(self.status)

    def saw(self, status: JobStatus, now: float) -> bool:
        """Take note of a status; gives whether its state is a new one."""
        new = self.status is None or self.status.raw_state != status.raw_state
        if new:
            self.changed_at = now
        if status.state is JobState.ACTIVE:
            self.active_at = now if self.active_at is None else self.active_at
        else:
            if status.state in _WAITING and (self.queued_at is None or self.active_at is not None):
                self.queued_at = status.time  # again, if its node was lost and it was queued anew
            self.active_at = None
        self.status = status
        self.absent, self.begun, self.asked_at = None, False, None
        self.suspect, self.troubles = False, 0
        self._schedule(now)
        return new

    def waited(self, status: JobStatus) -> float | None:
        """How long it had waited when it began to run, as far as the facility tells."""
        if status.time is None or self.queued_at is None:
            return None
        return status.time - self.queued_at

    def saw_nothing(self, now: float) -> float:
        """Take note that the facility does not know it now; gives for how long that has been so."""
        since = 0.0 if self.looked_at is None else counted(now - self.looked_at)
        self.absent = 0.0 if self.absent is None else self.absent + since
        self.suspect, self.troubles = False, 0
        self._schedule(now)
        return self.absent

    def unanswered(self, now: float) -> None:
        """A question about it got no answer: it is asked for less and less."""
        self.troubles += 1
        self.delay = min(LONGEST_TROUBLE, self.pace.quickest * 2 ** min(self.troubles, 16))
        self.due = now + self.delay

    def _schedule(self, now: float) -> None:
        left = None
        if self.limit is not None and self.active_at is not None:
            left = self.active_at + self.limit - now
        self.looked_at = self.tried_at = now
        self.delay = self.pace.delay(now - self.changed_at, left, ending=self._ending)
        self.due = now + self.delay

    @property
    def _ending(self) -> bool:
        word = self.status.raw_state if self.status else None
        return word is not None and word.upper() in ENDING_WORDS

    def end(self, status: JobStatus) -> None:
        """Give it to all who wait."""
        for waiter in self.waiters:
            if not waiter.future.done():
                waiter.future.set_result(status)

    def reject(self, error: Exception, *, patient: bool = True) -> bool:
        """Raise it where they wait, or only where they are not patient; gives whether nobody is left."""
        for waiter in [each for each in self.waiters if patient or not each.patient]:
            del self.waiters[waiter]
            if not waiter.future.done():
                waiter.future.set_exception(copy.copy(error))  # raised in several threads
        return not self.waiters
