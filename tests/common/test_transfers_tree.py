"""What a path names, here and there; and how ends are written."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path, PurePosixPath

import pytest

from iri_common import NotFound, NotOffered, TransferError, UsageError
from iri_common.model.files import FileEntry, FileStat
from iri_common.model.outcome import Done
from iri_common.policy import descent
from iri_common.transfers.ends import GlobusEnd, LocalEnd, ProfileEnd, parse_end
from iri_common.transfers.farnames import FarNames
from iri_common.transfers.tree import FarListing, Tree, local_tree

DIRECTORY, FILE = 0o040755, 0o100644


def names(tree: Tree) -> list[str]:
    return [entry.name for entry in tree.files]


# ------------------------------------------------------------------------------------------------ ends


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("data/x", LocalEnd("data/x")),
        ("/data/a%20b", LocalEnd("/data/a%20b")),
        ("a:b", LocalEnd("a:b")),
        (PurePosixPath("iri://x"), LocalEnd("iri:/x")),
        ("file:///data/x y", LocalEnd("/data/x y")),
        ("file://localhost/data", LocalEnd("/data")),
        ("iri://nersc//global/u1", ProfileEnd("nersc", None, "/global/u1")),
        ("iri://nersc/scratch/a%20b/c", ProfileEnd("nersc", "scratch", "/a%20b/c")),
        ("iri://nersc/scratch/", ProfileEnd("nersc", "scratch", "/")),
        ("globus://36D521b3-c182/data/x", GlobusEnd("36d521b3-c182", "/data/x")),
        ("globus://c/~/x", GlobusEnd("c", "/~/x")),
    ],
)
def test_an_end_is_read_as_it_was_meant(text, end) -> None:
    assert parse_end(text) == end
    if isinstance(text, str) and text.startswith(("iri:", "globus:")):
        assert parse_end(str(end)) == end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\0b",
        "iri://",
        "iri://nersc",
        "iri://nersc/path",
        "iri:///x/y",
        "globus://c",
        "globus:///x",
        "file://h/x",
    ],
)
def test_an_end_that_is_none_says_how_one_is_written(text: str) -> None:
    with pytest.raises(UsageError):
        parse_end(text)


def test_other_schemes_are_no_files_of_this_name() -> None:
    with pytest.raises(UsageError, match="not s3://"):
        parse_end("s3://bucket/key")


# ---------------------------------------------------------------------------------------- this machine


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "run 7"
    for name in ["a.h5", "sub/b.h5", "sub/deep/-c", ".hidden", "sub/new\nline", "Überführung"]:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (top / "empty").mkdir()
    return top


def test_a_tree_is_all_that_is_in_it(root: Path) -> None:
    tree = local_tree(str(root))
    assert set(names(tree)) == {"a.h5", "sub/b.h5", "sub/deep/-c", ".hidden", "sub/new\nline", "Überführung"}
    assert set(tree.directories) == {"sub", "sub/deep", "empty"}
    assert not tree.single
    moves = {move.name: move for move in tree.moves("/there/x")}
    assert moves["sub/deep/-c"].target == "/there/x/sub/deep/-c"
    assert moves["a.h5"].size == 4
    assert moves["a.h5"].mtime == (root / "a.h5").stat().st_mtime


def test_a_file_takes_the_targets_name(root: Path) -> None:
    tree = local_tree(str(root / "a.h5"))
    (move,) = tree.moves("/there/other.h5")
    assert (tree.single, move.target, move.name) == (True, "/there/other.h5", "a.h5")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.h5", ["a.h5"]),
        ("**/*.h5", ["a.h5", "sub/b.h5"]),
        ("s*", ["sub/b.h5", "sub/deep/-c", "sub/new\nline"]),
        ("[ab].h5", ["a.h5"]),
        (".*", [".hidden"]),
        ("*/d*", ["sub/deep/-c"]),
    ],
)
def test_a_pattern_names_files_and_whole_directories(root: Path, pattern: str, found: list[str]) -> None:
    assert sorted(names(local_tree(f"{root}/{pattern}"))) == found


def test_a_pattern_looks_only_where_it_leads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda path: looked.append(os.path.relpath(path, root)) or scandir(path)
    )
    assert names(local_tree(f"{root}/s*/*.h5")) == ["sub/b.h5"]
    assert looked == [".", "sub"]


def test_a_name_that_looks_like_a_pattern_is_first_a_name(root: Path) -> None:
    (root / "[a].h5").write_text("literal")
    tree = local_tree(f"{root}/[a].h5")
    assert (tree.single, tree.files[0].size) == (True, 7)


@pytest.mark.parametrize("path", ["missing", "*.tif", "a.h5/x"])
def test_what_is_not_there_is_named(root: Path, path: str) -> None:
    with pytest.raises(UsageError, match=r"run 7/"):
        local_tree(f"{root}/{path}")


def test_links_into_the_tree_and_to_files_are_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("12345")
    (root / "to file").symlink_to(tmp_path / "outside")
    (root / "to sub").symlink_to("sub")
    tree = local_tree(str(root))
    assert {"to file", "to sub/b.h5"} < set(names(tree))
    assert {entry.name: entry.size for entry in tree.files}["to file"] == 5
    assert (tree.skipped, tree.followed) == ((), (("to sub", "sub"),))


@pytest.mark.parametrize("leads_to", ["..", ".", "/", "nowhere"])
def test_other_links_are_refused_by_name_or_left_out(root: Path, leads_to: str) -> None:
    (root / "sub" / "odd").symlink_to(leads_to)
    with pytest.raises(UsageError, match=r'sub/odd is a link .*links="skip"'):
        local_tree(str(root))
    tree = local_tree(str(root), "skip")
    assert not [name for name in names(tree) if "odd" in name]
    assert (tree.skipped, tree.followed) == (("sub/odd",), ())


def test_directories_here_that_look_alike_without_an_end_are_refused_by_name(root: Path) -> None:
    (root / "again").joinpath(*["again"] * 7).mkdir(parents=True)
    assert len(local_tree(str(root / "again")).directories) == 7
    (root / "again").joinpath(*["again"] * 11).mkdir(parents=True)
    with pytest.raises(UsageError, match=r"run 7(/again){9} looks like 8 directories above it"):
        local_tree(str(root / "again"))
    with pytest.raises(UsageError, match="looks like 8 directories above it"):
        local_tree(f"{root}/ag*")


def test_a_directory_here_may_not_lie_too_deep(root: Path) -> None:
    (root / "sub").joinpath(*map(str, range(descent.DEEPEST + 1))).mkdir(parents=True)
    assert len(local_tree(f"{root}/sub").directories) > descent.DEEPEST
    with pytest.raises(UsageError, match=f"is more than {descent.DEEPEST} directories deep"):
        local_tree(str(root))


def test_a_mount_that_leads_round_is_refused_by_name(root: Path, tmp_path: Path, monkeypatch) -> None:
    inside = root / "sub" / "mounted"
    inside.mkdir()
    top, true_stat = os.stat(root), os.stat

    def stat(path, **words):  # as after `mount --rbind`
        return top if str(path) == str(inside) else true_stat(path, **words)

    monkeypatch.setattr(os, "stat", stat)
    for links in ("follow", "skip"):
        with pytest.raises(UsageError, match="sub/mounted is a directory above it once more"):
            local_tree(str(root), links)


def test_what_lies_aside_is_on_its_way_elsewhere(root: Path) -> None:
    asides = (
        "sub/b.h5.0123456789abcdef.part",
        "x.0123456789abcdef.parts/pieces/000000-x",
        "0.part",
        "y.parts/z",
    )
    for name in asides:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("half")
    tree = local_tree(str(root))
    settled = tree.settled()
    assert set(names(tree)) - set(names(settled)) == set(asides[:2])
    assert set(tree.directories) - set(settled.directories) == {
        "x.0123456789abcdef.parts",
        "x.0123456789abcdef.parts/pieces",
    }
    assert (settled.partial, settled.settled() is settled) == (True, True)
    single = local_tree(str(root / asides[0]))
    assert single.settled() is single, "it was asked for by its name"


def test_what_is_no_file_is_refused_by_name(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(UsageError, match=r"pipe is no file that can be moved"):
        local_tree(str(root))


def test_a_name_that_is_no_text_is_refused(root: Path) -> None:
    with open(os.path.join(os.fsencode(root), b"\xff"), "w"):
        pass
    with pytest.raises(UsageError, match=r"xff.*is no text"):
        local_tree(str(root))


# ------------------------------------------------------------------------------------------ a facility


class Shelf:
    """A file system as an API lists it."""

    def __init__(self, *entries: FileEntry, deep: bool = True) -> None:
        self.entries = entries
        self.deep = deep
        self.asked: list[str] = []
        self.listings: list[str] = []

    async def stat(self, file_system, path, *, dereference=False):
        self.asked.append(f"stat {path}")
        if path == "/data":
            return Done(FileStat(0, DIRECTORY))
        for each in self.entries:
            if path == f"/data/{each.name}":
                return Done(FileStat(77, DIRECTORY if each.type == "directory" else FILE, mtime=5.0))
        raise NotFound(path)

    async def ls(self, file_system, path, *, hidden=False, recursive=False, dereference=False):
        self.asked.append(f"ls {path}")
        self.listings.append(f"{'all ' if recursive else ''}{path}")
        if recursive and not self.deep:
            raise NotOffered("one directory at a time")
        below = path.removeprefix("/data").lstrip("/")
        found = []
        for each in self.entries:
            name = each.name.removeprefix(f"{below}/") if below else each.name
            if (not below or each.name.startswith(f"{below}/")) and (recursive or "/" not in name):
                found.append(FileEntry(name, each.type, each.size, link_target=each.link_target))
        return Done(found)


def listed(shelf: Shelf, path: str = "/data", links: str = "follow") -> Tree:
    return asyncio.run(FarListing(shelf, None, "fs").tree(path, links))  # type: ignore[arg-type]


ENTRIES = (
    FileEntry("a.h5", "file", 3),
    FileEntry("sub", "directory", 0),
    FileEntry("sub/b.h5", "file", 4),
    FileEntry("sub/deep", "directory", 0),
    FileEntry("sub/deep/c\nd", "file", 5),
)


@pytest.mark.parametrize("deep", [True, False])
def test_a_facilitys_tree_is_listed_at_once_or_level_by_level(deep: bool) -> None:
    shelf = Shelf(*ENTRIES, deep=deep)
    tree = listed(shelf)
    assert names(tree) == ["a.h5", "sub/b.h5", "sub/deep/c\nd"]
    assert set(tree.directories) == {"sub", "sub/deep"}
    assert shelf.asked.count("ls /data") == (1 if deep else 2)


class Endless(Shelf):
    """Every directory is as one above it, or shows ever new ones."""

    def __init__(self, *names: str, ever_new: bool = False, known: tuple[FileEntry, ...] = ()) -> None:
        super().__init__(deep=False)
        self.names, self.ever_new, self.known = names, ever_new, known

    async def ls(self, file_system, path, *, hidden=False, recursive=False, dereference=False):
        await super().ls(file_system, path, recursive=recursive)
        number = f"-{len(self.asked)}" if self.ever_new else ""
        return Done([*self.known, *(FileEntry(f"{name}{number}", "directory") for name in self.names)])


@pytest.mark.parametrize(
    ("shelf", "words", "most"),
    [
        (Endless("self"), "/data(/self){8} looks like", 10),
        (Endless("a", "b", "c", known=(FileEntry("x.h5", "file", 3),)), "/data(/[abc]){8} looks like", 60),
        (Endless("new", ever_new=True), f"is more than {descent.DEEPEST} directories deep", 135),
        (Endless(*map(str, range(500)), ever_new=True), "/data has more than 2000 directories", 9),
    ],
    ids=["round", "round in many ways", "deeper and deeper", "more and more"],
)
def test_a_tree_without_an_end_is_refused_by_name(
    shelf: Endless, words: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descent, "MOST", 2000)
    with pytest.raises(UsageError, match=words):
        listed(shelf)
    assert len(shelf.listings) <= most


def test_directories_that_look_alike_are_no_circle() -> None:
    name, entries = "", list[FileEntry]()
    for _ in range(8):
        name = f"{name}/same".lstrip("/")
        entries.append(FileEntry(name, "directory"))
    runs = [FileEntry(each, "directory") for n in range(40) for each in (f"r{n}", f"r{n}/o", f"r{n}/o/o")]
    tree = listed(Shelf(*entries, *runs, FileEntry(f"{name}/x.h5", "file", 1), deep=False))
    assert names(tree) == [f"{name}/x.h5"]
    assert len(tree.directories) == 8 + 120


@pytest.mark.parametrize(
    ("pattern", "expected", "listings"),
    [
        ("*.h5", ["a.h5"], ["/data"]),
        ("a.h5", ["a.h5"], ["/data"]),
        ("*", ["a.h5", "sub"], ["/data"]),
        ("*/*", ["sub/b.h5", "sub/deep"], ["/data", "/data/sub"]),
        ("sub/*.h5", ["sub/b.h5"], ["/data/sub"]),
        ("**/*.h5", ["a.h5", "sub/b.h5"], ["all /data"]),
        ("s*/**/c?d", ["sub/deep/c\nd"], ["/data", "all /data/sub"]),
        ("nothing*", [], ["/data"]),
    ],
)
def test_what_a_pattern_means_is_listed_where_it_leads(
    pattern: str, expected: list[str], listings: list[str]
) -> None:
    shelf = Shelf(*ENTRIES)
    found = asyncio.run(FarNames(shelf, None, "fs").named(f"/data/{pattern}"))  # type: ignore[arg-type]
    assert sorted(each.name for each in found) == [f"/data/{name}" for name in expected]
    assert shelf.listings == listings


def test_a_pattern_through_many_directories_costs_one_listing() -> None:
    runs = [
        FileEntry(f"r{n}{name}", kind)
        for n in range(40)
        for name, kind in (("", "directory"), ("/x", "file"))
    ]
    shelf = Shelf(*runs)
    found = asyncio.run(FarNames(shelf, None, "fs").named("/data/r*/x"))  # type: ignore[arg-type]
    assert len(found) == 40
    assert shelf.listings == ["/data", "all /data"]


def test_one_file_is_one_question() -> None:
    shelf = Shelf(*ENTRIES)
    tree = listed(shelf, "/data/a.h5")
    assert (tree.single, tree.files[0].size, tree.files[0].mtime) == (True, 77, 5.0)
    assert shelf.asked == ["stat /data/a.h5"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.h5", ["a.h5"]),
        ("**/*.h5", ["a.h5", "sub/b.h5"]),
        ("s*", ["sub/b.h5", "sub/deep/c\nd"]),
        ("*/*.h5", ["sub/b.h5"]),
    ],
)
def test_a_pattern_at_a_facility(pattern: str, found: list[str]) -> None:
    assert names(listed(Shelf(*ENTRIES), f"/data/{pattern}")) == found


MANY = tuple(
    each
    for n in range(20)
    for each in (
        FileEntry(f"r{n}", "directory"),
        FileEntry(f"r{n}/out", "directory"),
        FileEntry(f"r{n}/out/x.h5", "file", n),
        FileEntry(f"r{n}/log", "file", 1),
    )
)


@pytest.mark.parametrize(
    ("pattern", "found", "asked"),
    [
        ("*.h5", ["a.h5"], ["/data"]),
        ("s*", ["sub/b.h5", "sub/deep/c\nd"], ["/data", "all /data/sub"]),
        ("*/*.h5", ["sub/b.h5"], ["/data", "/data/sub"]),
        ("*/deep/**", ["sub/deep/c\nd"], ["/data", "/data/sub", "all /data/sub/deep"]),
        ("a*/x", None, ["/data"]),
        ("**/*.h5", ["a.h5", "sub/b.h5"], ["all /data"]),
    ],
)
def test_a_pattern_lists_only_what_it_can_mean(
    pattern: str, found: list[str] | None, asked: list[str]
) -> None:
    shelf = Shelf(*ENTRIES)
    if found is None:
        with pytest.raises(NotFound):
            listed(shelf, f"/data/{pattern}")
    else:
        assert names(listed(shelf, f"/data/{pattern}")) == found
    assert shelf.listings == asked


def test_many_directories_are_listed_at_once() -> None:
    shelf = Shelf(*MANY)
    assert names(listed(shelf, "/data/r*/out/*.h5")) == sorted(f"r{n}/out/x.h5" for n in range(20))
    assert shelf.listings == ["/data", "all /data"]
    few = Shelf(*MANY)
    assert names(listed(few, "/data/r1?/out")) == sorted(f"r{n}/out/x.h5" for n in range(10, 20))
    assert len(few.listings) == 1 + 10 + 10


def test_a_size_that_the_listing_does_not_tell_is_asked_for() -> None:
    tree = listed(Shelf(FileEntry("a", "file", None), FileEntry("b", "file", 1)))
    assert [(entry.name, entry.size) for entry in tree.files] == [("a", 77), ("b", 1)]


def test_nothing_there_is_not_found() -> None:
    for path in ("/data/none", "/data/*.tif"):
        with pytest.raises(NotFound):
            listed(Shelf(*ENTRIES), path)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "sub/../../evil", "", "a\0b"])
def test_a_listing_that_leads_out_of_its_directory_is_refused(name: str) -> None:
    with pytest.raises(TransferError, match="is no name of a file below /data"):
        listed(Shelf(*ENTRIES, FileEntry(name, "file", 1)))


def test_links_there_are_followed_only_to_files_of_the_tree() -> None:
    good = FileEntry("sub/link", "symlink", 9, link_target="../a.h5")
    tree = listed(Shelf(*ENTRIES, good))
    assert {entry.name: entry.size for entry in tree.files}["sub/link"] == 3
    assert (tree.linked, listed(Shelf(*ENTRIES)).linked) == (True, False)
    for target in ("/etc/passwd", "../../x", "deep", None):
        shelf = Shelf(*ENTRIES, FileEntry("sub/odd", "symlink", 9, link_target=target))
        with pytest.raises(UsageError, match=r"sub/odd is a link to no file of the tree"):
            listed(shelf)
        tree = listed(shelf, links="skip")
        assert "sub/odd" not in names(tree)
        assert tree.skipped == ("sub/odd",)


def test_what_is_no_file_there_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"/data/socket is no file"):
        listed(Shelf(*ENTRIES, FileEntry("socket", "other", 0)))
