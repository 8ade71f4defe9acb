"""Connections for many bytes, under httpcore: what has arrived is taken in one read."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any, cast

import httpcore

MOST_AT_ONCE = 512 * 1024  # bytes that come, or wait to be sent, in one turn of the loop
_LEAST_AT_ONCE = MOST_AT_ONCE // 8  # for less room than that nothing is received
_UNREAD = 2 * MOST_AT_ONCE  # whoever reads takes the first half before the second has come


class WideStream(httpcore.AsyncNetworkStream, asyncio.BufferedProtocol):
    """A connection that hands over all that has arrived.

    httpcore asks for 64 KiB at a time, and its own streams give no more than one TLS record of 16 KiB: most
    of the time would be spent on asking. asyncio's streams copy each byte three times.
    """

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(2 * MOST_AT_ONCE))  # from now on it is only added to
        self._taken = self._filled = 0
        self._before = deque[memoryview]()  # what nobody took of the buffers before
        self._unread = 0
        self._transport: asyncio.Transport | None = None
        self._over = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()  # something arrived, or nothing more will
        self._flowing = asyncio.Event()  # the transport takes bytes
        self._flowing.set()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Whatever is there, at least a byte; b"" at the end."""
        return bytes(await self.take(timeout))

    async def take(self, timeout: float | None = None) -> memoryview:
        """The same where it arrived, never written to again, at most a MiB.

        To copy it once more would cost as much as to receive it.
        """
        with _told_as(httpcore.ReadTimeout, httpcore.ReadError):
            if not self._unread and not self._over:
                self._changed.clear()
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            if not self._unread and self._error is not None:
                raise self._error
        if self._before:
            taken = self._before.popleft()
        else:
            taken, self._taken = self._buffer[self._taken : self._filled], self._filled
        self._unread -= len(taken)
        if taken and not self._over:
            self._open.resume_reading()
        return taken

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; waits while the other side takes nothing."""
        with _told_as(httpcore.WriteTimeout, httpcore.WriteError):
            if self._over or self._open.is_closing():
                raise self._error or ConnectionResetError("the connection is closed")
            self._open.write(buffer)
            async with asyncio.timeout(timeout):
                await self._flowing.wait()

    async def aclose(self) -> None:
        """Close at once: what had to be said has been said."""
        self._open.abort()
        await asyncio.sleep(0)  # the loop's next turn lets go of the socket

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Go on in TLS."""
        loop = asyncio.get_running_loop()
        try:
            with _told_as(httpcore.ConnectTimeout, httpcore.ConnectError):
                async with asyncio.timeout(timeout):
                    inner = await loop.start_tls(
                        self._open, self, ssl_context, server_hostname=server_hostname
                    )
        except BaseException:
            await self.aclose()
            raise
        if inner is None:
            raise httpcore.ConnectError("the connection was closed as TLS began")
        self.connection_made(inner)
        return self

    def get_extra_info(self, info: str) -> Any:
        """``is_readable`` of an idle connection means that the other side has closed it."""
        if info == "is_readable":
            return self._over or self._unread > 0 or self._open.is_closing()
        return self._open.get_extra_info(info)

    @property
    def _open(self) -> asyncio.Transport:
        if self._transport is None:
            raise ConnectionResetError("the connection is not open")
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop hands over the connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(MOST_AT_ONCE)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        if len(self._buffer) - self._filled < _LEAST_AT_ONCE:
            if self._taken < self._filled:
                self._before.append(self._buffer[self._taken : self._filled])
            self._buffer = memoryview(bytearray(len(self._buffer)))
            self._taken = self._filled = 0
        return self._buffer[self._filled : self._filled + MOST_AT_ONCE]

    def buffer_updated(self, nbytes: int) -> None:
        """They have come."""
        self._filled += nbytes
        self._unread += nbytes
        if self._unread >= _UNREAD:
            self._open.pause_reading()
        self._changed.set()

    def eof_received(self) -> None:
        """No more will."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end(exc)

    def pause_writing(self) -> None:
        """The other side takes less than is sent."""
        self._flowing.clear()

    def resume_writing(self) -> None:
        """It takes more again."""
        self._flowing.set()

    def _end(self, error: Exception | None) -> None:
        self._over, self._error = True, self._error or error
        self._changed.set()
        self._flowing.set()


class WideBackend(httpcore.AsyncNetworkBackend):
    """Opens such connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to whichever address of the host answers first."""
        loop = asyncio.get_running_loop()
        with _told_as(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                _, stream = await loop.create_connection(WideStream, host, port, happy_eyeballs_delay=0.25)
        return stream

    async def sleep(self, seconds: float) -> None:
        """Between the attempts of httpcore, which is told to make none."""
        await asyncio.sleep(seconds)


@contextlib.contextmanager
def _told_as(late: type[Exception], broken: type[Exception]) -> Generator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from None
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that is no name
        raise broken(str(error)) from None
