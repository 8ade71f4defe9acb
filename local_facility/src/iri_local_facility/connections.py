"""The open connections of this process's server, so that a fault can break the one a request came by."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.auto import AutoHTTPProtocol

_Protocol: Any = AutoHTTPProtocol  # one of two classes, by what is installed
_open: dict[tuple[str, int], asyncio.Transport] = {}


class TrackedProtocol(_Protocol):
    """uvicorn's HTTP protocol, which tells an application who called but not how to hang up."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Remember the connection."""
        super().connection_made(transport)
        if self.client is not None:
            _open[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self.client is not None:
            _open.pop(self.client, None)
        super().connection_lost(exc)


def hang_up(scope: Scope, *, reset: bool = False) -> None:
    """Close the connection of a request, after what was sent already.

    Args:
        scope: The request.
        reset: Close it as a crash does (RST), not as an orderly end (FIN).
    """
    transport = _transport(scope)
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    raw: Any = transport.get_extra_info("socket")
    # A linger time of zero makes the kernel send RST.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def is_open(scope: Scope) -> bool:
    """Whether the client of a request is there still."""
    return _transport(scope) is not None


def _transport(scope: Scope) -> asyncio.Transport | None:
    client = scope.get("client")
    return _open.get((client[0], client[1])) if client else None
