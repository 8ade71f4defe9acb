"""A collection's own HTTPS (Globus Connect Server v5.4): ranges of a file, and files written as a stream."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

from iri_common.apis.globus.client import LABEL, GlobusClient
from iri_common.model.dataports import Piece
from iri_common.model.errors import (
    AmbiguousReply,
    AuthError,
    IriError,
    NotFound,
    NotOffered,
    PermissionDenied,
    RateLimited,
    Refused,
    TooLarge,
    TransferError,
    TransientError,
    Unreachable,
)
from iri_common.model.outcome import Done
from iri_common.model.ports import ByteReply, ByteWire
from iri_common.model.transfer import CollectionEnd
from iri_common.policy.classify import NotSent, ReplyLost
from iri_common.policy.collections import to_collection


class CollectionRanges:
    """Bytes of files by path; a :class:`~iri_common.model.ports.RangesApi`.

    Args:
        client: Gives the tokens.
        wire: For the bytes.
        end_of: Which collection and paths a file system's id means.
    """

    def __init__(self, client: GlobusClient, wire: ByteWire, end_of: Callable[[str], CollectionEnd]) -> None:
        self._client = client
        self._wire = wire
        self._end_of = end_of

    @contextlib.asynccontextmanager
    async def read(
        self, resource_id: str, path: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[AsyncIterator[Piece]]:
        """The bytes from ``start`` up to, not including, ``end``; none beyond the end of the file."""
        collection, url = await self._url(resource_id, path)
        for last in (False, True):
            token = await self._client.https_token(collection)
            async with self._asked(url, start, end, token) as reply:
                if reply.status == 401 and not last and await self._client.https_refused(token):
                    continue
                if reply.status == 416:
                    yield _none()
                elif reply.status == 206 or (reply.status == 200 and start == 0 and end is None):
                    yield _translated(reply.pieces)
                else:
                    raise self._refusal("collectionGet", reply.status, reply.headers, path)
            return

    async def write(
        self, resource_id: str, path: str, size: int, pieces: Callable[[], AsyncIterator[bytes]]
    ) -> Done[None]:
        """Write a file of so many bytes; ``pieces`` begins anew each time it is called."""
        collection, url = await self._url(resource_id, path)
        for last in (False, True):
            token = await self._client.https_token(collection)
            try:
                reply = await self._wire.put(url, size, pieces(), _bearer(token))
            except NotSent as error:
                raise _unreachable(error) from None
            except ReplyLost as error:
                raise AmbiguousReply(
                    f"whether {path} was written is not known: {error}", **_context("collectionPut", None)
                ) from None
            if reply.status == 401 and not last and await self._client.https_refused(token):
                continue
            if not 200 <= reply.status < 300:
                raise self._refusal("collectionPut", reply.status, reply.headers, path)
            break
        return Done(None)

    @contextlib.asynccontextmanager
    async def _asked(self, url: str, start: int, end: int | None, token: str) -> AsyncGenerator[ByteReply]:
        try:
            async with self._wire.get(url, start, end, _bearer(token)) as reply:
                yield reply
        except NotSent as error:
            raise _unreachable(error) from None
        except ReplyLost as error:
            raise TransientError(f"the collection's answer was cut: {error}", facility=LABEL) from None

    def _refusal(self, operation: str, status: int, headers: Mapping[str, str], path: str) -> IriError:
        context = _context(operation, status)
        if status == 401:
            whose = self._client.credential.identity
            return AuthError(
                f"{path}: the collection refused the token of {whose}; {self._client.remedy}", **context
            )
        if status in _KINDS:
            words, kind = _KINDS[status]
            return kind(f"{path}: {words}", **context)
        if status >= 500:
            return TransientError(f"{path}: the collection failed (HTTP {status})", **context)
        if status == 200:
            return TransferError(f"{path}: the collection gives no ranges of a file", **context)
        where = " (a redirect, which no token follows)" if "location" in headers else ""
        return Refused(f"{path}: the collection refused, HTTP {status}{where}", **context)

    async def _url(self, resource_id: str, path: str) -> tuple[str, str]:
        end = self._end_of(resource_id)
        inner = to_collection(end, path)
        known = await self._client.collection(end.collection)
        if not known.https:
            raise NotOffered(
                f"the Globus collection {known.name or end.collection} has no HTTPS of its own; "
                "only Globus Transfer moves its files"
            )
        return end.collection, known.https + quote(inner)


def _bearer(token: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {token}"}


async def _none() -> AsyncGenerator[Piece]:
    for piece in ():
        yield piece


async def _translated(pieces: AsyncIterator[Piece]) -> AsyncGenerator[Piece]:
    try:
        async for piece in pieces:
            yield piece
    except ReplyLost as error:
        raise TransientError(f"the collection's answer was cut: {error}", facility=LABEL) from None


def _unreachable(error: Exception) -> Unreachable:
    return Unreachable(f"no answer from the collection: {error}", facility=LABEL)


def _context(operation: str, status: int | None) -> dict[str, Any]:
    return {"facility": LABEL, "operation": operation, "status": status}


_KINDS: Mapping[int, tuple[str, type[IriError]]] = {
    403: ("the collection denies it to this identity", PermissionDenied),
    404: ("the collection has no such file", NotFound),
    413: ("too large for the collection's HTTPS", TooLarge),
    429: ("the collection asks for fewer requests", RateLimited),
    507: ("no space left on the collection's file system", TransferError),
}
