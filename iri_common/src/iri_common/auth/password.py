"""A person's name and password at a token endpoint (RFC 6749 §4.3), where a facility's Keycloak allows it."""

from __future__ import annotations

import time
from collections.abc import Callable

from iri_common.auth.endpoint import Ask, PersonsSource, ReadSecret


class PasswordGrant(PersonsSource):
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
        super().__init__(token_url, client_id, password, secret, scope, clock)
        self._user = user

    @property
    def identity(self) -> str:
        """User, client, endpoint and scope, and where the secrets are."""
        return self._who(f"user {self._user}")

    def ask(self, now: int) -> Ask:
        """Who they are, all in the form."""
        password = self._held()
        return self._asking(
            f"user {self._user}",
            "Check name and password, and whether this application may ask with them",
            password,
            {"grant_type": "password", "username": self._user, "password": password},
        )
