"""Replies caught before they leave, and the replies that faults put in their place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .manners import Manners, phrase
from .orders import Body

_GATEWAY_PAGE = """\
<!DOCTYPE html>
<html><head><title>{status} {phrase}</title></head>
<body><center><h1>{status} {phrase}</h1></center><hr><center>gateway</center></body></html>
"""
_HTML, _PLAIN = "text/html; charset=utf-8", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Reply:
    """A whole reply."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    body: bytes = b""

    def with_body(self, body: bytes, media_type: str | None = None) -> Reply:
        """This reply with another body that claims to be complete."""
        dropped = {b"content-length", *([b"content-type"] if media_type else [])}
        headers = [(name, value) for name, value in self.headers if name.lower() not in dropped]
        headers.append((b"content-length", str(len(body)).encode()))
        if media_type:
            headers.append((b"content-type", media_type.encode()))
        return replace(self, headers=headers, body=body)

    async def send(self, send: Send, pieces: Iterable[bytes] | None = None) -> None:
        """Send it: all, or just the beginning that ``pieces`` are."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        if pieces is None:
            await send({"type": "http.response.body", "body": self.body})
        else:
            for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})


async def catch(app: ASGIApp, scope: Scope, receive: Receive) -> Reply:
    """The reply of an application, none of it sent."""
    start: Message = {"status": 500, "headers": []}
    body = bytearray()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return Reply(start["status"], list(start.get("headers", [])), bytes(body))


def invented(
    scope: Scope, manners: Manners, status: int, body: Body, retry_after: str | int | None, detail: str
) -> Reply:
    """A reply that no face has written, in the manners of one."""
    said = phrase(status)
    headers: list[tuple[bytes, bytes]] = []
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    reply = Reply(status, headers)
    match body:
        case "html":
            return reply.with_body(_GATEWAY_PAGE.format(status=status, phrase=said).encode(), _HTML)
        case "plain":
            return reply.with_body(f"{said}\n".encode(), _PLAIN)
        case "empty":
            return reply.with_body(b"")
        case _:
            document = manners.refusal(status, detail, scope["path"])
            return reply.with_body(json.dumps(document).encode(), manners.media_type)


def garbled(reply: Reply, body: Body) -> Reply:
    """A reply whose status tells the truth and whose body does not."""
    match body:
        case "html":
            page = _GATEWAY_PAGE.format(status=reply.status, phrase=phrase(reply.status))
            return reply.with_body(page.encode(), _HTML)
        case "plain":
            return reply.with_body(b"OK\n", _PLAIN)
        case "empty":
            return reply.with_body(b"")
        case _:
            return reply.with_body(reply.body[: len(reply.body) // 2])


def emptied(reply: Reply) -> Reply:
    """A reply whose lists have nothing in them."""
    try:
        document: Any = json.loads(reply.body)
    except ValueError:
        return reply
    if isinstance(document, list):
        document = []
    elif isinstance(document, dict):
        members: dict[str, Any] = document
        document = {name: [] if isinstance(value, list) else value for name, value in members.items()}
    return reply.with_body(json.dumps(document).encode())
