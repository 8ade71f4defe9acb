"""OAuth2 client credentials (RFC 6749 §4.4): a program that speaks for itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable
from urllib.parse import quote

from iri_common.auth.endpoint import token_from
from iri_common.model.ports import Token, TokenExchange, WireRequest


class ClientCredentials:
    """Fetches tokens with a client id and secret.

    Args:
        token_url: The token endpoint.
        client_id: Of the program.
        secret: The secret, or a callable that reads it when it is needed.
        scope: Blank-separated, where the endpoint wants any.
        clock: Seconds since the epoch.
    """

    renewable = True

    def __init__(
        self,
        token_url: str,
        client_id: str,
        secret: str | Callable[[], str],
        scope: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._secret = secret
        self._scope = scope
        self._clock = clock
        digest = "" if callable(secret) else hashlib.sha256(secret.encode()).hexdigest()[:8]
        self._digest = f" (…{digest})" if digest else ""

    @property
    def identity(self) -> str:
        """Client, endpoint and scope, and a short digest of a secret in hand: a corrected one is another."""
        scope = f" for {self._scope}" if self._scope else ""
        return f"client {self._client_id} of {self._token_url}{scope}{self._digest}"

    def __repr__(self) -> str:
        return f"ClientCredentials({self.identity})"

    def __reduce__(self) -> str:
        raise TypeError("a credential is not pickled: hand over the name of its source instead")

    async def fetch(self, send: TokenExchange) -> Token:
        """Ask the token endpoint.

        Raises:
            AuthError: if it refuses the client.
            Unreachable: if it does not answer.
        """
        asked_at = self._clock()
        form = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        request = WireRequest(
            "POST", self._token_url, headers={"authorization": await self._basic()}, form=form
        )
        return await token_from(
            send,
            request,
            asked_at=asked_at,
            client=f"client {self._client_id}",
            advice="Check client id and secret, and whether the client has expired",
        )

    async def _basic(self) -> str:
        secret = await asyncio.to_thread(self._secret) if callable(self._secret) else self._secret
        # RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
        pair = f"{quote(self._client_id, safe='')}:{quote(secret, safe='')}"
        return "Basic " + base64.b64encode(pair.encode()).decode()
