"""A reply is read up to a limit, unpacked: what expands or never ends costs no memory, and is an error."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Iterator

import pytest

from iri_common.http.budget import Budget
from iri_common.http.session import Request, Session
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.http.unpacking import ACCEPTED
from iri_common.model.errors import AmbiguousReply, NotFound, ReplyError
from iri_common.model.ports import WireReply, WireRequest
from iri_common.policy.classify import ReplyLost, ReplyTooLong
from iri_common.policy.retry import Replay

KIB = 1024
JSON = b"Content-Type: application/json\r\n"
FINE = json.dumps({"jobs": ["x" * 100] * 50}).encode()


def bomb(mebibytes: int) -> bytes:
    """A gzip of zeros, and of nothing that ends it: a thousandth of what it says."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(KIB * KIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"")[:10] + block * mebibytes


def head(status: str, length: int, encoding: str = "") -> bytes:
    packed = f"Content-Encoding: {encoding}\r\n" if encoding else ""
    return f"HTTP/1.1 {status}\r\n{packed}Content-Length: {length}\r\n".encode() + JSON + b"\r\n"


class Saying:
    """A loopback server that says the same to everyone."""

    def __init__(self, head: bytes, pieces: Iterator[bytes] | list[bytes]) -> None:
        self.head, self.pieces = head, pieces
        self.asked: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while asked := await reader.readuntil(b"\r\n\r\n"):
                self.asked.append(asked)
                writer.write(self.head)
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(head: bytes, *pieces: bytes, endless: Iterator[bytes] | None = None) -> AsyncIterator[str]:
    saying = Saying(head, list(pieces) if endless is None else endless)
    listening = await asyncio.start_server(saying, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    assert all(f"accept-encoding: {ACCEPTED}\r\n".encode() in each.lower() for each in saying.asked)


async def ask(url: str, most: int = 64 * KIB) -> WireReply:
    transport = HttpxTransport(WireSettings(read_seconds=5.0))
    try:
        return await transport.send(WireRequest("GET", url, most=most))
    finally:
        await transport.close()


def chunks() -> Iterator[bytes]:
    while True:
        yield b"1000\r\n" + b"[" * 0x1000 + b"\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + JSON + b"\r\n"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", FINE),
        ("identity", FINE),
        ("gzip", gzip.compress(FINE)),
        ("X-GZIP", gzip.compress(FINE)),
        ("deflate", zlib.compress(FINE)),
        ("gzip", b""),
    ],
    ids=["plain", "identity", "gzip", "X-GZIP", "deflate", "empty"],  # gzip writes the hour into its head
)
async def test_a_body_comes_as_it_was_before_it_was_packed(encoding: str, body: bytes) -> None:
    for step in (1 << 20, 7):
        pieces = [body[start : start + step] for start in range(0, len(body), step)]
        async with serving(head("200 OK", len(body), encoding), *pieces) as url:
            assert (await ask(url, len(FINE))).body == (FINE if body else b"")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "none"])
async def test_a_packing_that_was_not_asked_for_is_not_read(encoding: str) -> None:
    async with serving(head("200 OK", 4, encoding), b"\x0b\x01\x80\x03") as url:
        with pytest.raises(ReplyLost, match="not asked for"):
            await ask(url)


async def test_a_packed_body_that_is_cut_is_lost() -> None:
    cut = gzip.compress(FINE)[:-12]
    async with serving(head("200 OK", len(cut), "gzip"), cut) as url:
        with pytest.raises(ReplyLost, match="ends before"):
            await ask(url)


async def test_one_byte_too_many_is_too_many() -> None:
    packed = gzip.compress(FINE)
    for encoding, body in (("", FINE), ("gzip", packed)):
        async with serving(head("200 OK", len(body), encoding), body) as url:
            with pytest.raises(ReplyTooLong, match=f"{len(FINE) - 1:,} bytes"):
                await ask(url, len(FINE) - 1)


async def test_json_without_end_is_not_read_to_its_end() -> None:
    async with serving(CHUNKED, endless=chunks()) as url, asyncio.timeout(20):
        with pytest.raises(ReplyTooLong):
            await ask(url)


async def test_an_error_of_many_words_is_still_that_error() -> None:
    body = bomb(4)
    async with serving(head("404 Not Found", len(body), "gzip"), body) as url:
        reply = await ask(url)
    assert (reply.status, len(reply.body)) == (404, 64 * KIB)


@pytest.mark.parametrize("replay", Replay)
async def test_a_session_tells_that_a_reply_is_too_long_and_asks_once(replay: Replay) -> None:
    body = bomb(4)
    saying = Saying(head("200 OK", len(body), "gzip"), [body])
    listening = await asyncio.start_server(saying, "127.0.0.1", 0)
    async with listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        transport = HttpxTransport(WireSettings())
        session = Session(url, transport, None, Budget(), label="here")
        with pytest.raises((ReplyError, AmbiguousReply), match="more than the 65,536 bytes") as caught:
            await session.send(Request("getJobs", "GET", "/jobs", replay=replay, most=64 * KIB))
        await transport.close()
    assert isinstance(caught.value, AmbiguousReply) == (replay is Replay.ONCE)
    assert (caught.value.operation, caught.value.facility) == ("getJobs", "here")
    assert len(saying.asked) == 1


async def test_a_session_reads_an_error_of_many_words() -> None:
    words = json.dumps({"detail": "no such job " + "x" * 200 * KIB}).encode()
    async with serving(head("404 Not Found", len(words)), words) as url:
        transport = HttpxTransport(WireSettings())
        with pytest.raises(NotFound, match="no such job"):
            await Session(url, transport, None, Budget()).send(Request("getJob", "GET", "/", most=KIB))
        await transport.close()


_CHILD = """
import asyncio, pathlib, sys
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.ports import WireRequest
from iri_common.policy.classify import ReplyTooLong

def most():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

async def main():
    transport = HttpxTransport(WireSettings())
    assert (await transport.send(WireRequest("GET", sys.argv[1] + "/small"))).body == b"{}"
    before = most()
    try:
        await transport.send(WireRequest("GET", sys.argv[1]))
    except ReplyTooLong:
        print(most() - before)
    await transport.close()

asyncio.run(main())
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="the most memory that a process ever had is read in /proc"
)
async def test_a_megabyte_that_says_gibibytes_costs_no_more_memory_than_the_limit() -> None:
    body = bomb(2048)
    assert len(body) < 3 * KIB * KIB

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            small = b"/small" in await reader.readuntil(b"\r\n\r\n")
            told = head("200 OK", 2) + b"{}" if small else head("200 OK", len(body), "gzip") + body
            writer.write(told.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CHILD, url, stdout=subprocess.PIPE
        )
        told, _ = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0
    assert int(told) < 80 * KIB, "KiB; the limit itself is 64 MiB"
