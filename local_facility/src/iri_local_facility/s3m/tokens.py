"""Project tokens: made by a person, told once, never renewed; what they are good for, introspection says."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from iri_local_facility.accounts import Accounts, BadToken, User, digest
from iri_local_facility.facility import Facility
from iri_local_facility.jws import signed
from iri_local_facility.store import Store

from .refusals import AtTheGate, Refusal

AUDIENCE = "s3m"
WRITE, READ, STREAM = "compute-ace", "compute-ace-readonly", "data-streaming"


@dataclass(frozen=True)
class Grant:
    """What a project token is good for.

    Attributes:
        project: Whose it is; jobs run as the project's own user.
        one_time: Whether any use of it is the last.
        starts: When it begins to be good, in seconds since the epoch; 0 is at once.
    """

    project: str
    permissions: list[str] = field(default_factory=lambda: [WRITE, STREAM])
    description: str = "local"
    one_time: bool = False
    starts: float = 0.0

    @property
    def username(self) -> str:
        """The project's own user."""
        return f"{self.project}_auser"


@dataclass(frozen=True)
class Caller:
    """Who asks: for the scheduler a user of the facility, for everybody else the project's own."""

    user: User
    grant: Grant
    token: str
    expires: float | None


def new_token(accounts: Accounts, store: Store, user: str, lifetime: float | None, grant: Grant) -> str:
    """A new token, which says little of itself: no expiry, no permissions."""
    now = int(time.time())
    claims = {
        "description": grant.description,
        "type": "opat",
        "aud": ["api.olcf.ornl.gov"],
        "nbf": int(grant.starts) or now,
        "iat": now,
        "jti": secrets.token_hex(16),
    }
    text = signed(claims, store.meta("s3m_jwt_key", secrets.token_hex(32)))
    accounts.issue(user, lifetime, audience=AUDIENCE, text=text)
    store.insert("s3m_tokens", hash=digest(text), document=json.dumps(asdict(grant)))
    return text


def caller(core: Facility, request: Request, *permissions: str) -> Caller:
    """Who asks, if one of these permissions is theirs; without any named, a good token is enough.

    Raises:
        AtTheGate: The token is none.
        Refusal: It is not good for this.
    """
    # As it is, without a scheme; but a Bearer does no harm.
    token = request.headers.get("authorization", "").rpartition(" ")[2].strip()
    if not token:
        raise AtTheGate("Jwt is missing")
    try:
        said = core.accounts.bearer(token, AUDIENCE)
    except BadToken as bad:
        if "expired" in str(bad) or "revoked" in str(bad):
            raise Refusal(401, "token is not active") from None
        raise AtTheGate("Jwt verification fails") from None
    grant = _grant(core.store, token)
    if grant.starts > time.time():
        raise AtTheGate("Jwt not yet valid")
    request.scope["principal"] = grant.username
    if grant.one_time:
        core.accounts.revoke(token)
    if permissions and not set(permissions) & set(grant.permissions):
        raise Refusal(403, f"permission denied: the token lacks {permissions[0]}")
    return Caller(said.user, grant, token, said.expires)


def introspection(asked: Caller, *, paths: Sequence[str] = ()) -> dict[str, Any]:
    """What a token is good for; what is unset is not there."""
    grant = asked.grant
    found = {
        "username": grant.username,
        "project": grant.project.upper(),
        "permissions": grant.permissions,
        "plannedExpiration": _timestamp(asked.expires or time.time() + 365 * 86400),
        "securityEnclave": "open",
        "description": grant.description,
        "oneTimeToken": grant.one_time,
        "delayedStart": bool(grant.starts),
        "delayDate": _timestamp(grant.starts) if grant.starts else "",
        "ownerName": asked.user.name,
        "grpcPermissions": [
            {"path": path, "permission": name} for path in paths for name in grant.permissions
        ],
    }
    return {name: value for name, value in found.items() if value}


def _grant(store: Store, token: str) -> Grant:
    row = store.row("SELECT document FROM s3m_tokens WHERE hash = ?", digest(token))
    assert row is not None  # it was issued together with the token
    return Grant(**json.loads(row["document"]))


def _timestamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")
