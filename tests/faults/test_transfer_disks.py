"""A disk of this machine that is really full, also for the notes of the transfer; with room it arrives."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from transfer_client import PART
from transfer_world import Parcel

FULL, ROOM = 3 * PART, 64 * PART  # bytes; what is moved has four parts


def mounted(place: Path, size: int, *options: str) -> str:
    """Mount a file system of this size in memory; gives what went wrong."""
    words = [*options, f"size={size}"]
    command = ["mount", "-t", "tmpfs", "-o", ",".join(words), "tmpfs", str(place)]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()
    except FileNotFoundError as error:
        return str(error)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small file system")
    if trouble := mounted(place, FULL):
        pytest.skip(f"no small file system can be mounted here: {trouble}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize(
    "road",
    [
        "direct down",
        "chunks down",
        "https down",
        "parts down",
        "direct down tree",
        "archive down tree",
        "chunks down tree",
    ],
)
def test_a_full_disk_is_told_and_leaves_no_half_file(ends, disk, road: str) -> None:
    dice = random.Random(road)
    files = {"": dice.randbytes(4 * PART - 1)}
    if road.endswith("tree"):
        files = {f"d/{number}": dice.randbytes(PART // 3) for number in range(12)}
    before = None if road.endswith("tree") else b"as it was"
    sent = Parcel(ends, road, files, before, disk, ends.place.scratch / f"disk {road}")
    sent.lay()
    end = sent.start().wait().story()[-1]
    assert end["what"] == "error", end
    assert "No space left on device" in end["message"], end
    assert "make room there, then ask again" in end["message"], end
    assert all(sent.fine(name, sent.target(name)) for name in files), sent.story()
    assert not mounted(disk, ROOM, "remount")
    sent.start().wait()
    sent.whole()
