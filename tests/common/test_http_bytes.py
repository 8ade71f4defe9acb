"""HttpBytes against servers of all kinds: what goes over the wire, and what is called not sent or lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from iri_common.http import bytes as bytes_module
from iri_common.http.bytes import LONGEST_ANSWER, PIECE, HttpBytes
from iri_common.http.streams import MOST_AT_ONCE, WideStream
from iri_common.http.transport import WireSettings
from iri_common.model.errors import TransferError
from iri_common.policy.classify import NotSent, ReplyLost

Behaviour = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TWO_CHUNKS = "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n"
QUERY = "X-Amz-Signature=hunter2%2Fa~b&x=%7E'"


class Store:
    """What one loopback server was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heads: list[bytes] = []
        self.connections = 0


@contextlib.asynccontextmanager
async def store(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Store]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        served.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                seen.heads.append(head)
                await behave(head, reader, writer)
                if writer.is_closing():
                    break
        writer.close()

    served = list[asyncio.Task[None] | None]()
    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    seen = Store(f"{'https' if tls else 'http'}://127.0.0.1:{port}")
    async with listening:
        yield seen
        for each in served:
            if each is not None:
                each.cancel()
        await asyncio.sleep(0.01)  # they let go of their sockets


@contextlib.asynccontextmanager
async def wire(**settings: object) -> AsyncIterator[HttpBytes]:
    one = HttpBytes(WireSettings(**{"read_seconds": 5.0, **settings}))  # type: ignore[arg-type]
    try:
        yield one
    finally:
        await one.close()


def saying(reply: bytes, *, close: bool = False) -> Behaviour:
    async def behave(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()
        if close:
            writer.close()

    return behave


async def read(one: HttpBytes, url: str, *words: object, **more: object) -> tuple[int, bytes]:
    async with one.get(url, *words, **more) as reply:  # type: ignore[arg-type]
        return reply.status, b"".join([piece async for piece in reply.pieces])


async def sent(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def keep_body(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.write(b'HTTP/1.1 200 OK\r\nETag: "e%d"\r\nContent-Length: 0\r\n\r\n' % len(body))
    await writer.drain()


async def test_a_link_goes_out_as_it_was_signed_and_without_any_credential() -> None:
    async with store(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")) as there, wire() as one:
        assert await read(one, f"{there.url}/b/a%20key?{QUERY}") == (200, b"ab")
    head = there.heads[0].decode()
    assert head.startswith(f"GET /b/a%20key?{QUERY} HTTP/1.1\r\n")
    assert "authorization" not in head.lower()
    assert "range:" not in head.lower()
    assert "accept-encoding: identity\r\n" in head.lower()


@pytest.mark.parametrize(
    ("words", "asked"), [((5,), "bytes=5-"), ((0, 4), "bytes=0-3"), ((7, 9), "bytes=7-8")], ids=str
)
async def test_a_range_ends_before_its_end(words: tuple[int, ...], asked: str) -> None:
    first, last = words[0], words[-1] - 1 if len(words) == 2 else 9
    head = f"HTTP/1.1 206 P\r\nContent-Range: bytes {first}-{last}/10\r\nContent-Length: 2\r\n\r\nab"
    async with store(saying(head.encode())) as there, wire() as one:
        assert await read(one, there.url, *words, headers={"authorization": "Bearer t"}) == (206, b"ab")
    assert f"range: {asked}\r\n" in there.heads[0].decode().lower()
    assert b"Bearer t" in there.heads[0]


@pytest.mark.parametrize(
    "said",
    [
        *("", "bytes 0-1/10", "bytes 5-12/20", "bytes */10", "lines 5-6/10"),
        *("bytes \u00b2-6/10", f"bytes 5-{'9' * 5000}/10"),  # no numbers, whatever isdigit says
    ],
    ids=lambda said: said[:12],
)
async def test_a_range_that_was_not_asked_for_is_not_taken(said: str) -> None:
    head = f"HTTP/1.1 206 P\r\nContent-Range: {said}\r\nContent-Length: 2\r\n\r\nab"
    async with store(saying(head.encode("latin-1"))) as there, wire() as one:
        with pytest.raises(ReplyLost, match="another range"):
            await read(one, there.url, 5, 7)


@pytest.mark.parametrize("length", ["Content-Length: 4\r\n\r\nabcd", TWO_CHUNKS], ids=["length", "chunks"])
async def test_more_bytes_than_were_asked_for_are_not_taken(length: str) -> None:
    head = f"HTTP/1.1 206 P\r\nContent-Range: bytes 5-6/10\r\n{length}"
    async with store(saying(head.encode())) as there, wire() as one:
        with pytest.raises(ReplyLost, match="more bytes"):
            await read(one, there.url, 5, 7)


async def test_a_body_comes_in_pieces_of_at_most_a_mib() -> None:
    size = 3 * PIECE + 7
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    async with store(saying(head + b"x" * size)) as there, wire() as one, one.get(there.url) as reply:
        sizes = [len(piece) async for piece in reply.pieces]
    assert sum(sizes) == size
    assert 0 < min(sizes) <= max(sizes) <= PIECE


@pytest.mark.parametrize("body", [b"x" * PIECE, bytes(range(256)) * (9 * PIECE // 256) + b"end"], ids=len)
async def test_a_large_body_is_read_past_httpcore(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytes_module, "WORTH_A_CONNECTION", PIECE)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with store(saying(head + body)) as there, wire(connections=1) as one:
        for _ in range(2):
            assert await read(one, there.url) == (200, body)
            await asyncio.sleep(0.01)
    assert there.connections == (2 if len(body) > 2 * PIECE else 1), "none is used again in mid-body"


async def test_a_large_body_that_ends_too_early_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytes_module, "WORTH_A_CONNECTION", PIECE)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (4 * PIECE + 5)
    async with store(saying(head + b"x" * 4 * PIECE, close=True)) as there, wire() as one:
        with pytest.raises(ReplyLost, match="5 bytes before its end"):
            await read(one, there.url)
    async with store(saying(head + b"x" * 4 * PIECE)) as there, wire(read_seconds=0.1) as one:
        with pytest.raises(ReplyLost, match="ReadTimeout"):
            await read(one, there.url)


async def test_a_body_in_chunks_is_not_read_past_httpcore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytes_module, "WORTH_A_CONNECTION", 1)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
    async with store(saying(head + chunks)) as there, wire() as one:
        assert await read(one, there.url) == (200, b"abcde")


async def test_a_body_waits_for_whoever_reads_it_slowly() -> None:
    body = bytes(range(256)) * (16 * PIECE // 256)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with store(saying(head + body)) as there, wire() as one, one.get(there.url) as reply:
        first = await anext(reply.pieces)
        await asyncio.sleep(0.1)
        assert first + b"".join([piece async for piece in reply.pieces]) == body


async def test_a_body_goes_out_with_its_length_and_in_no_chunks() -> None:
    async with store(keep_body) as there, wire() as one:
        reply = await one.put(f"{there.url}/p?{QUERY}", 5, sent(b"ab", b"", b"cde"))
        empty = await one.put(f"{there.url}/p?{QUERY}", 0, sent())
    assert (reply.status, reply.headers["etag"], reply.body) == (200, '"e5"', b"")
    assert empty.headers["etag"] == '"e0"'
    for head in there.heads:
        assert b"content-length: " in head.lower()
        assert b"transfer-encoding" not in head.lower()
        assert b"authorization" not in head.lower()
    assert there.connections == 1, "a connection is used again"


@pytest.mark.parametrize("pieces", [(b"abc",), (b"abc", b"def")], ids=["short", "long"])
async def test_another_number_of_bytes_than_announced_is_an_error(pieces: tuple[bytes, ...]) -> None:
    async with store(keep_body) as there, wire() as one:
        with pytest.raises(ReplyLost, match="another number"):
            await one.put(there.url, 5, sent(*pieces))
        assert (await one.put(there.url, 1, sent(b"x"))).status == 200


async def test_an_error_of_the_pieces_is_told_as_it_is_and_the_wire_goes_on() -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"ab"
        raise TransferError("it changed")

    async with store(keep_body) as there, wire(connections=1) as one:
        with pytest.raises(TransferError, match="it changed"):
            await one.put(there.url, 5, breaking())
        assert (await one.put(there.url, 1, sent(b"x"))).status == 200


async def test_an_answer_that_comes_before_all_is_sent_is_read() -> None:
    said = b"<Error><Code>AccessDenied</Code></Error>"
    head = b"HTTP/1.1 403 F\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(said)

    async def refuse(head_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + said)
        while await reader.read(1 << 16):  # a store reads on for a while, or the answer would be lost
            pass

    async with store(refuse) as there, wire() as one:
        size = 8 * PIECE
        reply = await one.put(there.url, size, sent(*[b"x" * PIECE] * 8))
    assert (reply.status, reply.body) == (403, said)


async def test_the_words_of_an_answer_have_an_end() -> None:
    size = 5 * LONGEST_ANSWER

    async def talk(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"HTTP/1.1 500 E\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    async with store(talk) as there, wire() as one:
        assert len((await one.put(there.url, 1, sent(b"x"))).body) == LONGEST_ANSWER


async def test_an_answer_without_end_is_not_waited_for() -> None:
    async def talk(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"HTTP/1.1 500 E\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()

    async with store(talk) as there, wire() as one, asyncio.timeout(20):
        assert (await one.put(there.url, 1, sent(b"x"))).body == b"x" * LONGEST_ANSWER


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_reply(status: int) -> None:
    said = f"HTTP/1.1 {status} Go\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n"
    async with store(saying(said.encode())) as there, wire() as one:
        assert (await read(one, there.url))[0] == status
    assert len(there.heads) == 1


@pytest.mark.parametrize(
    "url",
    [
        f"http://no-such-host.invalid/?{QUERY}",
        f"ftp://127.0.0.1/?{QUERY}",
        f"/no/host?{QUERY}",
        f"http://[::1?{QUERY}",
        f"http://127.0.0.1:port/?{QUERY}",
        f"http://127.0.0.1/ä?{QUERY}",
        f"http://a..b/?{QUERY}",
        "",
    ],
)
async def test_a_link_that_leads_nowhere_was_not_sent_and_is_not_repeated(url: str) -> None:
    async with wire() as one:
        with pytest.raises(NotSent) as caught:
            await read(one, url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_refused_connection_was_not_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/?{QUERY}"
    async with wire() as one:
        with pytest.raises(NotSent) as caught:
            await one.put(url, 1, sent(b"x"))
    assert "hunter2" not in str(caught.value)


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", LENGTH + b"half", b"SSH-2.0-OpenSSH_9\r\n"], ids=str)
async def test_a_reply_that_ends_too_early_is_lost(said: bytes) -> None:
    async with store(saying(said, close=True)) as there, wire() as one:
        with pytest.raises(ReplyLost) as caught:
            await read(one, f"{there.url}/?{QUERY}")
    assert "hunter2" not in str(caught.value)
    assert len(there.heads) == 1


@pytest.mark.parametrize("said", [b"", LENGTH + b"half"], ids=["before", "within"])
async def test_silence_beyond_the_limit_loses_the_reply(said: bytes) -> None:
    async with store(saying(said)) as there, wire(read_seconds=0.1) as one:
        with pytest.raises(ReplyLost, match="ReadTimeout"):
            await read(one, there.url)


async def test_a_store_that_takes_no_more_bytes_is_silent_too() -> None:
    async def stall(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with store(stall) as there, wire(read_seconds=0.2) as one:
        with pytest.raises(ReplyLost, match="Timeout"):
            await one.put(there.url, 64 * PIECE, sent(*[b"x" * PIECE] * 64))


async def test_what_is_cancelled_leaves_its_connection_to_nobody() -> None:
    async with store(saying(LENGTH + b"half")) as there, wire(connections=1) as one:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await read(one, there.url)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await read(one, there.url)
    assert there.connections == 2


async def test_a_body_left_in_its_middle_frees_the_wire() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (4 * PIECE)
    async with store(saying(head + b"x" * 4 * PIECE)) as there, wire(connections=1) as one:
        for _ in range(3):
            async with one.get(there.url) as reply:
                assert await anext(reply.pieces)
    assert len(there.heads) == 3


async def test_more_than_there_are_connections_wait_for_one() -> None:
    async with store(keep_body) as there, wire(connections=2) as one:
        await asyncio.gather(*[one.put(there.url, 1, sent(b"x")) for _ in range(8)])
    assert there.connections == 2


async def test_a_header_that_cannot_be_written_is_not_repeated() -> None:
    async with store(keep_body) as there, wire() as one:
        for value in ("Bearer hunter2\n", "Bearer hunter2ä"):
            with pytest.raises((NotSent, ReplyLost)) as caught:
                await read(one, there.url, headers={"authorization": value})
            assert "hunter2" not in str(caught.value)
    assert not there.heads


async def test_a_proxy_gets_its_own_password_and_tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    said = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with store(saying(said)) as there:
        proxy = there.url.replace("http://", "http://me:hunter2@")
        async with wire(proxy=proxy) as one:
            with pytest.raises(NotSent) as caught:
                await read(one, "https://store.invalid/")
        monkeypatch.setenv("https_proxy", there.url)
        monkeypatch.setenv("no_proxy", "near.invalid")
        async with wire() as one:
            with pytest.raises(NotSent):
                await read(one, "https://store.invalid/")
            with pytest.raises(NotSent):
                await read(one, "https://near.invalid/")
    assert [head.split(b" HTTP")[0] for head in there.heads] == [b"CONNECT store.invalid:443"] * 2
    assert b"Proxy-Authorization: Basic bWU6aHVudGVyMg==" in there.heads[0]
    assert "hunter2" not in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a key and a certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    made = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out own.pem -days 2 -subj /CN=store"
    named = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made.split(), *named], cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "own.pem").read_bytes())
    return both


async def test_certificates_are_read_off_the_loop_and_once_for_all_who_wait(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    true_trust, threads = bytes_module._trust, []

    def trust(ca_file: str | None) -> ssl.SSLContext:
        threads.append(threading.get_ident())
        return true_trust(ca_file)

    monkeypatch.setattr(bytes_module, "_trust", trust)
    async with wire(ca_file=str(certificate)) as one:
        pools = await asyncio.gather(*(one._pool("https://store.invalid/") for _ in range(3)))
        assert len(set(map(id, pools))) == 1
    assert threading.get_ident() not in threads
    async with wire(ca_file=str(tmp_path / "missing.pem")) as one:
        with pytest.raises(NotSent, match=r"the ca_file .*missing\.pem cannot be used: No such file"):
            await read(one, "https://store.invalid/")


async def test_tls_is_spoken_with_those_whom_the_ca_file_names(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    body = b"0123456789" * 600_000
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with store(saying(reply), tls) as there:
        async with wire(ca_file=str(certificate)) as one:
            assert await read(one, there.url) == (200, body)
            assert await read(one, there.url) == (200, body)
            assert there.connections == 1
            monkeypatch.setattr(bytes_module, "WORTH_A_CONNECTION", PIECE)
            assert await read(one, there.url) == (200, body)
        async with wire() as stranger:
            with pytest.raises(NotSent, match="certificate"):
                await read(stranger, there.url)


class Flow:
    """A transport that is told when to pause."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def set_write_buffer_limits(self, high: int) -> None: ...

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


def connected() -> tuple[WideStream, Flow]:
    stream, flow = WideStream(), Flow()
    stream.connection_made(flow)  # type: ignore[arg-type]
    return stream, flow


def comes(stream: WideStream, turn: int, count: int | None = None) -> bytes:
    into = stream.get_buffer(-1)[:count]
    into[:] = bytes([turn]) * len(into)
    stream.buffer_updated(len(into))
    return bytes(into)


async def test_a_connection_pauses_only_while_nobody_reads() -> None:
    stream, flow = connected()
    for turn in range(5):
        assert comes(stream, turn) == await stream.read(PIECE)
    assert "pause" not in flow.told
    waiting = comes(stream, 1)
    assert "pause" not in flow.told
    waiting += comes(stream, 2)
    assert flow.told[-1] == "pause"
    assert await stream.read(PIECE) + await stream.read(PIECE) == waiting
    assert flow.told[-1] == "resume"


@pytest.mark.parametrize("count", [1_000, 100_000, MOST_AT_ONCE])
async def test_what_was_taken_is_never_written_to_again(count: int) -> None:
    stream, _ = connected()
    came, taken = b"", list[memoryview]()
    for turn in range(64):
        came += comes(stream, turn, count)
        if turn % 3 == 2 or count == MOST_AT_ONCE:  # several arrivals lie together until they are taken
            taken.append(await stream.take())
    while len(came) > sum(map(len, taken)):
        taken.append(await stream.take())
    assert b"".join(taken) == came
    assert max(map(len, taken)) <= PIECE
    assert len(taken) <= 64
