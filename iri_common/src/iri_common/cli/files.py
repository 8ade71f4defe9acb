"""Commands for files that lie at a facility: ls, cat, rm, mkdir."""

from __future__ import annotations

import posixpath
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from iri_common.cli.exits import Exit
from iri_common.cli.speak import Screen, size
from iri_common.cli.where import Where, where_of
from iri_common.model.errors import NotFound, NotOffered, TooLarge, UsageError

if TYPE_CHECKING:
    from iri_common.cli.options import DoorWords
    from iri_common.model.files import FileEntry

PIECE = 2**20  # bytes
_TYPE_LETTERS = {"directory": "d", "symlink": "l", "file": "-"}


def ls(screen: Screen, door: DoorWords, given: str, *, long: bool, recursive: bool, every: bool) -> int:
    """List a directory, or one file."""
    where = where_of(door, given)
    entries = where.files.ls(where.path, hidden=every, recursive=recursive, **where.words)
    if screen.as_json:
        screen.document(
            {"ok": True, "exit": 0, "where": given, "entries": [asdict(each) for each in entries]}
        )
    elif long:
        columns = ("MODE", "USER", "GROUP", "SIZE", "MODIFIED", "NAME")
        screen.table(columns, [_row(screen, each) for each in entries])
    else:
        screen.result("".join(f"{_bare(screen, each)}\n" for each in entries))
    return Exit.OK


def _row(screen: Screen, entry: FileEntry) -> tuple[str, ...]:
    mode = entry.permissions
    if len(mode) == len("rwxrwxrwx"):
        mode = f"{_TYPE_LETTERS.get(entry.type, '?')}{mode}"
    count = "" if entry.size is None else size(entry.size) if screen.out.is_terminal else str(entry.size)
    link = f" -> {_on_a_line(entry.link_target)}" if entry.link_target else ""
    return mode, entry.user, entry.group, count, entry.last_modified, f"{_on_a_line(entry.name)}{link}"


def _bare(screen: Screen, entry: FileEntry) -> str:
    """For a pipe the name as it is."""
    if not screen.out.is_terminal:
        return entry.name
    return f"{_on_a_line(entry.name)}{'/' if entry.type == 'directory' else ''}"


def _on_a_line(name: str) -> str:
    return "".join(each if each.isprintable() else "�" for each in name)


def cat(screen: Screen, door: DoorWords, given: Sequence[str]) -> int:
    """Write the bytes of files to stdout, one after the other."""
    if screen.as_json:
        raise UsageError("iri cat writes the bytes themselves, which are no JSON; leave away --json")
    for where in [where_of(door, each) for each in given]:
        _pour(where, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return Exit.OK


def _pour(where: Where, out: BinaryIO) -> None:
    """By pieces where the API gives any; otherwise the file is here, and compared, before a byte is out."""
    start = 0
    try:
        while True:
            piece = where.files.read(where.path, start=start, end=start + PIECE, **where.words)
            out.write(piece)
            start += len(piece)
            if len(piece) < PIECE:
                return
    except NotOffered:
        with tempfile.TemporaryDirectory(prefix="iri-") as directory:
            copy = Path(directory, "copy")
            _fetch(where, copy)
            with copy.open("rb") as file:
                shutil.copyfileobj(file, out, PIECE)


def _fetch(where: Where, copy: Path) -> None:
    # A directory, or what a pattern names, would be fetched whole before it turns out to be no file.
    if stat.S_ISDIR(where.files.stat(where.path, dereference=True, **where.words).mode):
        raise UsageError(f"{where.given} is a directory; iri get fetches it")
    try:
        where.files.get(where.path, copy, **where.words)
    except TooLarge as error:
        raise TooLarge(f"{error.message}\niri get knows more roads: iri get --plan {where.given} .") from None


def rm(screen: Screen, door: DoorWords, given: Sequence[str], *, recursive: bool) -> int:
    """Remove files and directories; all are looked at before the first is removed."""
    places = [where_of(door, each) for each in given]
    for where in places:
        _require_removable(where, recursive=recursive)
    for where in places:
        where.files.rm(where.path, **where.words)
        screen.say(f"removed {where.given}", "dim")
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "removed": list(given)})
    return Exit.OK


def _require_removable(where: Where, *, recursive: bool) -> None:
    """Refuse what nobody means.

    Raises:
        UsageError: for the root and what is right below it, for a home and what homes are in, and for a
            directory without ``--recursive``.
        NotFound: if there is no such file.
    """
    if posixpath.dirname(where.path) == "/":
        raise UsageError(f"{where.given} is at the top of a file system; that is not removed")
    there = where.files.stat(where.path, **where.words)
    if not stat.S_ISDIR(there.mode):
        return
    if not recursive:
        raise UsageError(f"{where.given} is a directory; --recursive removes it with all that is in it")
    for known in _known_places(where):
        if posixpath.commonpath((where.path, known)) == where.path:
            raise UsageError(
                f"{where.given} is, or holds, {known}, which the facility gives people to keep files in; "
                "remove what is in it instead"
            )


def _known_places(where: Where) -> Iterable[str]:
    """Directories that the facility names: homes, scratch, projects; none where it names none."""
    if where.facility is None:
        return ()
    try:
        found = where.facility.storage.locations(where.words["storage"])
    except (UsageError, NotFound):  # NotOffered is one
        return ()
    return [posixpath.normpath(each.path) for each in found if each.path.startswith("/")]


def mkdir(screen: Screen, door: DoorWords, given: Sequence[str], *, parents: bool) -> int:
    """Make directories."""
    for where in [where_of(door, each) for each in given]:
        where.files.mkdir(where.path, parents=parents, **where.words)
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "made": list(given)})
    return Exit.OK
