"""What a token tells of itself, if it is one that does (a JWT, RFC 7519); nothing of it is verified here."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from iri_common.model.credential import Term


def claims_of(token: str) -> Mapping[str, object]:
    """Its claims; empty for a token that is opaque."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, object]", claims) if isinstance(claims, dict) else {}


def end_of(token: str, now: float) -> float | None:
    """When it ends, in seconds since the epoch.

    None where it does not tell, and for one that has ended by our clock: that may be wrong, and the facility
    knows better.
    """
    end = claims_of(token).get("exp")
    known = isinstance(end, int | float) and now < end < now + 10**10
    return float(cast("float", end)) if known else None


def term_of(token: str) -> Term:
    """From when to when it counts, as it tells, whether that is over or not.

    Most begin when they are made, and say so; that is no delay, and explains no refusal.
    """
    claims = claims_of(token)
    begins, made = moment_of(claims.get("nbf")), moment_of(claims.get("iat"))
    delayed = begins is not None and (made is None or begins > made)
    return Term(begins if delayed else None, moment_of(claims.get("exp")))


def moment_of(seconds: object) -> datetime | None:
    """The time of a number of seconds since the epoch; None for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
