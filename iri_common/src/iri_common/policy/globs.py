"""Names with wildcards, as a shell reads them."""

from __future__ import annotations

import fnmatch
from functools import lru_cache

_MAGIC = frozenset("*?[")


def split(path: str) -> tuple[str, str]:
    """The directory that a pattern begins in, and the pattern below it; "" if there is no wildcard."""
    pieces = path.split("/")
    for place, piece in enumerate(pieces):
        if not _MAGIC.isdisjoint(piece):
            return "/".join(pieces[:place]) or ("/" if path.startswith("/") else "."), "/".join(
                pieces[place:]
            )
    return path, ""


def matches(pattern: str, name: str) -> bool:
    """Whether a name is meant; ``**`` stands for any directories, hidden names have to be named as such."""
    return _match(tuple(pattern.split("/")), tuple(name.split("/")))


def reaches(pattern: str, directory: str) -> bool:
    """Whether something below a directory may be meant."""
    return _reach(tuple(pattern.split("/")), tuple(directory.split("/")))


def _reach(pattern: tuple[str, ...], pieces: tuple[str, ...]) -> bool:
    if not pattern or not pieces:
        return bool(pattern)
    if pattern[0] == "**" and _reach(pattern[1:], pieces):
        return True
    rest = pattern if pattern[0] == "**" else pattern[1:]
    return _match(pattern[:1], pieces[:1]) and _reach(rest, pieces[1:])


@lru_cache(maxsize=65536)
def _match(pattern: tuple[str, ...], pieces: tuple[str, ...]) -> bool:
    if not pattern:
        return not pieces
    if pattern[0] == "**":
        if _match(pattern[1:], pieces):
            return True
        return bool(pieces) and not pieces[0].startswith(".") and _match(pattern, pieces[1:])
    if not pieces or (pieces[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(pieces[0], pattern[0]) and _match(pattern[1:], pieces[1:])
