"""Transfers whose requests fail, whose tokens are refused, whose disks are full, whose callers go away.

Each ends with the file whole, or with its target as it was and an error that says why; asked for again, it
arrives, and nothing is left of either try.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from asking_client import Strike
from real_clients import until
from real_world import DOUBLE
from transfer_client import PART
from transfer_world import Ends, Parcel

from iri_common import Facility, FileLedger

KINDS = (
    ("status", {"status": 502, "when": "after", "body": "html"}),
    ("lose_reply", {}),
    ("reset", {}),
    ("status", {"status": 429}),
    ("status", {"status": 500}),
)
# Which requests of each road are struck, and how many pass between two strikes.
STRUCK = {
    "direct up tree": {"upload": 1, "checksum": 1, "mv": 1, "getTask": 4},
    "direct down tree": {"download": 1, "checksum": 1, "getTask": 4},
    "chunks up": {"upload": 1, "mkdir": 1, "launchJob": 1, "getTask": 4},
    "chunks down": {"download": 1, "ls": 1, "launchJob": 1, "getTask": 4},
    "https up": {"collectionPut": 0},
    "https down": {"collectionGet": 0},
}
TREE = ("a", "b c", "d/e", "d/f/g", "h", "i", "j")


def parcel(
    ends: Ends, road: str, folder: Path, *, before: bytes | None = b"as it was", parts: int = 4
) -> Parcel:
    """Something to be moved."""
    dice = random.Random(road)
    files = {"": dice.randbytes(parts * PART - 1)}
    if road.endswith("tree"):
        files = {name: dice.randbytes(PART // 8) for name in TREE}
    laid = Parcel(ends, road, files, before, folder, ends.place.scratch / folder.name)
    laid.lay()
    return laid


@pytest.fixture(autouse=True)
def fair_again(ends: Ends):
    """No order outlives its test."""
    yield
    ends.place.clear_faults()


def ended(sent: Parcel, strike: Strike | None = None, **words: object) -> dict:
    """What a try ended with."""
    sent.start(strike, **words)
    assert not sent.heard(), f"it was killed: {sent.story()}"
    return sent.tries[-1].story()[-1]


# ------------------------------------------------------------------------------------- failing requests


@pytest.mark.parametrize("road", STRUCK)
def test_requests_that_fail_are_made_again_until_all_has_arrived(ends, tmp_path, road) -> None:
    sent = parcel(ends, road, tmp_path)
    jobs = len(ends.place.jobs())
    for operation, between in STRUCK[road].items():
        for number, (kind, words) in enumerate(KINDS):
            ends.place.order(kind, operation, skip=number * between, **words)
    ended(sent)
    sent.whole()
    struck = Counter(str(each["operations"]) for each in ends.place.faults() if each["struck"])
    assert len(struck) == len(STRUCK[road]), struck
    print(f"{road}: {struck}")
    worked = [job for job in ends.place.jobs()[jobs:] if job["exit_code"] != DOUBLE]
    assert len(worked) == road.startswith("chunks"), worked


@pytest.mark.parametrize("road", ["direct up", "chunks up", "https up"])
def test_a_facility_that_stays_broken_is_told_and_the_target_is_as_it_was(ends, tmp_path, road) -> None:
    sent = parcel(ends, road, tmp_path)
    operation = "collectionPut" if road == "https up" else "upload"
    ends.place.order("status", operation, status=500, times=None)
    end = ended(sent)
    assert end["what"] == "error", end
    sent.untouched()
    ends.place.clear_faults()
    ended(sent)
    sent.whole()


# ------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize("road", ["chunks up", "chunks down", "direct up tree", "direct down tree"])
def test_a_token_refused_on_the_way_is_told_and_with_another_one_it_goes_on(ends, tmp_path, road) -> None:
    sent = parcel(ends, road, tmp_path, parts=6)
    operation = "upload" if sent.up else "download"
    ends.place.order("refuse_tokens", operation, skip=3)
    end = ended(sent, token=ends.place.new_token())
    assert end["what"] == "error", end
    assert end["kind"] == "AuthError", end
    ends.place.clear_faults()
    ended(sent, token=ends.place.new_token())
    sent.whole()
    assert len(sent.again[-1]) <= 1, sent.story()


def test_a_token_that_expires_is_renewed_without_a_word(ends, tmp_path) -> None:
    for road in ("https up", "https down"):
        sent = parcel(ends, road, tmp_path / road.replace(" ", "-"))
        operation = "collectionPut" if sent.up else "collectionGet"
        ends.place.order("status", operation, status=401, times=1)
        ended(sent)
        sent.whole()


# ------------------------------------------------------------------------------------- full disks


@pytest.mark.parametrize("road", ["direct up", "chunks up", "https up"])
def test_a_full_disk_there_is_told_and_when_there_is_room_it_arrives(ends, tmp_path, road) -> None:
    sent = parcel(ends, road, tmp_path)
    ends.place.order("no_space")
    end = ended(sent)
    assert end["what"] == "error", end
    assert "space" in end["message"].lower(), end
    sent.untouched()
    ends.place.clear_faults()
    ended(sent)
    sent.whole()


@pytest.mark.parametrize("road", ["direct down", "chunks down", "https down", "parts down"])
def test_a_full_disk_here_is_told_and_when_there_is_room_it_arrives(ends, tmp_path, road) -> None:
    sent = parcel(ends, road, tmp_path)
    end = ended(sent, limit=2 * PART)
    assert end["what"] == "error", end
    assert str(sent.here) in end["message"], end
    sent.untouched()
    ended(sent)
    sent.whole()


# ------------------------------------------------------------------------------------- changing files


CHANGES = {
    "direct up": ("before", "upload"),
    "chunks up": ("before", "upload"),
    "parts up": ("before", "put"),
    "https up": ("before", "piece"),
}


@pytest.mark.parametrize("road", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_told_by_name(ends, tmp_path, road) -> None:
    sent = parcel(ends, road, tmp_path)
    client = sent.start(Strike(*CHANGES[road], 1, signal="STOP"))
    until(lambda: client.stopped, "its stop")
    changed = sent.files[""][:-1] + b"?"
    sent.here.write_bytes(changed)
    client.go_on()
    assert not sent.heard()
    end = client.story()[-1]
    if road == "direct up":  # all of it was read before
        sent.whole()
        return
    assert end["what"] == "error", end
    assert "changed" in end["message"], end
    assert sent.name in end["message"], end
    sent.untouched()
    sent.files[""] = changed
    ended(sent)
    sent.whole()


CHANGES_THERE = {
    "direct down": ("after", "download", 1),
    "direct down tree": ("after", "download", 3),
    "archive down tree": ("before", "download", 1),
    "chunks down": ("before", "download", 2),
    "chunks down tree": ("before", "download", 1),
    "https down": ("before", "piece", 2),
    "parts down": ("before", "piece", 2),
}


@pytest.mark.parametrize(
    ("road", "longer"),
    [
        *((road, False) for road in CHANGES_THERE),
        ("direct down", True),
        ("https down", True),
        ("parts down", True),
    ],
)
def test_a_file_that_changes_there_while_it_is_read_is_never_half_of_each(
    ends, tmp_path, road: str, longer: bool
) -> None:
    sent = parcel(ends, road, tmp_path)
    before = dict(sent.files)
    client = sent.start(Strike(*CHANGES_THERE[road], signal="STOP"))
    until(lambda: client.stopped, "its stop")
    for name, content in before.items():
        sent.files[name] = b"?" * len(content) + b"more" * longer
        if sent.stored:
            sent.store(sent.files[name])
        else:
            sent.at(name, source=True).write_bytes(sent.files[name])
    client.go_on()
    client.wait()
    for name, content in before.items():
        assert sent.target(name) in (sent.before, content, sent.files[name]), sent.story()
    end = client.story()[-1]
    if end["what"] == "error":
        assert any(str(sent.at(name, source=True)) in end["message"] for name in before) or sent.stored, end
        assert "changed while" in end["message"] or "did not arrive whole" in end["message"], end
    else:
        assert end["what"] == "done", end
    sent.start().wait()
    sent.whole()


@pytest.mark.parametrize(
    "road", ["chunks up", "parts up", "direct up tree", "https down", "chunks down", "parts down"]
)
def test_what_changed_after_a_kill_arrives_as_it_is_now(ends, tmp_path, road) -> None:
    sent = parcel(ends, road, tmp_path, parts=6)
    step = {"chunks": "upload" if sent.up else "download", "parts": "put" if sent.up else "piece"}
    sent.start(Strike("before", step.get(road.split()[0], "mv" if sent.up else "piece"), 4))
    assert sent.heard()
    for name, content in sent.files.items():
        sent.files[name] = content[: len(content) // 2] + b"!" * PART
        path = sent.at(name, source=True)
        if sent.stored and not sent.up:
            sent.store(sent.files[name])
        else:
            path.write_bytes(sent.files[name])
    ended(sent)
    sent.whole()


# ------------------------------------------------------------------------------------- callers that leave


@pytest.mark.parametrize(
    ("road", "step"),
    [
        ("direct up", "checksum"),
        ("direct down", "download"),
        ("chunks up", "upload"),
        ("chunks up", "job"),
        ("chunks down", "download"),
        ("parts up", "put"),
        ("parts down", "piece"),
        ("https up", "piece"),
        ("https down", "piece"),
    ],
)
def test_interrupted_by_ctrl_c_it_ends_at_once_and_goes_on_when_asked_again(
    ends, tmp_path, road, step
) -> None:
    sent = parcel(ends, road, tmp_path)
    end = ended(sent, Strike("before", step, signal="INT"))
    assert end["what"] == "interrupted", end
    assert sent.fine("", sent.target("")), "the little that was left may have arrived meanwhile"
    arrived = sent.target("") == sent.files[""]  # and then nothing is left to go on with: it is moved anew
    ended(sent)
    sent.whole()
    assert arrived or len(sent.again[-1]) <= 1, sent.story()


async def test_cancelled_by_its_event_loop_it_leaves_nothing_half(ends, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    sent = parcel(ends, "direct up tree", tmp_path)
    facility = Facility(ends.place.base_url, token=ends.place.token, ledger=FileLedger(tmp_path / "ledger"))
    for _ in range(2):
        ends.place.reset_requests()
        putting = asyncio.create_task(facility.aio.files.put(sent.here, str(sent.far)))
        await asyncio.to_thread(until, lambda: len(ends.place.requests("upload")) > 1, "two uploads")
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert all(sent.fine(name, sent.target(name)) for name in sent.files)
    result = await facility.aio.files.put(sent.here, str(sent.far))
    assert result.files + result.files_skipped == len(TREE)
    assert {name: sent.target(name) for name in sent.files} == sent.files
    assert not sent.leftovers()
