"""An open file that threads work with, and that outlives whoever opened it until they are done."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class LentFile:
    """A descriptor that is closed when the last one who works with it is done.

    A thread outlives the task that waits for it: one that was cancelled in mid-write would go on writing into
    whatever file had got the number of the closed one.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._users = 1  # who opened it

    def lent(self, work: Callable[[int], T]) -> T:
        """Work with it.

        Raises:
            ValueError: if it is closed.
        """
        with self._lock:
            if not self._users:
                raise ValueError("the file is closed")
            self._users += 1
        try:
            return work(self._descriptor)
        finally:
            self.close()

    def close(self) -> None:
        """One user less."""
        with self._lock:
            self._users -= 1
            if not self._users:
                os.close(self._descriptor)
