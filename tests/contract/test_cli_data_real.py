"""``iri ls``, ``cat``, ``get``, ``put`` and their like before a facility with real files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import COMMAND, Shell

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


@pytest.fixture
def there(place: LocalFacility, iri: Shell, tmp_path: Path) -> Path:
    """A directory of the test's own at the facility."""
    own = place.scratch / tmp_path.name
    own.mkdir()
    return own


def url(path: Path) -> str:
    return f"iri://place/scratch{path}"


# ------------------------------------------------------------------------------------- ls, cat, rm, mkdir


def test_a_directory_is_listed(iri: Shell, there: Path) -> None:
    (there / "sub").mkdir()
    (there / "sub" / "deep.txt").write_text("x")
    (there / "two words").write_bytes(bytes(2048))
    (there / ".hidden").write_text("")
    (there / "link").symlink_to("two words")
    assert iri("ls", url(there)).out.splitlines() == ["link", "sub", "two words"]
    assert iri("ls", "-a", str(there)).out.splitlines() == [".hidden", "link", "sub", "two words"]
    assert iri("ls", "-R", "-f", "place", str(there)).out.splitlines() == [
        "link", "sub", "sub/deep.txt", "two words",
    ]  # fmt: skip
    assert iri("ls", f"iri://place/{there}/two words").out == "two words\n"
    lines = iri("ls", "-l", url(there)).out.splitlines()
    assert lines[0].split() == ["MODE", "USER", "GROUP", "SIZE", "MODIFIED", "NAME"]
    assert [line[:10] for line in lines[1:]] == ["lrwxrwxrwx", "drwxr-xr-x", "-rw-r--r--"]
    assert lines[1].endswith("link -> two words")
    assert " 2048 " in lines[3]
    told = iri("ls", "--json", url(there)).document
    assert [(each["name"], each["type"]) for each in told["entries"]] == [
        ("link", "symlink"), ("sub", "directory"), ("two words", "file"),
    ]  # fmt: skip
    missing = iri("ls", "--json", url(there / "nothing"))
    assert (missing.code, missing.document["error"]["kind"]) == (10, "NotFound")


def test_cat_writes_the_bytes(iri: Shell, there: Path) -> None:
    content = bytes(range(256)) * 10
    (there / "data").write_bytes(content)
    (there / "empty").write_bytes(b"")
    done = subprocess.run(
        [COMMAND, "cat", url(there / "data"), url(there / "empty"), url(there / "data")],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == content * 2
    assert done.stderr == b""
    missing = iri("cat", url(there / "nothing"))
    assert (missing.code, missing.out) == (10, "")
    assert iri("cat", "--json", url(there / "data")).document["error"]["kind"] == "UsageError"


def test_cat_fetches_no_directory(iri: Shell, there: Path, place: LocalFacility) -> None:
    (there / "data").write_text("x")
    refused = iri("cat", url(there))
    assert (refused.code, refused.out) == (2, "")
    assert "is a directory; iri get fetches it" in refused.err
    assert iri("cat", url(there / "d*")).code == 10
    assert not place.requests("download")


def test_rm_looks_before_it_removes(iri: Shell, there: Path, place: LocalFacility) -> None:
    (there / "tree" / "sub").mkdir(parents=True)
    (there / "file").write_text("x")
    (there / "link").symlink_to("tree")
    refused = iri("rm", url(there / "file"), url(there / "tree"))
    assert refused.code == 2
    assert "--recursive removes it" in refused.err
    assert iri("rm", url(there / "file"), url(there / "nothing")).code == 10
    assert (there / "file").exists()
    assert not place.requests("rm")
    assert iri("rm", url(there / "file"), url(there / "link")).code == 0
    assert [each.name for each in there.iterdir()] == ["tree"]
    assert iri("rm", "--json", "-r", url(there / "tree")).document["removed"] == [url(there / "tree")]
    assert not list(there.iterdir())


def test_rm_refuses_what_nobody_means(iri: Shell, place: LocalFacility, there: Path) -> None:
    for path in ("/", "//", "/.", "/home", f"{place.home}/.", str(place.scratch)):
        for given in (path, f"iri://place/scratch{path}"):
            refused = iri("rm", "-r", given)
            assert refused.code == 2, (given, refused)
    assert iri("rm", "-r", f"{there}/..").code == 2
    assert not place.requests("rm")
    assert there.is_dir()


def test_mkdir(iri: Shell, there: Path) -> None:
    assert iri("mkdir", url(there / "a"), url(there / "b")).code == 0
    assert iri("mkdir", url(there / "a")).code == 11
    assert iri("mkdir", url(there / "x" / "y")).code == 10
    assert iri("mkdir", "-p", url(there / "x" / "y"), url(there / "a")).code == 0
    assert sorted(str(each.relative_to(there)) for each in there.rglob("*")) == ["a", "b", "x", "x/y"]


@pytest.mark.parametrize(
    "words",
    [
        ["ls", "here"],
        ["ls", "iri://place"],
        ["ls", "iri://nowhere//x"],
        ["ls", "-f", "other", "iri://place//x"],
        ["ls", "--url", "https://h/api/v2", "iri://place//x"],
        ["cat", "iri://place//a/../b"],
        ["rm"],
        ["mkdir", ""],
    ],
)
def test_places_that_make_no_sense_are_refused_before_anything_is_sent(
    iri: Shell, place: LocalFacility, words: list[str]
) -> None:
    assert iri(*words).code == 2
    told = iri(words[0], "--json", *words[1:])
    assert told.code == 2
    if words[0] != "cat":
        assert json.loads(told.out)["error"]["kind"] in {"UsageError", "ProfileError"}
    assert not place.summary()


# --------------------------------------------------------------------------------- get, put, cp, sync


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files here, in the directory that the commands run in."""
    (tmp_path / "run" / "deep").mkdir(parents=True)
    for name in ("a.dat", "deep/b b.dat"):
        (tmp_path / "run" / name).write_bytes(name.encode() * 100)
    return tmp_path / "run"


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(root)): each.read_bytes() for each in sorted(root.rglob("*")) if each.is_file()
    }


def test_files_go_there_and_come_back(iri: Shell, there: Path, tree: Path, tmp_path: Path) -> None:
    said = iri("put", "run/a.dat", url(there / "x.dat"))
    assert (said.code, said.out) == (0, "")
    assert "1 file, 500 bytes in" in said.err
    assert iri("put", "run/a.dat", f"{url(there)}/").code == 0
    assert iri("put", "-f", "place", "run", str(there / "copy")).code == 0
    assert iri("put", "-f", "place", "run", f"/{there}/").code == 0
    assert iri("put", "run", f"iri://place//{there}/whole").code == 0  # the path with its first slash
    ours = contents(tree)
    assert (there / "x.dat").read_bytes() == (there / "a.dat").read_bytes() == ours["a.dat"]
    assert contents(there / "copy") == contents(there / "run") == contents(there / "whole") == ours
    (tmp_path / "back").mkdir()
    told = iri("get", "--json", url(there / "x.dat"), url(there / "copy"), "back").document
    assert [each["files"] for each in told["transfers"]] == [1, 2]
    assert told["transfers"][0]["sha256"]
    assert contents(tmp_path / "back") == {"x.dat": ours["a.dat"]} | {
        f"copy/{name}": content for name, content in ours.items()
    }
    assert iri("get", f"{url(there)}/*.dat", "matches").code == 0
    assert sorted(contents(tmp_path / "matches")) == ["a.dat", "x.dat"]
    assert iri("get", url(there / "x.dat"), ".").code == 0
    assert (tmp_path / "x.dat").exists()


def test_cp_and_sync(iri: Shell, there: Path, tree: Path) -> None:
    assert iri("cp", "run", url(there / "one")).code == 0
    assert iri("cp", url(there / "one"), url(there / "two")).code == 0
    assert contents(there / "two") == contents(tree)
    (tree / "new").write_text("new")
    (there / "two" / "extra").write_text("extra")
    would = iri("sync", "--dry-run", "--delete", "run", url(there / "two"))
    assert would.out.splitlines() == [f"+ {there}/two/new", f"- {there}/two/extra"]
    assert iri("sync", "--dry-run", "--json", "run", url(there / "two")).document["deleted"] == []
    assert not (there / "two" / "new").exists()
    said = iri("sync", "--delete", "run", url(there / "two"))
    assert "1 file, 3 bytes" in said.err
    assert "2 unchanged; 1 removed" in said.err
    assert contents(there / "two") == contents(tree)


def test_a_plan_explains_and_moves_nothing(iri: Shell, there: Path, tree: Path, place: LocalFacility) -> None:
    said = iri("put", "--plan", "run", url(there / "copy"))
    assert said.code == 0
    assert "2 files" in said.out
    assert "direct" in said.out
    (told,) = iri("put", "--plan", "--json", "run/a.dat", url(there / "copy")).document["plans"]
    assert (told["road"], told["spends_allocation"]) == ("direct", False)
    assert not place.requests("upload")


def test_a_file_over_the_limit_needs_leave_to_run_a_job(iri: Shell, there: Path, tree: Path) -> None:
    (tree / "big").write_bytes(bytes(range(256)) * 4 * 6 * 2**10)
    refused = iri("put", "run/big", url(there / "big"))
    assert refused.code == 11
    assert "allow_job" in refused.err
    said = iri("put", "--json", "--allow-job", "run/big", url(there / "big"))
    assert said.code == 0, said.err
    assert (there / "big").read_bytes() == (tree / "big").read_bytes()
    assert said.document["transfers"][0]["road"] == "chunks"
    too_large = iri("cat", url(there / "big"))
    assert (too_large.code, too_large.out) == (11, "")
    assert "iri get --plan" in too_large.err
    steps = [json.loads(line)["progress"] for line in said.err.splitlines() if line.startswith("{")]
    assert steps
    assert steps[-1]["bytes_total"] == 6 * 2**20


def test_what_had_arrived_is_told_with_what_failed(iri: Shell, there: Path, tree: Path) -> None:
    (tree / "deep" / "out").symlink_to("/usr")
    said = iri("put", "--json", "run/a.dat", "run/deep", url(there))
    assert said.code == 2
    told = said.document
    assert (told["ok"], [each["files"] for each in told["transfers"]]) == (False, [1])
    assert "deep/out" in told["error"]["message"]
    assert iri("put", "--links", "skip", "run/deep", url(there / "deep")).code == 0
    assert list(contents(there / "deep")) == ["b b.dat"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["get", "iri://place//a", "iri://place//b"], "iri cp"),
        (["put", "iri://place//a", "iri://place//b"], "iri cp"),
        (["put", ".", "relative"], "no place at a facility"),
        (["put", "nothing-here", "iri://place//a"], "nothing-here"),
        (["put", "-f", "other", "x", "iri://place//a"], "names its facility"),
        (["put", "--rate", "quick", ".", "iri://place//a"], "--rate"),
        (["put", "--road", "rail", ".", "iri://place//a"], "rail"),
        (["put", "--links", "cut", ".", "iri://place//a"], "links"),
        (["get", "iri://place//a/x", "iri://place//b/x", "."], "two of these would become"),
        (["get", "iri://place//", "here/"], "has no name"),
        (["cp", ".", "b"], "both ends"),
        (["sync", "ftp://h/x", "iri://place//a"], "ftp"),
    ],
)
def test_moves_that_make_no_sense_are_refused_before_anything_is_sent(
    iri: Shell, place: LocalFacility, words: list[str], why: str
) -> None:
    said = iri(*words)
    assert said.code == 2
    assert why in said.err
    assert not set(place.summary()) - {"getResources"}
