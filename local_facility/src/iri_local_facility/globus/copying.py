"""What a task does with files: find them, copy them whole, remove them. Nothing here knows of tasks."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iri_local_facility.accounts import User
from iri_local_facility.errors import Denied, Rejected

from .collections import Collection
from .tasks import Trouble

_PIECE = 1 << 20
_CODES = {
    errno.ENOENT: "FILE_NOT_FOUND",
    errno.EACCES: "PERMISSION_DENIED",
    errno.EPERM: "PERMISSION_DENIED",
    errno.ENOSPC: "NO_SPACE_LEFT",
    errno.EDQUOT: "QUOTA_EXCEEDED",
    errno.EISDIR: "IS_A_DIRECTORY",
    errno.ENOTDIR: "NOT_A_DIRECTORY",
}


class Stopped(Exception):
    """The task was cancelled, or the facility stops."""


class Mismatch(Exception):
    """What arrived is not what was to arrive: trying again would not help."""

    code = "VERIFY_CHECKSUM"


class ExternalMismatch(Mismatch):
    """The source is not what the submission says it is."""

    code = "EXTERNAL_CHECKSUM_MISMATCH"


class IntoItself(Mismatch):
    """A directory is to be copied to a place in it: there would be more of it all the time."""

    code = "INVALID_PATH_NAME"


@dataclass(frozen=True)
class Pair:
    """One file or directory to bring from here to there, by the collections' paths and by real ones."""

    source_path: str
    destination_path: str
    source: Path
    destination: Path
    is_directory: bool = False
    external: tuple[str, str] | None = None


def pairs(item: dict[str, Any], user: User, source: Collection, destination: Collection) -> Iterator[Pair]:
    """What an item of a submission stands for, directories before what is in them.

    Raises:
        OSError: It is not there, or not what the item says it is.
        IntoItself: It is a directory that its destination lies in.
        FacilityError: It lies outside what the user may reach.
    """
    from_path, to_path = item["source_path"], item["destination_path"]
    real, target = source.resolve(user, from_path), destination.resolve(user, to_path)
    recursive = bool(item.get("recursive"))
    if real.is_dir() != recursive:
        real.stat()
        code = errno.ENOTDIR if recursive else errno.EISDIR
        raise OSError(code, os.strerror(code), from_path)
    if recursive and target.is_relative_to(real):
        raise IntoItself(f"{to_path} lies in {from_path}, which is to be copied there")
    external = item.get("external_checksum")
    algorithm = (item.get("checksum_algorithm") or "MD5").replace("-", "").lower()
    yield Pair(from_path, to_path, real, target, recursive, external and (algorithm, external.lower()))
    if recursive:
        yield from _below(Pair(from_path.rstrip("/"), to_path.rstrip("/"), real, target))


def _below(top: Pair) -> Iterator[Pair]:
    for entry in sorted(os.scandir(top.source), key=lambda entry: entry.name):
        # Links are not followed, and not copied: that is what Globus does unless it is told otherwise.
        directory = entry.is_dir(follow_symlinks=False)
        if not directory and not entry.is_file(follow_symlinks=False):
            continue
        pair = Pair(
            f"{top.source_path}/{entry.name}",
            f"{top.destination_path}/{entry.name}",
            Path(entry.path),
            top.destination / entry.name,
            directory,
        )
        yield pair
        if directory:
            yield from _below(pair)


def is_needed(pair: Pair, sync_level: int | None) -> bool:
    """Whether a file is to be copied, given how alike source and destination must be to leave it."""
    if sync_level is None:
        return True
    try:
        there = pair.destination.stat()
    except OSError:
        return True
    here = pair.source.stat()
    if sync_level >= 1 and here.st_size != there.st_size:
        return True
    if sync_level == 2:
        return here.st_mtime > there.st_mtime
    return sync_level == 3 and _digest(pair.source) != _digest(pair.destination)


def copy(
    pair: Pair, aside: str, *, verify: bool, keep_time: bool, on_bytes: Callable[[int], None]
) -> tuple[int, str]:
    """Copy a file beside its destination, compare, and put it in place; returns its size and SHA-256.

    Args:
        pair: The file.
        aside: What to add to the name while it is not whole.
        verify: Whether to read again what was written.
        keep_time: Whether it keeps the time of its last change.
        on_bytes: Called with the size of each piece; may raise `Stopped`.

    Raises:
        OSError: Of the file systems.
        Mismatch: What arrived differs.
    """
    algorithm, wanted = pair.external or ("sha256", None)
    try:
        given = hashlib.new(algorithm)
    except ValueError:
        raise Mismatch(f"checksum algorithm {algorithm} is not known here") from None
    partial = pair.destination.with_name(f".{pair.destination.name[:180]}.{aside}")
    whole, size = hashlib.sha256(), 0
    pair.destination.parent.mkdir(parents=True, exist_ok=True)
    if pair.destination.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), pair.destination_path)
    try:
        with pair.source.open("rb") as reader, partial.open("wb") as writer:
            while piece := reader.read(_PIECE):
                writer.write(piece)
                whole.update(piece)
                given.update(piece)
                size += len(piece)
                on_bytes(len(piece))
        if wanted is not None and given.hexdigest() != wanted:
            raise ExternalMismatch(f"{pair.source_path} has not the checksum that was submitted with it")
        if verify and _digest(partial) != whole.hexdigest():
            raise Mismatch(f"{pair.destination_path} differs from what was sent")
        shutil.copystat(pair.source, partial) if keep_time else shutil.copymode(pair.source, partial)
        partial.replace(pair.destination)
    finally:
        partial.unlink(missing_ok=True)
    return size, whole.hexdigest()


def extras(item: dict[str, Any], user: User, source: Collection, destination: Collection) -> list[Path]:
    """What is below an item's destination and not below its source, deepest first."""
    here = source.resolve(user, item["source_path"])
    there = destination.resolve(user, item["destination_path"])
    found = sorted(there.rglob("*"), reverse=True)
    return [entry for entry in found if not os.path.lexists(here / entry.relative_to(there))]


def remove(path: Path, *, recursive: bool) -> None:
    """Remove a file or link, or a directory with everything in it.

    Raises:
        OSError: It is not there, or a directory that should have been none.
    """
    if path.is_dir() and not path.is_symlink():
        if not recursive:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        shutil.rmtree(path)
    else:
        path.unlink()


def trouble_of(problem: Exception) -> Trouble:
    """What is in the way, in Globus' words."""
    match problem:
        case Denied():
            return Trouble("PERMISSION_DENIED", str(problem))
        case Rejected():
            return Trouble("INVALID_PATH_NAME", str(problem))
        case Mismatch():
            return Trouble(problem.code, str(problem))
        case OSError():
            code = _CODES.get(problem.errno or 0, "ENDPOINT_ERROR")
            return Trouble(code, f"{problem.filename or ''}: {problem.strerror or problem}".lstrip(": "))
        case _:
            return Trouble("INTERNAL_ERROR", repr(problem))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
