"""What a port method returns: the value, or the promise of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The facility has answered.

    Attributes:
        value: The answer, translated.
    """

    value: T


@dataclass(frozen=True, slots=True)
class FacilityTask:
    """Something that a facility works on in its own time; plain texts, which another process can wait by.

    Attributes:
        task_id: The facility's id of it.
        operation: What it does, in the API's words.
    """

    task_id: str
    operation: str


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """The facility has taken the request and works on it; ask the dialect's operations for the end.

    Attributes:
        task_id: The facility's id of the operation.
        operation: Its name in the API's words, for logs and errors.
        read: Translates the finished operation's result.
        soonest: Seconds before which it is hardly ever done; the first look at one of its kind comes then.
        secrets: What must not come back in the words of its end.
    """

    task_id: str
    operation: str
    read: Callable[[object], T]
    soonest: float = 0.0
    secrets: Sequence[str] = field(default=(), repr=False)

    @property
    def task(self) -> FacilityTask:
        """What may be kept of it."""
        return FacilityTask(self.task_id, self.operation)


Answer = Done[T] | Pending[T]
"""What a request may bring that the facility works on in its own time."""
