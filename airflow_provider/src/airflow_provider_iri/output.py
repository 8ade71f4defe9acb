"""What a job writes, line by line in the log of its task, while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from iri_common import JobStatus, LogChunk

if TYPE_CHECKING:
    import logging

    from iri_common import AsyncFacility

TOLD_KEY = "iri_told"

MOST = 2**20  # bytes of a stream; a log of Airflow's is no place for more
LONGEST = 2**14  # characters of a line; a longer one is told in pieces
AT_ONCE = 200  # lines, before others on the loop have their turn
BAD = "\ufffd"  # stands for one to three bytes
REST = 60.0  # seconds after the end of the job for what it wrote last
TURN = 2**12  # bytes of its triggers' logs that a triggerer takes between two of their requests
UNDERWAY = 2**18  # bytes, at most, that wait between the two: a socket of Linux takes no more
AROUND = 2**9  # bytes, at most, that Airflow puts around a line of a log


class Lines:
    """One stream as lines.

    Attributes:
        offset: Of the byte after the last line that was given.
    """

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._end = offset
        self._begun = ""

    def take(self, chunk: LogChunk) -> list[str]:
        """The lines that this completes."""
        if chunk.anew:
            return [*self.last(chunk.offset), "(all begins anew)"]
        *whole, begun = (self._begun + chunk.text).split("\n")
        if BAD in begun or len(begun) > LONGEST:  # of which nobody knows how many bytes it is, or too many
            whole.append(begun)
            begun = ""
        self._begun, self._end = begun, chunk.offset
        self.offset = chunk.offset - len(begun.encode("utf-8", "surrogatepass"))
        return [line.rstrip("\r") for line in whole]

    def last(self, offset: int | None = None) -> list[str]:
        """What is begun and will not be completed."""
        begun, self._begun = self._begun, ""
        self.offset = self._end = self._end if offset is None else offset
        return [begun] if begun else []


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

        kept: Any = await asyncio.to_thread(XCom.get_one, key=TOLD_KEY, **self._where)
        return kept["offsets"] if kept and kept["ref"] == self._ref else {}

    async def write(self, offsets: Mapping[str, int], told: int) -> None:
        """For the triggerer after this one."""
        from airflow.sdk.execution_time.xcom import XCom

        # Lines and requests take two ways to the process that writes the log, which looks at both by turns.
        # What overtook its lines would have the next triggerer leave them out, if this one was killed then.
        for _ in range(1 + min(told, UNDERWAY) // TURN):
            await self.read()
        kept = {"ref": self._ref, "offsets": dict(offsets)}
        await asyncio.to_thread(XCom.set, TOLD_KEY, kept, **self._where)


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
        self._lines: dict[str, Lines] = {}
        self._unkept = 0

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
        offsets = await self._known()
        self._lines = {stream: Lines(offset) for stream, offset in offsets.items()}
        try:
            async with contextlib.aclosing(facility.jobs.follow(self._ref, since=offsets)) as chunks:
                async for chunk in chunks:
                    lines = self._lines.setdefault(chunk.stream, Lines())
                    await self._say(chunk.stream, lines.take(chunk))
                    if lines.offset > MOST:
                        self._log.warning("the job's %s is longer than %d bytes", chunk.stream, MOST)
                        return
            for stream, lines in self._lines.items():
                await self._say(stream, lines.last())
            self.complete = True
        except Exception as error:
            self._log.warning("what the job writes is not told any more: %s", error)

    async def _say(self, stream: str, lines: list[str]) -> None:
        for number, line in enumerate(lines, start=1):
            self._log.info("[%s] %s", stream, line)
            self._unkept += AROUND + len(line.encode("utf-8", "replace"))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        if lines:
            await self._keep()

    async def _known(self) -> dict[str, int]:
        if self._bookmark is None:
            return {}
        try:
            return dict(await self._bookmark.read())
        except Exception as error:
            self._log.warning("how far the job's output was told is not known: %s", error)
            return {}

    async def _keep(self) -> None:
        if self._bookmark is None:
            return
        try:
            offsets = {stream: lines.offset for stream, lines in self._lines.items()}
            await self._bookmark.write(offsets, self._unkept)
            self._unkept = 0
        except Exception as error:
            self._log.warning("how far the job's output was told cannot be kept: %s", error)
            self._bookmark = None
