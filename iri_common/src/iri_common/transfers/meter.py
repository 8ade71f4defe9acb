"""Counts what a transfer moves: holds it to a bandwidth, and tells how far it is."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from iri_common.model.transfer import Move, Progress, Road

OnProgress = Callable[[Progress], None]

LATELY = 5.0  # seconds that a rate is taken over
BETWEEN = 0.2  # seconds between two tellings


class TransferMeter:
    """The meter of one transfer; used on one loop only.

    Args:
        label: What is moved, for people.
        road: How.
        files: How many there are.
        size: Of all of them, in bytes.
        rate: Bytes per second that are allowed; None for as many as go.
        tell: Called at the beginning, at the end and at most five times a second between.
        landed: Called for each file that is whole at the target.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self,
        label: str,
        road: Road,
        *,
        files: int,
        size: int,
        rate: float | None = None,
        tell: OnProgress | None = None,
        landed: Callable[[Move], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bytes = 0
        self.files = 0
        self.files_skipped = 0
        self.sha256: str | None = None
        self._label = label
        self._road = road
        self._files_total, self._bytes_total = files, size
        self._kept = 0
        self._rate = rate
        self._tell = tell
        self._landed = landed
        self._clock = clock
        self._free_at = clock()
        self._told_at: float | None = None
        self._current = ""
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])

    async def spend(self, count: int) -> None:
        """Wait until so many bytes may be sent or asked for.

        Everyone gets the next free piece of time, in the order in which they ask.
        """
        if self._rate is None:
            return
        now = self._clock()
        begin = max(now, self._free_at)
        self._free_at = begin + count / self._rate
        if begin > now:
            await asyncio.sleep(begin - now)

    def moved(self, count: int, name: str = "") -> None:
        """So many bytes have arrived; fewer than 0 if they have to be moved again."""
        self.bytes += count
        self._current = name or self._current
        self._note()
        self._say()

    def kept(self, count: int) -> None:
        """So many bytes need not be moved, because an earlier try had moved them."""
        self._kept += count
        self._say()

    def landed(self, move: Move, sha256: str | None = None) -> None:
        """A file is whole at the target."""
        self.files += 1
        self.sha256 = sha256
        if self._landed is not None:
            self._landed(move)
        self._say()

    def skipped(self, move: Move) -> None:
        """A file need not be moved at all: it is there, unchanged, or since an earlier try."""
        self.files_skipped += 1
        self.kept(move.size)

    def begin(self) -> None:
        """Tell that it begins."""
        self._say()

    def finish(self) -> None:
        """Tell that nothing more comes."""
        self._current = ""
        self._say(finished=True)

    def _note(self) -> None:
        now = self._clock()
        if now - self._seen[-1][0] >= BETWEEN:
            self._seen.append((now, self.bytes))
        while len(self._seen) > 1 and now - self._seen[1][0] >= LATELY:
            self._seen.popleft()

    def _lately(self, now: float) -> float:
        since, then = self._seen[0]
        return max(0.0, (self.bytes - then) / (now - since)) if now > since else 0.0

    def _say(self, *, finished: bool = False) -> None:
        if self._tell is None:
            return
        now = self._clock()
        if not finished and self._told_at is not None and now - self._told_at < BETWEEN:
            return
        self._told_at = now
        done = self.bytes + self._kept
        rate = self._lately(now)
        left = max(0, self._bytes_total - done)
        self._tell(
            Progress(
                label=self._label,
                road=self._road,
                bytes_done=done,
                bytes_total=self._bytes_total,
                files_done=self.files + self.files_skipped,
                files_total=self._files_total,
                rate=rate,
                seconds_left=0.0 if finished or not left else left / rate if rate else None,
                current=self._current,
                finished=finished,
            )
        )
