"""Finds secrets in what may be told: whole or in parts, as they are or packed."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote_plus


def parts_left(secret: str, text: str) -> list[str]:
    """What of a secret can be read in a text, four letters at a time, as it is and unpacked."""
    plain = unquote_plus(text)
    words = re.findall(r"[A-Za-z0-9+/]{4,}", f"{text} {plain}".replace("\\/", "/").replace("[secret]", " "))
    pieces = [word[start:] for word in words for start in range(4)]
    unpacked = [base64.b64decode(each[: len(each) // 4 * 4]).decode("utf-8", "replace") for each in pieces]
    fours = {secret[start : start + 4] for start in range(len(secret) - 3)}
    return [
        four
        for four in fours
        if sum(map(str.isalnum, four)) > 1 and any(four in each for each in (text, plain, *unpacked))
    ]
