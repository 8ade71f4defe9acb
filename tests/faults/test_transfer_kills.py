"""Clients that are killed while data is on its way, and started again: it arrives whole, and nothing is left.

``IRI_TRANSFER_KILLS`` says how many kills (``make soak``: a thousand), ``IRI_SEED`` replays one batch.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from asking_client import Strike
from real_world import DOUBLE
from transfer_client import PART
from transfer_world import Ends, Parcel, Watch

BATCH = 10
KILLS = int(os.environ.get("IRI_TRANSFER_KILLS", "50"))
SEEDS = [int(os.environ["IRI_SEED"])] if "IRI_SEED" in os.environ else range(-(-KILLS // BATCH))
TRIES = 4  # within these everything is done

# Steps that every try takes, and how often a file of three parts, or a tree, takes them at least.
STEPS = {
    "chunks up": {"upload": 3, "mkdir": 1, "job": 1, "task": 3, "request": 8},
    "chunks down": {"job": 1, "ls": 1, "download": 3, "rm": 1, "task": 3, "request": 8},
    "parts up": {"begin": 1, "put": 3, "piece": 9, "finish": 1},
    "parts down": {"head": 1, "get": 1, "piece": 3},
    "https up": {"put": 1, "piece": 9},
    "https down": {"get": 1, "piece": 3},
    "direct up": {"upload": 1, "checksum": 1, "mv": 1, "request": 4},
    "direct down": {"download": 1, "checksum": 1, "request": 3},
    "direct up tree": {"upload": 7, "checksum": 7, "mv": 7, "request": 24},
    "direct down tree": {"download": 7, "checksum": 7, "request": 24},
}
TREE = ("a", "b c", "d/e", "d/f/g", "h", "i", "j")


def parcel(ends: Ends, number: int, folder: Path, dice: random.Random) -> Parcel:
    """Something to be moved over the next road."""
    road = list(STEPS)[number % len(STEPS)]
    size = dice.choice((3 * PART, 3 * PART + 1, 4 * PART - 1, dice.randrange(3 * PART, 8 * PART)))
    files = {"": dice.randbytes(size)}
    if road.endswith("tree"):
        files = {name: dice.randbytes(dice.choice((0, 1, PART // 8))) for name in TREE}
    before = dice.choice((None, b"as it was"))
    there = ends.place.scratch / str(number)
    laid = Parcel(ends, road, files, before, folder / str(number), there, dice.randint(1, 4))
    laid.lay()
    return laid


def strike(road: str, dice: random.Random, turn: int) -> Strike:
    """A step at which the next try ends; a later one has less to do."""
    step, times = dice.choice(list(STEPS[road].items()))
    return Strike(dice.choice(("before", "after")), step, dice.randint(1, times) if turn == 0 else 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_on_the_way_and_started_again(ends, tmp_path, seed) -> None:
    print(f"\nIRI_SEED={seed} replays this batch")
    dice = random.Random(seed)
    batch = [parcel(ends, number, tmp_path, dice) for number in range(seed * BATCH, (seed + 1) * BATCH)]
    jobs, kills = len(ends.place.jobs()), 0
    with Watch(batch) as watch:
        for turn in range(TRIES):
            under_way = [each for each in batch if not each.done]
            for each in under_way:
                dies = turn == 0 or (turn == 1 and dice.random() < 0.6)
                each.start(strike(each.road, dice, turn) if dies else None)
            for each in under_way:
                kills += each.heard()
                assert all(each.fine(name, each.target(name)) for name in each.files), each.story()
    for each in batch:
        each.whole()
        assert all(len(again) <= 1 for again in each.again), each.story()
    assert not watch.halves
    ended = [job["exit_code"] for job in ends.place.jobs()[jobs:] if job["exit_code"] != DOUBLE]
    assert ended == [0] * sum(each.road.startswith("chunks") for each in batch), "one job worked for each"
    print(f"{kills} kills, {watch.looks} looks")
    assert kills >= BATCH


@pytest.mark.parametrize(
    ("road", "strike"),
    [
        ("parts down", Strike("after", "get")),
        ("https down", Strike("after", "get")),
        ("direct up tree", Strike("after", "mv", 4)),
        ("direct down tree", Strike("before", "checksum", 5)),
    ],
    ids=str,
)
def test_what_arrives_quicker_than_it_is_noted_does_not_come_again(ends, tmp_path, road, strike) -> None:
    dice = random.Random(road)
    names = TREE if road.endswith("tree") else ("",)
    files = {name: dice.randbytes(PART // 8 if name else 3 * PART) for name in names}
    there = ends.place.scratch / tmp_path.name
    sent = Parcel(ends, road, files, None, tmp_path, there, parallel=4 if names is TREE else 1)
    sent.lay()
    sent.start(strike, slow=0.3)
    assert sent.heard(), "it was to be killed"
    sent.start()
    assert not sent.heard()
    sent.whole()
    assert len(sent.again[-1]) <= 1, sent.story()


@pytest.mark.parametrize("left", ["short", "zeros"])
@pytest.mark.parametrize("road", ["parts down", "https down"])
def test_after_a_power_cut_only_the_disk_is_believed(ends, tmp_path, road, left) -> None:
    dice, size = random.Random(f"{road} {left}"), 16 * PART
    there = ends.place.scratch / tmp_path.name
    sent = Parcel(ends, road, {"": dice.randbytes(size)}, None, tmp_path, there, parallel=1)
    sent.lay()
    disk = tmp_path / "disk"
    sent.start(boot="one", disk=str(disk))
    assert sent.heard(), "its power was to fail"
    (aside,) = sent.here.parent.glob("*.part")
    kept = disk.read_bytes()
    assert PART < len(kept) < aside.stat().st_size
    aside.write_bytes(kept if left == "short" else kept.ljust(size, b"\0"))
    again = sent.start(boot="two")
    assert not sent.heard()
    disk.unlink()
    sent.whole()
    first = next(each for each in again.story() if each["what"] == "asked" and each["start"])
    assert PART < first["start"] <= len(kept), "what was on the disk does not come again"


@pytest.mark.parametrize(
    "strike", [Strike("after", "begin"), Strike("before", "put", 3), Strike("after", "finish")], ids=str
)
def test_an_upload_to_a_store_is_not_lost_at_the_store(ends, tmp_path, strike) -> None:
    dice = random.Random(str(strike))
    there = ends.place.scratch / tmp_path.name
    sent = Parcel(ends, "parts up", {"": dice.randbytes(4 * PART)}, None, tmp_path, there)
    sent.lay()
    sent.start(strike)
    assert sent.heard(), "it was to be killed"
    sent.start()
    assert not sent.heard()
    sent.whole()
