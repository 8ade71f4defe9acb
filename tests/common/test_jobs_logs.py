"""Following a file that grows: every byte once, in order, for few requests; on a file and a clock of air."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jobs_world import TimelessLoop, ref, seconds, status

from iri_common.jobs import logfile
from iri_common.jobs.following import Life, follow
from iri_common.jobs.logs import OUTAGE, Followed, JobLogs, Output, Place
from iri_common.model.errors import (
    AuthError,
    IriError,
    JobLost,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    TooLarge,
    TransientError,
)
from iri_common.model.files import FileEntry, FileStat, FileText
from iri_common.model.grades import Grades
from iri_common.model.job import JobStatus
from iri_common.model.logs import LogChunk
from iri_common.model.outcome import Done
from iri_common.policy.following import SEAM
from iri_common.policy.pace import Pace

PACE = Pace(quickest=2.0, slowest=30.0)
LOG = "iri_common.jobs.logs"
contents = st.binary(max_size=30) | st.text(max_size=20).map(str.encode)


@pytest.fixture(autouse=True, scope="module")
def on_one_thread() -> Iterator[None]:
    """A clock of air does not wait for threads."""
    patch = pytest.MonkeyPatch()
    patch.setattr(logfile, "AT_ONCE", math.inf)
    yield
    patch.undo()


class Disk:
    """Files by path, read as a facility reads them; a `None` is not there.

    Attributes:
        limit: Most bytes of a view.
        trouble: (from, to) to an error, for every request.
        gone: Operations that are not offered.
    """

    def __init__(self, content: bytes | None = b"") -> None:
        self.files: dict[str, bytes | None] = {"/o": content}
        self.grades = Grades(files="direct", logs="follow")
        self.operations = None
        self.ranges = None
        self.files_api = self
        self.limit = 10**9
        self.trouble: dict[tuple[float, float], IriError] = {}
        self.gone: set[str] = set()
        self.requests: list[tuple[float, str, int]] = []

    def _asked(self, what: str, path: str, size: int = 0) -> bytes:
        now = seconds()
        self.requests.append((now, what, size))
        for (start, end), error in self.trouble.items():
            if start <= now < end:
                raise error
        if what in self.gone:
            raise NotOffered(f"no {what}")
        content = self.files.get(path)
        if content is None:
            raise NotFound("no such file")
        return content

    @property
    def viewed(self) -> int:
        return sum(size for _, what, size in self.requests if what == "view")

    def asked(self, what: str) -> int:
        return sum(name == what for _, name, _ in self.requests)

    async def stat(self, file_system, path, *, dereference):
        assert dereference, "output may be a link"
        return Done(FileStat(len(self._asked("stat", path))))

    async def ls(self, file_system, path, *, hidden, dereference):
        assert dereference, "output may be a link"
        if path != "/":
            if "ls of a file" in self.gone:
                raise Refused("not a directory")
            return Done([FileEntry(path, size=len(self._asked("ls", path)))])
        found = [FileEntry(name[1:], size=len(each)) for name, each in self.files.items() if each is not None]
        return Done(found)

    async def view(self, file_system, path, *, size, offset):
        content = self._asked("view", path, size)
        if size > self.limit:
            raise TooLarge("more bytes than the limit")
        return Done(FileText(content[offset : offset + size].decode("utf-8", "replace")))


class Dialect:
    def __init__(self, disk: Disk) -> None:
        self.files, self.grades, self.operations, self.ranges = disk, disk.grades, None, disk.ranges


class World:
    """A job that writes by a timetable, and those who follow it."""

    def __init__(self, disk: Disk, timetable: dict[float, bytes | str | Exception | None]) -> None:
        self.disk = disk
        self.timetable = timetable  # bytes are what the file holds from then on, words are states
        self.followed = Followed()
        self.output = Output("fs", {"stdout": "/o"})
        self.mendable = True

    async def locate(self) -> Output:
        return self.output

    def make(self) -> JobLogs:
        return JobLogs(
            Dialect(self.disk), ref("7"), "test", self.locate, PACE,
            lambda: self.followed.streams, mendable=self.mendable, clock=seconds,
        )  # fmt: skip

    async def live(self, lives: Sequence[Life], ends: Sequence[asyncio.Future]) -> None:
        for when, what in self.timetable.items():
            await asyncio.sleep(when - seconds())
            if isinstance(what, bytes) or what is None:
                self.disk.files["/o"] = what
                continue
            for life, end in zip(lives, ends, strict=True):
                if isinstance(what, Exception):
                    end.set_exception(what)
                    continue
                now: JobStatus = status(what)
                life.saw(now)
                if now.state.terminal:
                    end.set_result((ref("7"), now))

    def run(
        self,
        *begins: tuple[float, int],
        streams: Sequence[str] = ("stdout",),
        watch: Callable[[LogChunk], None] = lambda chunk: None,
    ) -> list[list[LogChunk]]:
        """Follow from each (time, offset); gives the chunks of each."""

        async def one(life: Life, when: float, offset: int, told: list[LogChunk]) -> None:
            await asyncio.sleep(when)
            with self.followed.job(ref("7"), self.make) as logs:
                places = [Place(each, offset, seconds(), twin=len(streams) > 1) for each in streams]
                async for chunk in follow(logs, life, places, 2.0):
                    told.append(chunk)
                    watch(chunk)

        async def all_of_them() -> list[list[LogChunk]]:
            loop = asyncio.get_running_loop()
            lives = [Life(ref("7"), seconds) for _ in begins]
            ends = [loop.create_future() for _ in begins]
            for life, end in zip(lives, ends, strict=True):
                end.add_done_callback(life.ended)
            chunks: list[list[LogChunk]] = [[] for _ in begins]
            living = asyncio.create_task(self.live(lives, ends))
            await asyncio.gather(
                *(one(life, *begin, told) for life, begin, told in zip(lives, begins, chunks, strict=True))
            )
            await living
            assert self.followed.streams == 0
            return chunks

        with asyncio.Runner(loop_factory=TimelessLoop) as runner:
            return runner.run(all_of_them())


def text_of(chunks: Sequence[LogChunk]) -> str:
    text = ""
    for chunk in chunks:
        text = "" if chunk.anew else text + chunk.text
    return text


def seen(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def grown(parts: Sequence[bytes], every: float = 3.0) -> dict[float, bytes | str]:
    """A file that grows by these, of a job that ends after."""
    table: dict[float, bytes | str] = {0.5: "active"}
    whole = b""
    for number, part in enumerate(parts):
        whole += part
        table[1.0 + every * number] = whole
    return {**table, 2.0 + every * len(parts): "completed"}


@given(st.lists(contents, max_size=12), st.sampled_from([0.7, 3.0, 40.0]), st.booleans())
@example([b"\xff\xc3", b"\xa9"], 3.0, False)
@example([b"\xef\xbf", b"\xbd", b"\xf0\x9f\x98"], 3.0, False)
@settings(max_examples=300)
def test_what_is_told_is_what_the_file_holds(parts: list[bytes], every: float, exact: bool) -> None:
    disk = Disk(None)
    if exact:
        disk.ranges = Ranges(disk)
    (chunks,) = World(disk, grown(parts, every)).run((0.0, 0))
    whole = b"".join(parts)
    assert text_of(chunks) == seen(whole)
    offsets = [each.offset for each in chunks]
    assert offsets == sorted(offsets)
    assert not whole or offsets[-1] == len(whole)
    # Each look reads a few of the last words again; what it holds back is a character at most, with 5 bytes
    # more to find out where that begins.
    assert disk.viewed <= len(whole) + disk.asked("view") * (4 * SEAM + 3)
    start = 0
    for chunk in chunks:
        ends = chunk.offset == len(whole)
        assert seen(whole[start : chunk.offset]) == chunk.text or ends, "every offset is between characters"
        start = chunk.offset


@given(st.binary(min_size=1, max_size=60) | st.text(min_size=1).map(str.encode), st.data())
@settings(max_examples=60)
def test_it_goes_on_anywhere_in_another_process(content: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(content)))
    (first,) = World(Disk(), grown([content[:cut]])).run((0.0, 0))
    kept = [
        each.offset for each in first[:-1]
    ]  # the last words of an ended job tell all, also half characters
    begin = data.draw(st.sampled_from([0, *kept]))
    (rest,) = World(Disk(content), {0.5: "completed"}).run((0.0, begin))
    assert seen(content[:begin]) + text_of(rest) == seen(content)


class Ranges:
    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    @asynccontextmanager
    async def read(self, file_system, path, *, start, end):
        content = self.disk._asked("range", path)[start:end]

        async def pieces():
            for at in range(0, len(content), 5):
                yield content[at : at + 5]

        yield pieces()


def test_large_files_are_read_in_windows_and_each_byte_once() -> None:
    content = ("a line with an é and a € and words\n" * 200_000).encode()
    disk = Disk(content)
    (chunks,) = World(disk, {0.5: "completed"}).run((0.0, 0))
    assert text_of(chunks) == seen(content)
    assert len(chunks) == math.ceil(len(content) / (2 * 1024 * 1024))
    assert disk.viewed <= 1.001 * len(content)


@pytest.mark.parametrize("limit", [5000, 100_000])
def test_a_site_s_own_limit_is_found(limit: int) -> None:
    content = ("é" * 100_000).encode()
    disk = Disk(content)
    disk.limit = limit
    (chunks,) = World(disk, {0.5: "completed"}).run((0.0, 0))
    assert text_of(chunks) == seen(content)
    assert sum(size for _, what, size in disk.requests if what == "view" and size > limit) < 8 * 1024 * 1024


def test_a_limit_that_was_none_is_forgotten() -> None:
    class Refusing(Disk):
        async def view(self, file_system, path, *, size, offset):
            if seconds() < 600.0:
                raise Refused("not now")
            return await super().view(file_system, path, size=size, offset=offset)

    content = b"x" * 64 * 1024 * 1024
    disk = Refusing(content)
    (chunks,) = World(disk, {0.5: "active", 700.0: "completed"}).run((0.0, 0))
    assert len(text_of(chunks)) == len(content)
    sizes = [size for _, what, size in disk.requests if what == "view"]
    assert (sizes[0], max(sizes)) == (4096, 2 * 1024 * 1024)


def test_a_limit_is_tried_ever_more_rarely() -> None:
    disk = Disk(b"x" * 64 * 1024 * 1024)
    disk.limit = 300_000
    World(disk, {0.5: "completed"}).run((0.0, 0))
    assert sum(size > disk.limit for *_, size in disk.requests) <= 3 + 3


def test_a_facility_that_gives_more_than_was_asked_for_is_not_followed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Whole(Disk):
        async def view(self, file_system, path, *, size, offset):
            return await super().view(file_system, path, size=10**6, offset=0)

    (chunks,) = World(Whole(b""), grown([b"one\n", b"two\n", b"three\n"])).run((0.0, 0))
    assert text_of(chunks) == "one\ntwo\n"
    assert "more comes of /o than the bytes that are asked for" in caplog.text


def test_looks_are_quick_while_it_grows_slow_when_quiet_and_none_while_it_waits() -> None:
    table = {0.5: "queued", 3600.0: "active", 3601.0: b"a\n", 7200.0: b"a\nb\n", 7230.0: "completed"}
    disk = Disk(None)
    (chunks,) = World(disk, table).run((0.0, 0))
    assert text_of(chunks) == "a\nb\n"
    assert not [when for when, *_ in disk.requests if when < 3600.0]
    quiet = sum(3700.0 <= when < 7200.0 for when, *_ in disk.requests)
    assert 3500 / 30 - 20 <= quiet <= 3500 / 30 + 5
    assert disk.requests[-1][0] == pytest.approx(7232.0, abs=0.1)


def test_a_truncated_file_is_told_from_its_beginning_also_when_it_is_longer_by_then() -> None:
    table = {
        0.5: "active", 1.0: b"first attempt\n", 20.0: b"again\n",
        40.0: b"and for the third time, longer than before\n", 60.0: "completed",
    }  # fmt: skip
    (chunks,) = World(Disk(None), table).run((0.0, 0))
    assert [each.text for each in chunks] == [
        "first attempt\n", "", "again\n", "", "and for the third time, longer than before\n",
    ]  # fmt: skip
    assert [each.anew for each in chunks] == [False, True, False, True, False]


def test_the_last_words_before_a_requeue_are_read_at_once() -> None:
    table = {0.5: "active", 1.0: b"x\n", 500.0: b"x\nlast words\n", 501.0: "queued", 502.0: b"",
             900.0: "active", 901.0: b"y\n", 910.0: "completed"}  # fmt: skip
    disk = Disk(None)
    (chunks,) = World(disk, table).run((0.0, 0))
    assert [each.text for each in chunks] == ["x\n", "last words\n", "", "y\n"]
    assert not [when for when, *_ in disk.requests if 501.5 <= when < 900.0]


def test_an_offset_beyond_the_end_is_of_another_time() -> None:
    (chunks,) = World(Disk(b"short\n"), {0.5: "active", 9.0: "completed"}).run((0.0, 100))
    assert chunks == [LogChunk("stdout", "", 0), LogChunk("stdout", "short\n", 6)]


def test_late_writes_are_waited_for_but_not_for_ever() -> None:
    table = {0.5: "active", 1.0: b"a", 10.0: "completed", 11.5: b"ab", 13.0: b"abc", 20.0: b"abcd"}
    (chunks,) = World(Disk(None), table).run((0.0, 0))
    assert text_of(chunks) == "abc"
    endless = {10.0 + n: b"x" * int(n + 2) for n in range(1, 200)}
    (chunks,) = World(Disk(None), {0.5: "active", 1.0: b"x", 10.0: "completed", **endless}).run((0.0, 0))
    assert 20 <= len(text_of(chunks)) <= 40


def test_many_followers_cost_what_one_does() -> None:
    parts = [b"some words\n"] * 30
    alone, crowd = Disk(None), Disk(None)
    World(alone, grown(parts)).run((0.0, 0))
    chunks = World(crowd, grown(parts)).run(*((0.1 * n, 0) for n in range(40)))
    assert {text_of(each) for each in chunks} == {seen(b"".join(parts))}
    assert crowd.viewed <= 1.1 * alone.viewed
    assert len(crowd.requests) <= len(alone.requests) + 4


def test_who_comes_later_catches_up_and_what_is_not_kept_is_read_again() -> None:
    line = b"x" * 99 + b"\n"
    parts = [line * 20_000] * 5  # 10 MB
    disk = Disk(None)
    first, second, third = World(disk, grown(parts)).run((0.0, 0), (14.9, 0), (14.9, 9_900_050))
    assert text_of(first) == text_of(second) == seen(b"".join(parts))
    assert text_of(third) == seen(b"".join(parts)[9_900_050:])
    assert 15e6 <= disk.viewed <= 17e6, "4 MiB are kept"


@pytest.mark.parametrize(
    "error", [TransientError("503"), AuthError("401"), PermissionDenied("403"), Refused("no")]
)
def test_trouble_ends_nothing_and_is_said_once(error: IriError, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOG)
    parts = [b"words\n"] * 40
    disk = Disk(None)
    disk.trouble = {(10.0, 100.0): error}
    (chunks,) = World(disk, grown(parts)).run((0.0, 0))
    assert text_of(chunks) == "words\n" * 40
    assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]
    assert sum(10.0 <= when < 100.0 for when, *_ in disk.requests) <= 7


def test_an_outage_at_the_end_is_waited_out_a_refusal_is_not(caplog: pytest.LogCaptureFixture) -> None:
    for error, told in ((TransientError("503"), "words\n" * 2), (PermissionDenied("403"), "words\n")):
        caplog.clear()
        disk = Disk(None)
        disk.trouble = {(3.5, 4000.0): error}
        (chunks,) = World(disk, grown([b"words\n"] * 2)).run((0.0, 0))
        assert text_of(chunks) == told
        assert len(disk.requests) < 100
    assert "does not let the output" in caplog.text


@pytest.mark.parametrize("error", [TransientError("500"), AuthError("401")])
def test_an_ended_job_is_not_held_up_for_ever(error: IriError, caplog: pytest.LogCaptureFixture) -> None:
    """A facility may answer 500 for a file that is not there."""
    disk, ended = Disk(b"words"), list[float]()
    disk.trouble = {(0.0, math.inf): error}
    world = World(disk, {0.5: "active", 9000.0: "completed"})  # in trouble for long already
    watched = world.followed.job

    @contextmanager
    def job(*words: object) -> Iterator[JobLogs]:
        with watched(*words) as logs:  # type: ignore[arg-type]
            yield logs
        ended.append(seconds())

    world.followed.job = job  # type: ignore[method-assign]
    assert world.run((0.0, 0)) == [[]]
    assert ended == [pytest.approx(9000.0 + OUTAGE, abs=100.0)]
    assert "does not let the output" in caplog.text


@pytest.mark.parametrize("lists", ["files", "directories"])
def test_sizes_from_a_listing_where_there_is_no_stat(lists: str) -> None:
    disk = Disk(None)
    disk.gone = {"stat"} if lists == "files" else {"stat", "ls of a file"}
    (chunks,) = World(disk, grown([b"a\n", b"b\n"])).run((0.0, 0))
    assert text_of(chunks) == "a\nb\n"
    assert disk.asked("stat") == 1


def test_what_cannot_be_followed_is_said_once_and_ends_with_the_job(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk(b"x")
    disk.gone = {"view"}
    world = World(disk, {0.5: "active", 50.0: "completed"})
    world.output = Output("fs", {"stdout": "/o", "stderr": "/o2"})
    disk.files["/o2"] = b"y"
    assert world.run((0.0, 0), streams=("stdout", "stderr")) == [[]]
    (said,) = caplog.records
    assert "no view" in said.message
    assert len(disk.requests) <= 4


def test_a_stream_without_a_path_is_said_and_the_other_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    (chunks,) = World(Disk(None), grown([b"a\n"])).run((0.0, 0), streams=("stdout", "stderr"))
    assert text_of(chunks) == "a\n"
    (said,) = caplog.records
    assert "does not tell where the stderr" in said.message


def test_a_lost_job_s_output_is_told_before_that_it_is_lost() -> None:
    told: list[LogChunk] = []
    lost = JobLost("gone", ref=ref("7"))
    with pytest.raises(JobLost):
        World(Disk(b"words"), {0.5: "active", 9.0: lost}).run((0.0, 0), watch=told.append)
    assert text_of(told) == "words"
    with pytest.raises(AuthError):
        World(Disk(b"words"), {0.5: AuthError("refused")}).run((0.0, 0))


def test_a_file_that_never_was_is_said_of_a_job_that_ran(caplog: pytest.LogCaptureFixture) -> None:
    assert World(Disk(None), {0.5: "queued", 9.0: "canceled"}).run((0.0, 0)) == [[]]
    assert not caplog.records
    assert World(Disk(None), {0.5: "active", 9.0: "completed"}).run((0.0, 0)) == [[]]
    (said,) = caplog.records
    assert "no such file" in said.message


def test_a_forgotten_job_is_lost_without_further_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Disk(b"words"), {0.5: JobLost("gone", ref=ref("7"))})
    asked: list[float] = []

    async def forgotten() -> Output:
        asked.append(seconds())
        raise NotFound("no such job")

    monkeypatch.setattr(world, "locate", forgotten)
    with pytest.raises(JobLost):
        world.run((0.0, 0))
    assert asked == [0.5]
