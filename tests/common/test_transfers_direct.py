"""One file there and back: whole or not at all, at a facility that really keeps it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from jobs_world import ScriptedDialect
from roads_world import STRANGE, Roads, Told, hurry, move_of, sha256, tree

from iri_common import (
    AmbiguousReply,
    Facility,
    NotFound,
    NotOffered,
    TooLarge,
    TransferError,
    Unreachable,
    UsageError,
)
from iri_common.model.files import Checksum, FileStat
from iri_common.model.outcome import Done
from iri_common.model.transfer import Move
from iri_common.transfers import far
from iri_common.transfers.direct import DirectRoad
from iri_local_facility import LocalFacility

MIB = 1024 * 1024


@pytest.fixture
def facility(place: LocalFacility) -> Facility:
    place.reset_requests()
    return Facility(place.base_url, token=place.token)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core takes its steps without long pauses."""
    hurry(monkeypatch)


def test_a_file_of_before_is_not_taken_for_one_that_was_never_renamed(
    facility: Facility, place: LocalFacility, tmp_path: Path
) -> None:
    (tmp_path / "new").write_bytes(b"new")
    there = place.home / "of before"
    there.write_bytes(b"old")
    place.order("status", "mv", status=504, times=None)
    with pytest.raises(AmbiguousReply):
        facility.files.put(tmp_path / "new", str(there), checksum=False)
    place.clear_faults()
    assert [path.name for path in place.home.iterdir() if path.name.startswith("of before")] == ["of before"]
    facility.files.put(tmp_path / "new", str(there), checksum=False)
    assert there.read_bytes() == b"new"


@pytest.mark.parametrize(
    "content",
    [b"", b"text\n", bytes(range(256)) * 40, os.urandom(2 * MIB)],
    ids=["empty", "text", "all", "2M"],
)
def test_there_and_back(facility: Facility, place: LocalFacility, tmp_path: Path, content: bytes) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(content)
    there = place.home / "data.h5"
    assert facility.files.put(source, str(there)).sha256 == sha256(content)
    assert there.read_bytes() == content
    assert facility.files.get(str(there), back).sha256 == sha256(content)
    assert back.read_bytes() == content
    assert [path.name for path in place.home.iterdir() if path.name.endswith(".part")] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "source"]


@pytest.mark.parametrize(
    "name",
    ['it\'s "in" blanks', "Überführung→ß", "$HOME;a&b|c", "#1?x=y%20", "-rf \\n"],
)
def test_any_name(facility: Facility, place: LocalFacility, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.write_text(name)
    there = place.home / "names" / name
    there.parent.mkdir(exist_ok=True)
    facility.files.put(str(source), str(there))
    assert there.read_text() == name
    back = tmp_path / "back" / name
    back.parent.mkdir()
    facility.files.get(str(there), str(back))
    assert back.read_text() == name


def test_a_target_that_is_there_is_replaced(facility: Facility, place: LocalFacility, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    there, here = place.home / "old.txt", tmp_path / "old.txt"
    there.write_text("old")
    facility.files.put(tmp_path / "new", str(there))
    assert there.read_text() == "new"
    here.write_text("old")
    before = here.stat().st_ino
    facility.files.get(str(there), here)
    assert here.read_text() == "new"
    assert here.stat().st_ino != before, "renamed over it, not written into it"


def test_too_large_a_file_is_not_even_begun(facility: Facility, place, tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(500 * 1024 * MIB)  # nothing on the disk, and more than fits into memory
    with pytest.raises(TooLarge, match=str(500 * 1024 * MIB)):
        facility.files.put(huge, str(place.home / "huge"))
    limit = tmp_path / "limit"
    limit.write_bytes(b"\0" * (5 * MIB + 1))
    with pytest.raises(TooLarge):
        facility.files.put(limit, str(place.home / "huge"))
    assert not place.requests("upload")
    assert not (place.home / "huge").exists()


def test_the_largest_file_goes_and_comes(facility: Facility, place: LocalFacility, tmp_path: Path) -> None:
    source = tmp_path / "largest"
    source.write_bytes(os.urandom(5 * MIB))
    facility.files.put(source, str(place.scratch / "largest"))
    facility.files.get(str(place.scratch / "largest"), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == source.read_bytes()


def test_what_the_facility_finds_too_large_leaves_nothing(facility: Facility, place, tmp_path: Path) -> None:
    (place.home / "big").write_bytes(b"\0" * (6 * MIB))
    with pytest.raises(TooLarge):
        facility.files.get(str(place.home / "big"), tmp_path / "big")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", ["missing", "pipe"])
def test_a_source_that_is_no_file_sends_nothing(facility: Facility, place, tmp_path: Path, source) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="cannot be read"):
        facility.files.put(tmp_path / source, str(place.home / "x"))
    assert not place.requests("upload")


@pytest.mark.parametrize("target", ["missing/file", "file/below"])
def test_a_target_without_a_place_sends_nothing(facility: Facility, place, tmp_path: Path, target) -> None:
    (tmp_path / "file").write_text("in the way")
    (place.home / "x").write_text("x")
    with pytest.raises(UsageError, match="directory that exists"):
        facility.files.get(str(place.home / "x"), tmp_path / target)
    assert not place.requests("download")


def test_a_directory_at_the_facility_is_no_target(facility: Facility, place, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("x")
    inside = place.home / "folder"
    inside.mkdir(exist_ok=True)
    for target in (str(inside), ""):
        with pytest.raises(UsageError, match="is a directory"):
            facility.files.put(tmp_path / "source", target)
    assert not list(inside.iterdir())
    assert not place.requests("upload")


def test_a_file_that_is_not_there(facility: Facility, place: LocalFacility, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        facility.files.get(str(place.home / "not here"), tmp_path / "x")
    (tmp_path / "source").write_text("x")
    with pytest.raises(NotFound):
        facility.files.put(tmp_path / "source", str(place.home / "no directory" / "x"))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


# ------------------------------------------------------------------------------------------ many files


def sources(top: Path, count: int) -> dict[str, bytes]:
    made = {f"file {number}": os.urandom(100 + number) for number in range(count)}
    made |= {name: name.encode() for name in STRANGE} | {"empty": b""}
    top.mkdir()
    for name, content in made.items():
        (top / name).write_bytes(content)
    return made


def go_up(roads: Roads, here: Path, there: Path, told: Told, **words) -> None:
    moves = [move_of(path, there / path.name) for path in sorted(here.iterdir())]
    roads.carry(lambda dialect, fs: DirectRoad(dialect, fs, up=True, **words), moves, told)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_tree_costs_one_look_at_each_directory(roads: Roads, tmp_path: Path, fresh: bool) -> None:
    here, there, told = tmp_path / "here", roads.place.scratch / tmp_path.name, Told()
    made = sources(here, 5)
    there.mkdir()
    go_up(roads, here, there, told, fresh={str(there)} if fresh else ())
    assert tree(there) == made
    assert told.landings == {str(there / name): sha256(content) for name, content in made.items()}
    assert told.bytes_moved == sum(map(len, made.values()))
    seen = roads.counted()
    assert (seen["stat"], seen["ls"]) == (0, 0 if fresh else 1)
    assert seen["upload"] == seen["checksum"] == seen["mv"] == len(made)
    back = tmp_path / "back"
    back.mkdir()
    moves = [move_of(there / name, back / name) for name in made]
    roads.carry(lambda dialect, fs: DirectRoad(dialect, fs, up=False), moves, told)
    assert tree(back) == made


def test_a_directory_among_many_targets_is_found_before_anything_is_sent(roads: Roads, tmp_path) -> None:
    here, there = tmp_path / "here", roads.place.scratch / tmp_path.name
    sources(here, 3)
    (there / "real").mkdir(parents=True)
    (there / "file 1").symlink_to("real")
    with pytest.raises(UsageError, match="file 1' is a directory"):
        go_up(roads, here, there, Told())
    assert not roads.place.requests("upload")


@pytest.mark.parametrize(
    ("fault", "operation"),
    [("lose_reply", "upload"), ("lose_reply", "mv"), ("garble", "mv"), ("cut", "checksum"), ("reset", "mv")],
)
def test_replies_that_are_lost_on_the_way_cost_no_file(roads: Roads, tmp_path, fault, operation) -> None:
    here, there, told = tmp_path / "here", roads.place.scratch / tmp_path.name, Told()
    made = sources(here, 4)
    there.mkdir()
    roads.place.order(fault, operation, skip=1, times=3)
    go_up(roads, here, there, told)
    assert tree(there) == made, "nothing is left beside them either"
    assert len(told.landings) == len(made)


def test_one_that_fails_is_named_and_the_others_leave_nothing_half(roads: Roads, tmp_path: Path) -> None:
    here, there, told = tmp_path / "here", roads.place.scratch / tmp_path.name, Told()
    made = sources(here, 8)
    (here / "file 3").write_bytes(bytes(6 * MIB))
    there.mkdir()
    with pytest.raises(TooLarge, match="file 3"):
        go_up(roads, here, there, told)
    assert tree(there).items() <= made.items()
    assert {Path(target).name for target in told.landings} <= set(tree(there))


def test_a_facility_without_digests_is_believed_by_size(source: Path) -> None:
    shelf = Shelf("checksum", NotOffered("no checksum"))
    assert put(shelf, source) == sha256(b"all of it")
    shelf = Shelf("cut", algorithm="MD5", target=b"old")
    with pytest.raises(TransferError, match="8 bytes there, 9 here"):
        put(shelf, source)
    assert shelf.files == {"target": b"old"}


# ----------------------------------------------------------------------- what a real one does not do


class Shelf:
    """Files in a dict, with a fault of one's choice in one operation."""

    def __init__(self, fault: str = "", error: Exception | None = None, algorithm="SHA-256", **files) -> None:
        self.files: dict[str, bytes] = dict(files)
        self.fault, self.error, self.algorithm = fault, error, algorithm
        self.done: list[str] = []

    def _begin(self, operation: str) -> None:
        self.done.append(operation)
        if self.error and self.fault == operation:
            raise self.error

    async def stat(self, file_system, path, *, dereference=False):
        self._begin("stat")
        if path not in self.files:
            raise NotFound(path)
        return Done(FileStat(len(self.files[path]), 0o100644))

    async def upload(self, file_system, path, content):
        self.files[path] = content[:-1] if self.fault == "cut" else content
        self._begin("upload")
        return Done(None)

    async def download(self, file_system, path):
        self._begin("download")
        content = self.files[path]
        return Done(content[:-1] if self.fault == "cut" else content)

    async def checksum(self, file_system, path):
        self._begin("checksum")
        return Done(Checksum(self.algorithm, sha256(self.files[path]).upper()))

    async def mv(self, file_system, source, target):
        if self.fault.startswith("mv after"):
            self.files[target] = self.files.pop(source)
            raise NotFound(source) if self.fault.endswith("another") else AmbiguousReply("reply lost")
        self._begin("mv")
        self.files[target] = self.files.pop(source)
        return Done(None)

    async def rm(self, file_system, path):
        self._begin("rm")
        if path not in self.files:
            raise NotFound(path)
        del self.files[path]
        return Done(None)


def put(shelf: Shelf, source: Path, **grades) -> str | None:
    return carried(shelf, Move(str(source), "target", 0), up=True, **grades)


def get(shelf: Shelf, target: Path) -> str | None:
    return carried(shelf, Move("source", str(target), 0), up=False)


def carried(shelf: Shelf, move: Move, *, up: bool, **grades) -> str | None:
    told = Told()
    road = DirectRoad(ScriptedDialect(files=shelf, **grades), "fs", up=up)
    asyncio.run(road.carry([move], told.trip()))
    return told.landings[move.target]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"all of it")
    return path


def test_what_arrives_cut_does_not_take_the_targets_name(source: Path) -> None:
    shelf = Shelf("cut", target=b"old")
    with pytest.raises(TransferError, match="did not arrive whole"):
        put(shelf, source)
    assert shelf.files == {"target": b"old"}


def test_what_comes_back_cut_does_not_take_the_targets_name(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    with pytest.raises(TransferError, match="did not arrive whole"):
        get(Shelf("cut", source=b"all of it"), target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("operation", ["upload", "checksum", "mv"])
def test_a_fault_on_the_way_leaves_nothing_beside_the_target(source: Path, operation: str) -> None:
    shelf = Shelf(operation, Unreachable("no answer"), target=b"old")
    with pytest.raises(Unreachable):
        put(shelf, source)
    assert shelf.files == {"target": b"old"}


@pytest.mark.parametrize("fault", ["mv after", "mv after another"])
def test_a_rename_whose_answer_was_lost_is_looked_for(source: Path, fault: str) -> None:
    shelf = Shelf(fault, target=b"old")
    assert put(shelf, source) == sha256(b"all of it")
    assert shelf.files == {"target": b"all of it"}
    assert shelf.done.count("checksum") == 2, "before the rename, and after the answer was lost"


def test_a_digest_of_another_kind_says_nothing(source: Path) -> None:
    shelf = Shelf(algorithm="MD5")
    put(shelf, source)
    assert shelf.files == {"target": b"all of it"}


def test_a_facility_that_cannot_tell_of_a_file_takes_it_all_the_same(source: Path) -> None:
    put(Shelf("stat", NotOffered("no stat")), source)


def test_an_api_without_files_says_so(source: Path) -> None:
    dialect = ScriptedDialect()
    dialect.grades = type(dialect.grades)(files="none")
    with pytest.raises(NotOffered):
        DirectRoad(dialect, "fs", up=True)


def test_a_disk_that_fills_up_keeps_the_old_file(tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "target"
    target.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TransferError, match="No space left"):
        get(Shelf(source=b"all of it"), target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_directory_that_may_not_be_written_to_sends_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    shelf = Shelf(source=b"all of it")
    with pytest.raises(UsageError, match="cannot be written to"):
        get(shelf, tmp_path / "target")
    assert not shelf.done


# ----------------------------------------------------------------------------------------- not to the end


class Stuck(Shelf):
    """Never tells a digest."""

    def __init__(self, **files: bytes) -> None:
        super().__init__(**files)
        self.asked = asyncio.Event()

    async def checksum(self, file_system, path):
        self.asked.set()
        await asyncio.sleep(60)


async def cancelled(shelf: Stuck, source: Path, told: Told) -> None:
    """A transfer that is cancelled when its bytes are there."""
    road = DirectRoad(ScriptedDialect(files=shelf), "fs", up=True)
    moving = asyncio.ensure_future(road.carry([Move(str(source), "target", 0)], told.trip()))
    await shelf.asked.wait()
    moving.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await moving


async def test_what_was_cancelled_leaves_nothing_there(source: Path) -> None:
    shelf = Stuck(target=b"old")
    await cancelled(shelf, source, Told())
    assert shelf.files == {"target": b"old"}


async def test_a_facility_that_is_silent_does_not_hold_a_cancelled_transfer(
    source: Path, monkeypatch
) -> None:
    class Silent(Stuck):
        async def rm(self, file_system, path):
            await asyncio.sleep(60)

    monkeypatch.setattr(far, "_LONGEST_GOODBYE", 0.05)
    shelf, told = Silent(), Told()
    await cancelled(shelf, source, told)
    assert list(shelf.files) == [f"target.{told.transfer}.part"], "the next try writes over it"


def test_a_try_after_a_kill_writes_over_what_it_left(source: Path) -> None:
    told = Told()
    shelf = Shelf(**{f"target.{told.transfer}.part": b"half"})
    asyncio.run(
        DirectRoad(ScriptedDialect(files=shelf), "fs", up=True).carry(
            [Move(str(source), "target", 0)], told.trip()
        )
    )
    assert shelf.files == {"target": b"all of it"}


@pytest.mark.parametrize(("size", "most"), [(5 * MIB, 1), (MIB, 4)])
async def test_only_so_much_is_in_memory(tmp_path: Path, size: int, most: int) -> None:
    class Counting(Shelf):
        now = most = 0

        async def download(self, file_system, path):
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.01)
            self.now -= 1
            return await super().download(file_system, path)

    shelf = Counting(source=b"all of it")
    moves = [Move("source", str(tmp_path / str(number)), size) for number in range(8)]
    await DirectRoad(ScriptedDialect(files=shelf), "fs", up=False).carry(moves, Told().trip())
    assert shelf.most == most
