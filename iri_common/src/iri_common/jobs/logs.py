"""What jobs write, read once for all who follow them in this process: new bytes only, by offset."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass

from iri_common.jobs.logfile import LogFile
from iri_common.jobs.logread import Log
from iri_common.model.errors import AuthError, IriError, NotFound, NotOffered, TransientError, UsageError
from iri_common.model.logfields import about
from iri_common.model.logs import LogChunk
from iri_common.model.ports import Dialect
from iri_common.model.ref import JobRef
from iri_common.policy.following import look_after
from iri_common.policy.pace import Pace, after_failures

log = logging.getLogger(__name__)

OUTAGE = 7200.0  # seconds that the rest of an ended job's output is waited for, where nothing answers
TRIES = 4  # at the rest of an ended job's output, where the facility says no to it


@dataclass(slots=True)
class Place:
    """Where somebody who follows a stream is.

    Attributes:
        stream: "stdout" or "stderr".
        offset: Of the next byte.
        joined: When, on the clock of the logs.
        twin: The other stream is followed too: if both are one file, it is told as that one's.
        epoch: How often the file had begun anew.
        done: Nothing more comes.
    """

    stream: str
    offset: int
    joined: float
    twin: bool = False
    epoch: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """Where a job writes.

    Attributes:
        file_system: The facility's id of the resource whose files they are.
        paths: Of "stdout" and "stderr", as far as the facility tells.
    """

    file_system: str
    paths: Mapping[str, str]


class JobLogs:
    """The streams of one job, for all who follow it; whoever wants more first reads it for everybody.

    Args:
        dialect: With its files.
        ref: The job.
        label: What messages call the facility.
        locate: Tells where it writes; asked once.
        pace: How often to look.
        crowd: Tells how many streams are followed at this door.
        mendable: Whether the credential can ever be another one here.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self,
        dialect: Dialect,
        ref: JobRef,
        label: str,
        locate: Callable[[], Awaitable[Output]],
        pace: Pace,
        crowd: Callable[[], int] = lambda: 1,
        *,
        mendable: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.users = 0
        self.over_at: float | None = None  # when the first of them saw the end of the job
        self._dialect = dialect
        self._ref = ref
        self._label = label
        self._locate = locate
        self._pace = pace
        self._crowd = crowd
        self._mendable = mendable
        self._output: Output | None = None
        self._files: dict[str, LogFile] = {}
        self._logs: dict[str, Log] = {}
        self._closed: dict[str, str] = {}  # streams that cannot be read, and why
        self._failures = 0
        self._failing_since = -math.inf
        self._due = -math.inf
        self._lock = asyncio.Lock()

    @property
    def streams(self) -> int:
        """How many are read."""
        return len(self._logs)

    def path(self, stream: str) -> str | None:
        """Where a stream goes, once that is known."""
        return self._output.paths.get(stream) if self._output else None

    def closed(self, stream: str) -> bool:
        """Whether a stream cannot be read."""
        return stream in self._closed

    @property
    def trouble_until(self) -> float:
        """When a facility that gave no answer is asked again."""
        return self._due if self._failures else -math.inf

    def tell_missing(self, place: Place) -> None:
        """Say it if there never was a file of this stream."""
        known = self._logs.get(place.stream)
        if known is not None and known.missing is not None:
            self._close(place, known.missing)

    def grew_at(self, place: Place) -> float:
        """When a stream was last seen to grow."""
        known = self._logs.get(place.stream)
        return known.grew_at if known and known.epoch + known.head else -math.inf

    def next_look(self, place: Place) -> float:
        """When the facility is to be asked again about a stream."""
        known = self._logs.get(place.stream)
        if known is None or self._failures:
            return self.trouble_until
        return known.looked_at + look_after(self._pace, self.clock() - known.grew_at, self._crowd())

    async def more(
        self, place: Place, *, fresh: float | None = None, over: bool = False, last: bool = False
    ) -> LogChunk | None:
        """What comes next in a stream; None if there is nothing now, or nothing any more (``place.done``).

        Nothing that goes wrong ends it while the job lives: it is said once, and tried again.

        Args:
            place: Is moved on.
            fresh: A look that began before this time is not enough; None for one at the stream's own pace.
            over: The job has ended.
            last: Nothing was written from ``fresh`` on.
        """
        try:
            chunk = await self._more(place, fresh, last) if self.clock() >= self.trouble_until else None
        except UsageError as error:  # NotOffered, or no file system that is meant
            self._close(place, error)
            return None
        except IriError as error:
            self._troubled(error)
            if over and self._hopeless(error):
                self._close(place, error)
            return None
        if chunk is not None:
            place.offset = chunk.offset
        return chunk

    async def _more(self, place: Place, fresh: float | None, last: bool) -> LogChunk | None:
        place.done = place.done or place.stream in self._closed
        if place.done:
            return None
        async with self._lock:
            file = await self._file(place)
            if file is None:
                return None
            known = await self._advance(file, place, fresh, last)
        if place.epoch != known.epoch or (place.offset > known.size and known.looked_at >= place.joined):
            place.epoch = known.epoch
            return LogChunk(place.stream, "", 0)
        found = known.after(place.offset)
        if isinstance(found, int):  # long ago: read by this one for itself
            piece = await file.piece(place.offset, found, last=True)
            if not piece.size:
                known.stale = True
                raise TransientError(f"the {place.stream} is shorter than it was")
            return LogChunk(place.stream, piece.text, place.offset + piece.size)
        looked = fresh is not None and known.looked_at >= fresh
        place.done = found is None and last and looked and not known.unread
        return found

    async def _advance(self, file: LogFile, place: Place, fresh: float | None, last: bool) -> Log:
        """Read on if nobody has since; gives what is known then."""
        known = self._logs.get(place.stream)
        if known is None:
            known = self._logs[place.stream] = Log(place.stream, place.offset, self.clock())
        epoch, now = known.epoch, self.clock()
        if fresh is None:  # asked here, where nobody else is looking: the others' looks count too
            fresh = now if now >= self.next_look(place) else -math.inf
        if place.offset > known.size:  # it may have grown, or it began anew
            fresh = max(fresh, place.joined)
        if known.stale or (place.epoch == epoch and place.offset >= known.head):
            await known.more(file, self.clock(), fresh=fresh, last=last)
            while known.unread and known.head < place.offset:
                await known.more(file, self.clock(), fresh=fresh, last=last)
            self._answered()
        if known.epoch != epoch:
            log.info(
                "the %s of %s began anew, and is told from its beginning",
                place.stream,
                self._ref.describe(),
                extra=about(facility=self._label, ref=self._ref),
            )
        return known

    async def _file(self, place: Place) -> LogFile | None:
        """The file of a stream; None if the other one stands for it."""
        if self._output is None:
            self._output = await self._locate()
        paths, stream = self._output.paths, place.stream
        if stream not in paths:
            raise NotOffered(f"it does not tell where the {stream} of {self._ref.describe()} goes")
        if place.twin and stream == "stderr" and paths[stream] == paths.get("stdout"):
            place.done = True
            return None
        if stream not in self._files:
            self._files[stream] = LogFile(self._dialect, self._output.file_system, paths[stream])
        return self._files[stream]

    # -- trouble

    def _close(self, place: Place, error: IriError) -> None:
        place.done = True
        if error.message not in self._closed.values():
            log.warning(
                "%s does not let the output of %s be followed: %s",
                self._label,
                self._ref.describe(),
                error.message,
                extra=about(facility=self._label, ref=self._ref, error=error),
            )
        self._closed[place.stream] = error.message

    def _hopeless(self, error: IriError) -> bool:
        """Whether a job that is over has no more to tell."""
        if isinstance(error, NotFound):  # the facility has forgotten the job, and with it where it wrote
            return True
        since = max(self._failing_since, self.clock() if self.over_at is None else self.over_at)
        if self.clock() - since >= OUTAGE:  # not an outage: some answer 500 for a file that is not there
            return True
        mending = error.transient or (isinstance(error, AuthError) and self._mendable)
        return not mending and self._failures >= TRIES

    def _troubled(self, error: IriError | None) -> None:
        if not self._failures:
            self._failing_since = self.clock()
        self._failures += 1
        self._due = self.clock() + after_failures(self._pace, self._failures)
        if self._failures == 1 and error is not None:
            log.warning(
                "the output of %s cannot be read now (%s); it is tried again, from where it was",
                self._ref.describe(),
                error,
                extra=about(facility=self._label, ref=self._ref, error=error),
            )

    def _answered(self) -> None:
        if self._failures:
            log.info(
                "the output of %s can be read again",
                self._ref.describe(),
                extra=about(facility=self._label, ref=self._ref),
            )
        self._failures = 0


class Followed:
    """The jobs that are followed at one door."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str | None], JobLogs] = {}

    @property
    def streams(self) -> int:
        """How many streams are read."""
        return sum(each.streams for each in self._jobs.values())

    @contextlib.contextmanager
    def job(self, ref: JobRef, make: Callable[[], JobLogs]) -> Generator[JobLogs]:
        """The logs of a job, shared by all who hold them at one time."""
        key = (ref.resource_id, ref.job_id)
        logs = self._jobs.get(key) or self._jobs.setdefault(key, make())
        logs.users += 1
        try:
            yield logs
        finally:
            logs.users -= 1
            if not logs.users:
                del self._jobs[key]
