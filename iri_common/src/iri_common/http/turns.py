"""What takes megabytes for a moment is done by one thread: each of several would keep its own."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_threads: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()


async def in_turn(work: Callable[[], T]) -> T:
    """Do it off the loop, after what was asked for before.

    Parsing JSON and decoding base64 hold the interpreter, so that several at once are no sooner done. But all
    of them would have their texts in memory together, and C's allocator keeps what each thread has freed.
    """
    loop = asyncio.get_running_loop()
    if loop not in _threads:
        _threads[loop] = ThreadPoolExecutor(1, thread_name_prefix="iri-turns")
    return await loop.run_in_executor(_threads[loop], contextvars.copy_context().run, work)
