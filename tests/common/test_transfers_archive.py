"""Many small files as a few archives: all of them whole, none anywhere else, and few requests."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roads_world import KIB, MIB, STRANGE, Roads, Told, move_of, sha256, tree

from iri_common import IriError, NotOffered, TransferError, UsageError
from iri_common.model.errors import ReplyError
from iri_common.model.transfer import Move
from iri_common.transfers.archive import ArchiveRoad
from iri_common.transfers.packing import bundled, directories, grouped, packed_now, root_of
from iri_common.transfers.unpacking import unpacked_now
from iri_common.transfers.within import WithinRoad


def planted(top: Path, count: int = 60, size: int = 300) -> dict[str, bytes]:
    made = {f"d{number % 5}/deeper/f{number}": os.urandom(size + number) for number in range(count)}
    made |= {f"strange/{name}": name.encode() for name in STRANGE} | {"empty": b"", f"{'long' * 60}": b"x"}
    for name, content in made.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return made


def moves_between(source: Path, target: Path, names) -> list[Move]:
    return [move_of(source / name, target / name) for name in sorted(names)]


def go(
    roads: Roads, moves: list[Move], told: Told, *, up: bool, limit: int = 0, parallel: int = 4, **words
) -> None:
    def made(dialect, file_system: str) -> ArchiveRoad:
        road = ArchiveRoad(dialect, file_system, up=up, **words)
        road.limit = limit or road.limit
        return road

    roads.carry(made, moves, told, parallel)


# ------------------------------------------------------------------------------------------------- up


def test_a_tree_appears_at_once_in_few_requests(roads: Roads, tmp_path: Path) -> None:
    here, there, told = tmp_path / "here", roads.place.scratch / tmp_path.name, Told()
    made = planted(here)
    go(roads, moves_between(here, there / "above" / "tree", made), told, up=True)
    assert tree(there) == {f"above/tree/{name}": content for name, content in made.items()}
    assert os.listdir(there / "above") == ["tree"]
    assert len(told.landings) == len(made)
    assert (told.bytes_moved, told.notes) == (sum(map(len, made.values())), {})
    seen = roads.counted()
    assert (seen["upload"], seen["extract"], seen["checksum"]) == (1, 1, 1)
    assert (there / "above/tree/empty").stat().st_mtime == int((here / "empty").stat().st_mtime)


def test_into_a_directory_that_is_there(roads: Roads, tmp_path: Path) -> None:
    here, there, told = tmp_path / "here", roads.place.scratch / tmp_path.name, Told()
    made = planted(here)
    there.mkdir()
    (there / "of before").write_text("stays")
    (there / "empty").write_text("goes")
    go(roads, moves_between(here, there, made), told, up=True, limit=32 * KIB)
    assert tree(there) == {**made, "of before": b"stays"}
    assert roads.counted()["upload"] > 1


def test_what_is_too_large_for_an_archive_goes_by_itself(roads: Roads, tmp_path: Path) -> None:
    here, there, told = tmp_path / "here", roads.place.scratch / tmp_path.name, Told()
    made = planted(here, 4) | {"large/only/file": os.urandom(40 * KIB), "large here": os.urandom(23 * KIB)}
    for name, content in made.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content)
    go(roads, moves_between(here, there, made), told, up=True, limit=32 * KIB)
    assert tree(there) == made
    assert len(told.landings) == len(made)
    assert roads.counted()["upload"] == 3


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        ("lose_reply", "upload"),
        ("lose_reply", "extract"),
        ("lose_reply", "mv"),
        ("lose_reply", "mkdir"),
        ("garble", "extract"),
        ("garble", "checksum"),
    ],
)
def test_replies_that_are_lost_cost_no_file(roads: Roads, tmp_path: Path, fault: str, operation: str) -> None:
    here, there = tmp_path / "here", roads.place.scratch / tmp_path.name
    made = planted(here, 10)
    roads.place.order(fault, operation, times=1)
    go(roads, moves_between(here, there / "tree", made), Told(), up=True)
    assert tree(there) == {f"tree/{name}": content for name, content in made.items()}


def test_archives_that_were_unpacked_are_not_sent_again(roads: Roads, tmp_path: Path) -> None:
    here, there, told = tmp_path / "here", roads.place.scratch / tmp_path.name, Told()
    made = planted(here)
    moves = moves_between(here, there / "tree", made)
    roads.place.order("status", "extract", status=413, skip=2, times=None)
    with pytest.raises(IriError):
        go(roads, moves, told, up=True, limit=32 * KIB, parallel=1)
    assert not (there / "tree").exists()
    roads.place.clear_faults()
    extracted = len([note for note in told.notes if note.startswith("unpacked:")])
    assert extracted == 2
    roads.place.reset_requests()
    go(roads, moves, told, up=True, limit=32 * KIB)
    assert tree(there) == {f"tree/{name}": content for name, content in made.items()}
    assert os.listdir(there) == ["tree"]
    groups = len(list(grouped(moves, str(there / "tree"), 32 * KIB)))
    assert roads.counted()["extract"] == groups - 2


def test_what_appeared_before_a_kill_is_not_sent_again(roads: Roads, tmp_path: Path) -> None:
    here, there, told = tmp_path / "here", roads.place.scratch / tmp_path.name, Told()
    made = planted(here)
    moves = moves_between(here, there / "tree", made)
    forgotten = dict[str, object]()
    told.put = lambda name, value: forgotten.update({name: value} if value else {})  # as a kill leaves them
    go(roads, moves, told, up=True)
    told.notes, told.landings = forgotten, {}
    roads.place.reset_requests()
    go(roads, moves, told, up=True)
    assert not roads.counted()["upload"]
    assert len(told.landings) == len(made)


def test_other_bytes_of_the_same_sizes_are_sent(roads: Roads, tmp_path: Path) -> None:
    here, there = tmp_path / "here", roads.place.scratch / tmp_path.name
    made = planted(here)
    moves = moves_between(here, there, made)
    go(roads, moves, Told(), up=True)
    other = {name: bytes(each ^ 1 for each in content) for name, content in made.items()}
    for name, content in other.items():
        (here / name).write_bytes(content)
    go(roads, moves, Told(), up=True)
    assert tree(there) == other


def test_what_is_lost_in_unpacking_is_told_and_sent_again(roads: Roads, tmp_path: Path) -> None:
    here, there, told = tmp_path / "here", roads.place.scratch / tmp_path.name, Told()
    made = planted(here, 5)
    moves = moves_between(here, there, made)
    there.mkdir()
    (group,) = grouped(moves, str(there), 4 * MIB)
    told.notes[f"unpacked:{group.mark}"] = str(there)  # an earlier try's, whose files somebody took away
    with pytest.raises(TransferError, match=f"{len(made)} files are not whole .*; ask again"):
        go(roads, moves, told, up=True)
    assert not told.landings
    go(roads, moves, told, up=True)
    assert tree(there) == made


def test_a_file_that_changed_is_named(roads: Roads, tmp_path: Path) -> None:
    here, there = tmp_path / "here", roads.place.scratch / tmp_path.name
    moves = moves_between(here, there, planted(here, 5))
    (here / "d3/deeper/f3").write_text("shorter")
    with pytest.raises(TransferError, match="f3 had 303 bytes and has 7 now"):
        go(roads, moves, Told(), up=True)
    assert not there.exists()


def test_a_file_is_no_directory_to_unpack_into(roads: Roads, tmp_path: Path) -> None:
    here, there = tmp_path / "here", roads.place.scratch / tmp_path.name
    there.write_text("in the way")
    with pytest.raises(UsageError, match="is no directory"):
        go(roads, moves_between(here, there, planted(here, 3)), Told(), up=True, root=str(there))


# ----------------------------------------------------------------------------------------------- down


def test_directories_come_down_as_archives_and_the_rest_by_file(roads: Roads, tmp_path: Path) -> None:
    there, here, told = roads.place.scratch / tmp_path.name, tmp_path / "here", Told()
    made = planted(there, size=2000)
    for name in made:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
    (there / "d0/not asked for").write_text("x")
    (there / "d1/link").symlink_to(there / "empty")
    moves = [*moves_between(there, here, made), move_of(there / "d1/link", here / "d1/link")]
    go(roads, moves, told, up=False, limit=64 * KIB)
    assert tree(here) == {**made, "d1/link": b""}
    assert len(told.landings) == len(moves)
    seen = roads.counted()
    assert (seen["compress"], seen["download"]) == (6, 6 + 3), "f0-f4, strange; two loose files and a link"
    assert [path.name for path in there.parent.iterdir() if path.name.startswith(there.name)] == [there.name]


@pytest.mark.parametrize(
    ("fault", "operation"),
    [("lose_reply", "compress"), ("garble", "compress"), ("lose_reply", "download"), ("garble", "checksum")],
)
def test_an_archive_whose_reply_is_lost_is_packed_again(roads: Roads, tmp_path, fault, operation) -> None:
    there, here = roads.place.scratch / tmp_path.name, tmp_path / "here"
    made = planted(there, 10)
    for name in made:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
    roads.place.order(fault, operation, times=1)
    go(roads, moves_between(there, here, made), Told(), up=False)
    assert tree(here) == made


@pytest.mark.parametrize("operation", ["compress", "mkdir"])
def test_where_nothing_can_be_packed_files_come_one_by_one(roads: Roads, tmp_path, operation: str) -> None:
    there, here = roads.place.scratch / tmp_path.name, tmp_path / "here"
    made = {f"f{number}": os.urandom(50) for number in range(4)}
    there.mkdir()
    here.mkdir()
    for name, content in made.items():
        (there / name).write_bytes(content)
    roads.place.order("status", operation, status=403, times=None)
    go(roads, moves_between(there, here, made), Told(), up=False)
    assert tree(here) == made
    assert roads.counted()["download"] == 4


def archive_of(members: list[tarfile.TarInfo | tuple[str, bytes]]) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
            else:
                archive.addfile(member)
    return memory.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_an_archive_writes_nothing_but_what_was_asked_for(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    wanted = {name: Move(f"/d/{name}", str(here / name), 3) for name in ("good", "hard", "short", "soft")}
    members = [
        ("d/good", b"abc"),
        ("d/../../outside", b"abc"),
        ("/d/absolute", b"abc"),
        ("d/other", b"abc"),
        ("d/short", b"ab"),
        link("d/soft", "/etc/hostname"),
        link("d/hard", "d/good", tarfile.LNKTYPE),
    ]
    assert unpacked_now(archive_of(members[:1] + members[3:]), "/x/d", wanted, "0") == ["good", "hard"]
    assert tree(here) == {"good": b"abc", "hard": b"abc"}
    assert not unpacked_now(archive_of(members), "/x/d", {"x": wanted["good"]}, "0")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


# An archive has its hour in it: as an id it would have every worker collect another test.
@pytest.mark.parametrize(
    "content", [b"", b"no tar", archive_of([("d/good", b"abc" * 99)])[:-30]], ids=["empty", "text", "cut"]
)
def test_what_is_no_archive_says_so(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ReplyError, match="cannot be read"):
        unpacked_now(content, "/x/d", {"good": Move("/x/d/good", str(tmp_path / "good"), 297)}, "0")


def hostile_archives() -> dict[str, bytes]:
    device = link("device", "", tarfile.CHRTYPE)
    return {
        "outside": archive_of(
            [("d/../../../outside", b"harm"), ("/tmp/iri-outside", b"harm"), ("../f0", b"h" * 50)]
        ),
        "links": archive_of(
            [link("f0", "/etc/hostname"), link("f1", "/etc/passwd", tarfile.LNKTYPE), device]
        ),
        "bomb": gzip.compress(bytes(64 * 1024 * KIB)),
        "cut": archive_of([("f0", b"x" * 50)])[:-20],
        "none": b"<html>no archive at all</html>",
        "other content": archive_of([("f0", b"too short"), ("f1", b"x" * 51)]),
    }


@pytest.mark.parametrize("name", hostile_archives())
def test_an_archive_that_means_harm_writes_nothing_and_its_files_come_one_by_one(
    roads: Roads, tmp_path: Path, name: str
) -> None:
    class Files:
        def __init__(self, files) -> None:
            self._files = files

        def __getattr__(self, called: str):
            return getattr(self._files, called)

        async def compress(self, file_system, source, target, **words):
            return await self._files.upload(file_system, target, hostile_archives()[name])

    class Dialect:
        def __init__(self, dialect) -> None:
            self.name, self.grades, self.operations = dialect.name, dialect.grades, dialect.operations
            self.files = Files(dialect.files)

    there, here, told = roads.place.scratch / tmp_path.name, tmp_path / "a" / "b" / "here", Told()
    made = {f"f{number}": os.urandom(50) for number in range(4)}
    there.mkdir()
    here.mkdir(parents=True)
    for each, content in made.items():
        (there / each).write_bytes(content)
    moves = moves_between(there, here, made)
    roads.carry(lambda dialect, fs: ArchiveRoad(Dialect(dialect), fs, up=False), moves, told)  # type: ignore[arg-type]
    assert tree(tmp_path / "a") == {f"b/here/{each}": content for each, content in made.items()}
    assert not any(path.is_symlink() for path in here.iterdir())
    assert not Path("/tmp/iri-outside").exists()
    assert roads.counted()["download"] == 1 + 4
    assert len(told.landings) == 4


# ---------------------------------------------------------------------------------------- what goes together

NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=80).filter(
    lambda name: name not in {".", ".."}
)


@given(
    st.dictionaries(st.lists(NAME, min_size=1, max_size=3).map("/".join), st.integers(0, 3000), max_size=12)
)
def test_groups_hold_each_file_once_and_keep_the_limit(tmp_path_factory, sizes: dict[str, int]) -> None:
    names = [name for name in sizes if not any(each.startswith(f"{name}/") for each in sizes)]
    top = tmp_path_factory.mktemp("top")
    moves: list[Move] = []
    for number, name in enumerate(names):
        (top / str(number)).write_bytes(bytes(sizes[name]))
        moves.append(Move(str(top / str(number)), f"/top/{name}", sizes[name]))
    groups = list(grouped(moves, "/top", 20 * KIB))
    assert [move for group in groups for move in group.moves] == moves
    for group in groups:
        packed = packed_now(group)
        assert len(packed) <= 20 * KIB
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            assert archive.getnames() == list(group.names)


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=3).map("/".join), max_size=20))
def test_packed_directories_and_loose_files_are_all_files(folders: list[str]) -> None:
    moves = [Move(f"/r/{folder}/f{n}".replace("//", "/"), "", 900) for n, folder in enumerate(folders)]
    whole, loose = directories(moves, "/r", 16 * KIB)
    assert sorted(move.source for some in [*whole.values(), loose] for move in some) == sorted(
        move.source for move in moves
    )
    for directory, some in whole.items():
        assert some == [move for move in moves if move.source.startswith(f"{directory}/")]


def test_a_directory_is_judged_by_all_that_is_in_it() -> None:
    moves = [Move(f"/r/{folder}/f{n}", "", 900) for folder in "ab" for n in range(4)]
    others = [Move("/r/b/large", "", 20 * KIB), Move("/r/c/x", "", 900)]
    assert set(directories(moves, "/r", 60 * KIB)[0]) == {"/r"}
    assert set(directories(moves, "/r", 60 * KIB, others)[0]) == {"/r"}
    whole, loose = directories(moves, "/r", 24 * KIB, others)
    assert (set(whole), loose) == ({"/r/a"}, moves[4:])
    assert bundled(moves, 24 * KIB, [*moves, *others]) == (1, 4)
    assert bundled([], 24 * KIB, others) == (0, 0)


def test_the_root_is_above_all() -> None:
    assert root_of(["/a/b/x", "/a/b/c/y"]) == "/a/b"
    assert root_of(["/a/b"]) == "/a"
    assert root_of(["/x", "/a/b"]) == "/"


def test_an_api_without_archives_says_so(roads: Roads) -> None:
    class Plain:
        name = "plain"

        def __init__(self, dialect) -> None:
            self.grades = type(dialect.grades)(files="direct")
            self.files = dialect.files
            self.operations = dialect.operations

    with pytest.raises(NotOffered, match="no archives"):
        roads.carry(lambda dialect, fs: ArchiveRoad(Plain(dialect), fs, up=True), [], Told())  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- within


@pytest.mark.parametrize("fault", ["", "lose_reply", "garble"])
def test_the_facility_copies_for_itself(roads: Roads, tmp_path: Path, fault: str) -> None:
    there, told = roads.place.scratch / tmp_path.name, Told()
    (there / "copies").mkdir(parents=True)
    for name in STRANGE:
        (there / name).write_text(name)
    (there / "link").symlink_to(there / STRANGE[0])
    if fault:
        roads.place.order(fault, ["cp", "mv"], times=2)
    names = [*STRANGE, "link"]
    roads.carry(WithinRoad, [move_of(there / name, there / "copies" / name) for name in names], told)
    assert tree(there / "copies") == {
        **{name: name.encode() for name in STRANGE},
        "link": STRANGE[0].encode(),
    }
    assert not (there / "copies" / "link").is_symlink()
    assert told.landings[str(there / "copies" / "link")] == sha256(STRANGE[0].encode())
    assert not roads.place.requests("upload")
    assert not roads.place.requests("download")


def test_a_copy_that_is_cut_does_not_take_the_targets_name(roads: Roads, tmp_path: Path) -> None:
    class Cutting:
        def __init__(self, files) -> None:
            self._files = files

        def __getattr__(self, name: str):
            return getattr(self._files, name)

        async def cp(self, file_system, source, target, *, dereference=False):
            return await self._files.upload(file_system, target, b"cut")

    class Dialect:
        def __init__(self, dialect) -> None:
            self.name, self.grades, self.operations = dialect.name, dialect.grades, dialect.operations
            self.files = Cutting(dialect.files)

    there = roads.place.scratch / tmp_path.name
    there.mkdir()
    (there / "source").write_text("all of it")
    (there / "target").write_text("old")
    with pytest.raises(TransferError):
        roads.carry(
            lambda dialect, fs: WithinRoad(Dialect(dialect), fs),  # type: ignore[arg-type]
            [move_of(there / "source", there / "target")],
            Told(),
        )
    assert tree(there) == {"source": b"all of it", "target": b"old"}
