"""Archives that mean harm: nothing is written but what was asked for, and what is wrong has one name."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import itertools
import os
import random
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from roads_world import MIB, tree

from iri_common.model.errors import IriError, ReplyError
from iri_common.model.transfer import Move
from iri_common.transfers import unpacking as module
from iri_common.transfers.unpacking import MOST, unpacked_now, unpacking

Take = Callable[[bytes, Mapping[str, Move]], Sequence[str]]
WANTED = ("good", "hard", "soft", "fifo", "device", "folder", "twice")


def small(archive: bytes, wanted: Mapping[str, Move]) -> Sequence[str]:
    """As the facility's file service packs a directory."""
    return unpacked_now(archive, "/x/d", wanted, "0")


def streamed(archive: bytes, wanted: Mapping[str, Move]) -> Sequence[str]:
    """As a job packs a tree."""
    path = Path(next(iter(wanted.values())).target).parents[1] / "archive"
    path.write_bytes(gzip.decompress(archive) if archive.startswith(b"\x1f\x8b") else archive)
    names = {move: name for name, move in wanted.items()}
    landed = [names[move] for some in unpacking(str(path), wanted, "0") for move in some]
    path.unlink()
    return landed


@pytest.fixture(params=[small, streamed])
def take(request: pytest.FixtureRequest) -> Take:
    return request.param


@pytest.fixture
def here(tmp_path: Path) -> Path:
    path = tmp_path / "here"
    path.mkdir()
    return path


def wanted_in(here: Path, size: int = 3) -> dict[str, Move]:
    return {name: Move(f"/x/d/{name}", str(here / name), size) for name in WANTED}


def member(name: str, content: bytes = b"abc", kind: bytes = tarfile.REGTYPE, **facts) -> bytes:
    """One member as it lies in a tar."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for fact, value in facts.items():
        setattr(info, fact, value)
    return info.tobuf() + content + bytes(-len(content) % 512)


def tar(*members: bytes) -> bytes:
    return b"".join(members) + bytes(1024)


def test_only_regular_files_that_were_asked_for_are_written(take: Take, here: Path, tmp_path: Path) -> None:
    archive = tar(
        member("good"),
        member("../outside"),
        member("/etc/iri-absolute"),
        member("a/../../../outside"),
        member("other"),
        member("soft", b"", tarfile.SYMTYPE, linkname="/etc/hostname"),
        member("good/below"),
        member("fifo", b"", tarfile.FIFOTYPE),
        member("device", b"", tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("folder", b"", tarfile.DIRTYPE, mode=0o777),
        member("twice", b"one"),
        member("twice", b"two"),
        member("hard", b"", tarfile.LNKTYPE, linkname="/etc/hostname"),
        member("hard", b"", tarfile.LNKTYPE, linkname="hard"),
    )
    assert take(archive, wanted_in(here)) == ["good", "twice"]
    assert tree(here) == {"good": b"abc", "twice": b"one"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]
    assert not any(path.is_symlink() for path in here.iterdir())


def test_modes_give_nobody_more_than_files_get(take: Take, here: Path) -> None:
    take(tar(member("good", mode=0o7777)), wanted_in(here))
    umask = os.umask(0)
    os.umask(umask)
    assert (here / "good").stat().st_mode & 0o7777 == 0o777 & ~umask


def test_a_link_in_the_way_is_replaced_and_not_followed(take: Take, here: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("as it was")
    (here / "good").symlink_to(tmp_path / "victim")
    take(tar(member("good")), wanted_in(here))
    assert (tmp_path / "victim").read_text() == "as it was"
    assert (here / "good").read_bytes() == b"abc"
    (here / "twice.0.part").symlink_to(tmp_path / "victim")
    with pytest.raises(IriError):
        take(tar(member("twice")), wanted_in(here))
    assert (tmp_path / "victim").read_text() == "as it was"


def pax(records: bytes, size: int | None = None) -> bytes:
    return member("x", records, tarfile.XHDTYPE, **({} if size is None else {"size": size}))


def record(name: str, value: str) -> bytes:
    text = f" {name}={value}\n".encode()
    length = next(n for n in itertools.count(len(text)) if len(str(n)) + len(text) == n)
    return str(length).encode() + text


def with_size(header: bytes, field: bytes) -> bytes:
    """A header whose size is written anew."""
    changed = bytearray(header)
    changed[124:136] = field
    changed[148:156] = b"        "
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


HUGE = b"\x80" + (2**62).to_bytes(11, "big")
NEGATIVE = b"\xff" + (2**88 - 512).to_bytes(11, "big")
BROKEN = {
    "nothing": b"",
    "no tar": b"no tar at all" * 100,
    "cut header": tar(member("good"))[:300],
    "cut content": member("other", b"x" * 2000)[:1024],
    "huge": with_size(member("other", b""), HUGE) + tar(member("good")),
    "negative": member("first") + with_size(member("other", b""), NEGATIVE) + tar(member("good")),
    "huge pax header": pax(b"", 2**33 - 1) + tar(member("good")),
    "huge long name": member("x", b"", tarfile.GNUTYPE_LONGNAME, size=2**33 - 1) + tar(member("good")),
    "negative pax size": member("first") + pax(record("size", "-1536")) + tar(member("other")),
    "headers of headers": pax(record("comment", "x")) * 5000 + tar(member("good")),
    "sparse without an end": pax(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0"))
    + member("other", b"9" * 512),
    "old sparse, cut": member("other", b"", tarfile.GNUTYPE_SPARSE)[:482] + b"\1" * 30,
    "cut of what is wanted": member("good", b"abc" * 400)[:900],
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.timeout(20)
def test_what_is_broken_on_purpose_has_one_name(take: Take, here: Path, tmp_path: Path, name: str) -> None:
    wanted = wanted_in(here, size=1200 if name == "cut of what is wanted" else 3)
    tracemalloc.start()
    try:
        with pytest.raises(ReplyError, match="cannot be read"):
            take(BROKEN[name], wanted)
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert not list(here.iterdir()), "nothing is left of what had come before"


def test_what_becomes_more_than_it_may_is_not_expanded(here: Path) -> None:
    bomb = gzip.compress(tar(member("other", bytes(MOST)), member("good")))
    streams = gzip.compress(b"") * 1000 + gzip.compress(tar(member("good")))
    for archive in (bomb, streams, gzip.compress(tar(member("good")))[:-5], b"\x1f\x8bxx"):
        tracemalloc.start()
        with pytest.raises(ReplyError, match="cannot be read"):
            unpacked_now(archive, "/x/d", wanted_in(here), "0")
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST
        tracemalloc.stop()
    with pytest.raises(ReplyError, match="cannot be read"):
        unpacked_now(bz2.compress(tar(member("good"))), "/x/d", wanted_in(here), "0")
    halves = tar(member("good"))
    two = gzip.compress(halves[:700]) + gzip.compress(halves[700:]) + bytes(100)
    assert unpacked_now(two, "/x/d", wanted_in(here), "0") == ["good"]


def test_a_hard_link_is_read_only_if_it_is_as_large_as_was_listed(here: Path, monkeypatch) -> None:
    read: list[str] = []
    pieces = module._pieces

    def noted(archive: tarfile.TarFile, found: tarfile.TarInfo) -> Iterator[bytes]:
        read.append(found.name)
        return pieces(archive, found)

    monkeypatch.setattr(module, "_pieces", noted)
    links = [member("hard", b"", tarfile.LNKTYPE, linkname="large") for _ in range(1000)]
    archive = tar(member("large", bytes(MIB)), *links, member("good", mode=0o751))
    chain = tar(
        member("first", mode=0o640),
        member("soft", b"", tarfile.LNKTYPE, linkname="first"),
        member("hard", b"", tarfile.LNKTYPE, linkname="soft"),
    )
    assert unpacked_now(archive, "/x/d", wanted_in(here), "0") == ["good"]
    assert read == ["good"]
    assert unpacked_now(chain, "/x/d", wanted_in(here), "0") == ["hard", "soft"]
    assert tree(here) == dict.fromkeys(("good", "hard", "soft"), b"abc")
    assert (here / "hard").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_changed_in_an_archive_ends_in_files_or_in_a_word(
    take: Take, here: Path, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    good = bytearray(
        tar(
            member("good"),
            pax(record("path", "soft") + record("mtime", "1.5")) + member("x"),
            member("x", b"twice\0", tarfile.GNUTYPE_LONGNAME) + member("x", b"y" * 3),
            member("hard", b"", tarfile.LNKTYPE, linkname="good"),
        )
    )
    for _ in range(25):
        archive = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            block = dice.randrange(len(good) // 512) * 512
            archive[block + dice.randrange(512)] = dice.randrange(256)
            total = sum(archive[block : block + 148]) + 256 + sum(archive[block + 156 : block + 512])
            if dice.random() < 0.8:
                archive[block + 148 : block + 156] = b"%06o\0 " % total
        with contextlib.suppress(ReplyError):
            take(bytes(archive[: dice.choice([None, dice.randrange(len(archive))])]), wanted_in(here))
        assert all(len(content) == 3 for content in tree(here).values())
        assert set(tree(here)) <= set(WANTED)
        assert {path.name for path in tmp_path.iterdir()} <= {"here", "archive"}
        for path in here.iterdir():
            path.unlink()
