"""What was added to files that only grow, and are renamed when they are large: each line is read once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_HEAD = 64  # bytes by which a file is known again: an inode that became free may be another one's


class _Read(NamedTuple):
    """How far a file was read."""

    head: bytes
    size: int


class NewLines:
    """Remembers how far each file was read; its methods block."""

    def __init__(self) -> None:
        self._read: dict[tuple[int, int], _Read] = {}

    def of(self, paths: Iterable[Path], since: float) -> Iterator[bytes]:
        """The whole lines that were added since they were read last; all of a file that is another one now.

        Args:
            paths: The files, in their order.
            since: Seconds since the epoch; a file that was not written to since then is left out.

        Raises:
            OSError: if one cannot be read.
        """
        before, self._read = self._read, {}
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # taken away as too old, or renamed, meanwhile
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    yield from self._added(descriptor, before, since)
                finally:
                    os.close(descriptor)

    def _added(self, descriptor: int, before: dict[tuple[int, int], _Read], since: float) -> Iterator[bytes]:
        facts = os.fstat(descriptor)
        if facts.st_mtime < since:
            return
        identity = (facts.st_dev, facts.st_ino)
        head, known = os.pread(descriptor, _HEAD, 0), before.get(identity, _Read(b"", 0))
        begin = known.size if head.startswith(known.head) and facts.st_size >= known.size else 0
        content = _whole_lines(descriptor, begin, facts.st_size - begin)
        end = begin + len(content)
        yield from content.splitlines()
        self._read[identity] = _Read(head[:end], end)  # not if whoever takes the lines broke off


def _whole_lines(descriptor: int, begin: int, size: int) -> bytes:
    """Without the beginning of a line whose writer is at it, or died."""
    pieces = list[bytes]()
    while size > 0 and (piece := os.pread(descriptor, size, begin)):
        pieces.append(piece)
        begin, size = begin + len(piece), size - len(piece)
    content = b"".join(pieces)
    return content[: content.rfind(b"\n") + 1]
