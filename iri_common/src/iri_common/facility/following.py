"""Following what a job writes while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from iri_common.facility.canceling import job_id_of, task_of
from iri_common.facility.keeping import JobKeeping
from iri_common.jobs.following import Life, follow
from iri_common.jobs.logfile import LogFile
from iri_common.jobs.logs import JobLogs, Output, Place
from iri_common.jobs.output import tail
from iri_common.model.array import parted
from iri_common.model.errors import IriError, NotOffered, UsageError
from iri_common.model.logs import LogChunk
from iri_common.model.ref import JobRef
from iri_common.policy.following import GRACE, told_after

STREAMS = ("stdout", "stderr")
LINES = 1000  # of a stream that cannot be followed, at the end


class JobFollowing(JobKeeping):
    """Follows jobs."""

    async def follow(
        self,
        job: JobRef | str,
        *,
        streams: Sequence[str] = STREAMS,
        since: Mapping[str, int] | None = None,
        grace: float = GRACE,
        patient: bool = False,
        index: int | None = None,
    ) -> AsyncGenerator[LogChunk]:
        """What a job writes, as it comes: new bytes only; ends when the job has and all was told.

        Each chunk's offset is where to go on, here or in another process. A job that is queued is waited
        for, one that ended gives all that there is. An outage, a credential that is renewed and a facility
        that asks for fewer requests delay it, by two hours after the job's end at most, and lose nothing.
        Streams that go to one file are told as "stdout". Where the output cannot be read while the job runs,
        that is logged once, and the last lines are told at the end if the facility shows those.

        Args:
            job: Which.
            streams: Of "stdout" and "stderr".
            since: By stream, the byte to begin at; from the beginning if it is not named.
            grace: Seconds after the end in which what was written last may arrive.
            patient: As in :meth:`wait`.
            index: Of an array, the task: each writes for itself. It is followed until all tasks are over.

        Raises:
            UsageError: for another stream, for an index that the array has not, or for an offset that makes
                no sense.
            JobLost: if the facility forgets the job, and nothing tells how it ended; all is told before.
            AuthError: as in :meth:`wait`.
        """
        ref, begins = self._ref(job), _begins(streams, since)
        job_id_of(ref)
        task = task_of(ref, index)
        life = Life(ref)
        watching = asyncio.create_task(self._waited(ref, None, life.saw, patient))
        watching.add_done_callback(life.ended)
        try:
            with self._logs(task) as logs:
                async with aclosing(self._told(logs, life, begins, grace, index)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                worker = task_of(life.ref, index)
                elsewhere = await self._elsewhere(logs, task, worker, begins)
            if elsewhere:  # it was the double of another, which did the work
                for stream in elsewhere:
                    yield LogChunk(stream, "", 0)
                with self._logs(worker) as logs:
                    async with aclosing(self._told(logs, life, elsewhere, grace, index)) as chunks:
                        async for chunk in chunks:
                            yield chunk
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def tail(
        self, job: JobRef | str, stream: str = "stdout", *, lines: int = 20, index: int | None = None
    ) -> str:
        """The last lines of "stdout" or "stderr"; "" where the facility does not show them.

        Args:
            job: Which.
            stream: Of the two.
            lines: How many.
            index: Of an array, the task.
        """
        if stream not in {"stdout", "stderr"} or lines < 1:
            raise UsageError(f"tail reads lines of stdout or stderr, not {lines} of {stream!r}")
        ref = task_of(self._ref(job), index)
        try:
            file_system = (await self.door.file_system(self.settings.storage, ref.resource_id)).id
        except IriError:
            return ""
        return await tail(self.door.dialect, ref, file_system, stream, lines)

    # -- how it is done

    async def _told(
        self, logs: JobLogs, life: Life, begins: Mapping[str, int], grace: float, index: int | None
    ) -> AsyncGenerator[LogChunk]:
        """What there is to tell of one job; of a stream that cannot be read, its last lines."""
        now, both = logs.clock(), len(begins) > 1
        places = [Place(stream, offset, now, twin=both) for stream, offset in begins.items()]
        async with aclosing(follow(logs, life, places, grace)) as chunks:
            async for chunk in chunks:
                yield chunk
        ref = task_of(life.ref, index)
        unread = [each for each in begins if logs.closed(each)]
        begun = {place.stream for place in places if place.offset != begins[place.stream]}
        for stream in await self._apart(ref, unread) if unread else ():
            if stream not in begun and (last := await self._last(ref, stream, begins[stream])):
                yield last

    async def _last(self, ref: JobRef, stream: str, since: int) -> LogChunk | None:
        """The last lines of a stream; nothing before an offset, where it can be known what that is."""
        text = await self.tail(ref, stream, lines=LINES)
        size = since
        if text and since:
            with contextlib.suppress(IriError):
                output = await self._located(ref)
                size = await LogFile(self.door.dialect, output.file_system, output.paths[stream]).size()
                text = told_after(text, size, since)
        return LogChunk(stream, text, size) if text else None

    async def _apart(self, ref: JobRef, streams: Sequence[str]) -> Sequence[str]:
        """Without those that go to the file of one before."""
        paths: Mapping[str, str] = {}
        with contextlib.suppress(IriError):
            paths = (await self.door.dialect.jobs.output_paths(ref.resource_id, job_id_of(ref))).value
        apart: dict[str, str] = {}
        for stream in sorted(streams, key=STREAMS.index):
            apart.setdefault(paths.get(stream, stream), stream)
        return list(apart.values())

    def _logs(self, ref: JobRef) -> contextlib.AbstractContextManager[JobLogs]:
        door, settings = self.door, self.settings

        def make() -> JobLogs:
            return JobLogs(
                door.dialect,
                ref,
                settings.label,
                functools.partial(self._output, ref),
                settings.pace,
                lambda: door.followed.streams,
                mendable=door.mendable,
            )

        return door.followed.job(ref, make)

    async def _output(self, ref: JobRef) -> Output:
        """Where a job writes, if that can be followed."""
        dialect = self.door.dialect
        if dialect.grades.logs != "follow":
            when = "only when it has ended" if dialect.grades.logs == "end" else "not at all"
            raise NotOffered(f"the output of a job is shown {when}")
        if ref.array is not None and parted(job_id_of(ref))[1] is None:
            raise NotOffered("each task of an array writes for itself; name one by its index")
        return await self._located(ref)

    async def _located(self, ref: JobRef) -> Output:
        file_system = (await self.door.file_system(self.settings.storage, ref.resource_id)).id
        paths = await self.door.dialect.jobs.output_paths(ref.resource_id, job_id_of(ref))
        return Output(file_system, paths.value)

    async def _elsewhere(
        self, logs: JobLogs, ref: JobRef, worker: JobRef, begins: Mapping[str, int]
    ) -> Mapping[str, int]:
        """The streams of the job that did the work, where they are not in the files of the one followed."""
        if worker.job_id == ref.job_id:
            return {}
        with contextlib.suppress(IriError):
            paths = (await self._output(worker)).paths
            return {each: 0 for each in begins if paths.get(each) != logs.path(each)}
        return {}


def _begins(streams: Sequence[str], since: Mapping[str, int] | None) -> dict[str, int]:
    """Where each stream begins."""
    offsets = since or {}
    wrong = sorted({*streams, *offsets} - set(STREAMS))
    if wrong or not streams or isinstance(streams, str):
        raise UsageError(f"what is followed is a list of stdout and stderr, not {wrong or streams!r}")
    if any(offset < 0 for offset in offsets.values()):
        raise UsageError("a stream is followed from byte 0 or later")
    return {stream: offsets.get(stream, 0) for stream in streams}
