"""What of a file is missing while several read it: nothing twice, nothing never."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.model.errors import TransferError
from iri_common.model.transfer import Move
from iri_common.transfers import aside as aside_module
from iri_common.transfers import boots
from iri_common.transfers import spans as spans_module
from iri_common.transfers.aside import LocalAside
from iri_common.transfers.boots import Missing, believed, words_of
from iri_common.transfers.spans import MIB, Digest, Span, Spans, fetch
from iri_common.transfers.trip import Trip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "_WORTH_SPLITTING", 2 * MIB)


@given(
    size=st.integers(0, 24 * MIB),
    turns=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2 * MIB), st.booleans()), max_size=60),
)
def test_whoever_reads_how_much_each_byte_comes_once(size: int, turns: list[tuple[int, int, bool]]) -> None:
    spans, read, got = Spans(size), [], list[tuple[int, int]]()
    for who, count, crash in turns:
        if crash:  # another process goes on from what was noted
            spans, read = Spans(size, spans.missing), []
        if who >= len(read):
            span = spans.take()
            if span is not None:
                read.append(span)
            continue
        span = read[who]
        count = min(count, span.end - span.at)
        got.append((span.at, span.at + count))
        spans.arrived(span, count)
        assert spans.here == sum(end - at for at, end in got)
    missing = [(at, end) for at, end in spans.missing]
    together = sorted(each for each in [*got, *missing] if each[0] < each[1])
    reached = 0
    for at, end in together:
        assert at == reached, "a gap, or bytes that came twice"
        reached = end
    assert reached == size


def test_what_is_left_of_little_is_not_split() -> None:
    spans = Spans(2 * MIB - 1)
    assert spans.take() is not None
    assert spans.take() is None


def test_what_has_no_whole_mib_in_its_middle_is_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "_WORTH_SPLITTING", MIB)
    spans = Spans(2 * MIB - 1)
    first = spans.take()
    assert spans.take() is None
    assert first == Span(0, 2 * MIB - 1)


def test_a_half_begins_at_a_whole_mib() -> None:
    spans = Spans(7 * MIB + 5)
    first, second = spans.take(), spans.take()
    assert first is not None
    assert second is not None
    assert (first.at, first.end, second.at, second.end) == (0, 3 * MIB, 3 * MIB, 7 * MIB + 5)


@pytest.mark.parametrize("size", [0, 1, MIB, 5 * MIB + 7])
async def test_a_digest_follows_what_comes_in_any_order(size: int) -> None:
    content, there = os.urandom(size), bytearray(size)
    taken = again = 0

    async def read(offset: int, count: int) -> bytes:
        nonlocal again
        again += count
        return bytes(there[offset : offset + count])

    spans = Spans(size)
    digest = Digest(read, size, spans)
    async with digest.making() as made:
        for span in reversed([span for span in (spans.take(), spans.take()) if span is not None]):
            while span.at < span.end:
                await asyncio.sleep(0)
                block = content[span.at : min(span.at + MIB, span.end)]
                there[span.at : span.at + len(block)] = block
                if (take := digest.next_from(span.at)) is not None:
                    take(block)
                    taken += len(block)
                spans.arrived(span, len(block))
        assert await made == hashlib.sha256(content).hexdigest()
    assert taken + again == size
    assert taken > 0 or size == 0


async def test_what_comes_in_order_is_not_read_again() -> None:
    async def read(offset: int, count: int) -> bytes:
        raise AssertionError("it was handed over")

    content = os.urandom(3 * MIB)
    spans = Spans(len(content))
    span = spans.take()
    assert span is not None
    digest = Digest(read, len(content), spans)
    async with digest.making() as made:
        for at in range(0, len(content), MIB):
            assert digest.next_from(at + MIB) is None
            take = digest.next_from(at)
            assert take is not None
            await asyncio.to_thread(take, content[at : at + MIB])
            await asyncio.sleep(0)  # the digest is past what is said to be here
            spans.arrived(span, MIB)
        assert await made == hashlib.sha256(content).hexdigest()


async def test_what_is_read_again_is_not_taken_meanwhile() -> None:
    content = os.urandom(2 * MIB)
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def read(offset: int, count: int) -> bytes:
        reading.set()
        await go_on.wait()
        return content[offset : offset + count]

    digest = Digest(read, len(content), Spans(len(content), []))
    async with digest.making() as made:
        await reading.wait()
        assert digest.next_from(0) is None
        go_on.set()
        assert await made == hashlib.sha256(content).hexdigest()


async def test_nothing_goes_on_reading_when_a_digest_is_not_wished_for_any_more() -> None:
    ended = False

    async def read(offset: int, count: int) -> bytes:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            ended = True
        return b""

    async with Digest(read, MIB).making():
        await asyncio.sleep(0.01)
    assert ended


async def test_a_hole_at_the_end_is_zeros_in_the_digest() -> None:
    async def read(offset: int, count: int) -> bytes:
        return b"abc"[offset : offset + count]

    size = 2 * MIB + 3
    async with Digest(read, size).making() as made:
        assert await made == hashlib.sha256(b"abc".ljust(size, b"\0")).hexdigest()


async def test_pieces_that_are_all_zeros_become_a_hole_and_others_do_not(tmp_path: Path) -> None:
    aside = LocalAside(str(tmp_path / "f"), "0" * 16)
    await aside.open()
    zeros, some = memoryview(bytes(MIB)), memoryview(os.urandom(300_001))
    handed = list[memoryview]()
    await aside.write_together(0, [some, zeros[: MIB - 300_001]], handed.append)
    await aside.write_together(MIB, [zeros[:5], zeros[5:]] * 8, handed.append)
    await aside.write_together(9 * MIB, [some[:7], some[7:]], handed.append)
    await aside.place(9 * MIB + len(some))
    there = (tmp_path / "f").read_bytes()
    assert there == bytes(some).ljust(9 * MIB, b"\0") + bytes(some)
    assert b"".join(handed) == there
    assert os.stat(tmp_path / "f").st_blocks * 512 < 3 * MIB


# -------------------------------------------------------------------------------------- what is noted


@contextlib.asynccontextmanager
async def opened(content: bytes, broken_at: int, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(start, end, MIB // 2):
            await asyncio.sleep(0.005)
            if at >= broken_at:
                raise TransferError("the store has lost it")
            yield content[at : min(at + MIB // 2, end)]

    yield pieces()


class Still:
    """A meter that says nothing."""

    async def spend(self, count: int) -> None: ...

    def moved(self, count: int, name: str = "") -> None: ...


SIZE = 20 * MIB


class World:
    """A file on its way, what is noted of it, and a disk that takes its time."""

    def __init__(self, folder: Path, broken_at: int = SIZE) -> None:
        self.content = os.urandom(SIZE)
        self.aside = LocalAside(str(folder / "f"), "0" * 16)
        self.spans = Spans(SIZE)
        self.noted = list[Mapping[str, Any]]()
        self.synced, self.ahead = [0], list[int]()
        self._broken_at = broken_at

    async def fetch(self) -> None:
        open_at = functools.partial(opened, self.content, self._broken_at)
        digest = Digest(self.aside.read, SIZE, self.spans)
        words = (open_at, self.aside, self.spans, digest, Move("/s", "/t", SIZE), Trip(Still(), None, 1))  # type: ignore[arg-type]
        await fetch(*words, slots=asyncio.Semaphore(1), note=self.note)

    async def note(self, words: Mapping[str, Any]) -> None:
        await asyncio.sleep(0.05)  # it does not count before a kill would leave it
        self.look()
        self.noted.append(words)
        assert self.reached("") <= self.synced[-1]

    def sync(self, descriptor: int) -> None:
        self.synced.append(self.spans.reached)
        time.sleep(0.15)  # more would arrive meanwhile than may be lost
        self.look()
        os.fsync(descriptor)

    def look(self) -> None:
        self.ahead.append(self.spans.reached - self.reached(self.aside.boot))

    def reached(self, boot: str) -> int:
        """How far the file is here for who reads the last note during a boot."""
        return Spans(SIZE, believed(self.noted[-1], boot)).reached if self.noted else 0


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "_NOTED_EVERY", 4 * MIB)
    monkeypatch.setattr(spans_module, "_SYNCED_EVERY", 4 * MIB)
    monkeypatch.setattr(spans_module, "_UNNOTED", 8 * MIB)
    monkeypatch.setattr(spans_module, "_BLOCK", MIB)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("boot", ["", "this one"])
@pytest.mark.parametrize("broken_at", [SIZE, 7 * MIB, 0], ids=["whole", "broken", "nothing"])
async def test_no_byte_is_noted_before_what_is_said_of_it_is_true(
    broken_at: int, boot: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, broken_at)
    monkeypatch.setattr(aside_module, "_sync_content", world.sync)
    monkeypatch.setattr(aside_module, "boot_id", lambda: boot)
    await world.aside.open()
    if broken_at < SIZE:
        with pytest.raises(TransferError, match="has lost it"):
            await world.fetch()
        assert world.reached("another") == broken_at, "not even the last bytes come again"
    else:
        await world.fetch()
        assert world.reached(boot) >= 4 * MIB
    assert max(world.ahead) < 8 * MIB, "of more, two parts might come again"
    assert all("in_memory" not in words for words in world.noted) or boot
    world.aside.close()


@pytest.mark.usefixtures("eager")
async def test_nobody_waits_for_the_disk_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, moves_again = World(tmp_path), threading.Event()

    def stand_still(descriptor: int) -> None:
        assert moves_again.wait(60)

    monkeypatch.setattr(aside_module, "_sync_content", stand_still)
    monkeypatch.setattr(aside_module, "boot_id", lambda: "this one")
    await world.aside.open()
    await world.fetch()
    assert world.reached("this one") >= SIZE - 8 * MIB
    assert world.reached("another") == 0
    placing = asyncio.create_task(world.aside.place(SIZE))
    await asyncio.sleep(0.1)
    assert not (tmp_path / "f").exists()
    moves_again.set()
    await placing
    assert (tmp_path / "f").read_bytes() == world.content


@pytest.mark.usefixtures("eager")
async def test_what_an_earlier_try_left_in_memory_is_made_durable_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.spans = Spans(SIZE, [[8 * MIB, SIZE]])
    monkeypatch.setattr(aside_module, "boot_id", lambda: "this one")

    def lost(descriptor: int) -> None:
        assert world.spans.reached == 8 * MIB
        raise OSError(5, "Input/output error")

    await world.aside.open()
    with monkeypatch.context() as patch:
        patch.setattr(aside_module, "_sync_content", lost)
        with pytest.raises(TransferError, match="Input/output error"):
            await world.fetch()
    assert not world.noted
    monkeypatch.setattr(aside_module, "_sync_content", world.sync)
    await world.fetch()
    assert world.synced[1] == 8 * MIB
    assert world.reached("another") >= 8 * MIB
    world.aside.close()


MISSING, LESS = [[3, 9], [12, 20]], [[5, 9]]


@pytest.mark.parametrize(
    ("noted", "boot", "missing"),
    [
        ({"missing": MISSING}, "now", MISSING),  # as older versions have it
        (words_of(MISSING, LESS, "now"), "now", LESS),
        (words_of(MISSING, LESS, "before"), "now", MISSING),
        (words_of(MISSING, LESS, "now"), "", MISSING),
        (words_of(MISSING, LESS, ""), "", MISSING),
        (words_of(MISSING, LESS, ""), "now", MISSING),
        (words_of(LESS, LESS, "before"), "now", LESS),
    ],
)
def test_memory_is_believed_until_the_machine_is_started_anew(
    noted: Mapping[str, Any], boot: str, missing: Missing
) -> None:
    read = json.loads(json.dumps(noted))
    assert believed(read, boot) == missing
    assert read["missing"] in (MISSING, LESS), "older versions read no more than this"


def test_a_boot_has_a_name_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boots, "_BOOT", tmp_path / "boot_id")
    assert boots.boot_id() == ""
    (tmp_path / "boot_id").write_text("f10368de\n")
    assert boots.boot_id() == "f10368de"


def test_a_store_that_knows_no_ranges_is_asked_by_one() -> None:
    spans = Spans(8 * MIB)
    assert spans.take() is not None
    spans.divisible = False
    assert spans.take() is None
