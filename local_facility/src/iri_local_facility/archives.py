"""Packing and unpacking tar archives of a user's files."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from .accounts import User
from .errors import Rejected
from .files import Listing, describe, refuse_escapes

_SUFFIX = {"none": "", "gzip": "gz", "bzip2": "bz2", "xz": "xz"}


def compress(
    user: User,
    path: str,
    target_path: str,
    match_pattern: str | None = None,
    dereference: bool = False,
    compression: str = "gzip",
) -> Listing:
    """Pack a file or directory; ``match_pattern`` picks files whose name matches it anywhere."""
    suffix = _suffix(compression)
    source = user.areas.resolve(path, follow=dereference)
    target = user.areas.resolve_inner(target_path, follow=True)
    source.lstat()
    if target.is_relative_to(source):
        raise Rejected(f"cannot pack {path} into itself")
    try:
        pattern = re.compile(match_pattern or "")
    except re.error as bad:
        raise Rejected(f"match_pattern: {bad}") from None
    if dereference:
        refuse_escapes(user, source)

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return member if member.isdir() or pattern.search(Path(member.name).name) else None

    with tarfile.open(target, f"w:{suffix}", dereference=dereference) as archive:
        archive.add(source, arcname=source.name, filter=wanted)
    return describe(target)


def extract(user: User, path: str, target_path: str, compression: str = "gzip") -> Listing:
    """Unpack an archive into a directory, which is made if need be."""
    suffix = _suffix(compression)
    source = user.areas.resolve(path)
    target = user.areas.resolve(target_path)
    target.mkdir(exist_ok=True)

    def safe(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo:
        if not member.issym():
            return tarfile.data_filter(member, destination)
        # The data filter has no mercy on absolute links, but here they are fine while they stay the user's.
        user.areas.resolve(member.linkname, base=Path(destination, member.name).parent)
        return tarfile.tar_filter(member, destination)

    with tarfile.open(source, f"r:{suffix}") as archive:
        archive.extractall(target, filter=safe)
    return describe(target)


def _suffix(compression: str) -> str:
    try:
        return _SUFFIX[compression]
    except KeyError:
        raise Rejected(f"unknown compression {compression}") from None
