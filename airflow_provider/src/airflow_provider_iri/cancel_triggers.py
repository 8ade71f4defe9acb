"""Waits in the triggerer for jobs that have been cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from airflow_provider_iri.outages import outlasted
from airflow_provider_iri.triggers import IriTrigger


class IriCancelledTrigger(IriTrigger):
    """Fires once when all of these jobs are over.

    Args:
        iri_conn_id: The connection.
        refs: Their references.
        deadline: When to give up, in seconds since the epoch; None for never.
        trouble: With others of the same task: the name and the words of an error, which the task is told.
    """

    def __init__(
        self,
        iri_conn_id: str,
        refs: Sequence[str],
        deadline: float | None = None,
        trouble: Sequence[str] | None = None,
    ) -> None:
        super().__init__(iri_conn_id)
        self.refs = list(refs)
        self.deadline = deadline
        self.trouble = list(trouble) if trouble else None

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {**super().words(), "refs": self.refs, "deadline": self.deadline, "trouble": self.trouble}

    async def come_about(self) -> dict[str, Any]:
        """Wait for them together; one that the facility forgets meanwhile is over."""
        await self.open()
        await asyncio.gather(*map(self._end, self.refs))
        if self.trouble is None:
            return {}
        trouble, message = self.trouble
        return {"trouble": trouble, "message": message}

    async def _end(self, ref: str) -> None:
        from iri_common import JobLost

        try:
            await outlasted(partial(self._end_within, ref), self.deadline, f"the end of {ref}", self.log)
        except JobLost as error:
            self.log.info("%s", error)

    async def _end_within(self, ref: str, seconds: float | None) -> None:
        jobs = (await self.open()).aio.jobs
        await jobs.wait(ref, timeout=seconds)
