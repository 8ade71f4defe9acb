"""The jobs that join and split, in real shells: done again, killed, on damaged parts, under any name."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from jobside_shells import SHELLS

from iri_common.jobside.joining import (
    is_part,
    join_script,
    listable,
    name_list,
    pack_script,
    part_name,
    read_split,
    split_script,
)
from iri_common.model.errors import UsageError
from iri_common.model.files import FileEntry

NAMES = ["-rf a b", 'it\'s "$HOME" & `x` \\n', "line\nend *?[a]", "Überführung"]
CONTENT = bytes(range(256)) * 400
PART = 30_000


class Shell:
    """One shell, and a directory of a facility."""

    def __init__(self, command: list[str], root: Path) -> None:
        self.command = [str(shutil.which(command[0])), *command[1:]]
        self.root = root
        self.path = os.defpath

    def start(self, script: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.command, "-c", script],
            env={"PATH": self.path},
            cwd=self.root,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, script: str) -> tuple[int, str]:
        process = self.start(script)
        _, said = process.communicate(timeout=60)
        return process.returncode, said.decode()

    def send(self, content: bytes, name: str = "data") -> str:
        """Parts in their directory; gives the script that joins them."""
        parts = self.root / f"{name}.parts"
        parts.mkdir(exist_ok=True)
        pieces = [content[at : at + PART] for at in range(0, len(content), PART)]
        for index, piece in enumerate(pieces):
            (parts / part_name(index, piece)).write_bytes(piece)
        target = str(self.root / name)
        digest = hashlib.sha256(content).hexdigest()
        return join_script(
            target,
            f"{target}.part",
            f"{target}.parts",
            size=len(content),
            sha256=digest,
            pieces=len(pieces),
        )

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir())


@pytest.fixture(params=SHELLS.values(), ids=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    return Shell(request.param, tmp_path)


def listed(directory: Path) -> list[FileEntry]:
    return [FileEntry(path.name, "file", path.stat().st_size) for path in directory.iterdir()]


# ---------------------------------------------------------------------------------------------- join


@pytest.mark.parametrize("name", NAMES)
def test_parts_become_the_file(shell: Shell, name: str) -> None:
    script = shell.send(CONTENT, name)
    assert shell.run(script) == (0, "")
    assert shell.names == [name]
    assert (shell.root / name).read_bytes() == CONTENT
    assert shell.run(script) == (0, ""), "done already, and the parts are gone"


@pytest.mark.parametrize("content", [b"", b"\0", b"\n" * PART, CONTENT[: 2 * PART]], ids=len)
def test_any_content(shell: Shell, content: bytes) -> None:
    assert shell.run(shell.send(content)) == (0, "")
    assert (shell.root / "data").read_bytes() == content


def test_what_lay_there_is_replaced_even_of_the_same_size(shell: Shell) -> None:
    (shell.root / "data").write_bytes(CONTENT[::-1])
    assert shell.run(shell.send(CONTENT)) == (0, "")
    assert (shell.root / "data").read_bytes() == CONTENT


def test_a_damaged_part_is_taken_away_and_sent_again(shell: Shell) -> None:
    script = shell.send(CONTENT)
    (shell.root / "data").write_text("old")
    parts = sorted((shell.root / "data.parts").iterdir())
    parts[1].write_bytes(b"x" * PART)
    code, said = shell.run(script)
    assert code == 1
    assert f"{parts[1]} is damaged" in said
    assert (shell.root / "data").read_text() == "old"
    assert sorted((shell.root / "data.parts").iterdir()) == [parts[0], *parts[2:]]
    assert shell.names == ["data", "data.parts"]
    assert shell.run(shell.send(CONTENT)) == (0, "")
    assert (shell.root / "data").read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["one missing", "one too many", "none", "no directory"])
def test_other_parts_than_were_sent_are_not_joined(shell: Shell, change: str) -> None:
    script = shell.send(CONTENT)
    directory = shell.root / "data.parts"
    parts = sorted(directory.iterdir())
    if change == "one too many":
        (directory / part_name(1, b"of before")).write_bytes(b"of before")
    for part in parts[: {"one missing": 1, "none": len(parts), "no directory": len(parts)}.get(change, 0)]:
        part.unlink()
    if change == "no directory":
        directory.rmdir()
    code, said = shell.run(script)
    assert code == 1
    assert said.startswith("iri: ")
    assert str(directory) in said
    assert not (shell.root / "data").exists()


def test_a_directory_is_no_target(shell: Shell) -> None:
    script = shell.send(CONTENT)
    (shell.root / "data").mkdir()
    code, said = shell.run(script)
    assert (code, said) == (1, f"iri: {shell.root}/data is a directory\n")
    assert not list((shell.root / "data").iterdir())


@pytest.mark.parametrize("delay", [0, 3, 8, 16])
def test_killed_at_any_moment_the_next_one_makes_it_whole(shell: Shell, delay: int) -> None:
    script = shell.send(CONTENT)
    (shell.root / "data").write_text("old")
    job = shell.start(script)
    time.sleep(delay / 1000)
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    assert (shell.root / "data").read_bytes() in {b"old", CONTENT}
    assert shell.run(script) == (0, "")
    assert (shell.root / "data").read_bytes() == CONTENT
    assert shell.names == ["data"]


def test_a_disk_that_fills_up_leaves_the_parts_alone(shell: Shell) -> None:
    script = shell.send(CONTENT)
    code, said = shell.run(f"ulimit -f 20\n{script}")  # blocks of 512 bytes
    assert code != 0
    assert not (shell.root / "data").exists()
    assert len(list((shell.root / "data.parts").iterdir())) == 4
    assert shell.run(script) == (0, ""), said


@pytest.mark.parametrize("tool", ["sha256sum", "shasum", "openssl"])
def test_a_digest_is_made_by_what_there_is(shell: Shell, tmp_path_factory, tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"no {tool} here")
    tools = tmp_path_factory.mktemp("bin")
    for name in (tool, "cat", "wc", "rm", "mv", "env", "perl"):
        (tools / name).symlink_to(str(shutil.which(name)))
    script, shell.path = shell.send(CONTENT), str(tools)
    assert shell.run(script) == (0, "")
    assert (shell.root / "data").read_bytes() == CONTENT


# --------------------------------------------------------------------------------------------- split


@pytest.mark.parametrize("name", NAMES)
def test_a_file_becomes_parts_that_say_what_they_are(shell: Shell, name: str) -> None:
    (shell.root / name).write_bytes(CONTENT)
    parts = shell.root / f"{name}.parts"
    script = split_script(str(shell.root / name), str(parts), PART)
    assert shell.run(script) == (0, "")
    assert shell.names == sorted([name, parts.name])
    split = read_split(listed(parts))
    assert split is not None
    assert (split.size, split.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    pieces = [(parts / part).read_bytes() for part in split.parts]
    assert b"".join(pieces) == CONTENT
    assert [part_name(index, piece) for index, piece in enumerate(pieces)] == list(split.parts)
    assert parts.stat().st_mode & 0o077 == 0, "for nobody else"
    (shell.root / name).unlink()
    assert shell.run(script) == (0, ""), "all of it is there already"


def test_an_empty_file_has_no_parts(shell: Shell) -> None:
    (shell.root / "data").touch()
    assert shell.run(split_script(f"{shell.root}/data", f"{shell.root}/parts", PART)) == (0, "")
    split = read_split(listed(shell.root / "parts"))
    assert split is not None
    assert (split.size, list(split.parts)) == (0, [])


def test_what_another_job_has_begun_is_begun_again(shell: Shell) -> None:
    (shell.root / "data").write_bytes(CONTENT)
    for left in ("parts", "parts.new"):
        (shell.root / left).mkdir()
        (shell.root / left / "partzzzzzz").write_text("half")
    assert shell.run(split_script(f"{shell.root}/data", f"{shell.root}/parts", PART)) == (0, "")
    split = read_split(listed(shell.root / "parts"))
    assert split is not None
    assert len(split.parts) == 4
    assert shell.names == ["data", "parts"]


@pytest.mark.parametrize("source", ["missing", "."])
def test_what_is_no_file_is_not_split(shell: Shell, source: str) -> None:
    path = f"{shell.root}/{source}"
    code, said = shell.run(split_script(path, f"{shell.root}/parts", PART))
    assert (code, said) == (1, f"iri: {path} is no file\n")
    assert shell.names == []


# ---------------------------------------------------------------------------------------------- pack


def packing(shell: Shell, names: list[str]) -> str:
    """The script that packs these files of the shell's tree, by two pieces of a list."""
    content = name_list(names)
    half = len(content) // 2
    lists = [shell.root / "list 1", shell.root / "list 2"]
    for path, piece in zip(lists, (content[:half], content[half:]), strict=True):
        path.write_bytes(piece)
    digest = hashlib.sha256(content).hexdigest()
    return pack_script(
        f"{shell.root}/tr ee", f"{shell.root}/parts", PART, [str(path) for path in lists], digest
    )


def test_files_of_a_list_become_parts_of_one_archive(shell: Shell) -> None:
    names = ["-rf a b", 'sub/it\'s "$HOME" & `x`', "*?[a]", "Überführung", " blank ", "@x", "empty", "first"]
    (shell.root / "tr ee/sub").mkdir(parents=True)
    for name in [*names, "not listed"]:
        (shell.root / "tr ee" / name).write_bytes(CONTENT if name != "empty" else b"")
    (shell.root / "tr ee/link").symlink_to("first")
    script = packing(shell, [*names, "link"])
    assert shell.run(script) == (0, "")
    parts = shell.root / "parts"
    split = read_split(listed(parts))
    assert split is not None
    pieces = [(parts / part).read_bytes() for part in split.parts]
    whole = b"".join(pieces)
    assert (split.size, split.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert {len(piece) for piece in pieces[:-1]} == {PART}
    assert [part_name(index, piece) for index, piece in enumerate(pieces)] == list(split.parts)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        packed = {os.path.normpath(each.name): archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]
    assert packed == {name: CONTENT if name != "empty" else b"" for name in [*names, "link"]}
    assert parts.stat().st_mode & 0o077 == 0, "for nobody else"
    assert len(os.listdir(parts)) == len(pieces) + 1
    (shell.root / "tr ee/first").unlink()
    assert shell.run(script) == (0, ""), "all of it is there already"


@pytest.mark.parametrize(
    "change", ["a file is gone", "the list is cut", "the disk is full", "the root is gone"]
)
def test_what_is_not_all_is_no_archive(shell: Shell, change: str) -> None:
    (shell.root / "tr ee").mkdir()
    for name in "ab":
        (shell.root / "tr ee" / name).write_bytes(CONTENT)
    script = packing(shell, ["a", "b"])
    if change == "a file is gone":
        (shell.root / "tr ee/b").unlink()
    elif change == "the list is cut":
        (shell.root / "list 2").write_bytes(b"")
    elif change == "the root is gone":
        shutil.rmtree(shell.root / "tr ee")
    full = "ulimit -f 20\n" if change == "the disk is full" else ""
    code, said = shell.run(full + script)
    assert code != 0
    assert "iri: " in said
    assert not (shell.root / "parts").exists()


def test_names_that_a_list_cannot_carry() -> None:
    assert [listable(name) for name in ("a b", "-x", "a\nb", "a\\b")] == [True, True, False, False]
    assert name_list(["-x", "ü"]) == "./-x\n./ü\n".encode()
    for name in ("a\nb", "a\\b", "\udcff", "a\0"):
        with pytest.raises(UsageError):
            name_list([name])


# --------------------------------------------------------------------------------------------- words


def test_a_listing_that_is_not_a_whole_split_is_none() -> None:
    whole = FileEntry(f"whole-{'0' * 64}-5")
    first, second = FileEntry(part_name(0, b"a")), FileEntry(part_name(1, b"b"))
    assert read_split([]) is None
    assert read_split([first, second]) is None
    assert read_split([whole, second]) is None, "the first is missing"
    assert read_split([whole, whole, first]) is None
    assert read_split([whole, second, FileEntry(".nfs01"), first]) is not None
    assert [is_part(each) for each in (whole, first, FileEntry("000001-x"))] == [False, True, False]


@pytest.mark.parametrize("path", ["data", "", "~/data", "/a\0b", "/\udcff"])
def test_a_path_that_a_job_could_take_for_another_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        split_script(path, "/parts", PART)
    with pytest.raises(UsageError):
        join_script("/data", "/aside", path, size=1, sha256="", pieces=1)
