"""Keeps the current token of one source: fetched once for all who wait, before it expires."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Callable
from typing import cast

from iri_common.model.errors import AuthError, IriError
from iri_common.model.ports import KeepingSource, Token, TokenExchange, TokenSource

log = logging.getLogger(__name__)

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
        self._failures = 0
        self._failure: IriError | None = None
        self._lock = asyncio.Lock()

    @property
    def identity(self) -> str:
        """Names the credential without telling it."""
        return self._source.identity

    @property
    def held(self) -> Token | None:
        """The token as it was last got; None where there was none yet, or it was refused."""
        return self._token

    @property
    def renewable(self) -> bool:
        """Whether a refused token can be replaced without a person."""
        return self._source.renewable

    async def token(self) -> Token:
        """The token to use now; callers that come while one is fetched wait for that one.

        Raises:
            AuthError: if the source gives none.
            TransientError: if the source cannot be asked now, and there is no token that still counts.
        """
        failures = self._failures
        async with self._lock:
            if self._token is not None and (self._renew_at is None or self._clock() < self._renew_at):
                return self._token
            if self._failure is not None and self._failures > failures:
                raise copy.copy(self._failure)  # what the caller before us met while we waited for it
            try:
                self._token = await self._fetch()
            except IriError as error:
                if not error.transient or not self._still_good():
                    self._failures, self._failure = self._failures + 1, error
                    raise
                log.warning(
                    "%s gives no new token (%s); the old one is used while it lasts", self.identity, error
                )
            return cast("Token", self._token)

    async def anew(self) -> Token:
        """The token that the source gives now, though another one counts; the one to use from then on.

        Raises:
            AuthError: if the source gives none.
            TransientError: if the source cannot be asked now.
        """
        self._token = None
        return await self.token()

    def _still_good(self) -> bool:
        now = self._clock()
        if self._token is None or self._token.expires_at is None or self._token.expires_at <= now:
            return False
        # Renewing failed ahead of time: use what is left, and try again before all of it has passed.
        self._renew_at = now + min(30.0, (self._token.expires_at - now) / 2)
        return True

    def refused(self, token: Token) -> None:
        """The facility did not take it. Ignored if another caller has replaced that one already."""
        if self._token is not token:
            return
        self._token = None
        if isinstance(self._source, KeepingSource):
            self._source.refused(token)

    async def _fetch(self) -> Token:
        try:
            token = await self._source.fetch(self._exchange)
        except IriError:
            raise
        except Exception as error:
            raise AuthError(
                f"no token from {self._source.identity}: {type(error).__name__}: {error}"
            ) from None
        if not token.value or any(not 0x21 <= ord(letter) <= 0x7E for letter in token.value):
            raise AuthError(f"what {self._source.identity} gave is not a bearer token")
        now = self._clock()
        self._renew_at = None
        if token.expires_at is not None and self._source.renewable:
            self._renew_at = due(token.expires_at, now)
        return token


def due(expires_at: float, since: float) -> float:
    """When the next token is asked for; one that lives shorter than the margin is used for half its life."""
    life = expires_at - since
    return max(expires_at - max(AT_LEAST_AHEAD, life * REFRESH_AHEAD), since + life / 2)
