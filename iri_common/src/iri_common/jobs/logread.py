"""One stream of a job's output as it is read: how far, and the last of it for those who come later."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from iri_common.jobs.logfile import LogFile
from iri_common.model.errors import NotFound
from iri_common.model.logs import LogChunk
from iri_common.policy.following import Piece, rest_of, seam_of

KEPT = 4 * 1024 * 1024  # bytes of a stream that are kept for those who come later
DOUBTS = 3  # times that a file is taken for another one because its text does not go on where it ended


@dataclass(slots=True, eq=False)
class Log:
    """What is known of one stream: how far it was read, and the last of it.

    Attributes:
        stream: "stdout" or "stderr".
        head: Offset up to which it was read.
        grew_at: When it was last seen to grow.
        looked_at: When the last look that was answered began.
        size: As last seen.
        epoch: How often its file began anew.
        missing: What the facility said when it had no such file.
        stale: A look is due whoever asks: what is known of it was found to be wrong.
    """

    stream: str
    head: int
    grew_at: float
    looked_at: float = -math.inf
    size: int = 0
    epoch: int = 0
    missing: NotFound | None = None
    stale: bool = False
    _goal: int = 0  # what is known to be there and is worth reading
    _held: int = 0  # bytes at its end that may be the beginning of a character
    _doubts: int = DOUBTS
    _kept: deque[tuple[int, LogChunk]] = field(default_factory=deque[tuple[int, LogChunk]])

    @property
    def unread(self) -> bool:
        """Whether more is known to be there."""
        return self._goal > self.head

    async def more(self, file: LogFile, now: float, *, fresh: float, last: bool) -> None:
        """Read one piece of what is new; look for it first if the last look is older than ``fresh``."""
        try:
            if not self.unread and (self.stale or self.looked_at < fresh):
                await self._look(file, now)
            last = last and self.looked_at >= fresh
            if last and self._held:
                self._held, self._goal = 0, self.size
            if self.unread:
                await self._read(file, now, last=last)
        except NotFound as error:  # not there yet, or not any more
            self._goal, self.looked_at = self.head, now
            self.missing = None if self.head else error

    async def _look(self, file: LogFile, now: float) -> None:
        size = await file.size()
        if size < max(self.size, self.head):
            self._begin_anew()
        if size != self.size:
            self._held = 0
        self.stale, self.missing = False, None
        self.size, self.looked_at = size, now
        self._goal = self.head if self._held else size

    def _begin_anew(self) -> None:
        self.epoch, self.head, self._held = self.epoch + 1, 0, 0
        self._kept.clear()

    async def _read(self, file: LogFile, now: float, *, last: bool) -> None:
        # A file that was truncated may have become longer than it was before anybody looked again (a job that
        # is requeued within seconds): so its last words are read once more, together with what is new.
        seam = seam_of(self._kept[-1][1].text) if self._kept and self._doubts else Piece("", 0)
        piece = await file.piece(self.head - seam.size, self._goal, last=last)
        if piece.size >= seam.size and not piece.text.startswith(seam.text):
            self._doubts -= 1
            self._begin_anew()
            return
        piece = Piece(piece.text[len(seam.text) :], max(0, piece.size - seam.size), piece.held)
        if piece.size:
            start, self.head = self.head, self.head + piece.size
            self.grew_at = now
            self._kept.append((start, LogChunk(self.stream, piece.text, self.head)))
            while self.head - self._kept[0][0] > KEPT and len(self._kept) > 1:
                self._kept.popleft()
        if piece.held and self.head + piece.held == self._goal:
            self._held = piece.held
        if self._held or not piece.size:
            self._goal = self.head

    def after(self, offset: int) -> LogChunk | int | None:
        """What comes after an offset: a chunk, or where the first one begins that is kept, or nothing."""
        for start, chunk in self._kept:
            if offset < start:
                return start
            if offset < chunk.offset:
                if offset == start:
                    return chunk
                text = rest_of(chunk.text, chunk.offset - start, offset - start)
                return chunk.offset if text is None else LogChunk(self.stream, text, chunk.offset)
        return self.head if offset < self.head else None
