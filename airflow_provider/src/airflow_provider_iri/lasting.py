"""Work in an event loop that goes on though whoever waits for it is cancelled, or that blocks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

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


async def ask_airflow(question: Callable[..., T], *given: Any) -> T:
    """Have a thread ask the supervisor of this triggerer, which blocks; gives the answer.

    By asgiref, not ``asyncio.to_thread``: what the thread asks goes through this loop then. A thread that
    reads the triggerer's socket by itself is the end of a triggerer of Airflow 3.2.0.
    """
    from asgiref.sync import sync_to_async

    return await sync_to_async(question, thread_sensitive=False)(*given)
