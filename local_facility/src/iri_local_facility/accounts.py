"""People of the facility: users, their projects and areas on disk, and their bearer tokens."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import Missing
from .paths import Areas
from .settings import Settings
from .store import Store

CLIENT_ID = "local-client"


class BadToken(Exception):
    """A bearer token that does not identify a user; the text says what is wrong with it."""


@dataclass(frozen=True)
class User:
    """A user as the facility knows them."""

    name: str
    projects: tuple[str, ...]
    areas: Areas


@dataclass(frozen=True)
class Bearer:
    """What a good token says.

    Attributes:
        audience: The service it is for; ``None`` is the facility's own APIs.
        scope: What may be done there, as the service words it.
        client: The application that it was issued to.
        session: Whether a person logged in for it.
        expires: When, in seconds since the epoch.
    """

    user: User
    audience: str | None
    scope: str
    client: str | None
    session: bool
    expires: float | None


class Accounts:
    """Users, projects and tokens."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self._store = store
        self.client_id = CLIENT_ID
        self.refuse_anyway: Callable[[], bool] = lambda: False

    @property
    def client_secret(self) -> str:
        """Of the facility's OAuth client, until it is replaced."""
        return self._store.meta("client_secret", secrets.token_urlsafe(24))

    def replace_client_secret(self) -> str:
        """Another secret for that client: the one before is good for nothing from now on."""
        self._store.run("INSERT OR REPLACE INTO meta VALUES ('client_secret', ?)", secrets.token_urlsafe(24))
        return self.client_secret

    def user(self, name: str) -> User:
        """The user of that name.

        Raises:
            Missing: The facility has no such user.
        """
        projects = self.settings.users.get(name)
        if projects is None:
            raise Missing(f"User {name} not found")
        return User(name, projects, self._areas(name, projects))

    def _areas(self, name: str, projects: tuple[str, ...]) -> Areas:
        root = self.settings.root
        return Areas(
            home=root / "home" / name,
            scratch=root / "scratch" / name,
            projects={project: root / "project" / project for project in projects},
        )

    def members(self, project: str) -> list[str]:
        """Users of a project."""
        return [user for user, projects in self.settings.users.items() if project in projects]

    def issue(
        self,
        user: str,
        lifetime: float | None,
        *,
        audience: str | None = None,
        scope: str = "",
        client: str | None = None,
        session: bool = False,
        text: str | None = None,
    ) -> str:
        """A new token for a user.

        Args:
            user: Whom it is for.
            lifetime: Seconds; ``None`` is a token that does not expire.
            audience: As in `Bearer`; so are the rest.
            scope: What it is good for.
            client: The application.
            session: Whether a person logged in for it.
            text: The token, where a service has words of its own for it.
        """
        self.user(user)
        token = text or "ilf_" + secrets.token_urlsafe(24)
        now = time.time()
        self._store.insert(
            "tokens",
            hash=digest(token),
            user=user,
            expires=None if lifetime is None else now + lifetime,
            created=now,
            audience=audience,
            scope=scope,
            client=client,
            session=session,
        )
        return token

    def revoke(self, token: str) -> bool:
        """Make a token worthless; says whether it existed."""
        return self._store.run("UPDATE tokens SET revoked = 1 WHERE hash = ?", digest(token)).rowcount > 0

    def authenticate(self, token: str) -> User:
        """The user a token for the facility's own APIs stands for.

        Raises:
            BadToken: Unknown, expired, revoked, or for another service.
        """
        return self.bearer(token, None).user

    def bearer(self, token: str, audience: str | None) -> Bearer:
        """What a token says to the service that it is for.

        Raises:
            BadToken: Unknown, expired, revoked, or for another service.
        """
        said = self.introspect(token)
        if said.audience != audience:
            raise BadToken(f"the token is for {said.audience or 'the facility API'}")
        if self.refuse_anyway():
            raise BadToken("the token was refused")
        return said

    def introspect(self, token: str) -> Bearer:
        """What a token says, whichever service it is for.

        Raises:
            BadToken: Unknown, expired or revoked.
        """
        row = self._store.row("SELECT * FROM tokens WHERE hash = ?", digest(token))
        if row is None:
            raise BadToken("unknown token")
        if row["revoked"]:
            raise BadToken("the token was revoked")
        if row["expires"] is not None and row["expires"] <= time.time():
            raise BadToken(f"the token expired {time.time() - row['expires']:.0f} s ago")
        try:
            user = self.user(row["user"])
        except Missing as gone:
            raise BadToken(str(gone)) from None
        return Bearer(
            user, row["audience"], row["scope"], row["client"], bool(row["session"]), row["expires"]
        )

    def owner(self, token: str) -> str | None:
        """Whose token this is or was, good or not."""
        row = self._store.row("SELECT user FROM tokens WHERE hash = ?", digest(token))
        return row["user"] if row else None

    def client_matches(self, client_id: str, client_secret: str) -> bool:
        """Whether these are the credentials of the facility's OAuth client."""
        return secrets.compare_digest(client_id.encode(), self.client_id.encode()) and secrets.compare_digest(
            client_secret.encode(), self.client_secret.encode()
        )


def digest(token: str) -> str:
    """Tokens are kept hashed, so that reading the database gives nobody access."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
