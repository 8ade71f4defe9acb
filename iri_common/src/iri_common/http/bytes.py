"""The bytes of files over HTTP, streamed both ways; nothing is held in memory as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from typing import Any, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from iri_common.http.hushed import hushed
from iri_common.http.streams import WideBackend, WideStream
from iri_common.http.transport import WireSettings
from iri_common.model.dataports import Piece
from iri_common.model.ports import ByteReply, WireReply
from iri_common.policy.classify import NotSent, ReplyLost

PIECE = 1024 * 1024
WORTH_A_CONNECTION = 256 * PIECE  # what is left of a body, for which it is read past httpcore
LONGEST_ANSWER = 64 * 1024  # bytes of a reply that is read for its words

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})(?:/|$)", re.IGNORECASE)


class HttpBytes:
    """A wire for files, one pool of connections an origin.

    It stands on httpcore, the lower half of httpx: a link is sent as it was signed (httpx writes some of its
    characters anew), and a GiB costs about as much time as it costs curl. Replies are never unpacked.

    Args:
        settings: As for the API of the facility that signs the links.
    """

    def __init__(self, settings: WireSettings) -> None:
        self._settings = settings
        self._tls: ssl.SSLContext | None = None
        self._pools: dict[tuple[str, str], httpcore.AsyncConnectionPool] = {}

    @contextlib.asynccontextmanager
    async def get(
        self, url: str, start: int = 0, end: int | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[ByteReply]:
        """Ask for the bytes from ``start`` up to, not including, ``end``; see the port."""
        asked = dict(headers or {})
        if start or end is not None:
            asked["range"] = f"bytes={start}-{'' if end is None else end - 1}"
        async with self._asked("GET", url, asked) as reply:
            found = _read(reply.headers)
            if reply.status == 206 and not _is_of(found.get("content-range", ""), start, end):
                raise ReplyLost("the server sent another range than the one that was asked for")
            most = end - start if end is not None and reply.status == 206 else None
            yield ByteReply(reply.status, found, self._pieces(reply, most))

    async def put(
        self, url: str, size: int, pieces: AsyncIterator[bytes], headers: Mapping[str, str] | None = None
    ) -> WireReply:
        """Send so many bytes, once; see the port."""
        # With a length httpcore sends no chunks, which S3 refuses.
        sent = {**(headers or {}), "content-length": str(size)}
        return await self._answered("PUT", url, sent, _exactly(pieces, size))

    async def post(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> WireReply:
        """Send a document, once; see the port."""
        sent = {**(headers or {}), "content-length": str(len(content))}
        return await self._answered("POST", url, sent, content)

    async def close(self) -> None:
        """Close the connections."""
        pools, self._pools = self._pools, {}
        for each in pools.values():
            await each.aclose()

    async def _answered(
        self, method: str, url: str, headers: Mapping[str, str], content: AsyncIterator[bytes] | bytes
    ) -> WireReply:
        async with self._asked(method, url, headers, content) as reply:
            body = b""
            async with contextlib.aclosing(self._pieces(reply)) as pieces:
                async for piece in pieces:
                    body += piece[: LONGEST_ANSWER - len(body)]
                    if len(body) == LONGEST_ANSWER:
                        break
            return WireReply(reply.status, _read(reply.headers), body)

    @contextlib.asynccontextmanager
    async def _asked(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: AsyncIterator[bytes] | bytes | None = None,
    ) -> AsyncGenerator[httpcore.Response]:
        async with contextlib.AsyncExitStack() as stack:
            with _errors(), hushed():
                request = (await self._pool(url)).stream(
                    method,
                    _link(url),
                    headers=_written(headers),
                    content=content,
                    extensions=self._patience(),
                )
                reply = await stack.enter_async_context(request)
            yield reply

    async def _pieces(self, reply: httpcore.Response, most: int | None = None) -> AsyncGenerator[Piece]:
        left = _length(_read(reply.headers))
        taken = 0
        with _errors():
            chunks = reply.aiter_stream()  # held here: who lets go of it closes the connection
            async for chunk in chunks:
                taken += len(chunk)
                left -= len(chunk)
                if most is not None and taken + max(left, 0) > most:
                    raise ReplyLost("more bytes came than were asked for")
                for begin in range(0, len(chunk), PIECE):
                    yield chunk if len(chunk) <= PIECE else chunk[begin : begin + PIECE]
                if left >= WORTH_A_CONNECTION:
                    # httpcore copies each byte three times more. Once it has given a chunk it keeps none
                    # back; a connection whose body it did not see end it closes.
                    async for piece in _rest(reply, left, self._settings.read_seconds):
                        yield piece
                    return

    async def _pool(self, url: str) -> httpcore.AsyncConnectionPool:
        origin = _origin(url)
        if origin[0] == "https" and self._tls is None:
            tls = await asyncio.to_thread(_trust, self._settings.ca_file)  # it reads files
            self._tls = self._tls or tls
        if origin not in self._pools:
            self._pools[origin] = httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                proxy=_proxy(self._settings.proxy or _proxy_of_environment(*origin)),
                max_connections=self._settings.connections,
                keepalive_expiry=30.0,
                network_backend=WideBackend(),
            )
        return self._pools[origin]

    def _patience(self) -> dict[str, object]:
        silence = self._settings.read_seconds
        connect = self._settings.connect_seconds
        # Parts wait for a free connection while others are sent, however long those take.
        return {"timeout": {"connect": connect, "read": silence, "write": silence, "pool": None}}


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _no_link() from None
    return parts.scheme, parts.netloc


def _link(url: str) -> httpcore.URL:
    try:
        return httpcore.URL(url)
    except (ValueError, TypeError):  # TypeError: characters that no URL has
        raise _no_link() from None


def _no_link() -> NotSent:
    return NotSent("the link is no http or https URL")  # no more of it: a signed one is a secret


def _written(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    ours = {"user-agent": "iri-workflows", "accept": "*/*", "accept-encoding": "identity"}
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in {**ours, **headers}.items()]
    except UnicodeError:
        raise NotSent("a header has characters that HTTP has no place for") from None


def _read(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("ascii").lower(): value.decode("latin-1") for name, value in headers}


async def _rest(reply: httpcore.Response, count: int, silence: float) -> AsyncIterator[memoryview]:
    extensions = cast("Mapping[str, Any]", reply.extensions)  # pyright: ignore[reportUnknownMemberType]
    stream: WideStream = extensions["network_stream"]
    while count:
        piece = (await stream.take(silence))[:count]
        if not piece:
            raise httpcore.RemoteProtocolError(f"the connection was closed {count} bytes before its end")
        count -= len(piece)
        yield piece


def _length(headers: Mapping[str, str]) -> int:
    """Of a body, as far as that is told."""
    length = "" if "transfer-encoding" in headers else headers.get("content-length", "")
    return int(length) if length.isdigit() else 0


async def _exactly(pieces: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    async for piece in pieces:
        size -= len(piece)
        if size < 0:
            break
        yield piece
    if size:
        raise ReplyLost("another number of bytes came to be sent than was announced")


def _is_of(content_range: str, start: int, end: int | None) -> bool:
    # "bytes 5-9/100": a file that ends before the end that was asked for gives less.
    given = _RANGE.match(content_range)
    return given is not None and int(given[1]) == start and (end is None or int(given[2]) < end)


def _trust(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except OSError as error:
        which = f"the ca_file {ca_file}" if ca_file else "the certificates of this machine"
        raise NotSent(f"{which} cannot be used: {error.strerror or error}") from None


def _proxy(url: str | None) -> httpcore.Proxy | None:
    if not url:
        return None
    parts = urlsplit(url)
    known = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore.Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", auth=known)


def _proxy_of_environment(scheme: str, host: str) -> str | None:
    named = getproxies()
    return None if proxy_bypass(host) else named.get(scheme) or named.get("all")


@contextlib.contextmanager
def _errors() -> Generator[None]:
    """Errors of the wire as the transport tells them."""
    try:
        yield
    except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.ProxyError) as error:
        raise NotSent(_words(error)) from None
    except httpcore.UnsupportedProtocol:
        raise _no_link() from None
    except httpcore.LocalProtocolError:
        # Its words may repeat a header.
        raise ReplyLost("LocalProtocolError: the request breaks the rules of HTTP") from None
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise ReplyLost(_words(error)) from None


def _words(error: Exception) -> str:
    kind = type(error).__name__
    return f"{kind}: {error}" if str(error) else kind
