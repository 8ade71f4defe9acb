"""Finds secrets in what may be told: whole or in parts, as they are or packed."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from urllib.parse import unquote_plus

SEAM = "\udfff"  # stands in no text that can be written


def parts_left(secret: str, text: str, beside: str = "") -> list[str]:
    """What of a secret can be read in a text, four letters at a time, as it is and unpacked.

    What stands ``beside`` it, whatever the secret is, tells nothing of it: ``iri.XXXXXXXX`` of a mktemp.
    """
    fours = {secret[start : start + 4] for start in range(len(secret) - 3)}
    telling = {each for each in fours if sum(map(str.isalnum, each)) > 1}
    seen, known = _views(text), _views(beside)
    return [four for four in telling if four in seen and four not in known]


@lru_cache(maxsize=64)  # the same texts are searched for one secret after another
def _views(text: str) -> str:
    """A text as it is, and whatever is packed in it."""
    plain = unquote_plus(text)
    words = re.findall(r"[A-Za-z0-9+/]{4,}", f"{text} {plain}".replace("\\/", "/").replace("[secret]", " "))
    pieces = [word[start:] for word in words for start in range(4)]
    unpacked = [base64.b64decode(each[: len(each) // 4 * 4]).decode("utf-8", "replace") for each in pieces]
    return SEAM.join([text, plain, *unpacked])
