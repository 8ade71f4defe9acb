"""Links that somebody signed: renewed in time, once for all who use them, and never told to anyone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from typing import Generic, TypeVar

from iri_common.model.dataports import Piece
from iri_common.model.errors import NotFound, PermissionDenied, Refused, TransientError, Unreachable
from iri_common.model.transfer import DownloadLink, PartsUpload
from iri_common.policy.classify import NotSent, ReplyLost
from iri_common.policy.links import Link, link_verdict

L = TypeVar("L", PartsUpload, DownloadLink)

_LIFE_LEFT = 30.0  # seconds that a link is good for when it is used, or a quarter of its life
_LONGEST_WORDS = 64 * 1024  # bytes of a refusal


class StaleLink(PermissionDenied):
    """A link that the store refuses: a fresh one may do."""

    transient = True


class Links(Generic[L]):
    """What is used now, and how another one is got."""

    def __init__(self, first: L, renew: Callable[[L], Awaitable[L]]) -> None:
        self._now = first
        self._since = time.time()
        self._renew = renew
        self._renewing = asyncio.Lock()

    async def good(self) -> L:
        """Links that have some life left."""
        ends = self._now.expires_at
        if ends is not None and time.time() > ends - min(_LIFE_LEFT, (ends - self._since) / 4):
            await self.renew(self._now)
        return self._now

    async def renew(self, stale: L) -> None:
        """Get others for these, unless somebody just did."""
        async with self._renewing:
            if self._now is stale:
                self._since = time.time()
                self._now = await self._renew(stale)


@contextlib.contextmanager
def wire_errors() -> Generator[None]:
    """The two errors of a wire in words of the project; both pass, for a part may be sent again."""
    try:
        yield
    except (NotSent, ReplyLost) as error:
        raise Unreachable(f"no answer from the object store: {error}") from None


def require_fine(status: int, body: bytes) -> None:
    """Raise what a store's refusal means.

    Raises:
        StaleLink: if a fresh link may do.
        TransientError: if the same link may do later.
        NotFound: if the object, or the upload, is not there.
        Refused: else.
    """
    verdict = link_verdict(status, body)
    if verdict.outcome is Link.STALE:
        raise StaleLink(f"the object store refused a signed link: {verdict.detail}", status=status)
    if verdict.outcome is Link.PASSING:
        raise TransientError(f"the object store failed: {verdict.detail}", status=status)
    if verdict.outcome is Link.GONE:
        raise NotFound(f"the object store does not know it: {verdict.detail}", status=status)
    if verdict.outcome is Link.REFUSED:
        raise Refused(f"the object store refused: {verdict.detail}", status=status)


async def words_of(pieces: AsyncIterator[Piece]) -> bytes:
    """The beginning of a body that explains something."""
    said = b""
    async for piece in pieces:
        said += piece
        if len(said) >= _LONGEST_WORDS:
            break
    return said[:_LONGEST_WORDS]


async def from_byte(start: int, pieces: AsyncIterator[Piece]) -> AsyncGenerator[Piece]:
    """What comes without its beginning."""
    async for piece in pieces:
        if start < len(piece):
            yield piece[start:]
        start = max(0, start - len(piece))
