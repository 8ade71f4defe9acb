"""Paths of files that are waited for, and patterns of them: which make sense."""

from __future__ import annotations

from datetime import timedelta

WILD = frozenset("*?[")


def is_pattern(path: str) -> bool:
    """Whether it may mean several files."""
    return not WILD.isdisjoint(path)


def directory_of(pattern: str) -> str:
    """The one that it begins in."""
    pieces = pattern.split("/")
    wild = next(place for place, piece in enumerate(pieces) if is_pattern(piece))
    return "/".join(pieces[:wild]) or "/"


def require_path(path: object, *, whole: bool = False) -> None:
    """Refuse what nothing could ever match.

    Args:
        path: As an author wrote it.
        whole: Also a path that is no pattern begins at the root.

    Raises:
        ValueError: saying what is wrong.
    """
    if not isinstance(path, str) or not path:
        raise ValueError(f"a path at the facility is a text, not {path!r}")
    if not (whole or is_pattern(path)):
        return
    if not path.startswith("/"):
        raise ValueError(f"watched is an absolute path, or a pattern of such, not {path!r}")
    if not is_pattern(path):
        return
    if path.endswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")[1:]):
        raise ValueError(f"a pattern means files by their plain names, not {path!r}")
    if any(not _closed(piece) for piece in path.split("/")):
        raise ValueError(f"[ has no ] in the pattern {path!r}; [[] means the bracket itself")


def require_wait(path: object, at_least: object, settled: object) -> None:
    """Refuse a wait for files that would never end, or never wait.

    Raises:
        ValueError: saying what is wrong.
    """
    require_path(path)
    if not isinstance(at_least, int) or isinstance(at_least, bool) or at_least < 1:
        raise ValueError(f"at_least is a number of files, not {at_least!r}")
    if at_least > 1 and not is_pattern(str(path)):
        raise ValueError(f"at_least={at_least}, and {path!r} is one path")
    if settled is not None and not (isinstance(settled, timedelta) and settled > timedelta(0)):
        raise ValueError(f"settled is a timedelta of more than nothing, not {settled!r}")


def _closed(piece: str) -> bool:
    """Whether each [ begins a set; the first letter of one, after a !, may be a ]."""
    while "[" in piece:
        inner = piece.partition("[")[2]
        end = inner.find("]", 2 if inner.startswith("!") else 1)
        if end < 0:
            return False
        piece = inner[end + 1 :]
    return True
