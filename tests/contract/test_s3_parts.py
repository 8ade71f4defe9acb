"""Files over signed parts against a real S3 server: whole, taken up after a kill, past every failing part."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from misbehaving_relay import Fault, Relay, http, lose, unseen
from parts_world import EXPIRED, PART, Facility, FetchingParts, carry, file_of, signer, trip
from s3_server import BUCKET, Store

from iri_common.model.errors import (
    IriError,
    NotFound,
    PermissionDenied,
    TransferError,
    TransientError,
    UsageError,
)
from iri_common.model.transfer import Move
from iri_common.transfers import parts as parts_module
from iri_common.transfers import spans as spans_module
from iri_common.transfers.parts import PartsRoad

MIB = 1024 * 1024
pytestmark = pytest.mark.usefixtures("small_parts")


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 40 * MIB])
async def test_a_file_goes_there_and_back_whole(size: int, store: Store, wire, tmp_path: Path) -> None:
    up, content, digest = file_of(tmp_path, size)
    counts = await carry(PartsRoad(signer(store.url), Facility(), wire, "fs", up=True), up, tmp_path)
    assert (counts.sent, counts.sums) == (size, {up.target: digest})
    assert store.content(up.target[1:]) == content
    down = Move(up.target, str(tmp_path / "back"), size)
    road = PartsRoad(signer(store.url), Facility(), wire, "fs", up=False, checksum=True)
    counts = await carry(road, down, tmp_path)
    assert (counts.sent, counts.sums) == (size, {down.target: digest})
    assert (tmp_path / "back").read_bytes() == content
    assert not store.open_uploads()
    assert not [each for each in os.listdir(tmp_path) if each.endswith(".part")]


async def test_several_files_share_the_connections(store: Store, wire, tmp_path: Path) -> None:
    files = [file_of(tmp_path, MIB + number, f"f{number}") for number in range(6)]
    async with trip(tmp_path, "many", "there", 3) as under_way:
        road = PartsRoad(signer(store.url), Facility(), wire, "fs", up=True)
        await road.carry([move for move, _, _ in files], under_way)
    assert under_way.meter.sums == {move.target: digest for move, _, digest in files}  # type: ignore[attr-defined]


async def test_a_path_below_the_root_is_a_key(store: Store, wire, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"abc")
    road = PartsRoad(signer(store.url, "/lustre/b"), Facility(), wire, "fs", up=True)
    await carry(road, Move(str(tmp_path / "source"), "/lustre/b/x/y", 3), tmp_path)
    assert store.content("x/y") == b"abc"
    for path in ("/lustre/bx/y", "/elsewhere", "/lustre/b", "/lustre/b/", "/lustre/b/x/", "x"):
        with pytest.raises(UsageError, match="no file below /lustre/b"):
            await carry(road, Move(str(tmp_path / "source"), path, 3), tmp_path)


# --------------------------------------------------------------------------------------------- kills


def puts(relay: Relay) -> Counter[str]:
    """How often each part was sent."""
    numbers = (re.search(r"^PUT .*partNumber=(\d+)", line) for line in relay.seen)
    return Counter(found.group(1) for found in numbers if found)


def child(relay: Relay, way: str, move: Move, folder: Path) -> subprocess.Popen[bytes]:
    here = Path(__file__).parent
    words = [relay.base_url, way, move.source, move.target, str(move.size), str(folder / "notes")]
    return subprocess.Popen([sys.executable, str(here / "parts_child.py"), *words], stdout=subprocess.PIPE)


def killed_when(ready, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while not ready() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_an_upload_that_was_killed_sends_at_most_one_arrived_part_again(
    store: Store, relay: Relay, tmp_path: Path
) -> None:
    move, content, digest = file_of(tmp_path, 100 * MIB)  # of 16 MiB each, as the child makes them
    relay.faults = [Fault(r"partNumber=[67]\b", delay=3.0, times=99)]
    killed_when(lambda: relay.asked("partNumber=6"), child(relay, "up", move, tmp_path))
    before, relay.faults = puts(relay), []
    relay.seen.clear()
    counts = json.loads(child(relay, "up", move, tmp_path).communicate(timeout=60)[0])
    assert counts[2] == digest
    assert store.content(move.target[1:]) == content
    arrived_twice = {number for number in puts(relay) if number in before} - {"6", "7"}
    assert len(arrived_twice) <= 1
    assert counts[1] >= 64 * MIB
    assert not store.open_uploads()


def test_an_upload_that_was_killed_as_it_finished_sends_nothing_again(
    store: Store, relay: Relay, tmp_path: Path
) -> None:
    move, content, digest = file_of(tmp_path, 20 * MIB, "finished")
    relay.faults = [Fault(r"^POST .*uploadId=", delay=30.0)]
    killed_when(lambda: _holds(store, move), child(relay, "up", move, tmp_path))
    relay.seen.clear()
    relay.faults = []
    assert json.loads(child(relay, "up", move, tmp_path).communicate(timeout=60)[0]) == [0, move.size, digest]
    assert not puts(relay)
    assert store.content(move.target[1:]) == content


def test_an_upload_that_is_still_being_finished_sends_nothing_again(
    store: Store, relay: Relay, tmp_path: Path
) -> None:
    """For a while the upload is gone and the file not there: the request of before is still at it."""
    move, content, digest = file_of(tmp_path, 20 * MIB, "finishing")
    finish = r"^POST .*uploadId="
    relay.faults = [Fault(finish, forwarded=False, delay=30.0)]
    killed_when(lambda: relay.asked(finish), child(relay, "up", move, tmp_path))
    gone = http(404, b"<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>", "application/xml")
    relay.seen.clear()
    relay.faults = [Fault(finish, forwarded=False, reply=gone, times=2)]
    assert json.loads(child(relay, "up", move, tmp_path).communicate(timeout=60)[0]) == [0, move.size, digest]
    assert (puts(relay), relay.asked(finish)) == (Counter(), 3)
    assert store.content(move.target[1:]) == content


def _holds(store: Store, move: Move) -> bool:
    with contextlib.suppress(store.admin.exceptions.NoSuchKey):
        return len(store.content(move.target[1:])) == move.size
    return False


def _on_disk(file: Path) -> int:
    return file.stat().st_blocks * 512  # what is written, holes left out


def test_a_download_that_was_killed_goes_on_where_it_was(store: Store, tmp_path: Path) -> None:
    content = os.urandom(64 * MIB)
    store.admin.put_object(Bucket=BUCKET, Key="large", Body=content)
    target = tmp_path / "large"
    move = Move("/large", str(target), len(content))
    with Relay(store.url) as relay:
        # Up to 16 MiB that are here need not be noted yet.
        asides = lambda: [each for each in tmp_path.glob("large.*.part") if _on_disk(each) > 28 * MIB]  # noqa: E731
        process = child(relay, "down", move, tmp_path)
        until = time.monotonic() + 60
        while not asides() and time.monotonic() < until:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not target.exists()
        counts = json.loads(child(relay, "down", move, tmp_path).communicate(timeout=60)[0])
    assert target.read_bytes() == content
    assert counts[2] == hashlib.sha256(content).hexdigest()
    assert counts[0] + counts[1] == len(content)
    assert counts[1] >= 8 * MIB


# -------------------------------------------------------------------------------------------- faults


async def test_parts_that_fail_are_sent_again(store: Store, relay: Relay, wire, tmp_path: Path) -> None:
    move, content, digest = file_of(tmp_path, 22 * MIB)
    busy = http(503, b"<Error><Code>SlowDown</Code></Error>", "application/xml")
    inside = http(200, b"<Error><Code>InternalError</Code></Error>", "application/xml")
    relay.faults = [
        Fault("partNumber=1", reply=busy, times=2),
        lose("partNumber=2"),
        unseen("partNumber=3"),
        Fault("partNumber=4", reply=inside),
        Fault("partNumber=5", reply=http(403, EXPIRED, "application/xml")),
    ]
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=True)
    counts = await carry(road, move, tmp_path)
    assert store.content(move.target[1:]) == content
    assert (counts.sent, counts.sums) == (move.size, {move.target: digest})
    assert puts(relay) == {"1": 3, "2": 2, "3": 2, "4": 2, "5": 2}


async def test_links_are_renewed_before_they_expire(store: Store, relay: Relay, wire, tmp_path: Path) -> None:
    move, content, _ = file_of(tmp_path, 30 * MIB)
    relay.faults = [Fault("partNumber=", delay=0.8, times=99)]
    road = PartsRoad(signer(relay.base_url, link_seconds=2), Facility(), wire, "fs", up=True)
    await carry(road, move, tmp_path)
    assert store.content(move.target[1:]) == content
    dates = {re.search(r"X-Amz-Date=(\w+)", line).group(1) for line in relay.seen if "partNumber" in line}  # type: ignore[union-attr]
    assert len(dates) > 1, "the last parts went over other links than the first"


async def test_a_part_that_fails_for_good_fails_the_transfer_and_the_next_try_goes_on(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    move, content, _ = file_of(tmp_path, 22 * MIB)
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=True)
    relay.faults = [Fault("partNumber=4", reply=http(403, EXPIRED, "application/xml"), times=99)]
    with pytest.raises(PermissionDenied, match="Request has expired") as caught:
        await carry(road, move, tmp_path)
    assert "Signature" not in str(caught.value)
    assert not _holds(store, move)
    relay.faults = []
    counts = await carry(road, move, tmp_path)
    assert counts.kept_bytes >= 10 * MIB
    assert store.content(move.target[1:]) == content


async def test_a_finish_is_no_success_for_its_200_alone(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    move, content, _ = file_of(tmp_path, 6 * MIB)
    said = http(200, b"<Error><Code>InternalError</Code><Message>again</Message></Error>", "application/xml")
    relay.faults = [Fault(r"^POST .*uploadId=", forwarded=False, reply=said)]
    signed = signer(relay.base_url)
    upload = (await signed.begin("", move.target, 3)).value
    with pytest.raises(TransientError, match="InternalError"):
        await signed.finish("", upload, ['"x"'])
    await signed.abandon("", upload)
    relay.faults = [
        Fault(r"^POST .*uploadId=", forwarded=False, reply=said),
        lose(r"^POST .*uploadId="),  # and this one it did, which nobody learns
    ]
    await carry(PartsRoad(signed, Facility(), wire, "fs", up=True), move, tmp_path)
    assert store.content(move.target[1:]) == content


async def test_a_refused_link_is_not_used_again(store: Store, relay: Relay, wire, tmp_path: Path) -> None:
    move, content, _ = file_of(tmp_path, 3, "refused")
    expired = http(403, EXPIRED, "application/xml")
    relay.faults = [Fault("partNumber=1", reply=expired), Fault("^GET /", reply=expired)]
    up, down = signer(relay.base_url), signer(relay.base_url)
    await carry(PartsRoad(up, Facility(), wire, "fs", up=True), move, tmp_path)
    back = Move(move.target, str(tmp_path / "back"), 3)
    await carry(PartsRoad(down, Facility(), wire, "fs", up=False), back, tmp_path)
    assert (up.asked, down.asked) == (2, 2)
    assert (tmp_path / "back").read_bytes() == content


async def test_a_download_goes_past_broken_ranges_and_stale_links(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    content = os.urandom(3 * MIB)
    store.admin.put_object(Bucket=BUCKET, Key="broken", Body=content)
    half = b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-%d/%d\r\nContent-Length: %d\r\n\r\n" % (
        len(content) - 1,
        len(content),
        len(content),
    )
    relay.faults = [
        Fault("GET /", reply=http(403, EXPIRED, "application/xml")),
        Fault("GET /", reply=http(500, b"", "text/html")),
        Fault("GET /", reply=half + content[: MIB + 5]),
        lose("GET /"),
    ]
    target = tmp_path / "broken"
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=False)
    counts = await carry(road, Move("/broken", str(target), len(content)), tmp_path)
    assert target.read_bytes() == content
    assert counts.sent == len(content)


async def test_an_object_that_changes_while_it_is_read_is_no_file(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    one, other = os.urandom(2 * MIB), os.urandom(2 * MIB)
    store.admin.put_object(Bucket=BUCKET, Key="changing", Body=one)
    head = b'HTTP/1.1 206 P\r\nETag: "x"\r\nContent-Range: bytes 0-2097151/2097152\r\n'
    relay.faults = [Fault("GET /", reply=head + b"Content-Length: 2097152\r\n\r\n" + other[: MIB + 1])]
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=False)
    with pytest.raises(TransferError, match="changed while it was read"):
        await carry(road, Move("/changing", str(tmp_path / "c"), 2 * MIB), tmp_path)
    assert os.listdir(tmp_path) == ["notes"]
    await carry(road, Move("/changing", str(tmp_path / "c"), 2 * MIB), tmp_path)
    assert (tmp_path / "c").read_bytes() == one


async def test_an_object_that_is_another_by_now_is_no_file_though_all_of_the_old_one_is_here(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    old, new = os.urandom(2 * MIB), os.urandom(2 * MIB)
    store.admin.put_object(Bucket=BUCKET, Key="replaced", Body=old)
    target = tmp_path / "r"
    move = Move("/replaced", str(target), len(old))
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=False)
    etag = store.admin.head_object(Bucket=BUCKET, Key="replaced")["ETag"].encode()
    head = b"HTTP/1.1 206 P\r\nETag: %s\r\nContent-Range: bytes 0-2097151/2097152\r\n" % etag
    relay.faults = [
        Fault("GET /", reply=head + b"Content-Length: 2097152\r\n\r\n" + old[:MIB]),
        Fault("GET /", reply=http(404, b"", "text/plain")),
    ]
    with pytest.raises(NotFound):
        await carry(road, move, tmp_path)
    async with trip(tmp_path, move.source, move.target) as before:  # killed when the rest had come
        (name,) = before.notes.names  # type: ignore[attr-defined]
        before.notes.put(name, {**before.notes.get(name), "missing": []})
    (aside,) = [each for each in os.listdir(tmp_path) if each.endswith(".part")]
    (tmp_path / aside).write_bytes(old)
    store.admin.put_object(Bucket=BUCKET, Key="replaced", Body=new)
    with pytest.raises(TransferError, match="changed while it was read"):
        await carry(road, move, tmp_path)
    assert not target.exists()
    await carry(road, move, tmp_path)
    assert target.read_bytes() == new


async def test_a_store_that_knows_no_ranges_gives_the_file_all_the_same(
    store: Store, relay: Relay, wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans_module, "_NEXT_READER", 0.0)
    monkeypatch.setattr(spans_module, "_WORTH_HELPING", 0.0)
    monkeypatch.setattr(spans_module, "_WORTH_SPLITTING", MIB)
    content = os.urandom(12 * MIB)
    store.admin.put_object(Bucket=BUCKET, Key="plain", Body=content)
    whole = b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: %d\r\n\r\n" % len(content)
    relay.faults = [
        Fault("GET /", reply=whole + content[: 5 * MIB + 7], delay=0.2),
        Fault("GET /", reply=whole + content, times=9),
    ]
    target = tmp_path / "plain"
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=False)
    counts = await carry(road, Move("/plain", str(target), len(content)), tmp_path)
    assert target.read_bytes() == content
    assert counts.sent == len(content)


async def test_a_source_that_changes_while_it_is_sent_leaves_nothing_in_the_store(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    move, _, _ = file_of(tmp_path, 12 * MIB, "written")

    def write(line: str) -> None:
        if "partNumber=2" in line:
            with open(move.source, "r+b") as file:
                file.write(b"!")

    relay.on_request = write
    with pytest.raises(TransferError, match="changed while it was read"):
        await carry(PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=True), move, tmp_path)
    assert not store.open_uploads()
    assert not _holds(store, move)


async def test_another_content_begins_anew_and_abandons_the_old_parts(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    move, _, _ = file_of(tmp_path, 12 * MIB, "rewritten")
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=True)
    relay.faults = [Fault("partNumber=3", reply=http(400, b"", "text/plain"))]
    with pytest.raises(IriError):
        await carry(road, move, tmp_path)
    assert len(store.open_uploads()) == 1
    move, content, _ = file_of(tmp_path, 12 * MIB, "rewritten")
    counts = await carry(road, move, tmp_path)
    assert (counts.sent, counts.kept_bytes) == (12 * MIB, 0)
    assert store.content(move.target[1:]) == content
    assert not store.open_uploads()


async def test_an_upload_that_the_store_forgot_begins_anew(
    store: Store, relay: Relay, wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "_FINISHING", (0.01, 0.01))
    move, content, _ = file_of(tmp_path, 12 * MIB, "forgotten")
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=True)
    relay.faults = [Fault(r"^POST .*uploadId=", forwarded=False, reply=http(400, b"", "text/plain"), times=9)]
    with pytest.raises(IriError):
        await carry(road, move, tmp_path)
    (lost,) = store.admin.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    store.admin.abort_multipart_upload(Bucket=BUCKET, Key=lost["Key"], UploadId=lost["UploadId"])
    gone = b"<Error><Code>NoSuchUpload</Code></Error>"  # moto knows no words for it
    told = http(404, gone, "application/xml")
    relay.faults = [Fault(r"^POST .*uploadId=", forwarded=False, reply=told, times=3)]
    counts = await carry(road, move, tmp_path)
    assert (counts.sent, counts.kept_bytes) == (12 * MIB, 0)
    assert store.content(move.target[1:]) == content


# ----------------------------------------------------------------- a facility whose own job brings it


@pytest.fixture
def facility(tmp_path: Path) -> Facility:
    (tmp_path / "there" / "run 7").mkdir(parents=True)
    return Facility(tmp_path / "there")


async def test_a_file_that_a_job_brings_is_put_aside_compared_and_renamed(
    store: Store, wire, facility: Facility, tmp_path: Path
) -> None:
    api = FetchingParts(store, signer(store.url), facility)
    up, content, digest = file_of(tmp_path, 11 * MIB)
    assert (await carry(PartsRoad(api, facility, wire, "fs", up=True), up, tmp_path)).sums == {
        up.target: digest
    }
    assert facility.at(up.target).read_bytes() == content
    down = Move(up.target, str(tmp_path / "back"), up.size)
    await carry(PartsRoad(api, facility, wire, "fs", up=False), down, tmp_path)
    assert (tmp_path / "back").read_bytes() == content
    assert len(list(facility.at("/run 7").iterdir())) == 1


async def test_what_a_job_brings_in_another_form_is_no_file(
    store: Store, wire, facility: Facility, tmp_path: Path
) -> None:
    api = FetchingParts(store, signer(store.url), facility)
    api.spoil = lambda content: content[:-1] + b"!"
    move, _, _ = file_of(tmp_path, 6 * MIB)
    facility.at(move.target).write_bytes(b"old")
    with pytest.raises(TransferError, match="did not arrive whole"):
        await carry(PartsRoad(api, facility, wire, "fs", up=True), move, tmp_path)
    assert facility.at(move.target).read_bytes() == b"old"
    assert len(list(facility.at("/run 7").iterdir())) == 1


async def test_an_empty_file_goes_over_the_api_where_it_cannot_go_over_parts(
    store: Store, wire, facility: Facility, tmp_path: Path
) -> None:
    api = FetchingParts(store, signer(store.url), facility)
    move, _, digest = file_of(tmp_path, 0)
    counts = await carry(PartsRoad(api, facility, wire, "fs", up=True), move, tmp_path)
    assert counts.sums == {move.target: digest}
    assert facility.at(move.target).read_bytes() == b""


async def test_where_nobody_signs_again_an_interrupted_upload_begins_anew(
    store: Store, relay: Relay, wire, facility: Facility, tmp_path: Path
) -> None:
    api = FetchingParts(store, signer(relay.base_url), facility)
    move, content, _ = file_of(tmp_path, 12 * MIB, "anew")
    relay.faults = [Fault("partNumber=3", reply=http(400, b"", "text/plain"))]
    with pytest.raises(IriError, match="HTTP 400"):
        await carry(PartsRoad(api, facility, wire, "fs", up=True), move, tmp_path)
    counts = await carry(PartsRoad(api, facility, wire, "fs", up=True), move, tmp_path)
    assert counts.sent == move.size
    assert facility.at(move.target).read_bytes() == content
    assert not store.open_uploads()
