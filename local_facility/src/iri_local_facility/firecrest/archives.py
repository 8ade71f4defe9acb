"""Archives as ``tar`` on the login node makes and opens them."""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path

from iri_local_facility import archives
from iri_local_facility.accounts import User
from iri_local_facility.errors import Rejected

from . import models


def pack(user: User, path: str, *, body: models.Compress) -> None:
    """Pack a path, or what matches a pattern in the directory that the path is in."""
    if body.match_pattern is not None:
        _pack_matching(user, path, body.target_path, body.match_pattern)
    else:
        archives.compress(user, path, body.target_path, None, body.dereference, body.compression)


def unpack(user: User, path: str, *, body: models.Extract) -> None:
    """Unpack into a directory, which must be there."""
    target = user.areas.resolve(body.target_path)
    if not target.is_dir():
        raise FileNotFoundError(2, "No such file or directory", body.target_path)
    archives.extract(user, path, body.target_path, body.compression)


def _pack_matching(user: User, path: str, target_path: str, pattern: str) -> None:
    # This road has gzip only, whatever was asked for; the pattern is of whole paths from the directory on.
    try:
        wanted = re.compile(pattern)
    except re.error as bad:
        raise Rejected(f"find: {bad}") from None
    top = user.areas.resolve(os.path.dirname(path))
    found = [each for each in sorted(top.rglob("*")) if each.is_file() and not each.is_symlink()]
    target = user.areas.resolve_inner(target_path, follow=True)
    with tarfile.open(target, "w:gz") as archive:
        for each in found:
            name = f"./{each.relative_to(top)}"
            if each != target and wanted.fullmatch(name):
                archive.add(Path(each), arcname=name)
