"""Follows the output of one job from its beginning to its end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from iri_common.jobs.logs import JobLogs, Place
from iri_common.model.errors import JobLost
from iri_common.model.job import JobStatus
from iri_common.model.logs import LogChunk
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState
from iri_common.policy.following import LONG_AGO, WRITING_NOTHING, all_there

LEAST = 0.01  # seconds of a pause


class Life:
    """How the job is, as the shared poller tells.

    Args:
        ref: The job that is waited for.
        clock: Seconds from any fixed moment.

    Attributes:
        ref: The job that did the work, once it is over.
        began: Whether it has been seen to run, or to be over.
        writing: Whether it may write now.
        changed_at: When that became so.
        over_at: When it was seen to have ended.
        idle: Whether it ended without having run, as far as was seen.
        long_ago: Whether it had ended long before.
        error: What the wait ended with instead.
    """

    def __init__(self, ref: JobRef, clock: Callable[[], float] = time.monotonic) -> None:
        self.ref = ref
        self.began = False
        self.writing = False
        self.changed_at = -math.inf
        self.over_at: float | None = None
        self.idle = True
        self.long_ago = False
        self.error: BaseException | None = None
        self._clock = clock
        self._changed = asyncio.Event()

    def saw(self, status: JobStatus) -> None:
        """A new state."""
        writing = status.state not in WRITING_NOTHING
        self.idle = self.idle and (status.state is JobState.CANCELED or not writing)
        if writing != self.writing:
            self.writing, self.changed_at = writing, self._clock()
            self.began = self.began or writing
            self._changed.set()

    def ended(self, watching: asyncio.Future[tuple[JobRef, JobStatus]]) -> None:
        """The wait is over."""
        if watching.cancelled():
            return
        self.error = watching.exception()
        if self.error is None:
            self.ref, status = watching.result()
            self.long_ago = status.time is not None and time.time() - status.time > LONG_AGO
        self.over_at = self._clock()
        self._changed.set()

    async def pause(self, seconds: float | None) -> None:
        """Wait so long, or until the job changes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()


async def follow(
    logs: JobLogs, life: Life, places: Sequence[Place], grace: float
) -> AsyncGenerator[LogChunk]:
    """What the job writes, as it comes; ends when the job has and all was told.

    Args:
        logs: Of the job.
        life: Told by somebody who waits for it.
        places: Where to begin in each stream; they are moved on.
        grace: Seconds after the end of the job in which what it wrote last may arrive.

    Raises:
        JobLost: after all that is there was told.
        IriError: what else the wait ended with.
    """
    while not all(place.done for place in places):
        if life.error is not None and not isinstance(life.error, JobLost):
            raise life.error
        if life.began or life.over_at is not None:
            for place in places:
                over = life.over_at is not None
                fresh = _fresh(logs, life, place, grace)
                while (chunk := await logs.more(place, fresh=fresh, over=over)) is not None:
                    yield chunk
                if over and fresh is not None and fresh >= _final(logs, life, place, grace):
                    # That look found nothing new: what was held back is not going to be completed.
                    while (chunk := await logs.more(place, fresh=fresh, over=True, last=True)) is not None:
                        yield chunk
        await life.pause(_rest(logs, life, places, grace))
    while life.over_at is None:  # nothing more can be told before the end
        await life.pause(None)
    if not life.idle:
        for place in places:
            logs.tell_missing(place)
    if life.error is not None:
        raise life.error


def _fresh(logs: JobLogs, life: Life, place: Place, grace: float) -> float | None:
    """How fresh a look has to be now; None for one at the stream's own pace."""
    if life.over_at is not None:
        final = _final(logs, life, place, grace)
        return final if logs.clock() >= final else _over_at(logs, life)
    # Its nodes were taken away: what it had written last may soon be lost.
    return None if life.writing else life.changed_at


def _final(logs: JobLogs, life: Life, place: Place, grace: float) -> float:
    """When to look for the last time, unless that finds something new."""
    return all_there(_over_at(logs, life), logs.grew_at(place), 0.0 if life.long_ago else grace)


def _over_at(logs: JobLogs, life: Life) -> float:
    """When the first of those who follow saw the end: the looks of one are good for all."""
    if logs.over_at is None:
        logs.over_at = life.over_at
    assert logs.over_at is not None
    return logs.over_at


def _rest(logs: JobLogs, life: Life, places: Sequence[Place], grace: float) -> float | None:
    """Seconds until something is to be done, if the job does not change before."""
    waiting = [place for place in places if not place.done]
    if not waiting:
        return 0.0
    if life.over_at is not None:
        due = min(max(_final(logs, life, place, grace), logs.trouble_until) for place in waiting)
    elif life.writing:
        due = min(logs.next_look(place) for place in waiting)
    else:
        return None
    return max(LEAST, due - logs.clock())
