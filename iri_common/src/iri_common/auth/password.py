"""A person's name and password at a token endpoint (RFC 6749 §4.3), where a facility's Keycloak allows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from iri_common.auth.endpoint import token_from
from iri_common.model.ports import Token, TokenExchange, WireRequest


class PasswordGrant:
    """Fetches tokens with a user's name and password.

    Args:
        token_url: The token endpoint.
        client_id: Of the application that the endpoint knows.
        user: Name of the person.
        password: Reads it when it is needed; never shown.
        secret: Reads the application's secret, where it has one.
        scope: Blank-separated, where the endpoint wants any.
        clock: Seconds since the epoch.
    """

    renewable = True

    def __init__(
        self,
        token_url: str,
        client_id: str,
        user: str,
        password: Callable[[], str],
        secret: Callable[[], str] | None = None,
        scope: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._user = user
        self._password = password
        self._secret = secret
        self._scope = scope
        self._clock = clock

    @property
    def identity(self) -> str:
        """User, client, endpoint and scope."""
        scope = f" for {self._scope}" if self._scope else ""
        return f"user {self._user} through client {self._client_id} of {self._token_url}{scope}"

    def __repr__(self) -> str:
        return f"PasswordGrant({self.identity})"

    def __reduce__(self) -> str:
        raise TypeError("a credential is not pickled: hand over the name of its source instead")

    async def fetch(self, send: TokenExchange) -> Token:
        """Ask the token endpoint.

        Raises:
            AuthError: if the password cannot be read, or the endpoint refuses it.
            Unreachable: if the endpoint does not answer.
        """
        asked_at = self._clock()
        form = {
            "grant_type": "password",
            "client_id": self._client_id,
            "username": self._user,
            "password": await asyncio.to_thread(self._password),
        }
        if self._secret is not None:
            form["client_secret"] = await asyncio.to_thread(self._secret)
        if self._scope:
            form["scope"] = self._scope
        return await token_from(
            send,
            WireRequest("POST", self._token_url, form=form),
            asked_at=asked_at,
            client=f"user {self._user}",
            advice="Check name and password, and whether this application may ask with them",
        )
