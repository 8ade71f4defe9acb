"""The request that is being served: what is known of it while the floors below work on it.

Held in a context variable, so that scheduler and fault orders can learn who looks and note what they did
without any face passing it on.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from .manners import Manners


def _nothing() -> None:
    """Until somebody listens."""


@dataclass
class Exchange:
    """One request and its reply.

    Attributes:
        operation: The operationId.
        user: Whose token came with the request, whether or not the face looked at it.
        job: The job or transfer that the path names.
        resource: The resource that the path names.
        created: The job that the request made.
        acted: Whether a face was reached and did not refuse.
        faults: Ids of the orders that struck, in order.
        decided: For orders on what is seen of jobs: whether each strikes this request.
        manners: Those of the face that it is for.
        record: Write it into the log now, for when no reply will.
    """

    operation: str | None = None
    user: str | None = None
    job: str | None = None
    resource: str | None = None
    idempotency_key: str | None = None
    created: str | None = None
    acted: bool = False
    faults: list[str] = field(default_factory=list)
    decided: dict[str, bool] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    manners: Manners = field(default_factory=Manners)
    record: Callable[[], None] = _nothing


current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


def note_created(job: int) -> None:
    """The present request, if there is one, made this job."""
    if (exchange := current.get()) is not None:
        exchange.created = str(job)
