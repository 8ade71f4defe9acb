"""A facility's paths as a Globus collection shows them, and back; pure."""

from __future__ import annotations

import posixpath

from iri_common.model.errors import UsageError
from iri_common.model.transfer import CollectionEnd


def to_collection(end: CollectionEnd, path: str) -> str:
    """The path within the collection.

    Raises:
        UsageError: for one that the collection does not show.
    """
    inner = _below(end.root, path)
    if inner is None:
        raise UsageError(
            f"{path!r} is not among the files that the Globus collection {end.collection} shows "
            f"(those below {_clean(end.root)})"
        )
    return posixpath.join(_clean(end.base), inner)


def shown(end: CollectionEnd, path: str) -> bool:
    """Whether the collection shows a path."""
    return _below(end.root, path) is not None


def _below(root: str, path: str) -> str | None:
    """A path relative to a root; None if it leads out of it."""
    if not path.startswith("/") or "\0" in path:
        return None
    root, path = _clean(root), _clean(path)
    if path == root:
        return ""
    prefix = root if root.endswith("/") else f"{root}/"
    return path.removeprefix(prefix) if path.startswith(prefix) else None


def _clean(path: str) -> str:
    # POSIX keeps two leading slashes, which no facility means.
    return posixpath.normpath(f"/{path.lstrip('/')}")
