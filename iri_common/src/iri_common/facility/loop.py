"""One I/O loop per process: started when first needed, found again by pid, dropped in a forked child."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class IoLoop:
    """An event loop in a daemon thread, and whatever lives on it (open doors)."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.belongings: dict[object, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="iri-io", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin some work; the future may be waited for from any thread but the loop's own."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def runs_here(self) -> bool:
        """Whether the caller is on this loop."""
        return threading.current_thread() is self._thread


_lock = threading.Lock()
_current: IoLoop | None = None
_of_parents: list[IoLoop] = []  # kept, so that no collection in a child closes what a parent still uses


def io_loop() -> IoLoop:
    """The loop of this process.

    After a fork the child has the parent's object but not its thread. It is dropped, never closed:
    closing would tear down connections whose sockets the parent still uses (Airflow forks its workers).
    """
    global _current
    with _lock:
        if _current is not None and _current.pid != os.getpid():
            _of_parents.append(_current)
            _current = None
        if _current is None:
            _current = IoLoop()
        return _current


def _after_fork() -> None:
    # A fork while another thread held the lock would leave it locked in the child for ever.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def start_blocking(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Begin work that the calling thread is going to wait for.

    Raises:
        RuntimeError: if the caller is the I/O loop, which would wait for itself.
    """
    loop = io_loop()
    if loop.runs_here():
        work.close()
        raise RuntimeError("a blocking call was made on the I/O loop itself; await the async face there")
    return loop.start(work)


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Wait for work on the I/O loop; an interrupt of the caller cancels the work."""
    future = start_blocking(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def run_awaited(work: Coroutine[Any, Any, T]) -> T:
    """Await work on the I/O loop from any other loop; cancelling the awaiting task cancels the work."""
    loop = io_loop()
    if loop.runs_here():
        return await work
    return await asyncio.wrap_future(loop.start(work))
