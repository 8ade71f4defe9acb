"""A relay before a facility that loses, delays and replaces replies, as gateways do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

GATEWAY_PAGE = b"<html><head><title>%d</title></head><body>nginx</body></html>"


@dataclass(frozen=True)
class Fault:
    """What happens to a request whose method and path fit the pattern.

    Attributes:
        pattern: A regular expression, searched in ``METHOD /path``.
        forwarded: Whether the facility gets to see the request.
        reply: Bytes in place of the facility's reply; b"" closes the connection without any, None passes
            the true one on.
        delay: Seconds before the reply is passed on.
        times: How often it happens.
    """

    pattern: str
    forwarded: bool = True
    reply: bytes | None = None
    delay: float = 0.0
    times: int = 1


def lose(pattern: str, **words) -> Fault:
    """The facility does it; nobody learns of it."""
    return Fault(pattern, reply=b"", **words)


def unseen(pattern: str, **words) -> Fault:
    """The connection ends before the facility has seen the request."""
    return Fault(pattern, forwarded=False, reply=b"", **words)


def page(pattern: str, status: int, **words) -> Fault:
    """A gateway's page in place of the reply."""
    return Fault(pattern, reply=http(status, GATEWAY_PAGE % status, "text/html"), **words)


def told(pattern: str, value: object, **words) -> Fault:
    """JSON of the test's choice in place of the reply."""
    return Fault(pattern, reply=http(200, json.dumps(value).encode(), "application/json"), **words)


def http(status: int, body: bytes, kind: str) -> bytes:
    """A reply on the wire."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


class Relay:
    """Listens on loopback in a thread of its own; one request a connection, so that faults stay apart.

    Args:
        url: The facility's base URL.
        tls: Speak TLS to those who come, with the certificate in it.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._parts = urlsplit(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        self.on_request: Callable[[str], None] = lambda line: None

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http{'s' if self._tls else ''}://127.0.0.1:{port}{self._parts.path}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def asked(self, pattern: str) -> int:
        """How many requests fitted."""
        return sum(1 for line in self.seen if re.search(pattern, line))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head, body = await _message(reader)
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            line = f"{method} {path}"
            self.seen.append(line)
            self.on_request(line)
            writer.write(await self._answer(line, head, body))
            await writer.drain()
        writer.close()

    async def _answer(self, line: str, head: bytes, body: bytes) -> bytes:
        fault = self._fault(line)
        true = await self._forward(head, body) if fault is None or fault.forwarded else b""
        if fault is None:
            return true
        await asyncio.sleep(fault.delay)
        return true if fault.reply is None else fault.reply

    def _fault(self, line: str) -> Fault | None:
        for position, fault in enumerate(self.faults):
            if re.search(fault.pattern, line):
                if fault.times <= 1:
                    del self.faults[position]
                else:
                    words = {**vars(fault), "times": fault.times - 1}
                    self.faults[position] = Fault(**words)
                return fault
        return None

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        try:
            reader, writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except ConnectionError:
            return b""  # the facility is down: so is its gateway
        writer.write(_closing(head) + body)
        await writer.drain()
        reply = await reader.read()
        writer.close()
        return reply


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return head, await reader.readexactly(int(length.group(1))) if length else b""


def _closing(head: bytes) -> bytes:
    head = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head)
    return head[:-2] + b"Connection: close\r\n\r\n"
