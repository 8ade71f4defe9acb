"""A client that signs who it is (RFC 7523 §2.2): no secret leaves this machine."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from iri_common.auth.client_key import ClientKey, KeyReader
from iri_common.auth.endpoint import Ask, EndpointSource, Granted
from iri_common.model.credential import Renewal, SourceFacts
from iri_common.model.errors import AuthError, UsageError
from iri_common.model.ports import TokenExchange, WireReply, WireRequest

NERSC_TOKEN_URL = "https://oidc.nersc.gov/c2id/token"

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIFE = 600  # seconds of an assertion
_CLOSE = 30.0  # seconds that clocks may differ before an assertion is made by the endpoint's own
_ALGORITHM = "RS256"
_MISSING = "a client's private key is used through PyJWT and cryptography: install iri-common[superfacility]"


class PrivateKeyJwt(EndpointSource):
    """Fetches tokens with what a client's private key signs.

    Args:
        token_url: The token endpoint; assertions are for this very text.
        key: Reads client and key, anew for each token.
        scope: Blank-separated, where the endpoint wants any.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, token_url: str, key: KeyReader, scope: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(token_url, scope, clock)
        self._key = key
        self.client_id: str | None = None  # as last read
        self._ahead = 0.0  # seconds that the endpoint's clock was ahead of ours when it refused for that

    @property
    def identity(self) -> str:
        """Where the key is, endpoint and scope."""
        scope = f" for {self._scope}" if self._scope else ""
        return f"{self._key.origin} at {self._token_url}{scope}"

    def facts(self) -> SourceFacts:
        """A client that has died is replaced by another one's key."""
        return SourceFacts(self.identity, Renewal.ITSELF, f"make {self._another}", self._key.given)

    @property
    def _another(self) -> str:
        then = "; it is read again by itself" if self._key.mendable else " and start again"
        return (
            "a new client (at NERSC: in Iris, Superfacility API Clients) and replace "
            f"{self._key.origin}{then}"
        )

    def proof(self) -> str:
        """The client and its key."""
        key = self._key.read()
        self.client_id = key.client_id
        return json.dumps([key.client_id, key.secret], sort_keys=True)

    def ask(self, now: int) -> Ask:
        """Who the client is, in words that only its key signs."""
        self.client_id, assertion = self._signed(now + int(self._ahead))
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        return Ask(
            client=f"client {self.client_id}",
            advice=(
                "Check whether the client has expired and whether it may be used from this machine. "
                f"If need be, make {self._another}"
            ),
            form=form,
            secrets=(assertion,),
        )

    async def granted(self, send: TokenExchange) -> Granted:
        """Ask the endpoint; once more, by its clock, if it refuses and that differs from ours.

        One that checks when an assertion was made takes none from the future, and a laptop, or a virtual
        machine that slept, is minutes ahead.

        Raises:
            AuthError: if the key cannot be used, or the endpoint refuses it.
            Unreachable: if the endpoint does not answer.
        """
        there = _ClockThere(send, self._clock)
        try:
            return await super().granted(there.send)
        except AuthError:
            if there.ahead is None or abs(there.ahead - self._ahead) <= _CLOSE:
                raise
            self._ahead = there.ahead
            return await super().granted(send)

    def _signed(self, now: int) -> tuple[str, str]:
        key = self._key.read()
        claims = {
            "iss": key.client_id,
            "sub": key.client_id,
            "aud": self._token_url,
            "iat": now,
            "exp": now + _LIFE,
            "jti": secrets.token_urlsafe(24),
        }
        assertion = _sign(claims, key)
        if assertion is None:
            raise AuthError(
                f"{self._key.origin} holds no RSA key that can be used: it is cut, locked with a passphrase, "
                "or of another kind; take it as the facility showed it, or make a new client"
            )
        return key.client_id, assertion


class _ClockThere:
    """A wire that notes what the endpoint's clock says."""

    def __init__(self, send: TokenExchange, clock: Callable[[], float]) -> None:
        self._send = send
        self._clock = clock
        self.ahead: float | None = None

    async def send(self, request: WireRequest) -> WireReply:
        reply = await self._send(request)
        try:
            self.ahead = parsedate_to_datetime(reply.headers["date"]).timestamp() - self._clock()
        except (KeyError, ValueError):
            self.ahead = None
        return reply


def _sign(claims: dict[str, Any], key: ClientKey) -> str | None:
    """The assertion; None if the key is none, without the library's error, which may refer to it."""
    try:
        import jwt
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise UsageError(_MISSING) from None
    try:
        if isinstance(key.secret, str):
            private: object = load_pem_private_key(key.secret.encode(), password=None)
        else:
            private = jwt.PyJWK.from_dict(key.secret, _ALGORITHM).key
        if not isinstance(private, RSAPrivateKey):
            return None
        return jwt.encode(claims, private, algorithm=_ALGORITHM)
    except Exception:
        return None
