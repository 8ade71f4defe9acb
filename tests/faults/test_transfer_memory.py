"""The memory of a process that moves half a GiB: it does not depend on the size of what is moved.

``IRI_TRANSFER_MIB`` says how much is moved (``make soak``: 512 over every road).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from real_clients import Client, until
from s3_server import BUCKET
from transfer_client import MIB
from transfer_world import Ends

SIZES = {"https": 512, "parts": 512, "chunks": 96}  # MiB: a part in a call of the API takes a while
MOST = 64 * MIB  # above what the process had when it had moved one small file
SAID = os.environ.get("IRI_TRANSFER_MIB")


@pytest.fixture
def folder(ends: Ends, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that both ends see; it and the store are left empty."""
    yield tmp_path
    for each in tmp_path.glob("*"):
        if each.is_file():
            each.unlink()
    store = ends.store.admin
    for each in store.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        store.delete_object(Bucket=BUCKET, Key=each["Key"])


def lay(path: Path, size: int) -> None:
    """A file of that size with something in every MiB, so that it is all there, and quickly made."""
    with path.open("wb") as file:
        for number in range(size):
            file.write((b"%08d" % number) * (MIB // 8))


def most_memory(client: Client) -> tuple[int, int]:
    """What it had when it was warm, and the most since."""
    process, most = psutil.Process(client.pid), 0
    until(lambda: client.told("warm") or client.ended, "the first small file")
    warm = process.memory_info().rss
    while not client.ended:
        try:
            most = max(most, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.01)
    assert client.told("done"), client.story()
    return warm, most


@pytest.mark.parametrize("road", [f"{road} {way}" for road in SIZES for way in ("up", "down")])
def test_memory_stays_where_it_is(ends: Ends, folder: Path, road: str) -> None:
    mib = int(SAID or SIZES[road.split(maxsplit=1)[0]])
    here, far = folder / "here.h5", ends.place.scratch / "far.h5"
    source, target = (here, far) if road.endswith("up") else (far, here)
    stored = road.startswith("parts")
    for suffix, size in (("", mib), (".small", 1)):
        if stored and source == far:
            lay(here, size)
            ends.store.admin.upload_file(str(here), BUCKET, f"far.h5{suffix}")
            here.unlink()
        else:
            lay(source.with_name(source.name + suffix), size)
    words = [("/far.h5" if stored and each == far else str(each)) for each in (source, target)]
    plan = ends.plan(road, *words, folder / "state", parallel=4, small=False, warm=True)
    began = time.monotonic()
    warm, most = most_memory(ends.clients.start(replace(plan)))
    took = time.monotonic() - began
    print(f"\n{road}, {mib} MiB: {warm / MIB:.0f} MiB, at most {(most - warm) / MIB:+.1f}, in {took:.1f} s")
    assert most - warm < MOST
    (far if target == far else here).unlink(missing_ok=True)
