"""An async iterator that runs on the I/O loop and is taken from anywhere, one item at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar, final

from iri_common.facility.loop import io_loop
from iri_common.model.errors import UsageError

T = TypeVar("T")


@final
class End:
    """Comes after the last item."""


class Stream(Generic[T]):
    """Runs an iterator in one task, at most two items ahead of who takes them.

    One task, because an interrupted wait for an item must not end the iterator in the middle of its work:
    only ``stop`` does.
    """

    def __init__(self, items: AsyncGenerator[T]) -> None:
        self._items = items
        self._ready: asyncio.Queue[T | End] = asyncio.Queue(1)
        self._task: asyncio.Task[None] | None = None
        self._pid = os.getpid()

    async def take(self) -> T | End:
        """The next item, or the end; what the iterator raises is raised here. On the I/O loop.

        Raises:
            UsageError: in a forked child: the work goes on in the parent, and its items are for that one.
        """
        if self._pid != os.getpid():
            raise UsageError("it was begun before this process was forked; begin it anew here")
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="stream")
        item = await self._ready.get()
        if isinstance(item, End):
            self._ready.put_nowait(item)  # for whoever asks again
            await self._task
        return item

    async def stop(self) -> None:
        """Let go of it. On the I/O loop."""
        if self._pid != os.getpid():
            return  # it lives in the parent, whose loop nobody runs here
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._items.aclose()

    def stop_blocking(self) -> None:
        """Let go of it, from any thread; waits, but for the I/O loop's own, where it may be collected."""
        if sys.is_finalizing():
            return  # the loop's thread has ended without a word; to wait for it would keep the process
        loop = io_loop()
        future = loop.start(self.stop())
        if not loop.runs_here():
            future.result()

    async def _run(self) -> None:
        try:
            async with contextlib.aclosing(self._items) as items:
                async for item in items:
                    await self._ready.put(item)
        finally:
            if not asyncio.current_task().cancelling():  # pyright: ignore[reportOptionalMemberAccess]
                await self._ready.put(End())
