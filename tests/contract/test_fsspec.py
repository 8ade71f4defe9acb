"""``iri://`` before a facility with real files: what csv and gzip do with it, and in whose words it fails."""

from __future__ import annotations

import csv
import errno
import gc
import gzip
import io
import json
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from cli_shell import variables_of
from fsspec.core import OpenFile

from iri_common import Facility, GrantExceeded, IriError
from iri_common.facility.filesystem import IriFileSystem
from iri_local_facility import LocalFacility

ODD = ("ünï ¢ode%41", "-a&b'\"c\nline", "[1]*?.txt")


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


@pytest.fixture
def scratch(place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of the test's own at the facility, as the facility names it."""
    for name, value in variables_of(place, tmp_path / "state").items():
        monkeypatch.setenv(name, value)
    own = place.scratch / tmp_path.name
    own.mkdir()
    place.reset_requests()
    yield own
    IriFileSystem.clear_instance_cache()


@pytest.fixture
def files(scratch: Path) -> IriFileSystem:
    return fsspec.filesystem("iri")


def url(path: Path) -> str:
    return f"iri://place/scratch{path}"


def inner(path: Path) -> str:
    return f"place/scratch{path}"


def seen(place: LocalFacility, operation: str) -> int:
    return len(place.requests(operation))


# ------------------------------------------------------------------------------------------- read, write


def test_a_table_goes_there_and_comes_back(scratch: Path) -> None:
    rows = [["run", "energy"], ["1", "-76.02"], ["2", "ünï¢ode"]]
    with fsspec.open(url(scratch / "runs.csv"), "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    assert (scratch / "runs.csv").read_text().splitlines()[1] == "1,-76.02"
    with fsspec.open(url(scratch / "runs.csv"), "r", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == rows
    with fsspec.open(f"iri://place/{scratch}/runs.csv") as file:  # the profile's own file system
        assert file.read(3) == b"run"


def test_a_compressed_text_in_both_directions(scratch: Path) -> None:
    with fsspec.open(url(scratch / "log.gz"), "wt", compression="infer") as file:
        file.write("line\n" * 1000)
    assert gzip.decompress((scratch / "log.gz").read_bytes()) == b"line\n" * 1000
    with fsspec.open(url(scratch / "log.gz"), "rt", compression="infer") as file:
        assert sum(1 for _ in file) == 1000


def test_what_is_read_can_be_searched_and_sliced(files: IriFileSystem, scratch: Path) -> None:
    content = bytes(range(256)) * 40
    (scratch / "data").write_bytes(content)
    with files.open(url(scratch / "data")) as file:
        assert file.size == len(content)
        file.seek(-10, 2)
        assert file.read() == content[-10:]
        assert file.seek(300) == 300
        assert file.read(5) == content[300:305]
    for start, end in ((5, 20), (-7, None), (10, -10), (9, 10**9)):
        assert files.cat_file(url(scratch / "data"), start, end) == content[slice(start, end)]
    assert files.read_block(url(scratch / "data"), 10, 20) == content[10:30]


def test_names_are_literal(files: IriFileSystem, scratch: Path) -> None:
    for name in ODD:
        files.pipe_file(inner(scratch / name), name.encode())
        assert (scratch / name).read_bytes() == name.encode()
        assert files.cat_file(url(scratch / name)) == name.encode()
    assert {each["name"] for each in files.ls(inner(scratch))} == {inner(scratch / name) for name in ODD}
    files.rm(inner(scratch / "[1]*?.txt"))
    assert sorted(each.name for each in scratch.iterdir()) == sorted(set(ODD) - {"[1]*?.txt"})


def broken_off(path: Path, mode: str, **words: str) -> None:
    with fsspec.open(url(path), mode, **words) as file:
        file.write("half" if mode == "w" else b"half")
        raise RuntimeError


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_after_an_exception_nothing_was_written(scratch: Path, place: LocalFacility, mode: str) -> None:
    (scratch / "old").write_text("old")
    with pytest.raises(RuntimeError):
        broken_off(scratch / "old", mode)
    with pytest.raises(RuntimeError):
        broken_off(scratch / "new.gz", mode, compression="gzip")
    assert [(each.name, each.read_text()) for each in scratch.iterdir()] == [("old", "old")]
    assert seen(place, "upload") == 0


def bare(files: IriFileSystem, path: str) -> object:
    file = files.open(path, "wb")
    file.write(b"half")
    return file


def as_text(files: IriFileSystem, path: str) -> object:
    file = files.open(path, "w", encoding="utf-8")
    file.write("half")
    return file


def as_pandas_opens(files: IriFileSystem, path: str) -> object:
    file = OpenFile(files, path, "wt", newline="").open()
    file.write("half")
    return file


def compressed(files: IriFileSystem, path: str) -> object:
    file = OpenFile(files, path, "wt", compression="gzip").open()
    file.write("half")
    return file


def buffered(files: IriFileSystem, path: str) -> object:
    file = io.BufferedWriter(files.open(path, "wb"))  # type: ignore[type-var]
    file.write(b"half")
    return file


@pytest.mark.parametrize("opened", [bare, as_text, as_pandas_opens, compressed, buffered])
@pytest.mark.parametrize("cycle", [False, True], ids=["at once", "by the collector"])
def test_a_file_that_is_left_open_is_not_sent(
    files: IriFileSystem, scratch: Path, caplog: pytest.LogCaptureFixture, opened, cycle: bool
) -> None:
    kept: list[object] = [opened(files, inner(scratch / "left"))]
    if cycle:
        kept.append(kept)
    del kept
    gc.collect()
    assert list(scratch.iterdir()) == []
    (said,) = [each.getMessage() for each in caplog.records if "left open" in each.getMessage()]
    assert "/left" in said


def test_a_file_that_is_written_while_an_error_is_handled_is_written(
    files: IriFileSystem, scratch: Path
) -> None:
    try:
        raise RuntimeError("the run failed")
    except RuntimeError as error:
        with files.open(inner(scratch / "report"), "w") as report:
            report.write(str(error))
    assert (scratch / "report").read_text() == "the run failed"


def broken_off_after(files: IriFileSystem, path: str) -> None:
    files.pipe_file(path, b"complete")
    raise RuntimeError


def test_a_transaction_sends_all_at_its_end_or_nothing(files: IriFileSystem, scratch: Path) -> None:
    with files.transaction:
        for name in "ab":
            with files.open(inner(scratch / name), "wb") as file:
                file.write(name.encode())
        assert not list(scratch.iterdir())
    assert sorted(each.name for each in scratch.iterdir()) == ["a", "b"]
    with pytest.raises(RuntimeError), files.transaction:
        broken_off_after(files, inner(scratch / "c"))
    assert not (scratch / "c").exists()


def test_exclusive_creation_and_what_is_not_offered(files: IriFileSystem, scratch: Path) -> None:
    with files.open(inner(scratch / "once"), "xb") as file:
        file.write(b"1")
    with pytest.raises(FileExistsError):
        files.open(inner(scratch / "once"), "xb")
    with pytest.raises(FileExistsError):
        files.pipe_file(inner(scratch / "once"), b"2", mode="create")
    for mode in ("ab", "r+b"):
        with pytest.raises(NotImplementedError, match="read or written whole"):
            files.open(inner(scratch / "once"), mode)
    with pytest.raises(NotImplementedError, match="recursive=True"):
        files.rmdir(inner(scratch))


# -------------------------------------------------------------------------------------------------- look


def test_the_tree_from_the_profiles_down(files: IriFileSystem, scratch: Path) -> None:
    assert files.ls("iri://", detail=False) == ["place"]
    assert files.ls("iri://place", detail=False) == ["place/cluster", "place/scratch"]
    (scratch / "a" / "b").mkdir(parents=True)
    for name in ("one.csv", "a/two.csv", "a/b/three.csv", "a/b/.hidden"):
        (scratch / name).write_text(name)
    (scratch / "link").symlink_to(scratch / "one.csv")
    (scratch / "loop").symlink_to(scratch)
    top = inner(scratch)
    assert files.find(top) == [
        f"{top}/{name}" for name in ("a/b/.hidden", "a/b/three.csv", "a/two.csv", "link", "loop", "one.csv")
    ]
    assert files.glob(url(scratch / "**" / "*.csv")) == [
        f"{top}/{name}" for name in ("a/b/three.csv", "a/two.csv", "one.csv")
    ]
    assert [(each, dirs) for each, dirs, _ in files.walk(top)] == [
        (top, ["a"]), (f"{top}/a", ["b"]), (f"{top}/a/b", []),
    ]  # fmt: skip
    own = f"place/{scratch}"
    assert files.glob(f"{own}/*.csv") == [f"{own}/one.csv"]
    assert files.du(top) > 0


def test_what_is_known_of_a_path(files: IriFileSystem, scratch: Path) -> None:
    (scratch / "file").write_bytes(b"12345")
    (scratch / "empty").mkdir()
    (scratch / "same" / "same").mkdir(parents=True)
    (scratch / "link").symlink_to("file")
    facts = (scratch / "file").stat()
    for look in (files.info, files.ls, files.info):  # told by stat, by a listing of itself, and again
        found = look(inner(scratch / "file"))
        told = found[0] if isinstance(found, list) else found
        assert (told["name"], told["size"], told["type"]) == (inner(scratch / "file"), 5, "file")
        assert int(told["mtime"]) == int(facts.st_mtime)
    files.ls(inner(scratch))
    assert files.info(inner(scratch / "link"))["size"] == 5
    assert files.isdir(inner(scratch / "empty"))
    assert files.ls(inner(scratch / "empty")) == []
    assert files.ls(inner(scratch / "same"), detail=False) == [inner(scratch / "same" / "same")]
    assert int(files.modified(inner(scratch / "file")).timestamp()) == int(facts.st_mtime)
    before = files.checksum(inner(scratch / "file")), files.ukey(inner(scratch / "file"))
    (scratch / "file").write_bytes(b"123456")
    after = files.checksum(inner(scratch / "file")), files.ukey(inner(scratch / "file"))
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_listings_are_remembered_until_something_is_written(
    files: IriFileSystem, scratch: Path, place: LocalFacility
) -> None:
    (scratch / "one").write_text("1")
    top = inner(scratch)
    for _ in range(3):
        assert files.ls(top, detail=False) == [f"{top}/one"]
        assert files.info(f"{top}/one")["size"] == 1
    assert (seen(place, "ls"), seen(place, "stat")) == (1, 0)
    files.pipe_file(f"{top}/two", b"22")
    assert files.ls(top, detail=False) == [f"{top}/one", f"{top}/two"]
    (scratch / "three").write_text("by a job")
    assert files.exists(f"{top}/three")
    assert f"{top}/three" in files.ls(top, detail=False, refresh=True)
    fresh = fsspec.filesystem("iri", use_listings_cache=False)
    (scratch / "four").write_text("by a job")
    assert f"{top}/four" in fresh.ls(top, detail=False)
    assert f"{top}/four" in fresh.ls(top, detail=False)


# ------------------------------------------------------------------------------------- move, copy, remove


def test_trees_are_put_and_got(files: IriFileSystem, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep" / "none").mkdir(parents=True)
    for name in ("a.txt", "deep/b.bin"):
        (tmp_path / "in" / name).write_bytes(name.encode())
    files.put(str(tmp_path / "in"), url(scratch / "there"), recursive=True)
    assert (scratch / "there" / "deep" / "b.bin").read_bytes() == b"deep/b.bin"
    assert (scratch / "there" / "deep" / "none").is_dir()
    files.get(url(scratch / "there"), str(tmp_path / "out"), recursive=True)
    assert (tmp_path / "out" / "deep" / "b.bin").read_bytes() == b"deep/b.bin"
    assert (tmp_path / "out" / "deep" / "none").is_dir()
    told = fsspec.Callback()
    files.get_file(url(scratch / "there" / "a.txt"), tmp_path / "a.txt", callback=told)
    assert (told.size, told.value) == (5, 5)


def test_copies_renames_and_removals(files: IriFileSystem, scratch: Path) -> None:
    top = inner(scratch)
    files.makedirs(f"{top}/a/b")
    files.makedirs(f"{top}/a/b", exist_ok=True)
    with pytest.raises(FileExistsError):
        files.mkdir(f"{top}/a")
    files.pipe_file(f"{top}/a/one", b"1")
    files.copy(f"{top}/a/one", f"{top}/a/b/two")
    files.copy(f"{top}/a/", f"{top}/c/", recursive=True)
    assert (scratch / "c" / "b" / "two").read_bytes() == b"1"
    files.mv(f"{top}/a/one", f"{top}/a/three")
    assert [each.name for each in sorted((scratch / "a").iterdir())] == ["b", "three"]
    files.copy(f"{top}/a/three", f"place/cluster{scratch}/four")  # another file system
    assert (scratch / "four").read_bytes() == b"1"
    files.rm(f"{top}/four")
    with pytest.raises(IsADirectoryError, match="recursive=True"):
        files.rm(f"{top}/a")
    files.rm(f"{top}/a", recursive=True)
    assert [each.name for each in scratch.iterdir()] == ["c"]


def test_a_link_is_removed_and_not_what_it_points_to(files: IriFileSystem, scratch: Path) -> None:
    (scratch / "kept").mkdir()
    (scratch / "to").symlink_to("kept")
    (scratch / "nowhere").symlink_to("nothing")
    files.rm([inner(scratch / "to"), inner(scratch / "nowhere")])
    assert [each.name for each in scratch.iterdir()] == ["kept"]


# ------------------------------------------------------------------------------------------------- errors


def test_what_is_no_file_is_not_fetched(files: IriFileSystem, scratch: Path, place, tmp_path: Path) -> None:
    (scratch / "d").mkdir()
    (scratch / "d" / "x").write_text("x")
    place.reset_requests()
    with pytest.raises(IsADirectoryError):
        files.open(inner(scratch / "d"))
    for pattern in ("d/*", "d/[x]"):
        with pytest.raises(FileNotFoundError):
            files.open(inner(scratch / pattern))
        with pytest.raises(FileNotFoundError):
            files.get_file(inner(scratch / pattern), tmp_path / "copy")
    assert not place.requests("download")
    with pytest.raises(ValueError, match="a whole file system"):
        files.rm("iri://place/scratch/a/..", recursive=True)


def test_failures_are_told_in_the_words_of_files(files: IriFileSystem, scratch: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        files.open(inner(scratch / "nothing"))
    assert missing.value.errno == errno.ENOENT
    assert isinstance(missing.value.__cause__, IriError)
    for look in (files.info, files.ls, files.rm):
        with pytest.raises(FileNotFoundError):
            look(inner(scratch / "nothing"))
    assert not files.exists(inner(scratch / "nothing"))
    with pytest.raises(PermissionError):
        files.ls("place/scratch/etc")
    for wrong in ("iri://nowhere//x", "iri://place", "iri://place/no-such-thing/x"):
        with pytest.raises(ValueError, match=r"nowhere|names no file system|no-such-thing"):
            files.open(wrong)
    with pytest.raises(ValueError, match="a whole file system"):
        files.rm("iri://place/scratch/", recursive=True)
    with pytest.raises(PermissionError):
        fsspec.filesystem("iri", token="no-token-of-theirs").exists(inner(scratch / "anything"))


def test_what_a_grant_refuses_is_not_permitted(
    scratch: Path, place: LocalFacility, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch / "x").write_text("x")
    monkeypatch.setenv("IRI_FACILITY_PLACE_GRANT_VERBS", "look")
    files = fsspec.filesystem("iri", skip_instance_cache=True)
    assert files.exists(inner(scratch / "x"))
    for refused in (files.cat_file, files.open, files.rm, files.mkdir):
        with pytest.raises(PermissionError, match=r"the grant of place does not allow to \w+ .*x") as told:
            refused(inner(scratch / "x" if refused != files.mkdir else scratch / "x.d"))
        assert told.value.errno == errno.EACCES
        assert isinstance(told.value.__cause__, GrantExceeded)
    with pytest.raises(PermissionError), files.open(inner(scratch / "y"), "wb") as file:
        file.write(b"y")
    assert [each.name for each in scratch.iterdir()] == ["x"]


def test_more_than_the_api_takes_is_an_error_or_a_job(scratch: Path, place: LocalFacility) -> None:
    with pytest.raises(OSError, match="5242880") as told, fsspec.open(url(scratch / "big"), "wb") as file:
        file.write(bytes(5 * 2**20 + 1))
    assert told.value.errno == errno.EFBIG
    assert not list(scratch.iterdir())
    content = bytes(range(256)) * 4 * 2**10 * 6
    with fsspec.open(url(scratch / "big"), "wb", allow_job=True) as file:
        file.write(content)
    assert (scratch / "big").read_bytes() == content
    with pytest.raises(OSError, match="allow_job=True"):
        fsspec.open(url(scratch / "big")).open()
    with fsspec.open(url(scratch / "big"), allow_job=True) as file:
        assert file.read() == content


# ------------------------------------------------------------------------------- options, pickles, forks


def test_a_facility_without_a_profile(scratch: Path, place: LocalFacility) -> None:
    (scratch / "x").write_text("x")
    options = {"url": place.base_url, "token": place.new_token()}
    with fsspec.open(f"iri://any/scratch{scratch}/x", **options) as file:
        assert file.read() == b"x"
    private = fsspec.filesystem("iri", **options)
    assert private is not fsspec.filesystem("iri")
    for told in (lambda: pickle.dumps(private), private.to_json, private.to_dict):
        with pytest.raises(TypeError, match="its token"):
            told()
    over = IriFileSystem.over(Facility(place.base_url, token=place.token, name="mine"))
    assert over.cat_file(f"mine/scratch{scratch}/x") == b"x"
    assert over.ls("") == [{"name": "mine", "size": 0, "type": "directory", "mtime": None}]
    with pytest.raises(ValueError, match="files of 'mine', not of 'place'"):
        over.cat_file(url(scratch / "x"))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(over)
    with pytest.raises(TypeError, match=r"IriFileSystem\.over"):
        IriFileSystem(token=object())


def test_it_travels_as_the_name_of_its_profile(
    files: IriFileSystem, scratch: Path, place: LocalFacility
) -> None:
    (scratch / "x").write_text("x")
    packed = pickle.dumps((files, fsspec.open(url(scratch / "x"))))
    assert place.token.encode() not in packed
    again, file = pickle.loads(packed)
    assert again == files
    with file as opened:
        assert opened.read() == b"x"
    assert json.loads(files.to_json())["protocol"] == "iri"
    over = IriFileSystem.over(Facility.from_profile("place"))
    assert pickle.loads(pickle.dumps(over)).cat_file(inner(scratch / "x")) == b"x"


def test_a_forked_child_has_a_loop_of_its_own(files: IriFileSystem, scratch: Path) -> None:
    (scratch / "x").write_text("parent")
    assert files.cat_file(inner(scratch / "x")) == b"parent"
    child = multiprocessing.get_context("fork").Process(
        target=lambda: files.pipe_file(inner(scratch / "from child"), files.cat_file(inner(scratch / "x")))
    )
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert (scratch / "from child").read_text() == "parent"
    assert files.cat_file(inner(scratch / "from child")) == b"parent"
