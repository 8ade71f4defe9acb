"""Waits in the triggerer that an outage does not end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 30.0  # seconds between two looks at a facility that does not answer


async def outlasted(
    wait: Callable[[float | None], Awaitable[T]], deadline: float | None, what: str, log: Any
) -> T:
    """What a wait gives; a facility that does not answer meanwhile is asked again.

    Args:
        wait: Waits for so many seconds, None for no limit.
        deadline: When to give up, in seconds since the epoch; None for never.
        what: Is waited for, for people.
        log: Of the task.

    Raises:
        WaitTimeout: if it was not over by then.
    """
    from iri_common import IriError, WaitTimeout

    while True:
        try:
            return await wait(left_until(deadline))
        except WaitTimeout:
            raise
        except IriError as error:
            if not error.transient:
                raise
            if left_until(deadline) == 0.0:
                raise WaitTimeout(f"{what} was not over in time, and cannot be seen: {error}") from None
            log.info("%s cannot be seen now: %s", what, error)
            await asyncio.sleep(PATIENCE)


def left_until(deadline: float | None) -> float | None:
    """Seconds."""
    return max(0.0, deadline - time.time()) if deadline is not None else None
