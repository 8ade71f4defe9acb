"""The tokens that ``scontrol token`` gives: JSON Web Tokens that name their user in ``sun``."""

from __future__ import annotations

import secrets
import time

from iri_local_facility.accounts import Accounts
from iri_local_facility.jws import signed
from iri_local_facility.store import Store

AUDIENCE = "slurm"
_FOR_EVER = 10 * 365 * 86400


def new_token(accounts: Accounts, store: Store, user: str, lifetime: float | None) -> str:
    """A new token; ``lifetime`` in seconds, or ``None`` for one that outlives the facility."""
    now = int(time.time())
    claims = {
        "exp": now + int(_FOR_EVER if lifetime is None else lifetime),
        "iat": now,
        "sun": user,
        # Two tokens of one second are two tokens: one can be revoked without the other.
        "jti": secrets.token_hex(8),
    }
    text = signed(claims, store.meta("slurm_jwt_key", secrets.token_hex(32)))
    return accounts.issue(user, lifetime, audience=AUDIENCE, text=text)
