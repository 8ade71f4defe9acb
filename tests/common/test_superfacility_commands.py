"""The commands that stand in for file operations, run by shells as a login node would run them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from superfacility_door import ACCEPTED, dialect, task
from told_wire import ok

from iri_common.model.errors import (
    AmbiguousReply,
    IriError,
    NotFound,
    PermissionDenied,
    Refused,
    ReplyError,
)
from iri_common.model.files import Compression
from iri_common.model.outcome import Pending

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the commands are those of the GNU tools, as NERSC's nodes have them"
)

M = "perlmutter"
ODD = [
    *("a b", "ü-ß-日本", "quote'\"s", "a&b;c|d#e", "*[x]$HOME`id`"),
    *("back\\slash", "-rf", "line\nend", "{o}", "~"),
]
SHELLS = [each for each in ("sh", "bash", "zsh", "csh") if shutil.which(each)]
GREETING = "Welcome {user}!\n\n"


class LoginNode:
    """Runs the command of each request in a shell, when its task is asked for."""

    def __init__(self, home: Path, shell: str = "sh") -> None:
        self.home, self.shell, self.lines = home, shell, []

    async def send(self, request):
        if request.form:
            self.lines.append(request.form["executable"])
            return ok(ACCEPTED)
        return await asyncio.to_thread(self._task)

    def _task(self):
        done = subprocess.run(
            [self.shell, "-c", self.lines[-1]],
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
            capture_output=True,
            timeout=20,
            check=False,
        )
        told = {
            "status": "ok" if done.returncode == 0 else "error",
            "output": GREETING + done.stdout.decode(errors="replace"),
            "error": done.stderr.decode(errors="replace") or None,
            "exit_code": done.returncode,
        }
        return task(GREETING + json.dumps(told))

    async def close(self): ...


class Door:
    """The files of a login node, each operation to its end."""

    def __init__(self, node: LoginNode) -> None:
        self.node, self.dialect = node, dialect(node)

    def __getattr__(self, name):
        async def call(*args, **words):
            answer = await getattr(self.dialect.files, name)(M, *args, **words)
            assert isinstance(answer, Pending)
            return (await self.dialect.operations.check(answer)).value

        return call


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(LoginNode(tmp_path))


@pytest.fixture(params=ODD)
def odd(request, tmp_path: Path) -> Path:
    return tmp_path / request.param


def written(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)


def packed(path: str) -> set[str]:
    with tarfile.open(path) as archive:
        return set(archive.getnames())


@pytest.mark.parametrize("shell", SHELLS)
async def test_the_line_means_the_same_to_each_shell(tmp_path: Path, shell: str) -> None:
    door = Door(LoginNode(tmp_path, shell))
    name = tmp_path / "a 'b' $HOME \\ \"c\""
    name.write_bytes(b"x\0\xff\n")
    assert (await door.stat(str(name))).size == 4
    assert (await door.view(str(name), size=9)).content == "x\0\ufffd\n"


async def test_any_name(door: Door, odd: Path) -> None:
    path = str(odd)
    await door.mkdir(path)
    assert Path.is_dir(odd)
    await door.mkdir(path, parents=True)
    await door.mv(path, f"{path}2")
    await door.symlink("nowhere 'at' all", path)
    assert os.readlink(odd) == "nowhere 'at' all"
    await door.rm(path)
    written(path, b"one\ntwo\n")
    assert (await door.stat(path)).size == 8
    assert (await door.checksum(path)).value == hashlib.sha256(b"one\ntwo\n").hexdigest()
    assert (await door.head(path, lines=1)).content == "one\n"
    assert (await door.tail(path, size=4)).content == "two\n"
    assert (await door.view(path, size=3, offset=2)).content == "e\nt"
    assert "text" in await door.file_type(path)
    await door.chmod(path, 0o640)
    assert (await door.stat(path)).mode & 0o7777 == 0o640
    await door.cp(path, f"{path}2")  # into the directory
    assert (Path(f"{path}2") / odd.name).read_bytes() == b"one\ntwo\n"
    await door.compress(f"{path}2", f"{path}.tar")
    assert packed(f"{path}.tar") == {f"{odd.name}2", f"{odd.name}2/{odd.name}"}
    await door.extract(f"{path}.tar", f"{path}3")
    assert (Path(f"{path}3") / f"{odd.name}2" / odd.name).read_bytes() == b"one\ntwo\n"
    named = {each.name: each.type for each in await door.ls(str(odd.parent), recursive=True, hidden=True)}
    assert named[f"{odd.name}2/{odd.name}"] == "file"
    assert named[f"{odd.name}3"] == "directory"


async def test_a_relative_name_is_below_home_and_no_option(door: Door, tmp_path: Path) -> None:
    await door.mkdir("-p")
    await door.mkdir("a/b", parents=True)
    assert sorted(os.listdir(tmp_path)) == ["-p", "a"]


@pytest.mark.parametrize("compression", Compression)
async def test_archives_of_each_kind(door: Door, tmp_path: Path, compression: Compression) -> None:
    (tmp_path / "t/sub").mkdir(parents=True)
    (tmp_path / "t/sub/x").write_bytes(b"x")
    (tmp_path / "t/link").symlink_to("sub/x")
    await door.compress(str(tmp_path / "t"), str(tmp_path / "a"), compression=compression, dereference=True)
    await door.extract(str(tmp_path / "a"), str(tmp_path / "b"), compression=compression)
    assert (tmp_path / "b/t/sub/x").read_bytes() == b"x"
    assert not (tmp_path / "b/t/link").is_symlink()


async def test_an_exact_listing(door: Door, tmp_path: Path) -> None:
    top = tmp_path / "d"
    (top / "sub/.hid").mkdir(parents=True)
    (top / "sub/f -> g").write_bytes(b"12345")
    (top / "sub/.hid/x").touch()
    (top / "to").symlink_to("sub/f -> g")
    (top / "astray").symlink_to("/nowhere")
    os.mkfifo(top / "pipe")
    os.utime(top / "sub/f -> g", (0, 1_700_000_000.25))
    found = {each.name: each for each in await door.ls(str(top), recursive=True)}
    assert set(found) == {"sub", "sub/f -> g", "to", "astray", "pipe"}
    plain = found["sub/f -> g"]
    assert (plain.type, plain.size, plain.link_target) == ("file", 5, None)
    assert plain.last_modified == "2023-11-14T22:13:20.250000+00:00"
    assert (plain.permissions[0], bool(plain.user)) == ("-", True)
    assert (found["to"].type, found["to"].link_target) == ("symlink", "sub/f -> g")
    assert found["pipe"].type == "other"
    led = {each.name: each for each in await door.ls(str(top), dereference=True)}
    assert (led["to"].type, led["to"].size, led["astray"].type) == ("file", 5, "symlink")
    everything = await door.ls(str(top), recursive=True, hidden=True)
    assert {"sub/.hid", "sub/.hid/x"} <= {each.name for each in everything}
    (one,) = await door.ls(str(top / "sub/f -> g"), recursive=True)
    assert (one.name, one.size) == ("f -> g", 5)
    (top / "empty").mkdir()
    assert await door.ls(str(top / "empty"), recursive=True) == []


async def test_a_window_of_a_large_file(door: Door, tmp_path: Path) -> None:
    content = os.urandom(1 << 20).replace(b"\xff", b"f").hex().encode()
    (tmp_path / "f").write_bytes(content)
    piece = await door.view(str(tmp_path / "f"), size=1_500_000, offset=123_457)
    assert piece.content.encode() == content[123_457:1_623_457]
    assert (await door.view(str(tmp_path / "f"), size=9, offset=1 << 22)).content == ""


FAILURES = {
    "missing": (NotFound, lambda d, p: d.stat(f"{p}/no")),
    "missing view": (NotFound, lambda d, p: d.view(f"{p}/no", size=1)),
    "missing rm": (NotFound, lambda d, p: d.rm(f"{p}/no")),
    "missing mv": (NotFound, lambda d, p: d.mv(f"{p}/no", f"{p}/x")),
    "missing ls": (NotFound, lambda d, p: d.ls(f"{p}/no", recursive=True)),
    "missing checksum": (NotFound, lambda d, p: d.checksum(f"{p}/no")),
    "missing file": (NotFound, lambda d, p: d.file_type(f"{p}/no")),
    "missing above": (NotFound, lambda d, p: d.mkdir(f"{p}/no/x")),
    "missing archive": (NotFound, lambda d, p: d.extract(f"{p}/no", f"{p}/x")),
    "there already": (Refused, lambda d, p: d.mkdir(f"{p}/d")),
    "a link there": (Refused, lambda d, p: d.symlink("x", f"{p}/d")),
    "a directory read": (Refused, lambda d, p: d.view(f"{p}/d", size=1)),
    "below a file": (Refused, lambda d, p: d.stat(f"{p}/f/x")),
    "no archive": (Refused, lambda d, p: d.extract(f"{p}/f", f"{p}/x")),
    "nobody": (Refused, lambda d, p: d.chown(f"{p}/f", owner="no-such-user-here")),
    "words in a name": (Refused, lambda d, p: d.mkdir(f"{p}/Permission denied")),
}


@pytest.mark.parametrize(("kind", "call"), FAILURES.values(), ids=FAILURES)
async def test_what_goes_wrong_is_told_by_its_kind(door: Door, tmp_path: Path, kind, call) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    (tmp_path / "Permission denied").mkdir()
    with pytest.raises(IriError) as caught:
        await call(door, tmp_path)
    assert type(caught.value) is kind
    assert caught.value.facility == "door"
    assert len(str(caught.value)) > 40  # the tool's own words


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_what_is_forbidden(door: Door, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0)
    with pytest.raises(PermissionDenied):
        await door.ls(str(tmp_path / "d"), recursive=True)


class Interrupted(LoginNode):
    """Ends each command in its midst, as the time limit of a login node does."""

    def _task(self):
        return task(json.dumps({"status": "ok", "output": f"{GREETING}:iri:b25l", "error": None}))


async def test_a_command_that_did_not_come_to_its_end(tmp_path: Path) -> None:
    door = Door(Interrupted(tmp_path))
    with pytest.raises(ReplyError):
        await door.view("/p", size=1)
    with pytest.raises(AmbiguousReply):
        await door.mv("/p", "/q")
