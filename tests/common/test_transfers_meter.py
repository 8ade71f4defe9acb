"""Bytes are counted once, held to a bandwidth, and told of a few times a second."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs_world import seconds, timeless

from iri_common.model.transfer import Move, Progress, Road
from iri_common.transfers.meter import TransferMeter

FILE = Move("a", "b", 100, name="a")


class Seen(list[Progress]):
    """What was told."""


def meter(clock=None, **words) -> tuple[TransferMeter, Seen]:
    seen = Seen()
    words = {"files": 2, "size": 1000, "tell": seen.append, **words}
    return TransferMeter("a -> b", Road.DIRECT, clock=clock or seconds, **words), seen


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=30),
    st.sampled_from([100.0, 1e3, 1e5]),
    st.integers(1, 5),
)
def test_no_more_than_the_bandwidth_goes_however_many_ask(
    pieces: list[int], rate: float, workers: int
) -> None:
    async def work() -> tuple[float, float]:
        count, _ = meter(rate=rate)
        queue, began = list(pieces), seconds()
        last = began

        async def worker() -> None:
            nonlocal last
            while queue:
                piece = queue.pop()
                await count.spend(piece)
                last = seconds()

        await asyncio.gather(*(worker() for _ in range(workers)))
        return last - began, pieces[0]

    took, final = timeless(work)
    # What is asked for last may go when all before it has had its time.
    assert took == pytest.approx((sum(pieces) - final) / rate, rel=1e-6, abs=1e-6)


def test_without_a_limit_nothing_waits() -> None:
    async def work() -> float:
        count, _ = meter()
        for _ in range(1000):
            await count.spend(10**9)
        return seconds()

    assert timeless(work) == 0.0


def test_a_quiet_time_is_not_saved_up() -> None:
    async def work() -> float:
        count, _ = meter(rate=100.0)
        await asyncio.sleep(60)
        began = seconds()
        for _ in range(3):
            await count.spend(100)
        return seconds() - began

    assert timeless(work) == pytest.approx(2.0)


def test_the_first_and_the_last_are_told_and_few_between() -> None:
    clock = Clock()
    count, seen = meter(clock, size=10_000)
    count.begin()
    for _ in range(1000):  # ten seconds
        clock.now += 0.01
        count.moved(10, "a")
    count.landed(FILE, "ab")
    count.finish()
    assert (seen[0].bytes_done, seen[0].finished) == (0, False)
    assert seen[-1] == Progress(
        "a -> b", Road.DIRECT, 10_000, 10_000, 1, 2, pytest.approx(1000), 0.0, "", True
    )
    assert 45 <= len(seen) <= 53
    assert [each.finished for each in seen].count(True) == 1


def test_the_rate_is_that_of_lately_and_gives_the_time_left() -> None:
    clock = Clock()
    count, seen = meter(clock, size=100_000)
    for per_second in (1000, 100):
        for _ in range(100):
            clock.now += 0.1
            count.moved(per_second // 10)
    last = seen[-1]
    assert last.rate == pytest.approx(100, rel=0.1)
    assert last.seconds_left == pytest.approx((100_000 - 11_000) / 100, rel=0.1)
    assert seen[0].seconds_left is None or seen[0].rate > 0


def test_what_was_there_already_is_done_but_not_moved() -> None:
    clock = Clock()
    count, seen = meter(clock)
    count.kept(300)
    count.skipped(FILE)
    count.moved(600)
    count.moved(-50)
    clock.now += 1
    count.moved(50)
    count.finish()
    assert (count.bytes, count.files_skipped) == (600, 1)
    assert (seen[-1].bytes_done, seen[-1].files_done) == (1000, 1)


def test_a_digest_is_known_for_what_landed() -> None:
    landed: list[Move] = []
    count, _ = meter(Clock(), landed=landed.append)
    count.landed(FILE, "abcd")
    assert (count.sha256, count.files, landed) == ("abcd", 1, [FILE])
