"""One poller for all who wait for tasks of one Globus identity: fifty of them in one request."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from iri_common.model.errors import IriError
from iri_common.model.outcome import Done

T = TypeVar("T")

CHUNK = 50  # ids in one request: their URL stays at 2 kB, far from where servers cut


class Tasks(Protocol[T]):
    """What can be looked at, fifty at once."""

    async def tasks(self, task_ids: Sequence[str]) -> Done[Mapping[str, T]]:
        """Those of these ids; what this identity does not see is missing."""
        ...


@dataclass(slots=True, eq=False)
class _Waiter(Generic[T]):
    task_id: str
    due: float
    soonest: float
    seen: asyncio.Future[T | None]


class TaskPoller(Generic[T]):
    """Looks at tasks; nobody asks for himself alone. Lives on one loop.

    Args:
        tasks: Of the identity that submitted them: no other sees them.
    """

    def __init__(self, tasks: Tasks[T]) -> None:
        self._tasks = tasks
        self._waiting: list[_Waiter[T]] = []
        self._more = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def look(self, task_id: str, delay: float = 0.0) -> T | None:
        """The task as it is in so many seconds, or a little before; None if this identity sees no such one.

        Raises:
            IriError: if Globus cannot be asked.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiter = _Waiter[T](task_id, now + delay, now + delay / 2, loop.create_future())
        self._waiting.append(waiter)
        self._more.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            return await waiter.seen
        finally:
            if waiter in self._waiting:  # it was cancelled
                self._waiting.remove(waiter)
                self._more.set()

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time
        while self._waiting:
            self._more.clear()
            pause = min(waiter.due for waiter in self._waiting) - now()
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._more.wait(), pause)
                continue
            await self._answer(self._batch(now()))

    def _batch(self, now: float) -> list[_Waiter[T]]:
        """Those whose turn it is, and as many more as the same requests can tell of."""
        self._waiting.sort(key=lambda waiter: waiter.due)
        due = sum(waiter.due <= now for waiter in self._waiting)
        # Not at any time: two looks that show the same fault are to be some seconds apart.
        near = [waiter for waiter in self._waiting if waiter.soonest <= now]
        batch = near[: math.ceil(due / CHUNK) * CHUNK]
        taken = set(map(id, batch))
        self._waiting = [waiter for waiter in self._waiting if id(waiter) not in taken]
        return batch

    async def _answer(self, batch: list[_Waiter[T]]) -> None:
        for begin in range(0, len(batch), CHUNK):
            chunk = batch[begin : begin + CHUNK]
            try:
                seen = (await self._tasks.tasks(sorted({waiter.task_id for waiter in chunk}))).value
            except Exception as error:
                for waiter in chunk:
                    if not waiter.seen.done():
                        # Each gets one of its own: a traceback grows with everyone who raises it.
                        waiter.seen.set_exception(copy.copy(error) if isinstance(error, IriError) else error)
                continue
            for waiter in chunk:
                if not waiter.seen.done():
                    waiter.seen.set_result(seen.get(waiter.task_id))
