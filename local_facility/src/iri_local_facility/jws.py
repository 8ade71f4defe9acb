"""Signed JSON tokens (RFC 7515 with HMAC SHA-256), as two of the faces hand them out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any


def signed(claims: Mapping[str, Any], key: str) -> str:
    """A token that says this."""
    header = {"alg": "HS256", "typ": "JWT"}
    text = ".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    seal = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{_encoded(seal)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
