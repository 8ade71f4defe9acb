"""Files over ranges by path: a loopback server that reads and writes them, and breaks as ordered."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from parts_world import Counts, Facility

from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import WireSettings
from iri_common.model.errors import (
    AmbiguousReply,
    IriError,
    NotOffered,
    PermissionDenied,
    TransferError,
    TransientError,
    Unreachable,
)
from iri_common.model.outcome import Done
from iri_common.model.transfer import Move
from iri_common.policy.classify import NotSent, ReplyLost
from iri_common.transfers import https as https_module
from iri_common.transfers import spans as spans_module
from iri_common.transfers.https import HttpsRoad
from iri_common.transfers.notes import FileNotes
from iri_common.transfers.spans import Digest
from iri_common.transfers.trip import Trip

MIB = 1024 * 1024


class Collection:
    """Serves a directory over HTTP with ranges; ``faults`` say what becomes of the next requests.

    A fault is "lose" (no reply), "busy" (503), "refuse" (403) or a number: the bytes before it breaks off.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: list[str | int] = []
        self.asked: list[str] = []
        self.bytes_sent = 0
        self.rate = 0.0  # bytes per second of one connection; 0 for as fast as it goes
        self.on_read: Callable[[], None] = lambda: None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            method, path, _ = lines[0].split(" ")
            self.asked.append(f"{method} {headers.get('range', '')}".strip())
            fault = self.faults.pop(0) if self.faults else None
            if method == "GET":
                await self._get(path, headers.get("range"), fault, writer)
            else:
                await self._put(path, int(headers["content-length"]), fault, reader, writer)
            await writer.drain()
        writer.close()

    async def _get(
        self, path: str, ranged: str | None, fault: str | int | None, writer: asyncio.StreamWriter
    ) -> None:
        if self._refused(fault, writer):
            return
        content = await asyncio.to_thread((self.root / path[1:]).read_bytes)
        start, _, last = (ranged or "bytes=0-").partition("=")[2].partition("-")
        begin, end = int(start), int(last) + 1 if last else len(content)
        writer.write(
            b"HTTP/1.1 206 P\r\nConnection: close\r\n"
            b"Content-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n"
            % (begin, min(end, len(content)) - 1, len(content), len(content[begin:end]))
        )
        told = content[begin:end] if not isinstance(fault, int) else content[begin : begin + fault]
        for at in range(0, len(told), MIB):
            writer.write(told[at : at + MIB])
            await writer.drain()
            self.bytes_sent += len(told[at : at + MIB])
            self.on_read()
            await asyncio.sleep(MIB / self.rate if self.rate else 0)

    async def _put(
        self,
        path: str,
        size: int,
        fault: str | int | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        content = await reader.readexactly(fault if isinstance(fault, int) else size)
        await asyncio.to_thread((self.root / path[1:]).write_bytes, content)
        if not isinstance(fault, int) and not self._refused(fault, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def _refused(self, fault: str | int | None, writer: asyncio.StreamWriter) -> bool:
        status = {"busy": 503, "refuse": 403}.get(str(fault))
        if status:
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        return status is not None or fault == "lose"


class Ranges:
    """Ranges over the wire, as a dialect would give them."""

    def __init__(self, wire: HttpBytes, url: str) -> None:
        self._wire, self._url = wire, url

    @contextlib.asynccontextmanager
    async def read(
        self, resource_id: str, path: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        try:
            async with self._wire.get(self._url + path, start, end) as reply:
                _require(reply.status)
                yield reply.pieces
        except (NotSent, ReplyLost) as error:
            raise Unreachable(str(error)) from None

    async def write(
        self, resource_id: str, path: str, size: int, pieces: Callable[[], AsyncIterator[bytes]]
    ) -> Done[None]:
        try:
            _require((await self._wire.put(self._url + path, size, pieces())).status)
        except ReplyLost as error:
            raise AmbiguousReply(str(error)) from None
        return Done(None)


def _require(status: int) -> None:
    if status == 503:
        raise TransientError("busy")
    if status >= 400:
        raise PermissionDenied("no")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (https_module, spans_module):
        monkeypatch.setattr(module, "backoff", lambda attempt, chance, limits: 0.01)


class World:
    """A collection, and the roads to it."""

    def __init__(self, collection: Collection, ranges: Ranges, folder: Path) -> None:
        self.collection, self._ranges, self._folder = collection, ranges, folder

    async def carry(
        self,
        *moves: Move,
        up: bool,
        files: bool = True,
        parallel: int = 3,
        meter: Counts | None = None,
        checksum: bool | None = None,
    ) -> Counts:
        facility = Facility(self.collection.root if files else None)
        counts = meter or Counts()
        notes = await FileNotes.opened(moves[0].source, moves[0].target, directory=self._folder / "notes")
        try:
            road = HttpsRoad(self._ranges, facility, "c1", up=up, checksum=checksum)  # type: ignore[arg-type]
            await road.carry(moves, Trip(counts, notes, parallel))
        finally:
            await notes.close()
        return counts


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    there = tmp_path / "there"
    there.mkdir()
    collection, wire = Collection(there), HttpBytes(WireSettings(read_seconds=10.0))
    async with await asyncio.start_server(collection.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield World(collection, Ranges(wire, url), tmp_path)
        await wire.close()


def laid(path: Path, size: int) -> tuple[bytes, str]:
    content = os.urandom(size)
    path.write_bytes(content)
    return content, hashlib.sha256(content).hexdigest()


class Kill(BaseException):
    """Nobody catches it."""


class Killed(Counts):
    """Whoever tells it that a file has landed does not live to note it."""

    def landed(self, move: Move, sha256: str | None = None) -> None:
        raise Kill


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 9 * MIB + 3])
@pytest.mark.parametrize("files", [True, False], ids=["aside", "straight"])
async def test_a_file_goes_there_and_back_whole(size: int, files: bool, world: World, tmp_path: Path) -> None:
    content, digest = laid(tmp_path / "a", size)
    counts = await world.carry(Move(str(tmp_path / "a"), "/b", size), up=True, files=files)
    assert (counts.sent, counts.sums) == (size, {"/b": digest})
    assert (world.collection.root / "b").read_bytes() == content
    back = str(tmp_path / "c")
    counts = await world.carry(Move("/b", back, size), up=False, files=files)
    assert (counts.sent, counts.sums) == (size, {back: digest if files else None})
    assert (tmp_path / "c").read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["a", "c", "notes", "there"]
    assert os.listdir(world.collection.root) == ["b"]


@pytest.mark.parametrize(
    ("files", "asked", "made"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
async def test_a_digest_is_made_where_one_is_told_or_asked_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: bool, asked: bool | None, made: bool
) -> None:
    content, digest = laid(world.collection.root / "b", MIB)
    hashed = list[int]()
    true_take = Digest._take
    monkeypatch.setattr(Digest, "_take", lambda self, some: (hashed.append(len(some)), true_take(self, some)))
    target = str(tmp_path / "c")
    counts = await world.carry(Move("/b", target, MIB), up=False, files=files, checksum=asked)
    assert (tmp_path / "c").read_bytes() == content
    assert (counts.sums, sum(hashed)) == ({target: digest if made else None}, MIB if made else 0)


async def test_what_has_its_place_is_read_again_for_a_digest_that_is_asked_for(
    world: World, tmp_path: Path
) -> None:
    _, digest = laid(world.collection.root / "b", MIB)
    move = Move("/b", str(tmp_path / "c"), MIB, mtime=1.0)
    with pytest.raises(Kill):
        await world.carry(move, up=False, files=False, meter=Killed())
    counts = await world.carry(move, up=False, files=False, meter=Counts())
    assert (counts.sent, counts.sums) == (0, {move.target: None})
    with pytest.raises(Kill):
        await world.carry(move, up=False, files=False, meter=Killed())
    counts = await world.carry(move, up=False, files=False, checksum=True)
    assert (counts.sent, counts.sums) == (MIB, {move.target: digest})


async def test_an_upload_is_made_again_from_its_beginning(world: World, tmp_path: Path) -> None:
    content, digest = laid(tmp_path / "a", 3 * MIB)
    world.collection.faults = ["busy", MIB, "lose"]
    counts = await world.carry(Move(str(tmp_path / "a"), "/b", len(content)), up=True)
    assert (counts.sent, counts.sums) == (len(content), {"/b": digest})
    assert (world.collection.root / "b").read_bytes() == content
    assert world.collection.asked == ["PUT"] * 4


async def test_an_upload_that_is_refused_leaves_the_target_as_it_was(world: World, tmp_path: Path) -> None:
    laid(tmp_path / "a", MIB)
    (world.collection.root / "b").write_bytes(b"old")
    world.collection.faults = ["refuse"]
    with pytest.raises(PermissionDenied):
        await world.carry(Move(str(tmp_path / "a"), "/b", MIB), up=True)
    assert os.listdir(world.collection.root) == ["b"]
    assert (world.collection.root / "b").read_bytes() == b"old"


async def test_a_download_goes_on_where_a_connection_broke(world: World, tmp_path: Path) -> None:
    content, digest = laid(world.collection.root / "b", 6 * MIB)
    world.collection.faults = ["busy", 2 * MIB + 5, "lose", 100]
    target = str(tmp_path / "c")
    counts = await world.carry(Move("/b", target, len(content)), up=False)
    assert (counts.sent, counts.sums) == (len(content), {target: digest})
    starts = [int(line.removeprefix("GET bytes=").partition("-")[0]) for line in world.collection.asked]
    assert starts == [0, 0, 2 * MIB + 5, 2 * MIB + 5, 2 * MIB + 105]


async def test_a_later_try_reads_only_what_is_missing(world: World, tmp_path: Path) -> None:
    content, digest = laid(world.collection.root / "b", 12 * MIB)
    world.collection.faults = [10 * MIB, "refuse"]
    target = str(tmp_path / "c")
    with pytest.raises(PermissionDenied):
        await world.carry(Move("/b", target, len(content)), up=False)
    assert not (tmp_path / "c").exists()
    counts = await world.carry(Move("/b", target, len(content)), up=False)
    assert (counts.kept_bytes, counts.sent, counts.sums) == (10 * MIB, 2 * MIB, {target: digest})
    assert world.collection.asked[-1] == f"GET bytes={10 * MIB}-{12 * MIB - 1}"


async def test_a_file_that_has_its_place_is_not_read_again(world: World, tmp_path: Path) -> None:
    source, target = tmp_path / "there/x", tmp_path / "back"
    content, digest = laid(source, 2 * MIB)
    move = Move("/x", str(target), len(content))
    with pytest.raises(Kill):
        await world.carry(move, up=False, meter=Killed())
    counts = await world.carry(move, up=False)
    assert (counts.sent, counts.kept_bytes, counts.sums) == (0, len(content), {str(target): digest})

    with pytest.raises(Kill):
        await world.carry(move, up=False, meter=Killed())
    content, digest = laid(source, 2 * MIB)
    os.utime(source, (1, 1))
    counts = await world.carry(move, up=False)
    assert (counts.sent, counts.sums) == (len(content), {str(target): digest}), "it is another by now"
    assert target.read_bytes() == content


async def test_what_lay_aside_is_of_no_use_for_another_content(world: World, tmp_path: Path) -> None:
    laid(world.collection.root / "b", 12 * MIB)
    world.collection.faults = [10 * MIB, "refuse"]
    target = str(tmp_path / "c")
    with pytest.raises(PermissionDenied):
        await world.carry(Move("/b", target, 12 * MIB, mtime=1.0), up=False)
    content, digest = laid(world.collection.root / "b", 12 * MIB)
    counts = await world.carry(Move("/b", target, 12 * MIB, mtime=2.0), up=False)
    assert (counts.kept_bytes, counts.sums) == (0, {target: digest})
    assert (tmp_path / "c").read_bytes() == content


async def test_what_lay_aside_is_of_no_use_where_no_time_tells_of_which_content_it_is(
    world: World, tmp_path: Path
) -> None:
    laid(world.collection.root / "b", 12 * MIB)
    world.collection.faults = [10 * MIB, "refuse"]
    move = Move("/b", str(tmp_path / "c"), 12 * MIB)
    with pytest.raises(PermissionDenied):
        await world.carry(move, up=False, files=False)
    content, _ = laid(world.collection.root / "b", 12 * MIB)
    counts = await world.carry(move, up=False, files=False)
    assert counts.kept_bytes == 0
    assert (tmp_path / "c").read_bytes() == content


async def test_a_content_that_changed_unseen_is_found_by_its_digest(world: World, tmp_path: Path) -> None:
    laid(world.collection.root / "b", 4 * MIB)

    def change() -> None:
        with open(world.collection.root / "b", "r+b") as file:
            file.write(b"!")

    world.collection.on_read = change
    with pytest.raises(TransferError, match="did not arrive whole"):
        await world.carry(Move("/b", str(tmp_path / "c"), 4 * MIB), up=False)
    assert sorted(os.listdir(tmp_path)) == ["notes", "there"]


async def test_without_digests_a_content_that_changed_is_found_by_its_time(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(*_: object) -> None:
        raise NotOffered("no digests here")

    monkeypatch.setattr(Facility, "checksum", none)
    laid(world.collection.root / "b", 4 * MIB)
    os.utime(world.collection.root / "b", (1e9, 1e9))

    def change() -> None:
        with open(world.collection.root / "b", "r+b") as file:
            file.write(b"!")

    world.collection.on_read = change
    with pytest.raises(TransferError, match="changed while it was read"):
        await world.carry(Move("/b", str(tmp_path / "c"), 4 * MIB), up=False)
    assert sorted(os.listdir(tmp_path)) == ["notes", "there"]


async def test_a_file_that_became_shorter_is_no_file(world: World, tmp_path: Path) -> None:
    laid(world.collection.root / "b", 4 * MIB - 1)
    with pytest.raises(IriError, match="ended at byte"):
        await world.carry(Move("/b", str(tmp_path / "c"), 4 * MIB), up=False)
    assert sorted(os.listdir(tmp_path)) == ["notes", "there"]


async def test_further_connections_join_a_slow_download_and_no_byte_is_read_twice(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans_module, "_NEXT_READER", 0.1)
    monkeypatch.setattr(spans_module, "_WORTH_HELPING", 0.2)
    monkeypatch.setattr(spans_module, "_WORTH_SPLITTING", 4 * MIB)
    monkeypatch.setattr(spans_module, "_BLOCK", MIB)
    content, digest = laid(world.collection.root / "b", 40 * MIB)
    world.collection.rate = 40 * MIB
    target = str(tmp_path / "c")
    counts = await world.carry(Move("/b", target, len(content)), up=False)
    assert (counts.sent, counts.sums) == (len(content), {target: digest})
    assert len(world.collection.asked) >= 3
    assert (tmp_path / "c").read_bytes() == content


async def test_a_quick_download_takes_one_request(world: World, tmp_path: Path) -> None:
    content, _ = laid(world.collection.root / "b", 40 * MIB)
    await world.carry(Move("/b", str(tmp_path / "c"), len(content)), up=False)
    assert len(world.collection.asked) == 1
