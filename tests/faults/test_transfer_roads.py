"""A try that was killed on one road and made again over another: whole, and nothing is left of the first."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from asking_client import Strike
from transfer_client import PART
from transfer_world import Ends, Parcel

CHANGES = [
    ("chunks up", "upload", "direct"),
    ("chunks up", "job", "https"),
    ("https up", "piece", "direct"),
    ("direct up", "checksum", "chunks"),
    ("direct up tree", "mv", "archive"),
    ("archive up tree", "mv", "direct"),
    ("chunks down", "download", "direct"),
    ("https down", "piece", "chunks"),
    ("https down", "piece", "direct"),
]


def parcel(ends: Ends, road: str, folder: Path) -> Parcel:
    dice = random.Random(road)
    files = {"": dice.randbytes(4 * PART - 1)}
    if road.endswith("tree"):
        files = {f"d{number % 2}/{number}": dice.randbytes(1000) for number in range(12)}
    before = None if road.endswith("tree") else b"as it was"
    laid = Parcel(ends, road, files, before, folder, ends.place.scratch / folder.name)
    laid.lay()
    return laid


@pytest.mark.parametrize(("road", "step", "other"), CHANGES)
def test_nothing_is_left_of_a_road_that_is_not_taken_again(ends, tmp_path, road, step, other) -> None:
    sent = parcel(ends, road, tmp_path)
    sent.start(Strike("before", step, 2 if step in {"upload", "piece", "download"} else 1))
    assert sent.heard(), "it was to be killed"
    sent.start(road=other)
    assert not sent.heard()
    sent.whole()


def test_what_was_begun_of_a_file_that_is_gone_is_cleared_away_when_the_others_have_arrived(
    ends, tmp_path
) -> None:
    sent = parcel(ends, "parts up tree", tmp_path)
    sent.files = {name: content * 700 for name, content in sent.files.items()}
    for name, content in sent.files.items():
        sent.at(name, source=True).write_bytes(content)
    sent.start(Strike("before", "put", 5), parallel=2).wait()
    begun = ends.store.open_uploads()
    assert begun
    for key in begun:
        sent.at(key.removeprefix(f"{sent.key}/"), source=True).unlink()
    assert sent.start().wait().told("done")
    assert not ends.store.open_uploads()
    assert not list((tmp_path / "state" / "iri" / "transfers").iterdir())


def test_what_is_noted_of_a_file_that_another_road_wrote_to_is_not_believed(ends, tmp_path) -> None:
    """Ranges, then parts of a job, then ranges again: what was missing at first is not what is missing."""
    sent = parcel(ends, "https down", tmp_path)
    for road, step in (
        ("https", "piece"),
        ("direct", "checksum"),
        ("https", "piece"),
        ("chunks", "download"),
    ):
        sent.start(Strike("before", step, 2 if step == "piece" else 1), road=road)
        assert sent.heard()
    sent.start()
    assert not sent.heard()
    sent.whole()


@pytest.mark.parametrize("cleared", [True, False])
def test_a_road_that_cannot_be_cleared_keeps_nobody_from_another(ends, tmp_path, cleared: bool) -> None:
    sent = parcel(ends, "chunks up", tmp_path)
    sent.start(Strike("before", "upload", 4))
    assert sent.heard()
    if not cleared:
        ends.place.order("status", ["ls", "rm"], status=403, times=None)
    sent.start(road="direct")
    assert not sent.heard()
    ends.place.clear_faults()
    assert sent.done, sent.story()
    assert sent.target("") == sent.files[""]
    assert bool(sent.leftovers()) is not cleared
