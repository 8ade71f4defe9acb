"""What Globus Auth has granted: codes, refresh tokens, consents; and the tokens that come of them."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from iri_local_facility.accounts import Accounts, digest
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store

from . import scopes
from .collections import Collections
from .flowtable import FlowTable
from .refusals import Refusal

_CODE_LIFETIME = 600.0


@dataclass(frozen=True)
class Code:
    """What an authorization code stands for."""

    client: str
    user: str
    scope: str
    redirect_uri: str
    challenge: str
    offline: bool


@dataclass(frozen=True)
class Granted:
    """Who is given tokens, and how they asked: ``session`` if a person logged in, ``offline`` to refresh."""

    user: str
    client: str
    session: bool = False
    offline: bool = False


class InvalidGrant(Exception):
    """A code or refresh token that is not good, or not for this client."""


class Grants:
    """Clients, codes, consents and tokens of Globus Auth."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        accounts: Accounts,
        collections: Collections,
        flows: FlowTable,
    ) -> None:
        self._settings = settings
        self._store = store
        self._accounts = accounts
        self._collections = collections
        self._flows = flows
        self.client_id = _id(settings.name, "client")
        self.native_client_id = _id(settings.name, "native-client")
        self.client_secret = store.meta("globus_client_secret", secrets.token_urlsafe(24))

    def identity(self, user: str) -> str:
        """The id of a user's identity."""
        return _id(self._settings.name, f"identity/{user}")

    def client_matches(self, client_id: str, secret: str) -> bool:
        """Whether these are the credentials of the confidential client."""
        return client_id == self.client_id and secrets.compare_digest(
            secret.encode(), self.client_secret.encode()
        )

    # -- codes

    def new_code(self, code: Code) -> str:
        """A code to exchange once for tokens.

        Raises:
            UnknownScope: It asks for a scope that is not there.
        """
        self._check(code.scope)
        text = secrets.token_urlsafe(24)
        self._store.insert(
            "globus_codes",
            hash=digest(text),
            document=json.dumps(asdict(code)),
            expires=time.time() + _CODE_LIFETIME,
        )
        return text

    def exchange(self, text: str, client: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        """The tokens for a code.

        Raises:
            InvalidGrant: The code is not good, or not this client's, or the verifier is wrong.
        """
        row = self._store.row("SELECT * FROM globus_codes WHERE hash = ?", digest(text))
        # A code is good once, whoever comes with it.
        self._store.run("DELETE FROM globus_codes WHERE hash = ?", digest(text))
        if row is None or row["expires"] <= time.time():
            raise InvalidGrant
        code = Code(**json.loads(row["document"]))
        wrong = code.challenge and code.challenge != _challenge(verifier)
        if code.client != client or code.redirect_uri != redirect_uri or wrong:
            raise InvalidGrant
        return self.tokens(Granted(code.user, client, session=True, offline=code.offline), code.scope)

    # -- tokens

    def tokens(self, granted: Granted, text: str) -> dict[str, Any]:
        """The answer to a token request: one token for each service whose scopes were asked for.

        Raises:
            UnknownScope: A scope is not there.
        """
        asked = self._check(text)
        for scope in asked:
            for path in scope.paths():
                self._consent(granted.user, granted.client, path)
        by_service: dict[str, list[str]] = {}
        for scope in asked:
            by_service.setdefault(scopes.service_of(scope.name), []).append(scope.name)
        # Transfer first: clients of one service look at the top level only.
        services = sorted(by_service, key=lambda service: service == scopes.AUTH)
        issued = [self._token(granted, service, " ".join(by_service[service])) for service in services]
        return {**issued[0], "other_tokens": issued[1:]}

    def refresh(self, token: str, client: str) -> dict[str, Any]:
        """A new token for a refresh token.

        Raises:
            InvalidGrant: It is not good, or not this client's.
        """
        row = self._store.row("SELECT * FROM globus_refresh_tokens WHERE hash = ?", digest(token))
        if row is None or row["client"] != client:
            raise InvalidGrant
        rotate = self._settings.rotate_refresh_tokens
        if rotate:
            self._store.run("DELETE FROM globus_refresh_tokens WHERE hash = ?", digest(token))
        granted = Granted(row["user"], client, session=bool(row["session"]), offline=rotate)
        # One that stays good is not told again: a client that stores what it is told loses it.
        return {**self._token(granted, row["audience"], row["scope"]), "other_tokens": []}

    def revoke(self, token: str) -> None:
        """Make an access or refresh token worthless."""
        self._accounts.revoke(token)
        self._store.run("DELETE FROM globus_refresh_tokens WHERE hash = ?", digest(token))

    def _token(self, granted: Granted, service: str, scope: str) -> dict[str, Any]:
        lifetime = self._settings.token_lifetime
        access = self._accounts.issue(
            granted.user,
            lifetime,
            audience=service,
            scope=scope,
            client=granted.client,
            session=granted.session,
        )
        answer = {
            "access_token": access,
            "scope": scope,
            "expires_in": int(lifetime) if lifetime == int(lifetime) else lifetime,
            "token_type": "Bearer",
            "resource_server": service,
        }
        if granted.offline:
            answer["refresh_token"] = secrets.token_urlsafe(32)
            self._store.insert(
                "globus_refresh_tokens",
                hash=digest(answer["refresh_token"]),
                user=granted.user,
                client=granted.client,
                audience=service,
                scope=scope,
                session=granted.session,
            )
        return answer

    def _check(self, text: str) -> list[scopes.Scope]:
        asked = scopes.parse(text)
        if not asked:
            raise scopes.UnknownScope("no scope at all")
        for path in (path for scope in asked for path in scope.paths()):
            service = scopes.service_of(path[-1])
            if scopes.is_of_flow(path[-1]):
                self._check_flow(service, path[-1])
            elif service not in (scopes.TRANSFER, scopes.AUTH, scopes.FLOWS, scopes.COMPUTE):
                self._check_collection(service, path[-1])
        return asked

    def _check_collection(self, collection_id: str, scope: str) -> None:
        try:
            collection = self._collections.get(collection_id)
        except Refusal:
            raise scopes.UnknownScope(scope) from None
        if scopes.wants_data_access(scope) and not collection.takes_consent:
            raise scopes.UnknownScope(scope)

    def _check_flow(self, flow_id: str, scope: str) -> None:
        try:
            self._flows.get(flow_id)
        except Refusal:
            raise scopes.UnknownScope(scope) from None

    # -- consents

    def has_consent(self, user: str, client: str | None, path: tuple[str, ...]) -> bool:
        """Whether a user let a client do this; it is kept at the service, not in the token."""
        row = self._store.row(
            "SELECT 1 FROM globus_consents WHERE user = ? AND client = ? AND path = ?",
            user,
            client,
            json.dumps(path),
        )
        return row is not None

    def consents(self, user: str, client: str) -> list[dict[str, Any]]:
        """What a user has let a client do."""
        rows = self._store.rows(
            "SELECT * FROM globus_consents WHERE user = ? AND client = ? ORDER BY id", user, client
        )
        ids = {row["path"]: row["id"] for row in rows}
        return [
            {
                "id": row["id"],
                "client": client,
                "scope": _id("globus", path[-1]),
                "scope_name": path[-1],
                "effective_identity": self.identity(user),
                "dependency_path": [ids[json.dumps(path[:length])] for length in range(1, len(path) + 1)],
                "status": "approved",
                "allows_refresh": True,
                "auto_approved": False,
                "atomically_revocable": False,
                **dict.fromkeys(
                    ("created", "updated", "last_used"),
                    datetime.fromtimestamp(row["created"], UTC).isoformat(),
                ),
            }
            for row in rows
            if (path := json.loads(row["path"]))
        ]

    def _consent(self, user: str, client: str, path: tuple[str, ...]) -> None:
        self._store.run(
            "INSERT OR IGNORE INTO globus_consents (user, client, path, created) VALUES (?, ?, ?, ?)",
            user,
            client,
            json.dumps(path),
            time.time(),
        )


def _challenge(verifier: str) -> str:
    hashed = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(hashed).decode().rstrip("=")


def _id(facility: str, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://{facility}.facility.invalid/globus/{name}"))
