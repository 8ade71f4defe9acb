"""One thread for all blocks of a process: Parsl's own threads are never kept waiting for a facility."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def start(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Begin some work on the loop of this process; work begun earlier has begun earlier."""
    return asyncio.run_coroutine_threadsafe(work, _loop())


def _loop() -> asyncio.AbstractEventLoop:
    with _lock:
        # By pid: a forked child inherits the entry of its parent, but not the thread behind it.
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="parsl-iri", daemon=True).start()
        return loop
