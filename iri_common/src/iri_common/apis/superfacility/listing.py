"""Listings: the API's own, which are those of ``ls -la``, and exact ones by ``find``."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from iri_common.apis.reading import Reading
from iri_common.apis.superfacility.commands import word
from iri_common.apis.superfacility.wire import EntryReply
from iri_common.model.files import FileEntry

_ARROW = " -> "

# The first letter of a mode in `ls -l`, and what find calls %y.
_TYPES = {"d": "directory", "-": "file", "f": "file", "l": "symlink"}

# Facts, the name below what is listed, where a link leads; each ends with a NUL, which is in no name.
_FORMAT = r"%y\t%s\t%u\t%g\t%M\t%T@\0%P\0%l\0"


def told(entries: Sequence[EntryReply], *, hidden: bool) -> Sequence[FileEntry]:
    """The rows of the API's own listing, without the directory itself and the one above it."""
    found = [_told(each) for each in entries]
    return [each for each in found if each.name not in {"", ".", ".."} and (hidden or _shown(each.name))]


def _told(reply: EntryReply) -> FileEntry:
    kind = _TYPES.get(reply.perms[:1], "other" if reply.perms else "unknown")
    name, leads_to = reply.name, None
    # With two arrows nobody can tell where the name ends.
    if kind == "symlink" and name.count(_ARROW) == 1:
        name, _, leads_to = name.partition(_ARROW)
    return FileEntry(
        name=posixpath.basename(name),  # that of a single file is its whole path
        type=kind,
        size=reply.size,
        user=reply.user,
        group=reply.group,
        permissions=reply.perms,
        last_modified=reply.date,
        link_target=leads_to,
    )


def command(path: str, *, recursive: bool, dereference: bool) -> str:
    """The command that lists exactly; what a path names that is a link is what it leads to."""
    # A slash behind a directory that a link leads to would fail for a file, -H does not.
    follow = "-L" if dereference else "-H"
    depth = "" if recursive else "-maxdepth 1 "
    return f"find {follow} {word(path)} {depth}-printf '{_FORMAT}'"


def found(reading: Reading, output: bytes, path: str, *, hidden: bool) -> Sequence[FileEntry]:
    """What that command wrote."""
    *fields, rest = output.decode("utf-8", "replace").split("\0")
    if rest or len(fields) % 3 or not fields:
        raise reading.unfit("what find wrote is not what it was asked for")
    entries = list(_found(reading, fields, path))
    return [each for each in entries if hidden or _shown(each.name)]


def _found(reading: Reading, fields: Sequence[str], path: str) -> Iterator[FileEntry]:
    for facts, below, leads_to in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        try:
            kind, size, user, group, permissions, modified = facts.split("\t")
            moment = datetime.fromtimestamp(float(modified), UTC)
            if not below and kind == "d":
                continue  # the directory itself
            yield FileEntry(
                name=below or posixpath.basename(path),
                type=_TYPES.get(kind, "other"),
                size=int(size),
                user=user,
                group=group,
                permissions=permissions,
                last_modified=moment.isoformat(),
                link_target=leads_to or None,
            )
        except (ValueError, OverflowError, OSError):
            raise reading.unfit("what find wrote is not what it was asked for") from None


def _shown(name: str) -> bool:
    return not any(each.startswith(".") for each in name.split("/"))
