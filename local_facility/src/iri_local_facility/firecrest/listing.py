"""Lines of ``ls`` as the server reads them, and other words of file commands."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from iri_local_facility import files
from iri_local_facility.accounts import User
from iri_local_facility.errors import TooLarge

Document = dict[str, Any]
# A line of `ls -l` has about as much beside the name.
_LINE = 60
_TYPES = {"directory": "d", "file": "-", "symlink": "l"}
_ESCAPES = {7: r"\a", 8: r"\b", 9: r"\t", 10: r"\n", 11: r"\v", 12: r"\f", 13: r"\r"}


def entry(row: Document, name: str | None = None) -> Document:
    """A line about a file, from what this facility's other APIs say of it."""
    changed = datetime.fromisoformat(row["last_modified"]).astimezone()
    target = row["link_target"]
    return {
        "name": quoted(name or row["name"]),
        "type": _TYPES.get(row["type"], "?"),
        "linkTarget": None if target is None else quoted(target),
        "user": row["user"],
        "group": row["group"],
        "permissions": row["permissions"],
        # By the clock of the login node, which says no zone.
        "lastModified": changed.strftime("%Y-%m-%dT%H:%M:%S"),
        "size": row["size"],
    }


def about(path: str, user: User) -> Document:
    """One line about a path itself."""
    return entry(files.describe(user.areas.resolve(path, follow=False)), path)


def listed(
    user: User,
    path: str,
    *,
    limit: int,
    show_hidden: bool,
    numeric_uid: bool,
    recursive: bool,
    dereference: bool,
) -> list[Document]:
    """What is in a directory; of anything else, one line with the path as it was asked for.

    Raises:
        TooLarge: The lines of all of it are ``limit`` bytes or more.
    """
    rows = files.ls(user, path, show_hidden, numeric_uid, recursive, dereference)
    alone = not user.areas.resolve(path).is_dir()
    if sum(len(row["name"]) + _LINE for row in rows) >= limit:
        raise TooLarge(path)
    return [entry(row, path if alone else None) for row in rows]


def quoted(name: str) -> str:
    """A name as ``ls`` prints it in the C locale: what is not plain ASCII as octal numbers of its bytes."""
    return "".join(
        chr(byte) if 32 <= byte < 127 else _ESCAPES.get(byte, f"\\{byte:03o}") for byte in os.fsencode(name)
    )


def kind(user: User, path: str) -> str:
    """What ``file -b`` says, for which it is no error that there is nothing."""
    try:
        return files.file_type(user, path)
    except OSError as problem:
        return f"cannot open `{path}' ({problem.strerror})"


def shown(real: Path, size: int, offset: int, limit: int) -> str | None:
    """``size`` of a file from ``offset``, as the server cuts it out of two blocks that it has read.

    The blocks are counted in bytes, the cut is made in characters. ``None`` if the blocks are too much.
    """
    with real.open("rb") as file:
        file.seek(offset // size * size)
        blocks = file.read(2 * size)
    if len(blocks) >= limit:
        return None
    start = offset % size
    return blocks.decode(errors="replace")[start : start + size]
