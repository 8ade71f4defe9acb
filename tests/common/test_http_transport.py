"""HttpxTransport against a server that misbehaves: what it calls not sent, and what lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.ports import WireReply, WireRequest
from iri_common.policy.classify import NotSent, ReplyLost

Behaviour = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """A loopback server that reads a request's head and then does what the test says."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.heads: list[bytes] = []


@contextlib.asynccontextmanager
async def server(behave: Behaviour) -> AsyncIterator[Wire]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            wire.heads.append(head)
            await behave(head, reader, writer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    wire = Wire(listening.sockets[0].getsockname()[1])
    async with listening:
        yield wire


async def ask(url: str, request: WireRequest | None = None, **settings: object) -> WireReply:
    transport = HttpxTransport(WireSettings(**{"read_seconds": 5.0, **settings}))  # type: ignore[arg-type]
    try:
        return await transport.send(request or WireRequest("POST", url, json={"a": 1}))
    finally:
        await transport.close()


async def test_a_whole_reply_comes_back_with_header_names_in_lower_case() -> None:
    bodies: list[bytes] = []

    async def behave(head, reader, writer) -> None:
        bodies.append(await reader.readexactly(7))
        writer.write(b"HTTP/1.1 200 OK\r\nX-Request-ID: R1\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with server(behave) as wire:
        request = WireRequest(
            "POST", wire.url, {"authorization": "Bearer t"}, params=[("a", "x y"), ("a", "2")], json={"a": 1}
        )
        reply = await ask(wire.url, request)
    assert (reply.status, reply.headers["x-request-id"], reply.body) == (200, "R1", b"{}")
    head = wire.heads[0].decode().lower()
    assert head.startswith("post /?a=x+y&a=2 ") or head.startswith("post /?a=x%20y&a=2 ")
    assert "authorization: bearer t" in head
    assert "accept: application/json" in head
    assert json.loads(bodies[0]) == {"a": 1}


async def test_a_form_and_a_file_travel_as_such() -> None:
    bodies: list[bytes] = []

    async def behave(head: bytes, reader, writer) -> None:
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        bodies.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    async with server(behave) as wire:
        await ask(wire.url, WireRequest("POST", wire.url, form={"grant_type": "client_credentials"}))
        await ask(wire.url, WireRequest("POST", wire.url, files={"file": ("a.bin", b"\x00\xff")}))
    assert bodies[0] == b"grant_type=client_credentials"
    assert b'name="file"; filename="a.bin"' in bodies[1]
    assert b"\x00\xff" in bodies[1]


async def test_a_refused_connection_was_not_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(NotSent):
        await ask(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "url", ["http://no-such-host.invalid/", "ftp://127.0.0.1/", "/no/host", "http://[::1"]
)
async def test_a_url_that_leads_nowhere_was_not_sent(url: str) -> None:
    with pytest.raises(NotSent):
        await ask(url)


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200",
        LENGTH,
        LENGTH + b"half",
        CHUNKED,
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\njunk",
    ],
    ids=[
        "nothing",
        "part of a line",
        "no body",
        "half a body",
        "no last chunk",
        "not HTTP",
        "no number",
        "not gzip",
    ],
)
async def test_a_connection_that_closes_before_the_end_of_a_reply_lost_it(said: bytes) -> None:
    async def behave(head, reader, writer) -> None:
        writer.write(said)
        await writer.drain()

    async with server(behave) as wire:
        with pytest.raises(ReplyLost):
            await ask(wire.url)
    assert len(wire.heads) == 1, "the transport never sends twice"


async def test_a_connection_that_is_reset_lost_the_reply() -> None:
    async def behave(head, reader, writer) -> None:
        writer.transport.abort()

    async with server(behave) as wire:
        with pytest.raises(ReplyLost):
            await ask(wire.url)


@pytest.mark.parametrize("said", [b"", LENGTH + b"half"], ids=["before", "within"])
async def test_silence_beyond_the_limit_lost_the_reply(said: bytes) -> None:
    async def behave(head, reader, writer) -> None:
        writer.write(said)
        await writer.drain()
        await reader.read()  # until the client gives up

    async with server(behave) as wire:
        with pytest.raises(ReplyLost, match="ReadTimeout"):
            await ask(wire.url, read_seconds=0.1)


async def test_waiting_for_a_free_connection_is_not_silence() -> None:
    async def behave(head, reader, writer) -> None:
        await reader.read()

    async with server(behave) as wire:
        transport = HttpxTransport(WireSettings(read_seconds=0.3, connections=1))
        both = [transport.send(WireRequest("GET", wire.url)) for _ in range(2)]
        ends = await asyncio.gather(*both, return_exceptions=True)
        await transport.close()
    assert {type(end) for end in ends} == {ReplyLost}
    assert len(wire.heads) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async def behave(head, reader, writer) -> None:
        writer.write(
            f"HTTP/1.1 {status} Go\r\nLocation: {wire.url}/else\r\nContent-Length: 0\r\n\r\n".encode()
        )
        await writer.drain()

    async with server(behave) as wire:
        reply = await ask(wire.url, WireRequest("GET", wire.url, {"authorization": "Bearer t"}))
    assert reply.status == status
    assert len(wire.heads) == 1


async def test_a_connection_is_used_again() -> None:
    connections: set[object] = set()

    async def behave(head, reader, writer) -> None:
        connections.add(writer)
        for _ in range(3):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
            await reader.readuntil(b"\r\n\r\n")

    async with server(behave) as wire:
        transport = HttpxTransport(WireSettings())
        for _ in range(3):
            await transport.send(WireRequest("GET", wire.url))
        await transport.close()
    assert len(connections) == 1


async def test_a_header_that_cannot_be_written_is_not_repeated() -> None:
    async def behave(head, reader, writer) -> None: ...

    async with server(behave) as wire:
        with pytest.raises(ReplyLost) as caught:
            await ask(wire.url, WireRequest("GET", wire.url, {"authorization": "Bearer hunter2\n"}))
    assert "hunter2" not in str(caught.value)
    assert not wire.heads


async def test_a_proxy_that_says_no_means_not_sent_and_its_password_stays_hidden() -> None:
    async def behave(head, reader, writer) -> None:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with server(behave) as wire:
        proxy = wire.url.replace("http://", "http://me:hunter2@")
        settings = WireSettings(proxy=proxy)
        with pytest.raises(NotSent) as caught:
            await ask("https://facility.invalid/", proxy=proxy)
    assert wire.heads[0].startswith(b"CONNECT facility.invalid:443 ")
    transport = HttpxTransport(settings)
    assert "hunter2" not in repr(settings) + str(settings) + repr(transport) + str(caught.value)
    await transport.close()


async def test_errors_say_what_kind_they_are_and_drag_no_request_along() -> None:
    async def behave(head, reader, writer) -> None: ...

    async with server(behave) as wire:
        with pytest.raises(ReplyLost) as caught:
            await ask(wire.url, WireRequest("GET", wire.url, {"authorization": "Bearer hunter2"}))
    assert "RemoteProtocolError" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "a traceback would print the request with its headers"
