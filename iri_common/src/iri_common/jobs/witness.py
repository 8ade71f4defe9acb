"""Asks somebody else about jobs that the facility does not know any more: their journals, in the main."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from iri_common.jobs.watched import Watched
from iri_common.model.job import JobStatus
from iri_common.model.ref import JobRef

log = logging.getLogger(__name__)

Witness = Callable[[JobRef], Awaitable[JobStatus | None]]
"""Tells how a job ended; a status that is not terminal if it began and its end is not written; else None."""

AT_ONCE = 4
SECONDS = 300.0  # for an answer: an API may be slow to give a file


class Witnesses:
    """Asks beside the looks, so that no other job waits for the answer.

    Args:
        witness: Whom to ask; None if there is nobody.
        heard: Is told the answer, with the facility's words about the job.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self,
        witness: Witness | None,
        heard: Callable[[Watched, JobStatus | None, str | None], None],
        clock: Callable[[], float],
    ) -> None:
        self._witness = witness
        self._heard = heard
        self._clock = clock
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._questions: dict[Watched, asyncio.Task[None]] = {}

    @property
    def there(self) -> bool:
        """Whether anybody can be asked."""
        return self._witness is not None

    def ask(self, watched: Watched, words: str | None) -> None:
        """Begin to ask, unless that is under way."""
        if self._witness is None or watched in self._questions:
            return
        watched.asked_at = self._clock()
        task = asyncio.create_task(self._ask(self._witness, watched, words))
        self._questions[watched] = task
        task.add_done_callback(lambda _: self._questions.pop(watched, None))

    async def _ask(self, witness: Witness, watched: Watched, words: str | None) -> None:
        try:
            async with self._slots, asyncio.timeout(SECONDS):
                told = await witness(watched.ref)
        except Exception as error:
            # Its silence says nothing of the job; it is asked again.
            log.info("nothing can be learned of %s now: %s", watched.ref.describe(), error)
        else:
            self._heard(watched, told, words)
        finally:
            watched.asked_at = self._clock()
