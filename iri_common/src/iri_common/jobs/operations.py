"""Waits for what a facility does in its own time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TypeVar

from iri_common.model.errors import WaitTimeout
from iri_common.model.outcome import Answer, Done
from iri_common.model.ports import OperationsApi

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: the first pause, its growth up to the longest one, and the limit of the whole wait."""

    first: float = 0.1
    growth: float = 1.6
    longest: float = 3.0
    total: float = 300.0


async def settled(answer: Answer[T], operations: OperationsApi, patience: Patience | None = None) -> T:
    """The value of an answer, however long the facility works on it.

    Raises:
        WaitTimeout: if it is still at work after ``patience.total`` seconds.
        IriError: what the operation failed with.
    """
    patience = patience or Patience()
    deadline = time.monotonic() + patience.total
    pause = patience.first
    while not isinstance(answer, Done):
        if time.monotonic() + pause > deadline:
            raise WaitTimeout(
                f"the facility still works on {answer.operation} after {patience.total:.0f} s "
                f"(its task {answer.task_id}); it may still finish there"
            )
        await asyncio.sleep(pause)
        pause = min(patience.longest, pause * patience.growth)
        answer = await operations.check(answer)
    return answer.value
