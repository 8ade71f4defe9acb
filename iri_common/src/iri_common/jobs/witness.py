"""Asks somebody else about jobs that the facility does not know any more: their journals, in the main."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from iri_common.jobs.watched import Watched, Witness
from iri_common.model.job import JobStatus
from iri_common.model.logfields import about

log = logging.getLogger(__name__)

AT_ONCE = 4
SECONDS = 300.0  # for an answer: an API may be slow to give a file


class Witnesses:
    """Asks beside the looks, so that no other job waits for the answer.

    Args:
        heard: Is told the answer, with the facility's words about the job.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self,
        heard: Callable[[Watched, JobStatus | None, str | None], None],
        clock: Callable[[], float],
    ) -> None:
        self._heard = heard
        self._clock = clock
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._questions: dict[Watched, asyncio.Task[None]] = {}

    def ask(self, watched: Watched, words: str | None) -> None:
        """Begin to ask, unless that is under way."""
        if watched.witness is None or watched in self._questions:
            return
        watched.asked_at = self._clock()
        task = asyncio.create_task(self._ask(watched.witness, watched, words))
        self._questions[watched] = task
        task.add_done_callback(lambda _: self._questions.pop(watched, None))

    async def _ask(self, witness: Witness, watched: Watched, words: str | None) -> None:
        try:
            async with self._slots, asyncio.timeout(SECONDS):
                told = await witness(watched.ref)
        except Exception as error:
            # Its silence says nothing of the job; it is asked again.
            log.info(
                "nothing can be learned of %s now: %s",
                watched.ref.describe(),
                error,
                extra=about(ref=watched.ref, error=error),
            )
        else:
            self._heard(watched, told, words)
        finally:
            watched.asked_at = self._clock()
