"""OAuth2 client credentials (RFC 6749 §4.4): a program that speaks for itself."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from iri_common.auth.endpoint import Ask, EndpointSource, ReadSecret, basic


class ClientCredentials(EndpointSource):
    """Fetches tokens with a client id and secret.

    Args:
        token_url: The token endpoint.
        client_id: Of the program.
        secret: The secret, or a callable that reads it when it is needed.
        scope: Blank-separated, where the endpoint wants any.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        secret: str | ReadSecret,
        scope: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(token_url, scope, clock, (secret,))
        self._client_id = client_id
        self._secret = secret

    @property
    def identity(self) -> str:
        """With a short digest of a secret in hand: a corrected one is another."""
        named = self._named(f"client {self._client_id}")
        if not isinstance(self._secret, str):
            return named
        return f"{named} (…{hashlib.sha256(self._secret.encode()).hexdigest()[:8]})"

    def proof(self) -> str:
        """The secret."""
        return self._secret if isinstance(self._secret, str) else self._secret()

    def ask(self, now: int) -> Ask:
        """Whose token is wanted, told in a header."""
        secret = self.proof()
        told = basic(self._client_id, secret)
        return Ask(
            client=f"client {self._client_id}",
            advice="Check client id and secret, and whether the client has expired",
            form={"grant_type": "client_credentials"},
            secrets=(told, secret),
            headers={"authorization": f"Basic {told}"},
        )
