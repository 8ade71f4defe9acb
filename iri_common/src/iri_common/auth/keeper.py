"""Keeps the current token of one source: fetched once for all who wait, before it expires."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from iri_common.model.errors import AuthError, IriError
from iri_common.model.ports import Token, TokenExchange, TokenSource

REFRESH_AHEAD = 0.1  # of a token's life, and
AT_LEAST_AHEAD = 5.0  # seconds: a request under way must not outlive its token


class TokenKeeper:
    """One token for all callers of a door.

    Args:
        source: Where tokens come from.
        exchange: The wire that a source may use.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, source: TokenSource, exchange: TokenExchange, clock: Callable[[], float] = time.time
    ) -> None:
        self._source = source
        self._exchange = exchange
        self._clock = clock
        self._token: Token | None = None
        self._renew_at: float | None = None
        self._lock = asyncio.Lock()

    @property
    def identity(self) -> str:
        """Names the credential without telling it."""
        return self._source.identity

    @property
    def renewable(self) -> bool:
        """Whether a refused token can be replaced without a person."""
        return self._source.renewable

    async def token(self) -> Token:
        """The token to use now; callers that come while one is fetched wait for that one.

        Raises:
            AuthError: if the source gives none.
        """
        async with self._lock:
            if self._token is None or (self._renew_at is not None and self._clock() >= self._renew_at):
                self._token = await self._fetch()
            return self._token

    def refused(self, token: Token) -> None:
        """The facility did not take it. Ignored if another caller has replaced that one already."""
        if self._token is token:
            self._token = None

    async def _fetch(self) -> Token:
        try:
            token = await self._source.fetch(self._exchange)
        except IriError:
            raise
        except Exception as error:
            raise AuthError(
                f"no token from {self._source.identity}: {type(error).__name__}: {error}"
            ) from None
        now = self._clock()
        self._renew_at = None
        if token.expires_at is not None and self._source.renewable:
            ahead = max(AT_LEAST_AHEAD, (token.expires_at - now) * REFRESH_AHEAD)
            # A token that lives shorter than the margin is still used for half its life.
            self._renew_at = max(token.expires_at - ahead, now + (token.expires_at - now) / 2)
        return token
