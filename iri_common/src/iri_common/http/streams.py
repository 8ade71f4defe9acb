"""Connections for many bytes: asyncio's own streams under httpcore."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Generator, Iterable
from typing import Any

import httpcore

MOST_AT_ONCE = 1024 * 1024  # bytes that one read takes, and that wait in a connection's buffer


class WideStream(httpcore.AsyncNetworkStream):
    """A connection that hands over all that has arrived.

    httpcore asks for 64 KiB at a time, and its own streams give no more than one TLS record of 16 KiB: most
    of the time would be spent on asking.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Whatever is there, at least a byte; b"" at the end."""
        with _told_as(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                return await self._reader.read(MOST_AT_ONCE)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; waits while the other side takes nothing."""
        with _told_as(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()

    async def aclose(self) -> None:
        """Close at once: what had to be said has been said."""
        self._writer.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Go on in TLS."""
        try:
            with _told_as(httpcore.ConnectTimeout, httpcore.ConnectError):
                async with asyncio.timeout(timeout):
                    await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except BaseException:
            await self.aclose()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """``is_readable`` of an idle connection means that the other side has closed it."""
        if info == "is_readable":
            return self._reader.at_eof() or self._writer.is_closing()
        return self._writer.get_extra_info(info)


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
        with _told_as(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(
                    host, port, limit=MOST_AT_ONCE, happy_eyeballs_delay=0.25
                )
        writer.transport.set_write_buffer_limits(MOST_AT_ONCE)
        return WideStream(reader, writer)

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
