"""Clients of the API: a key pair each. The facility keeps the public half and checks what the other signs."""

from __future__ import annotations

import os
import secrets
import sqlite3
import string
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iri_local_facility.errors import FacilityError
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store

ID_LENGTH = 13
LIFETIME = 30 * 24 * 3600.0
ALL = "jobs globus"
_LEEWAY = 5.0
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


class NoCrypto(FacilityError):
    """What makes and checks keys is not installed."""


class NotProved(Exception):
    """An assertion that does not prove to be of a client; the text says what is wrong with it."""


@dataclass(frozen=True)
class Client:
    """One client.

    Attributes:
        public_key: PEM.
        scope: What its level allows beyond looking: ``jobs`` (and commands, and uploads), ``globus``.
        expires: When the client dies, in seconds since the epoch; its owner then has to make another.
    """

    id: str
    user: str
    name: str
    public_key: str
    scope: str
    created: float
    expires: float

    @property
    def expired(self) -> bool:
        """Whether it is dead."""
        return self.expires <= time.time()


class Clients:
    """The clients of all users, in the store; their private keys, in files that their owners would have."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._seen: dict[str, float] = {}

    def of(self, user: str) -> list[Client]:
        """The clients of a user, oldest first, dead ones too."""
        rows = self._store.rows("SELECT * FROM superfacility_clients WHERE user = ? ORDER BY created", user)
        return [_client(row) for row in rows]

    def prove(self, assertion: str, audience: str) -> Client:
        """The client whose key signed an assertion for this audience (RFC 7523, section 3).

        Raises:
            NotProved: It did not, the assertion is too old or was used before, or the client is dead.
            NoCrypto: Nothing here can tell.
        """
        jwt = _jwt()
        try:
            name = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
            client = self._get(name)
            claims = jwt.decode(
                assertion,
                client.public_key,
                _ALGORITHMS,
                {"require": ["iss", "sub", "aud", "exp", "jti"]},
                audience=audience,
                issuer=client.id,
                leeway=_LEEWAY,
            )
        except jwt.InvalidTokenError as bad:
            raise NotProved(f"client assertion: {bad}") from None
        if claims["sub"] != client.id:
            raise NotProved("client assertion: sub is not the client")
        self._use_once(f"{client.id}/{claims['jti']}", claims["exp"])
        if client.expired:
            raise NotProved("the client has expired")
        return client

    def _get(self, name: Any) -> Client:
        row = self._store.row("SELECT * FROM superfacility_clients WHERE id = ?", str(name))
        if row is None:
            raise NotProved("unknown client")
        return _client(row)

    def _use_once(self, mark: str, expires: float) -> None:
        now = time.time()
        self._seen = {seen: end for seen, end in self._seen.items() if end + _LEEWAY > now}
        if mark in self._seen:
            raise NotProved("client assertion: it was used before")
        self._seen[mark] = expires

    # -- what a person does in a browser

    def key_of(self, user: str) -> Path:
        """The key file of a user's own client, which is made when it is first needed, and when it is dead."""
        path = self._directory / f"{user}.pem"
        if path.exists():
            name = path.read_text().partition("\n")[0]
            if any(client.id == name and not client.expired for client in self.of(user)):
                return path
        return self.make(user, LIFETIME, path=path)

    def make(self, user: str, lifetime: float, scope: str = ALL, path: Path | None = None) -> Path:
        """Make a client that lives for so many seconds, and return its key file.

        The file is as those in ``~/.superfacility``: the client's id on the first line, then its private key.
        """
        private, public = _new_pair()
        name = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(ID_LENGTH))
        now = time.time()
        self._store.insert(
            "superfacility_clients",
            id=name,
            user=user,
            name=f"{user}'s client",
            public_key=public,
            scope=scope,
            created=now,
            expires=now + lifetime,
        )
        path = path or self._directory / f"{name}.pem"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{name}\n{private}")
        return path

    def end(self, client_id: str) -> None:
        """Let a client die; tokens that it got live on."""
        self._store.run("UPDATE superfacility_clients SET expires = ? WHERE id = ?", time.time(), client_id)

    @property
    def _directory(self) -> Path:
        return self._settings.state / "superfacility"


def _client(row: sqlite3.Row) -> Client:
    return Client(**dict(row))


def _jwt() -> Any:
    try:
        import jwt

        jwt.get_algorithm_by_name("RS256")
    except (ImportError, NotImplementedError):
        raise _missing() from None
    return jwt


def _new_pair() -> tuple[str, str]:
    """A private key and its public half, as PEM."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa
    except ImportError:
        raise _missing() from None
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def _missing() -> NoCrypto:
    return NoCrypto("keys need PyJWT and cryptography: install iri-local-facility[superfacility]")
