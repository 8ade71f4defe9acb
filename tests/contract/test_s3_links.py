"""What a store tells of a file, links to it that really end, and a file that had its place at a kill."""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from misbehaving_relay import Fault, Relay, http
from parts_world import EXPIRED, PART, Counted, Counts, Facility, carry, file_of, signer
from s3_server import BUCKET, Store

from iri_common.model.errors import TransferError
from iri_common.model.outcome import Done
from iri_common.model.transfer import Move
from iri_common.transfers.parts import PartsRoad

MIB = 1024 * 1024
pytestmark = pytest.mark.usefixtures("small_parts")


# ---------------------------------------------------------------------------------- what is compared


def stored(store: Store, content: bytes, **words: str) -> None:
    store.admin.put_object(Bucket=BUCKET, Key="told", Body=content, **words)


@pytest.mark.parametrize(
    ("words", "asked", "made"),
    [
        ({}, None, False),
        ({}, True, True),
        ({"ChecksumAlgorithm": "CRC32"}, None, False),
        ({"ChecksumAlgorithm": "SHA256"}, None, True),
        ({"ChecksumAlgorithm": "SHA256"}, False, False),
    ],
)
async def test_a_digest_is_made_where_one_is_told_or_asked_for(
    store: Store, wire, tmp_path: Path, words: dict[str, str], asked: bool | None, made: bool
) -> None:
    content, target = os.urandom(MIB), str(tmp_path / "back")
    stored(store, content, **words)
    road = PartsRoad(signer(store.url), Facility(), wire, "fs", up=False, checksum=asked)
    counts = await carry(road, Move("/told", target, MIB), tmp_path)
    assert (tmp_path / "back").read_bytes() == content
    assert counts.sums == {target: hashlib.sha256(content).hexdigest() if made else None}


async def test_what_is_not_as_the_store_has_digested_it_is_no_file(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    content = os.urandom(MIB)
    stored(store, content, ChecksumAlgorithm="SHA256")
    etag = store.admin.head_object(Bucket=BUCKET, Key="told")["ETag"].encode()
    head = b"HTTP/1.1 206 P\r\nETag: %s\r\nContent-Range: bytes 0-1048575/1048576\r\n" % etag
    relay.faults = [Fault("^GET /", reply=head + b"Content-Length: 1048576\r\n\r\n" + content[:-1] + b"?")]
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=False)
    move = Move("/told", str(tmp_path / "back"), MIB)
    with pytest.raises(TransferError, match="did not arrive whole: SHA-256"):
        await carry(road, move, tmp_path)
    assert os.listdir(tmp_path) == ["notes"]
    await carry(road, move, tmp_path)
    assert (tmp_path / "back").read_bytes() == content


# ------------------------------------------------------------------------------- killed at the last step


class Kill(BaseException):
    """Nobody catches it."""


class Killed(Counts):
    """Whoever tells it that a file has landed does not live to note it."""

    def landed(self, move: Move, sha256: str | None = None) -> None:
        raise Kill


@pytest.mark.parametrize("asked", [None, True])
async def test_a_file_that_has_its_place_is_not_read_again(
    store: Store, relay: Relay, wire, tmp_path: Path, asked: bool | None
) -> None:
    old, new = os.urandom(2 * MIB), os.urandom(2 * MIB)
    stored(store, old)
    road = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=False, checksum=asked)
    move = Move("/told", str(tmp_path / "back"), len(old))
    with pytest.raises(Kill):
        await carry(road, move, tmp_path, Killed())
    counts = await carry(road, move, tmp_path)
    assert (counts.sent, counts.kept_bytes) == (0, len(old))
    assert counts.sums == {move.target: hashlib.sha256(old).hexdigest() if asked else None}

    unhashed = PartsRoad(signer(relay.base_url), Facility(), wire, "fs", up=False)
    with pytest.raises(Kill):
        await carry(unhashed, move, tmp_path, Killed())
    counts = await carry(road, move, tmp_path)
    assert counts.sent == (len(old) if asked else 0), "its digest was asked for by now"

    with pytest.raises(Kill):
        await carry(road, move, tmp_path, Killed())
    stored(store, new)
    assert (await carry(road, move, tmp_path)).sent == len(new), "it is another object by now"
    assert (tmp_path / "back").read_bytes() == new

    with pytest.raises(Kill):
        await carry(road, move, tmp_path, Killed())
    (tmp_path / "back").write_bytes(old)
    assert (await carry(road, move, tmp_path)).sent == len(new), "somebody wrote over it"
    assert (tmp_path / "back").read_bytes() == new


# ----------------------------------------------------------------------------------- links that end


class Judge:
    """Refuses a link when its own time is over, as S3 does and moto does not."""

    def __init__(self, relay: Relay) -> None:
        self.relay, self.refused = relay, 0
        relay.on_request = self.judge

    def judge(self, line: str) -> None:
        words = parse_qs(urlsplit(line.partition(" ")[2]).query)
        if "X-Amz-Date" not in words:
            return
        signed = datetime.strptime(words["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if time.time() > signed.timestamp() + int(words["X-Amz-Expires"][0]):
            self.refused += 1
            self.relay.faults.insert(0, Fault(re.escape(line), False, http(403, EXPIRED, "application/xml")))


class Misled(Counted):
    """Thinks that links live longer than they do: the clock here is not the store's."""

    async def again(self, resource_id, upload):
        return Done(replace((await super().again(resource_id, upload)).value, expires_at=None))

    async def link(self, resource_id, path):
        return Done(replace((await super().link(resource_id, path)).value, expires_at=None))


def misled(url: str) -> Misled:
    return Misled(signer(url)._bucket, link_seconds=2)


async def test_links_that_end_while_parts_are_sent_are_signed_again(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    move, content, _ = file_of(tmp_path, 5 * PART)
    judge, signed = Judge(relay), misled(relay.base_url)
    relay.faults = [Fault("^PUT .*partNumber=", delay=2.2, times=2)]
    await carry(PartsRoad(signed, Facility(), wire, "fs", up=True), move, tmp_path)
    assert store.content(move.target[1:]) == content
    assert judge.refused >= 1
    assert signed.asked >= 1 + 1


async def test_a_link_that_ends_while_a_file_is_read_is_signed_again(
    store: Store, relay: Relay, wire, tmp_path: Path
) -> None:
    content, target = os.urandom(3 * MIB), tmp_path / "back"
    stored(store, content)
    judge, signed = Judge(relay), misled(relay.base_url)
    head = b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-%d/%d\r\n" % (len(content) - 1, len(content))
    half = head + b"Content-Length: %d\r\n\r\n" % len(content) + content[:MIB]
    relay.faults = [Fault("^GET /", reply=half, delay=2.2)]  # it began in time, and breaks off later
    road = PartsRoad(signed, Facility(), wire, "fs", up=False)
    counts = await carry(road, Move("/told", str(target), len(content)), tmp_path)
    assert target.read_bytes() == content
    assert counts.sent == len(content)
    assert judge.refused >= 1
    assert signed.asked >= 1 + 1
