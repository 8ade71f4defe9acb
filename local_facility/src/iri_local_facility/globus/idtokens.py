"""Who has logged in, signed: the part of OpenID Connect that clients of Globus Auth look at."""

from __future__ import annotations

import json
import time
from typing import Any

from iri_local_facility.store import Store

ALGORITHM = "RS512"
_KEY_ID = "local"


class NoSigner(Exception):
    """What signs is not installed."""


class IdTokens:
    """Makes id tokens with a key of the facility's own, which is made when it is first needed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def sign(self, claims: dict[str, Any], lifetime: float) -> str:
        """An id token.

        Raises:
            NoSigner: PyJWT or cryptography is not there.
        """
        now = int(time.time())
        times = {"iat": now, "exp": now + max(1, int(lifetime))}
        return _jwt().encode({**claims, **times}, self._key(), ALGORITHM, {"kid": _KEY_ID})

    def jwks(self) -> dict[str, Any]:
        """The public key.

        Raises:
            NoSigner: PyJWT or cryptography is not there.
        """
        algorithm = _jwt().get_algorithm_by_name(ALGORITHM)
        public = json.loads(algorithm.to_jwk(algorithm.prepare_key(self._key()).public_key()))
        return {"keys": [{**public, "kid": _KEY_ID, "alg": ALGORITHM, "use": "sig"}]}

    def _key(self) -> str:
        row = self._store.row("SELECT value FROM meta WHERE key = 'globus_key'")
        return row["value"] if row else self._store.meta("globus_key", _new_key())


def _jwt() -> Any:
    try:
        import jwt

        jwt.get_algorithm_by_name(ALGORITHM)
    except (ImportError, NotImplementedError):
        raise NoSigner("openid needs PyJWT and cryptography: install iri-local-facility[globus]") from None
    return jwt


def _new_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
