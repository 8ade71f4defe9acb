"""Waits for what a facility does in its own time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakKeyDictionary

from iri_common.model.errors import WaitTimeout
from iri_common.model.outcome import Answer, Done
from iri_common.model.ports import OperationsApi
from iri_common.policy.pace import task_pauses

T = TypeVar("T")

_SOONEST = 0.1  # seconds
_SELDOM = 30.0  # seconds between two looks at what may take hours
# Seconds that the last operation of each name took, by the door that it went through.
_TOOK: MutableMapping[OperationsApi, dict[str, float]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: the first pause, its growth up to the longest one, and the limit of the whole wait.

    Without a first one it is as the operation says, and after one of its kind as that one took.
    """

    first: float | None = None
    growth: float = 1.6
    longest: float = 3.0
    total: float = 300.0

    @classmethod
    def of(cls, timeout: float | None) -> Patience:
        """For a caller's limit in seconds, None for none; who waits for long looks seldom."""
        usual = cls()
        if timeout is not None and timeout <= usual.total:
            return cls(total=timeout)
        return cls(longest=_SELDOM, total=math.inf if timeout is None else timeout)


async def settled(answer: Answer[T], operations: OperationsApi, patience: Patience | None = None) -> T:
    """The value of an answer, however long the facility works on it.

    Raises:
        WaitTimeout: if it is still at work after ``patience.total`` seconds.
        IriError: what the operation failed with.
    """
    if isinstance(answer, Done):
        return answer.value
    patience = patience or Patience()
    clock = asyncio.get_running_loop().time
    began = clock()
    took, operation = _TOOK.setdefault(operations, {}), answer.operation
    first = max(_SOONEST, answer.soonest) if patience.first is None else patience.first
    pauses = task_pauses(first, patience.growth, patience.longest, took.get(operation))
    while not isinstance(answer, Done):
        pause = next(pauses)
        if clock() + pause > began + patience.total:
            raise WaitTimeout(
                f"the facility still works on {answer.operation} after {patience.total:.0f} s "
                f"(its task {answer.task_id}); it may still finish there",
                task=answer.task,
            )
        await asyncio.sleep(pause)
        answer = await operations.check(answer)
    took[operation] = clock() - began
    return answer.value
