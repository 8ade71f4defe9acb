"""How long a job may wait in the queue, and run: when that is worth a look, and whether it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iri_common import IriError, JobState, JobStatus, WaitTimeout

if TYPE_CHECKING:
    from datetime import timedelta

    from iri_common import AsyncFacility, Facility

WAITING = frozenset({JobState.NEW, JobState.QUEUED, JobState.HELD})
AGAIN = 15.0  # seconds until a limit is looked at again that had passed for all that was known


@dataclass(frozen=True, slots=True)
class Limits:
    """What an author allows, as a trigger takes it over a restart; None for no limit.

    Attributes:
        deadline: Of the task, in seconds since the epoch.
        queue_deadline: Of the job's beginning, likewise.
        run_seconds: From its beginning on.
    """

    deadline: float | None = None
    queue_deadline: float | None = None
    run_seconds: float | None = None


def deadline_of(limit: timedelta | None) -> float | None:
    """When an ``execution_timeout`` that begins now is over, in seconds since the epoch; None for never."""
    return time.time() + limit.total_seconds() if limit else None


class Patience:
    """One wait within limits.

    Args:
        limits: Those.
        say: Called with each status whose state is a new one.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, limits: Limits, say: Callable[[JobStatus], object], clock: Callable[[], float] = time.time
    ) -> None:
        self._limits = limits
        self._say = say
        self._clock = clock
        self._state: JobState | None = None
        self._began: float | None = None

    def wait(self, facility: Facility, ref: Any) -> JobStatus:
        """Wait for the end of a job.

        Raises:
            WaitTimeout: if a limit has passed; the job is not touched.
        """
        while True:
            try:
                return facility.jobs.wait(ref, timeout=self.left(), on_change=self.saw)
            except WaitTimeout:
                self._require_time()
            try:
                self.saw(facility.jobs.status(ref))
            except IriError:
                continue  # an outage, or a credential that dies: the wait deals with both
            self._require_within()

    async def wait_awaited(self, facility: AsyncFacility, ref: Any) -> JobStatus:
        """Like :meth:`wait`, for event loops."""
        while True:
            try:
                return await facility.jobs.wait(ref, timeout=self.left(), on_change=self.saw)
            except WaitTimeout:
                self._require_time()
            try:
                self.saw(await facility.jobs.status(ref))
            except IriError:
                continue
            self._require_within()

    def saw(self, status: JobStatus) -> None:
        """Take note of a look."""
        if status.state is self._state:
            return
        self._state = status.state
        if status.state is JobState.ACTIVE:
            # A restarted triggerer knows the beginning from the facility alone, whose clock may be ahead.
            self._began = min(self._clock(), status.time or self._clock())
        self._say(status)

    @property
    def began(self) -> float | None:
        """When the job began to run, in seconds since the epoch, if it was seen to."""
        return self._began

    def left(self) -> float | None:
        """Seconds after which a limit may have passed; None if there is none."""
        limits, now = self._limits, self._clock()
        ends = [limits.queue_deadline] if self._state in {None, *WAITING} else []
        if limits.run_seconds is not None:
            # One that still waits, maybe again, cannot have run for as long before it is looked at again.
            began = self._began if self._state is JobState.ACTIVE else None
            ends.append((now if began is None else began) + limits.run_seconds)
        soonest = [max(end - now, 0.0) or AGAIN for end in ends if end is not None]
        if limits.deadline is not None:
            soonest.append(max(limits.deadline - now, 0.0))
        return min(soonest, default=None)

    def _require_time(self) -> None:
        if self._limits.deadline is not None and self._clock() >= self._limits.deadline:
            raise WaitTimeout("the job was not over within the task's execution_timeout")

    def _require_within(self) -> None:
        limits, now = self._limits, self._clock()
        if self._state in WAITING and limits.queue_deadline is not None and now >= limits.queue_deadline:
            raise WaitTimeout(f"the job is still {self._state}: it did not begin within its queue_limit")
        if self._state is not JobState.ACTIVE or self._began is None or limits.run_seconds is None:
            return
        if now >= self._began + limits.run_seconds:
            raise WaitTimeout(f"the job has run for its run_limit of {limits.run_seconds:g} s")
