"""Open files of facilities: what is read was fetched before, what is written is sent at the end."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

log = logging.getLogger(__name__)


class FetchedFile(io.BufferedReader):
    """A file that was fetched whole, to be read.

    Args:
        path: What it is called there.
        fetch: Puts its bytes into the file that it is given.
    """

    def __init__(self, path: str, fetch: Callable[[Path], object]) -> None:
        with tempfile.TemporaryDirectory(prefix="iri-") as directory:
            copy = Path(directory, "copy")
            fetch(copy)
            super().__init__(io.FileIO(copy))  # its name goes with the directory, its bytes when it is closed
        self.path = path
        self.size = os.fstat(self.fileno()).st_size


class SentFile(io.BufferedRandom):
    """A file to be written, sent when it is closed: whole, or after an exception not at all.

    Neither a text layer nor a compressing one hands on why it is left. So a close counts as given up if it
    comes with an exception that was not there when the file was opened.

    Args:
        path: What it will be called there.
        send: Takes the bytes from the file that it is given.
        autocommit: False in a transaction of fsspec: :meth:`commit` sends.
    """

    def __init__(self, path: str, send: Callable[[Path], object], *, autocommit: bool = True) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="iri-")
        self._copy = Path(self._directory.name, "copy")
        self._send = send
        self._autocommit = autocommit
        self._given_up = False
        self._raised_before = sys.exc_info()[1]
        self.path = path
        super().__init__(io.FileIO(self._copy, "w+"))

    def close(self) -> None:
        """Send what was written, unless something went wrong."""
        if self.closed:
            return
        # At the end of the interpreter nobody is left to send it, and nobody said that it is complete.
        if sys.exc_info()[1] not in (None, self._raised_before) or sys.is_finalizing():
            self._given_up = True
        try:
            super().close()
        except BaseException:
            self.discard()
            raise
        if self._given_up:
            self.discard()
        elif self._autocommit:
            self.commit()

    def commit(self) -> None:
        """Send what was written, if it was not given up."""
        try:
            if not self._given_up:
                self._send(self._copy)
        finally:
            self.discard()

    def discard(self) -> None:
        """Throw away what was written."""
        self._given_up = True
        self._directory.cleanup()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._given_up = self._given_up or kind is not None
        self.close()

    def __del__(self) -> None:
        self._left_open()
        self.close()

    def _dealloc_warn(self, source: object) -> None:
        # So Python's layers of text and buffers announce that it is the garbage collector who closes them.
        self._left_open()

    def _left_open(self) -> None:
        """It was never said to be complete: it is not sent, and whoever wrote it is told."""
        if self.closed or self._given_up:
            return
        self._given_up = True
        if not sys.is_finalizing():
            log.warning("%s was left open, so nothing of it was sent: close it, or use `with`", self.path)
