"""A person's name and password at a token endpoint (RFC 6749 §4.3), where a facility's Keycloak allows it."""

from __future__ import annotations

import time
from collections.abc import Callable

from iri_common.auth.endpoint import Ask, EndpointSource, ReadSecret


class PasswordGrant(EndpointSource):
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

    def __init__(
        self,
        token_url: str,
        client_id: str,
        user: str,
        password: ReadSecret,
        secret: ReadSecret | None = None,
        scope: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(token_url, scope, clock)
        self._client_id = client_id
        self._user = user
        self._password = password
        self._secret = secret

    @property
    def identity(self) -> str:
        """User, client, endpoint and scope, and where the secrets are."""
        who = f"user {self._user} through client {self._client_id}"
        return self._named(who, self._password, self._secret)

    def proof(self) -> str:
        """The person's, and the application's."""
        return "\0".join([self._password(), self._secret() if self._secret else ""])

    def ask(self, now: int) -> Ask:
        """Who they are, all in the form."""
        password = self._password()
        form = {
            "grant_type": "password",
            "client_id": self._client_id,
            "username": self._user,
            "password": password,
        }
        if self._secret is not None:
            form["client_secret"] = self._secret()
        return Ask(
            client=f"user {self._user}",
            advice="Check name and password, and whether this application may ask with them",
            form=form,
            secrets=(password, form.get("client_secret", "")),
        )
