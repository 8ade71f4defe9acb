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
    for path in ("/", "//", "/.", "/home", f"{place.home}/.", f"{place.home.parent}", str(place.scratch)):
        for given in (path, f"iri://place/scratch{path}"):
            refused = iri("rm", "-r", given)
            assert refused.code in {2, 9}, (given, refused)
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
