"""What a job writes, line by line in the log of its task, while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import sys
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from iri_common import JobStatus, LogChunk

if TYPE_CHECKING:
    from iri_common import AsyncFacility

TOLD_KEY = "iri_told"

MOST = 2**20  # bytes of a stream; a log of Airflow's is no place for more
LONGEST = 2**14  # characters of a line; a longer one is told in pieces
PORTION = 2**14  # bytes of a log, at least, after which it is kept how far that is
SHARE = 10  # of what comes at once, likewise: a request costs the triggerer more than a line told twice
PAUSE = 1.0  # seconds, at least, before less than that is kept
BAD = "\ufffd"  # stands for one to three bytes
REST = 60.0  # seconds after the end of the job for what it wrote last
TURN = 2**12  # bytes of its triggers' logs that a triggerer takes between two of their requests
UNDERWAY = 2**18  # bytes, at most, that wait between the two: a socket of Linux takes no more
AROUND = 2**9  # bytes, at most, that Airflow puts around a line of a log
GLANCE = 0.01  # seconds between two looks at what is on its way; a triggerer's turn takes as long


class Line(NamedTuple):
    """One of a stream.

    Attributes:
        text: Without its end.
        end: Offset of the byte after it; None if there is no saying.
    """

    text: str
    end: int | None


class Lines:
    """One stream as lines.

    Attributes:
        offset: Of the byte after the last line that was given.
    """

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._end = offset
        self._begun = ""

    def take(self, chunk: LogChunk) -> list[Line]:
        """The lines that this completes."""
        if chunk.anew:
            return [*self.last(chunk.offset), Line("(all begins anew)", chunk.offset)]
        text, written = self._begun + chunk.text, chunk.offset - self.offset
        # Each BAD stands for one byte, as in Latin-1, or each for three, where that makes the sum right.
        bad = next((size for size in (1, 3) if _size(text, size) == written), None)
        *whole, begun = text.split("\n")
        if BAD in begun or len(begun) > LONGEST:  # of which nobody knows how many bytes it is, or too many
            whole.append(begun)
            begun = ""
        lines, end = list[Line](), self.offset
        for line in whole:
            end += _size(line, bad or 0) + 1
            lines.append(Line(line.rstrip("\r"), end if bad else None))
        self._begun, self._end = begun, chunk.offset
        self.offset = max(0, chunk.offset - _size(begun))
        return [*lines[:-1], lines[-1]._replace(end=self.offset)] if lines else []

    def last(self, offset: int | None = None) -> list[Line]:
        """What is begun and will not be completed."""
        begun, self._begun = self._begun, ""
        self.offset = self._end = self._end if offset is None else offset
        return [Line(begun, self.offset)] if begun else []


class Bookmark(Protocol):
    """Keeps how far the streams have been told."""

    async def read(self) -> Mapping[str, int]:
        """The offset of each stream."""
        ...

    async def write(self, offsets: Mapping[str, int], told: int) -> None:
        """Keep them, when the lines before them are in the log; those are new by so many bytes of it."""
        ...


class TriggerBookmark:
    """Kept as an XCom: a triggerer cannot write to the task's state store.

    A new try finds none and tells all again, in a log of its own.

    Args:
        ti: The task's instance, as a trigger knows it.
        ref: The job; what was told of another counts for nothing.
    """

    def __init__(self, ti: Any, ref: str) -> None:
        self._ref = ref
        self._where = {
            "dag_id": ti.dag_id,
            "run_id": ti.run_id,
            "task_id": ti.task_id,
            "map_index": ti.map_index,
        }

    async def read(self) -> Mapping[str, int]:
        """What the triggerer before this one has told."""
        from airflow.sdk.execution_time.xcom import XCom

        kept: Any = await XCom.aget_one(key=TOLD_KEY, **self._where)
        return kept["offsets"] if kept and kept["ref"] == self._ref else {}

    async def write(self, offsets: Mapping[str, int], told: int) -> None:
        """For the triggerer after this one."""
        from airflow.sdk.execution_time.xcom import XCom

        kept = {"ref": self._ref, "offsets": dict(offsets)}
        await self._arrived(told)
        await XCom.aset(TOLD_KEY, kept, **self._where)

    async def _arrived(self, told: int) -> None:
        """Wait until a request overtakes no line on its way to the process that writes the log.

        That takes lines and requests from two sockets, some lines and one request at a turn. A request that
        was ahead of its lines would have the next triggerer leave them out, if this one was killed then.
        """
        if not await _taken():  # as many turns as they may need
            for _ in range(1 + min(told, UNDERWAY) // TURN):
                await self.read()


class JobOutput:
    """Tells what one job writes.

    Args:
        ref: The job.
        log: Of its task.
        bookmark: For whoever goes on with it; None if nobody does.

    Attributes:
        complete: All that the job wrote was told.
    """

    def __init__(self, ref: str, log: logging.Logger, bookmark: Bookmark | None = None) -> None:
        self.complete = False
        self._ref = ref
        self._log = log
        self._bookmark = bookmark
        self._told: dict[str, int] = {}
        self._unkept = 0  # bytes of the log
        self._at_once = 0
        self._due = 0.0
        self._said = asyncio.Event()
        self._keeping = asyncio.Lock()

    async def beside(self, facility: AsyncFacility, waiting: Coroutine[Any, Any, JobStatus]) -> JobStatus:
        """Tell it while somebody waits for the job, whatever goes wrong with telling."""
        telling, wait = asyncio.create_task(self.tell(facility)), asyncio.create_task(waiting)
        try:
            await asyncio.wait([telling, wait], return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()  # a worker's time may be over in the midst of any code of its process
            status = await wait
            await asyncio.wait([telling], timeout=REST)
        finally:
            telling.cancel()
            wait.cancel()
            await asyncio.wait([telling, wait])
        if not self.complete:
            self._log.warning("not all that the job wrote is told here: it is in the job's files")
        return status

    async def tell(self, facility: AsyncFacility) -> None:
        """Tell it until the job has ended and all is told, or it is too much."""
        self._told = await self._known()
        keeping = asyncio.create_task(self._keep_now_and_then())
        try:
            async with contextlib.aclosing(facility.jobs.follow(self._ref, since=dict(self._told))) as chunks:
                self.complete = await self._tell(chunks)
            await self._keep()
        except Exception as error:
            self._log.warning("what the job writes is not told any more: %s", error)
        finally:
            keeping.cancel()

    async def _tell(self, chunks: AsyncGenerator[LogChunk]) -> bool:
        """Tell them; false if they are too much."""
        streams = {stream: Lines(offset) for stream, offset in self._told.items()}
        while not (long := [stream for stream, lines in streams.items() if lines.offset > MOST]):
            asked = time.monotonic()
            chunk = await anext(chunks, None)
            if time.monotonic() - asked > PAUSE:
                self._at_once = 0
            if chunk is None:
                for stream, lines in streams.items():
                    await self._say(stream, lines.last())
                return True
            lines = streams.setdefault(chunk.stream, Lines())
            await self._say(chunk.stream, lines.take(chunk))
        self._log.warning("the job's %s is longer than %d bytes", long[0], MOST)
        return False

    async def _say(self, stream: str, lines: list[Line]) -> None:
        much = False
        for text, end in lines:
            self._log.info("[%s] %s", stream, text)
            size = AROUND + len(text.encode("utf-8", "replace"))
            self._unkept, self._at_once = self._unkept + size, self._at_once + size
            self._said.set()
            if end is not None:
                self._told[stream] = end
            if self._unkept >= max(PORTION, self._at_once // SHARE):
                much = True
                await self._keep()
            elif self._at_once % PORTION < size:
                await self._rest()
        if much:  # what little is left is not worth a pause
            await self._keep()

    async def _rest(self) -> None:
        """Others on the loop have their turn; at a full socket they would all wait."""
        await asyncio.sleep(0)
        if self._bookmark is not None:
            await _taken(PORTION)

    async def _known(self) -> dict[str, int]:
        if self._bookmark is None:
            return {}
        try:
            return dict(await self._bookmark.read())
        except Exception as error:
            self._log.warning("how far the job's output was told is not known: %s", error)
            return {}

    async def _keep_now_and_then(self) -> None:
        """For a job that writes little, or nothing more."""
        while self._bookmark is not None:
            await self._said.wait()
            while (rest := self._due - time.monotonic()) > 0:  # noqa: ASYNC110 - later by each that is kept
                await asyncio.sleep(rest)
            await self._keep()

    async def _keep(self) -> None:
        """Keep how far it is told."""
        await self._rest()
        async with self._keeping:
            told, self._unkept = self._unkept, 0
            self._said.clear()
            if not told or self._bookmark is None:
                return
            try:
                await self._bookmark.write(self._told, told)
            except Exception as error:
                self._log.warning("how far the job's output was told cannot be kept: %s", error)
                self._bookmark = None
            self._due = time.monotonic() + PAUSE


def _size(text: str, bad: int = 3) -> int:
    """Bytes of it, where each BAD is so many."""
    return len(text.encode("utf-8", "surrogatepass")) - (3 - bad) * text.count(BAD)


async def _taken(rest: int = 0) -> bool:
    """Wait until no more than this is underway; false if there is no saying."""
    while (underway := _underway()) is not None and underway > rest:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(GLANCE)
    return underway is not None


def _underway() -> int | None:
    """What the process that writes the log has not taken yet, in bytes; None if there is no saying."""
    if sys.platform != "linux":
        return None
    import fcntl
    import termios

    sockets = {fd for handler in logging.getLogger().handlers if (fd := _socket(handler)) is not None}
    try:
        sizes = [fcntl.ioctl(each, termios.TIOCOUTQ, bytes(4)) for each in sockets]
    except OSError:  # not every kernel that calls itself Linux is one
        return None
    return sum(int.from_bytes(size, sys.byteorder) for size in sizes) if sizes else None


def _socket(handler: logging.Handler) -> int | None:
    """The one that a handler writes to."""
    try:
        descriptor = handler.stream.fileno()  # type: ignore[attr-defined]
        return descriptor if stat.S_ISSOCK(os.fstat(descriptor).st_mode) else None
    except (AttributeError, OSError, ValueError):
        return None
