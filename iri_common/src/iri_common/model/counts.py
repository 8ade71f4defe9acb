"""How many of what, for people: one is told otherwise than several."""

from __future__ import annotations


def many(count: object, what: str) -> str:
    """A number as it is to be shown with what it counts: ``1 file``, ``No files``, ``2.5 node hours``."""
    return f"{count} {what}{agreed(count, '', 's')}"


def agreed(count: object, one: str, more: str) -> str:
    """The word that goes with a number as it is shown: ``is`` or ``are``."""
    return one if str(count) == "1" else more
