"""One allowance of requests per facility and principal, shared by everything that talks to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Budget:
    """Bounds how many requests are under way and slows everyone down when the facility asks for it.

    Args:
        concurrent: The most requests at once.
        per_second: The most requests begun per second in the long run.
        burst: How many may begin at once after a quiet time.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self,
        concurrent: int = 8,
        per_second: float = 20.0,
        burst: int = 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = asyncio.Semaphore(concurrent)
        self._interval = 1.0 / per_second
        self._burst_seconds = (burst - 1) * self._interval
        self._clock = clock
        self._next = clock() - self._burst_seconds

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        try:
            await self._turn()
        except BaseException:
            self._slots.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._slots.release()

    async def _turn(self) -> None:
        while True:
            delay = self._take()
            if not delay:
                return
            await asyncio.sleep(delay)

    def slow_down(self, seconds: float) -> None:
        """Begin no request for so long, and none in a burst after: the facility meant all of us."""
        self._next = max(self._next, self._clock() + seconds)

    def _take(self) -> float:
        now = self._clock()
        self._next = max(self._next, now - self._burst_seconds)
        if self._next > now:
            return self._next - now
        self._next += self._interval
        return 0.0
