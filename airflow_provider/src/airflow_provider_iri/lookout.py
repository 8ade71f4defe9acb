"""The side of a watcher that Airflow tells when events are safe; Airflow 3.3 has one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

if TYPE_CHECKING:
    from airflow_provider_iri.watchers import Look


class Lookout(SharedStreamProducer):
    """Gives looks to all that wait for the same, and settles each when its events are stored.

    Args:
        looks: At a facility, again and again.
    """

    def __init__(self, looks: AsyncIterator[Look]) -> None:
        self._looks = looks

    async def open_stream(self) -> AsyncIterator[tuple[Look, Look]]:
        """The looks."""
        async for look in self._looks:
            yield look, look

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Settle those whose events are stored; of the others, the next look tells again."""
        for item in batch:
            if item.outcome.is_clean:
                await item.broker_payload.settle()
