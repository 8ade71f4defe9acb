"""What of a file is missing while several read it: nothing twice, nothing never."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.transfers import spans as spans_module
from iri_common.transfers.local import LocalAside
from iri_common.transfers.spans import MIB, Digest, Spans


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


def test_a_half_begins_at_a_whole_mib() -> None:
    spans = Spans(7 * MIB + 5)
    first, second = spans.take(), spans.take()
    assert first is not None
    assert second is not None
    assert (first.at, first.end, second.at, second.end) == (0, 3 * MIB, 3 * MIB, 7 * MIB + 5)


@pytest.mark.parametrize("size", [0, 1, MIB, 5 * MIB + 7])
async def test_a_digest_follows_what_comes_in_any_order(size: int) -> None:
    content, there = os.urandom(size), bytearray(size)

    async def read(offset: int, count: int) -> bytes:
        return bytes(there[offset : offset + count])

    spans = Spans(size)
    digest = Digest(read, size, spans)
    making = asyncio.create_task(digest.made())
    taken = [span for span in (spans.take(), spans.take()) if span is not None]
    for span in reversed(taken):
        while span.at < span.end:
            await asyncio.sleep(0)
            block = content[span.at : min(span.at + MIB, span.end)]
            there[span.at : span.at + len(block)] = block
            await digest.offer(span.at, [memoryview(block)])
            spans.arrived(span, len(block))
    assert await making == hashlib.sha256(content).hexdigest()


async def test_a_hole_at_the_end_is_zeros_in_the_digest() -> None:
    async def read(offset: int, count: int) -> bytes:
        return b"abc"[offset : offset + count]

    size = 2 * MIB + 3
    assert await Digest(read, size).made() == hashlib.sha256(b"abc".ljust(size, b"\0")).hexdigest()


async def test_pieces_that_are_all_zeros_become_a_hole_and_others_do_not(tmp_path: Path) -> None:
    aside = LocalAside(str(tmp_path / "f"), "0" * 16)
    await aside.open()
    zeros, some = memoryview(bytes(MIB)), memoryview(os.urandom(300_001))
    await aside.write_together(0, [some, zeros[: MIB - 300_001]])
    await aside.write_together(MIB, [zeros[:5], zeros[5:]] * 8)
    await aside.write_together(9 * MIB, [some[:7], some[7:]])
    await aside.place(9 * MIB + len(some))
    there = (tmp_path / "f").read_bytes()
    assert there == bytes(some).ljust(9 * MIB, b"\0") + bytes(some)
    assert os.stat(tmp_path / "f").st_blocks * 512 < 3 * MIB


async def test_bytes_beyond_a_gap_are_not_waited_for() -> None:
    async def read(offset: int, count: int) -> bytes:
        raise AssertionError("nothing is there yet")

    spans = Spans(40 * MIB)
    assert spans.take() is not None
    further = spans.take()
    assert further is not None
    async with asyncio.timeout(5):
        await Digest(read, 40 * MIB, spans).offer(further.at, [memoryview(b"x")])
