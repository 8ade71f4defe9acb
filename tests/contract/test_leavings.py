"""What a try had begun at a store, when the next one takes another road."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from misbehaving_relay import Relay, unseen
from parts_world import signer
from s3_server import Store

from iri_common.apis.s3 import parts as s3_module
from iri_common.model.transfer import Road
from iri_common.policy.offers import Quote
from iri_common.transfers.leavings import Leavings, Side
from iri_common.transfers.notes import FileNotes

pytestmark = pytest.mark.usefixtures("store_keys")

MIB = 1024 * 1024
NAME = "parts:0123456789abcdef"
HERE = Side((), here=True)


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[FileNotes]:
    kept = await FileNotes.opened("here", "there", directory=tmp_path / "notes")
    kept.put("landed /x", [3, 1.0])
    yield kept
    await kept.close()


@pytest.mark.parametrize(("road", "prefix"), [(["parts"], ""), (["relay", "direct", "parts"], "up ")])
@pytest.mark.parametrize("known", ["noted", "begun"])
async def test_an_upload_that_nobody_finishes_is_abandoned(
    store: Store, notes: FileNotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road, prefix, known
) -> None:
    monkeypatch.setattr(s3_module, "CLOCKS", float("inf"))  # moto says of every upload that it is of 2010
    signed = signer(store.url)
    upload = (await signed.begin("", "/left", 10 * MIB)).value
    await signed.begin("", "/of somebody else", MIB)
    notes.put("roads", [road])
    notes.put(f"{prefix}{NAME}:begun", ["/left", int(time.time())])
    if known == "noted":
        told = {"mark": "m", "part_size": upload.part_size, "handle": dict(upload.handle)}
        notes.put(f"{prefix}{NAME}", told)
        notes.put(f"{prefix}{NAME}:00000000:1", '"etag"')
    leavings = Leavings(notes, [Quote(Road.GLOBUS)])
    assert leavings.any
    await leavings.clear(HERE, Side((), None, signed), None, tmp_path / "stage")
    leavings.note()
    assert store.open_uploads() == ["of somebody else"]
    assert sorted(notes.names) == ["landed /x", "roads"]
    assert not Leavings(notes, [Quote(Road.GLOBUS)]).any


async def test_a_store_that_is_away_is_logged_and_nothing_is_believed_any_more(
    relay: Relay, notes: FileNotes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notes.put("roads", [["parts"], ["direct"]])
    notes.put(NAME, {"mark": "m", "part_size": MIB, "handle": {"key": "left", "upload": "u"}})
    relay.faults = [unseen("DELETE", times=9)]
    leavings = Leavings(notes, [Quote(Road.DIRECT)])
    await leavings.clear(HERE, Side((), None, signer(relay.base_url)), None, tmp_path / "stage")
    assert "an upload that an earlier try has left cannot be cleared away" in caplog.text
    assert notes.get(NAME) is None


async def test_the_same_roads_leave_everything_as_it_is(notes: FileNotes) -> None:
    relay = Quote(Road.RELAY, hops=(Quote(Road.DIRECT), Quote(Road.PARTS)))
    assert not Leavings(notes, [relay]).any, "nothing was begun"
    Leavings(notes, [relay, Quote(Road.GLOBUS)]).note()
    assert not Leavings(notes, [relay, Quote(Road.GLOBUS)]).any
    assert not Leavings(notes, [relay, Quote(Road.GLOBUS), Quote(Road.WITHIN)]).any
    assert Leavings(notes, [relay]).any
