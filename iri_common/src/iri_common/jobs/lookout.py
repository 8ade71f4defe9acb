"""Looking at one thing that is leased, at a polite pace, up to a limit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from iri_common.model.errors import IriError, WaitTimeout
from iri_common.model.logfields import about
from iri_common.model.ref import JobRef
from iri_common.policy.pace import Pace, after_failures

log = logging.getLogger(__name__)

LOOKS = 3  # in a row that must show nothing of a request, or of a lease, before that counts


class Sight(Protocol):
    """What a look shows."""

    @property
    def missing(self) -> bool:
        """Whether there is nothing."""
        ...

    @property
    def words(self) -> str:
        """How it stands, in the words of whoever runs it."""
        ...


S = TypeVar("S", bound=Sight)


class Lookout(Generic[S]):
    """Looks again and again.

    Args:
        what: Is looked at, for messages: "path 12".
        look: One look.
        ref: Of it.
        label: What errors call the facility.
        pace: How often.
        timeout: Seconds.
        on_change: Called when a look shows something else than the one before.
    """

    def __init__(
        self,
        what: str,
        look: Callable[[], Awaitable[S]],
        ref: JobRef,
        label: str,
        pace: Pace,
        timeout: float,
        on_change: Callable[[S], None] | None = None,
    ) -> None:
        self._what = what
        self._look = look
        self._ref = ref
        self._label = label
        self._pace = pace
        self._timeout = timeout
        self._on_change = on_change
        self._begun = self._changed_at = time.monotonic()
        self._seen: S | None = None
        self._failures = 0
        self.absent = 0  # looks in a row that missed it

    async def look(self) -> S | None:
        """How it stands; None where nobody said."""
        try:
            sight = await self._look()
        except IriError as error:
            if not error.transient:
                raise
            self._failures += 1
            log.info("%s: %s", self._what, error, extra=about(ref=self._ref, error=error))
            return None
        self._failures = 0
        self.absent = self.absent + 1 if sight.missing else 0
        if sight != self._seen:
            self._seen, self._changed_at = sight, time.monotonic()
            if self._on_change is not None:
                self._on_change(sight)
        return sight

    async def pause(self, what: str) -> None:
        """Until the next look.

        Raises:
            WaitTimeout: if there is no time for another one.
        """
        now, pace = time.monotonic(), self._pace
        delay = after_failures(pace, self._failures) if self._failures else pace.delay(now - self._changed_at)
        left = self._begun + self._timeout - now
        if left <= 0:
            words = self._seen.words if self._seen is not None else "it was never seen"
            raise WaitTimeout(
                f"{self._what} {what} after {self._timeout:.0f} s ({words}); it was left as it is",
                ref=self._ref,
                facility=self._label,
            )
        await asyncio.sleep(min(delay, left))
