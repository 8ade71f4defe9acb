"""Files of this machine: read whole or not at all, written in any order, in place at once."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from roads_world import KIB, MIB, STRANGE, sha256

from iri_common import TransferError, UsageError
from iri_common.model.errors import TooLarge
from iri_common.transfers import aside as aside_module
from iri_common.transfers import local
from iri_common.transfers.abreast import Room, abreast
from iri_common.transfers.aside import LocalAside
from iri_common.transfers.local import aside_of, content_of, reading, write_whole

# ------------------------------------------------------------------------------------------ names aside


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=255))
def test_a_name_aside_is_one_that_a_file_system_takes(name: str) -> None:
    aside = aside_of(f"/a/b/{name}", "0123456789abcdef")
    head, _, tail = aside.rpartition("/")
    assert head == "/a/b"
    assert len(tail.encode()) <= 255
    assert tail.endswith(".0123456789abcdef.part")
    assert aside != aside_of(f"/a/b/{name}", "f123456789abcdef")


def test_long_names_that_differ_at_their_end_stay_apart() -> None:
    assert aside_of("é" * 120 + "a", "0" * 16) != aside_of("é" * 120 + "b", "0" * 16)


# --------------------------------------------------------------------------------------------- reading


async def test_a_file_is_read_in_pieces(tmp_path: Path) -> None:
    content = os.urandom(100 * KIB)
    (tmp_path / "x").write_bytes(content)
    async with reading(str(tmp_path / "x")) as source:
        pieces = [await source.read(at, 30 * KIB) for at in range(0, source.size, 30 * KIB)]
        await source.require_unchanged()
    assert b"".join(pieces) == content
    assert await content_of(str(tmp_path / "x")) == content
    with pytest.raises(TooLarge, match="102400 bytes; this facility's API takes 5"):
        await content_of(str(tmp_path / "x"), 5)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(1, 1))


def exchange(path: Path) -> None:
    path.with_name("other").write_bytes(path.read_bytes())
    os.replace(path.with_name("other"), path)


def cut(path: Path) -> None:
    os.truncate(path, 5)


@pytest.mark.parametrize("change", [append, rewrite, exchange, cut, Path.unlink])
async def test_a_file_that_changes_while_it_is_read_is_named(tmp_path: Path, change) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    async with reading(str(path)) as source:
        await source.read(0, 3)
        await asyncio.to_thread(change, path)
        with pytest.raises(TransferError, match="/x changed while it was read; ask again"):
            await source.require_unchanged()
        if change is cut:
            with pytest.raises(TransferError, match="changed while it was read"):
                await source.read(3, 7)


@pytest.mark.parametrize("kind", ["directory", "pipe", "missing", "NUL"])
async def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        await content_of(str(tmp_path / ("\0" if kind == "NUL" else kind)))


# --------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("name", STRANGE)
async def test_pieces_land_in_any_order(tmp_path: Path, name: str) -> None:
    content = os.urandom(50 * KIB)
    aside = LocalAside(str(tmp_path / name), "1")
    assert await aside.open() == 0
    offsets = list(range(0, len(content), 3 * KIB))
    random.shuffle(offsets)
    for offset in offsets:
        await aside.write(offset, content[offset : offset + 3 * KIB])
    assert not (tmp_path / name).exists()
    assert await aside.sha256(len(content)) == sha256(content)
    await aside.place(len(content))
    assert (tmp_path / name).read_bytes() == content
    assert os.listdir(tmp_path) == [name]


async def test_a_later_try_goes_on_with_what_was_written(tmp_path: Path) -> None:
    first = LocalAside(str(tmp_path / "x"), "1")
    await first.open(keep=True)
    await first.write(0, b"begun ")
    first.close()
    second = LocalAside(str(tmp_path / "x"), "1")
    assert await second.open(keep=True) == 6
    assert await second.read(0, 99) == b"begun "
    await second.write(6, b"and done")
    await second.place(14)
    assert (tmp_path / "x").read_text() == "begun and done"
    third = LocalAside(str(tmp_path / "x"), "1")
    await third.open()
    await third.drop()
    assert os.listdir(tmp_path) == ["x"]


async def test_zeros_are_holes_but_never_over_what_was_written(tmp_path: Path) -> None:
    aside = LocalAside(str(tmp_path / "x"), "1")
    await aside.open()
    await aside.write(0, bytes(64 * MIB) + b"end")
    await aside.place(64 * MIB + 3)
    facts = (tmp_path / "x").stat()
    assert facts.st_size == 64 * MIB + 3
    assert facts.st_blocks * 512 < MIB
    again = LocalAside(str(tmp_path / "y"), "1")
    (tmp_path / "y.1.part").write_bytes(b"of before" * 200_000)
    await again.open(keep=True)
    await again.write(0, bytes(2 * MIB))
    assert await again.sha256(2 * MIB) == hashlib.sha256(bytes(2 * MIB)).hexdigest()
    await again.drop()


async def test_only_zeros_make_a_file_of_their_size(tmp_path: Path) -> None:
    aside = LocalAside(str(tmp_path / "x"), "1")
    await aside.open()
    await aside.write(0, bytes(3 * MIB))
    await aside.place(3 * MIB)
    assert (tmp_path / "x").read_bytes() == bytes(3 * MIB)


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.ENOSPC, TransferError, "No space left on device; make room there, then ask again"),
        (errno.EDQUOT, TransferError, "make room there"),
        (errno.EFBIG, TransferError, "takes no file so large"),
        (errno.EROFS, UsageError, "Read-only file system"),
        (errno.EIO, TransferError, "Input/output error"),
    ],
)
async def test_a_disk_that_does_not_take_it_says_what_to_do(
    tmp_path, monkeypatch, number, kind, said
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "x").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(kind, match=f"/x cannot be written: .*{said}"):
        await write_whole(str(tmp_path / "x"), "1", b"new")
    aside = LocalAside(str(tmp_path / "x"), "1")
    await aside.open()
    with pytest.raises(kind, match=said):
        await aside.place(0)
    await aside.drop()
    assert (tmp_path / "x").read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_limit_on_the_size_of_files_is_told(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from iri_common.transfers.local import write_whole\n"
        "asyncio.run(write_whole(sys.argv[1], '1', bytes(200_000)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TransferError" in done.stderr
    assert "takes no file so large" in done.stderr
    assert os.listdir(tmp_path) == []


async def test_a_link_that_somebody_put_aside_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("stays")
    (tmp_path / "x.1.part").symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="symbolic links"):
        await LocalAside(str(tmp_path / "x"), "1").open()
    with pytest.raises(UsageError, match="symbolic links"):
        await write_whole(str(tmp_path / "x"), "1", b"new")
    assert (tmp_path / "precious").read_text() == "stays"


async def test_where_there_is_no_place_nothing_is_written(tmp_path: Path, monkeypatch) -> None:
    for target in (tmp_path, tmp_path / "missing" / "x"):
        with pytest.raises(UsageError, match="directory that exists"):
            await LocalAside(str(target), "1").open()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(UsageError, match="cannot be written to"):
        await local.require_place(str(tmp_path / "x"))


@pytest.mark.parametrize("kind", ["pipe", "link"])
async def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")  # as /dev/stdout may be
    for write in (
        LocalAside(str(tmp_path / kind), "1").open(),
        write_whole(str(tmp_path / kind), "1", b"new"),
    ):
        with pytest.raises(UsageError, match="no regular file"):
            await write
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


# ------------------------------------------------------------------------------------------ several at once


async def test_only_so_many_are_under_way_and_in_their_order() -> None:
    begun: list[int] = []
    now = most = 0

    async def work(item: int) -> None:
        nonlocal now, most
        begun.append(item)
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001 * (item % 3))
        now -= 1

    await abreast(range(30), work, 4)
    assert begun == list(range(30))
    assert most == 4


async def test_the_first_error_ends_the_others_after_they_cleaned_up() -> None:
    cleaned: list[int] = []

    async def work(item: int) -> None:
        if item == 2:
            raise UsageError("two")
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(item)

    with pytest.raises(UsageError, match="two"):
        await abreast(range(9), work, 3)
    assert sorted(cleaned) == [0, 1]


async def test_large_ones_wait_for_room_and_the_largest_goes_alone() -> None:
    room, now, most = Room(10), 0, 0

    async def work(size: int) -> None:
        nonlocal now, most
        async with room.of(size):
            now += min(size, 10)
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= min(size, 10)

    await asyncio.wait_for(abreast([1, 4, 6, 30, 2, 10, 3, 8] * 3, work, 8), 5)
    assert most == 10


async def test_a_write_that_nobody_waits_for_any_more_hits_no_other_file(tmp_path, monkeypatch) -> None:
    aside = LocalAside(str(tmp_path / "target"), "0" * 16)
    await aside.open()
    begun, go_on, true_write = threading.Event(), threading.Event(), os.pwrite

    def slow_write(descriptor: int, content: bytes, offset: int) -> int:
        begun.set()
        go_on.wait(10)
        return true_write(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", slow_write)
    writing = asyncio.create_task(aside.write(0, b"late"))
    await asyncio.to_thread(begun.wait, 10)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    aside.close()
    others = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(50)]
    go_on.set()
    async with asyncio.timeout(10):
        while not os.stat(aside.path).st_size:  # noqa: ASYNC110 - a thread that nobody waits for writes it
            await asyncio.sleep(0.01)
    assert all(os.fstat(each).st_size == 0 for each in others)
    for each in others:
        os.close(each)
    with pytest.raises(ValueError, match="not open"):
        await aside.write(0, b"more")


async def test_what_a_disk_has_lost_is_not_there_for_a_later_try(tmp_path, monkeypatch) -> None:
    """The system says so once; asked again, it says that all is well."""
    aside = LocalAside(str(tmp_path / "target"), "0" * 16)
    await aside.open()
    await aside.write(0, b"lost")
    begun, go_on = threading.Event(), threading.Event()

    def lost(descriptor: int) -> None:
        begun.set()
        go_on.wait(60)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(aside_module, "_sync_content", lost)
    syncing = asyncio.create_task(aside.durable())
    await asyncio.to_thread(begun.wait, 60)
    syncing.cancel()  # as when all of it has come meanwhile
    await asyncio.gather(syncing, return_exceptions=True)
    placing = asyncio.create_task(aside.place(4))
    go_on.set()
    with pytest.raises(TransferError, match="target cannot be written"):
        await placing
    assert os.listdir(tmp_path) == []
    aside.close()
