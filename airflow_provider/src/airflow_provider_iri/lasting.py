"""Work in an event loop that goes on though whoever waits for it is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

_begun: set[asyncio.Task[None]] = set()  # an event loop does not keep its tasks


def begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin it; only the end of the loop stops it."""
    task = asyncio.create_task(work)
    _begun.add(task)
    task.add_done_callback(_begun.discard)
    return task


async def see_through(task: asyncio.Task[None]) -> None:
    """Wait for its end, however often this is cancelled."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()
