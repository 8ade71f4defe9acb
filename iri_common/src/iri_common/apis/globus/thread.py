"""One thread for blocking work, that holds up the end of the process a moment at most."""

from __future__ import annotations

import atexit
import functools
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

AT_EXIT = 3.0  # seconds: what a refresh of tokens takes, whose answer may count once

_Work = queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
_threads: weakref.WeakKeyDictionary[threading.Thread, _Work] = weakref.WeakKeyDictionary()


class OneThread:
    """Does one piece of work after the other.

    An executor's thread is waited for when the process ends: for half a minute after Ctrl-C, where Globus is
    silent.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: _Work = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Have it done; one that is cancelled before its turn is left out."""
        if self._thread is None:
            work_off = functools.partial(_work_off, self._work)
            self._thread = threading.Thread(target=work_off, name=self._name, daemon=True)
            self._thread.start()
            _threads[self._thread] = self._work
            weakref.finalize(self, self._work.put, None)
        future: Future[T] = Future()
        self._work.put((future, work))
        return future


def _work_off(pieces: _Work) -> None:
    while (piece := pieces.get()) is not None:
        future, work = piece
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
        del piece, future, work  # what they refer to is not kept until the next one


def _end() -> None:
    until = time.monotonic() + AT_EXIT
    for thread, pieces in list(_threads.items()):
        pieces.put(None)
        thread.join(max(0.0, until - time.monotonic()))


atexit.register(_end)
