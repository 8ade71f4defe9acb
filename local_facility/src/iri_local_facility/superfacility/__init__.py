"""The Superfacility face: NERSC's API v1.2, and the token endpoint that its clients prove themselves to."""

from __future__ import annotations

PREFIX = "/sfapi"
API = f"{PREFIX}/api/v1.2"
TOKEN = f"{PREFIX}/c2id/token"
