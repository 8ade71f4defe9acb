"""OAuth2 client credentials (RFC 6749 §4.4): a program that speaks for itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from iri_common.model.errors import AuthError, Unreachable
from iri_common.model.ports import Token, TokenExchange, WireReply, WireRequest
from iri_common.policy.classify import NotSent, ReplyLost


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
        try:
            reply = await send(request)
        except (NotSent, ReplyLost) as error:
            raise Unreachable(f"no answer from the token endpoint {self._token_url}: {error}") from None
        answer = self._read(reply)
        lifetime = answer.get("expires_in")
        expires_at = asked_at + float(lifetime) if isinstance(lifetime, int | float) else None
        return Token(str(answer["access_token"]), expires_at)

    async def _basic(self) -> str:
        secret = await asyncio.to_thread(self._secret) if callable(self._secret) else self._secret
        # RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
        pair = f"{quote(self._client_id, safe='')}:{quote(secret, safe='')}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _read(self, reply: WireReply) -> dict[str, Any]:
        try:
            answer: Any = json.loads(reply.body)
        except ValueError:
            answer = {}
        if reply.status == 200 and isinstance(answer, dict) and answer.get("access_token"):  # pyright: ignore[reportUnknownMemberType]
            return answer  # pyright: ignore[reportUnknownVariableType]
        if reply.status >= 500 or reply.status == 429:
            raise Unreachable(f"the token endpoint {self._token_url} answered HTTP {reply.status}; try later")
        words = answer if isinstance(answer, dict) else {}  # pyright: ignore[reportUnknownVariableType]
        reason = words.get("error_description") or words.get("error") or f"HTTP {reply.status}"  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        raise AuthError(
            f"{self._token_url} gave client {self._client_id} no token: {reason}. "
            "Check client id and secret, and whether the client has expired",
            status=reply.status,
        )
