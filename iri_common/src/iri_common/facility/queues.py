"""How long jobs wait at the resources of a door: what this process saw, and what a look there shows."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

from iri_common.model.errors import IriError
from iri_common.model.ports import JobsApi
from iri_common.model.ref import JobRef
from iri_common.policy.queues import QueueSign, began, waiting

LOOKS_STAY_FRESH = 900.0  # seconds
PATIENCE = 10.0  # seconds that a submit is held up by a look
ENOUGH = 200  # jobs that are looked at: the oldest of those that wait is among the first
MOST_ASKED = 10_000  # jobs whose queue is remembered until they begin

_Place = tuple[str, str]  # resource, and the queue there or the id of a job
_Look = tuple[float, QueueSign | None]


@dataclass(slots=True)
class Queues:
    """Of one door; shared by all who go through it."""

    _queues: dict[_Place, str] = field(default_factory=dict[_Place, str])
    _began: dict[_Place, QueueSign] = field(default_factory=dict[_Place, QueueSign])
    _looks: dict[str, _Look] = field(default_factory=dict[str, _Look])

    def asked(self, ref: JobRef, queue: str | None) -> None:
        """A job was asked for; the facility's default queue is one, too."""
        if len(self._queues) >= MOST_ASKED:
            del self._queues[next(iter(self._queues))]
        self._queues[ref.resource_id, ref.job_id or ""] = queue or ""

    def began(self, resource_id: str, job_id: str, waited: float) -> None:
        """A job was seen to begin, after so many seconds; one that was asked for elsewhere tells nothing."""
        queue = self._queues.pop((resource_id, job_id), None)
        if queue is not None:
            self._began[resource_id, queue] = began(waited)

    async def sign(self, resource_id: str, queue: str | None, jobs: JobsApi | None) -> QueueSign | None:
        """How long a job may wait; None where nothing tells.

        Args:
            resource_id: Where.
            queue: Which; None for the facility's default.
            jobs: Where to look at the jobs that live; None if that is worth no request.
        """
        if seen := self._began.get((resource_id, queue or "")):
            return seen
        now = time.monotonic()
        if (look := self._looks.get(resource_id)) and now - look[0] < LOOKS_STAY_FRESH:
            return look[1]
        if jobs is None:
            return None
        self._looks[resource_id] = (now, None)  # who comes before the answer makes no second request
        with suppress(IriError, TimeoutError):  # nobody is kept from a submit by that
            async with asyncio.timeout(PATIENCE):
                page = await jobs.list(resource_id, offset=0, limit=ENOUGH, historical=False, names=False)
            self._looks[resource_id] = (now, waiting(page.value, time.time()))
        return self._looks[resource_id][1]
