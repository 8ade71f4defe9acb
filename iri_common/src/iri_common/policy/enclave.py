"""Whose rules for data hold behind a door."""

from __future__ import annotations

from urllib.parse import urlsplit

OPEN = "open"
_STRICTER = ("moderate",)


def enclave_of(url: str) -> str:
    """The enclave that a facility's URL names (OLCF: amsc-moderate.s3m…, …/slurm/moderate/…); else "open".

    A centre's enclaves have doors and tokens of their own, and what is in one may not be seen in the other.
    """
    parts = urlsplit(url)
    words = [*(parts.hostname or "").replace("-", ".").split("."), *parts.path.split("/")]
    return next((each for each in _STRICTER if each in words), OPEN)
