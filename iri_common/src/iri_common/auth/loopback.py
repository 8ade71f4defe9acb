"""A door of this machine alone, to which a browser comes back once (RFC 8252 §7.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from iri_common.auth.authcode import PATH, CodeRequest
from iri_common.model.errors import AuthError

PATIENCE = 600.0  # seconds for a person to log in
_SLOWEST = 10.0  # seconds for a browser to say what it wants,
_MOST = 16384  # in so many bytes
_WORDS = {
    200: "The browser has done its part, and this page can be closed: the terminal says what came of it.",
    400: "This is not the login that the terminal waits for.",
    404: "There is nothing here.",
}


class Loopback:
    """Waits for the browser of one login; whoever else comes is turned away."""

    def __init__(self) -> None:
        self._request: CodeRequest | None = None
        self._server: asyncio.Server | None = None
        self._came: asyncio.Future[str] | None = None

    async def open(self, login: Callable[[int], CodeRequest]) -> CodeRequest:
        """Listen, for nobody but this machine; gives the login that comes back to our port."""
        self._came = asyncio.get_running_loop().create_future()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MOST)
        self._request = login(self._server.sockets[0].getsockname()[1])
        return self._request

    async def address(self) -> str:
        """The one with which the browser came back.

        Raises:
            AuthError: if it does not.
        """
        assert self._came is not None
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._came
        except TimeoutError:
            raise AuthError(
                f"no browser came back within {PATIENCE / 60:.0f} minutes; nothing has changed"
            ) from None

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(
            OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_SLOWEST):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, address, _ = head.split("\r\n", 1)[0].split(" ")
                writer.write(_page(self._answer(method, address)))
                await writer.drain()
        writer.close()

    def _answer(self, method: str, address: str) -> int:
        if method != "GET" or address.partition("?")[0] != PATH:
            return 404  # a browser also asks for an icon
        if self._came is None or self._came.done() or not (self._request and self._request.ours(address)):
            return 400
        self._came.set_result(address)
        return 200


def _page(status: int) -> bytes:
    text = f"<!doctype html><title>iri login</title><p>{_WORDS[status]}"
    # The address has the code in it: no other page and no cache is to learn it.
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}",
        "content-type: text/html; charset=utf-8",
        f"content-length: {len(text.encode())}",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "content-security-policy: default-src 'none'",
        "connection: close",
    )
    return "\r\n".join([*head, "", text]).encode()
