"""Operations on files of a user: the plain ones. Each returns what a task reports as its output."""

from __future__ import annotations

import base64
import grp
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .accounts import User
from .errors import Denied, Rejected, TooLarge

Listing = dict[str, Any]


def describe(
    path: Path, *, name: str | None = None, numeric: bool = False, dereference: bool = False
) -> Listing:
    """One line of a listing; every value is text, as in ``ls -l``."""
    facts = path.stat() if dereference else path.lstat()
    return {
        "name": name or path.name,
        "type": _kind(facts.st_mode),
        "link_target": os.readlink(path) if path.is_symlink() else None,
        "user": str(facts.st_uid) if numeric else owner_name(facts.st_uid),
        "group": str(facts.st_gid) if numeric else group_name(facts.st_gid),
        "permissions": stat.filemode(facts.st_mode)[1:],
        "last_modified": datetime.fromtimestamp(int(facts.st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "size": str(facts.st_size),
    }


def ls(
    user: User,
    path: str,
    show_hidden: bool = False,
    numeric_uid: bool = False,
    recursive: bool = False,
    dereference: bool = False,
) -> list[Listing]:
    """The contents of a directory, or one line about anything else."""
    top = user.areas.resolve(path)
    top.lstat()
    if not top.is_dir():
        return [describe(top, numeric=numeric_uid, dereference=dereference)]

    def entries(directory: Path) -> Iterator[Path]:
        for entry in sorted(directory.iterdir()):
            if show_hidden or not entry.name.startswith("."):
                yield entry
                if recursive and entry.is_dir() and not entry.is_symlink():
                    yield from entries(entry)

    return [
        describe(
            entry,
            name=str(entry.relative_to(top)),
            numeric=numeric_uid,
            # A dangling link, or one that leads out of the user's areas, is shown as what it is.
            dereference=dereference and entry.exists() and user.areas.contains(entry),
        )
        for entry in entries(top)
    ]


def checksum(user: User, path: str) -> dict[str, str]:
    """SHA-256 of a file."""
    with user.areas.resolve(path).open("rb") as file:
        return {"algorithm": "SHA-256", "checksum": hashlib.file_digest(file, "sha256").hexdigest()}


def stat_file(user: User, path: str, dereference: bool = False) -> dict[str, int]:
    """The numbers of ``stat(2)``."""
    real = user.areas.resolve(path, follow=dereference)
    facts = real.stat() if dereference else real.lstat()
    names = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime", "ctime", "mtime")
    return {name: int(getattr(facts, f"st_{name}")) for name in names}


def file_type(user: User, path: str) -> str:
    """What ``file -b`` says, or a plain guess where that program is not installed."""
    real = user.areas.resolve(path)
    kind = _kind(real.stat().st_mode)
    if kind == "directory":
        return "directory"
    if program := shutil.which("file"):
        done = subprocess.run(
            [program, "-b", str(real)], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()
    with real.open("rb") as file:
        start = file.read(4096)
    if not start:
        return "empty"
    return "data" if b"\0" in start else "text"


def download(user: User, path: str, limit: int) -> str:
    """A file's bytes in base64."""
    real = user.areas.resolve(path)
    if (size := real.stat().st_size) > limit:
        raise TooLarge(f"{path}: {size} bytes are more than the limit of {limit}")
    return base64.b64encode(real.read_bytes()).decode()


def upload(user: User, path: str, content: bytes) -> str:
    """Write a file; its directory must exist."""
    real = user.areas.resolve(path)
    # Written beside and renamed, so that a reader sees the old file or the new one and nothing between.
    partial = real.with_name(f".{real.name[:200]}.part")
    if real.is_dir():
        raise IsADirectoryError(21, "Is a directory", path)
    try:
        partial.write_bytes(content)
        partial.replace(real)
    finally:
        partial.unlink(missing_ok=True)
    return f"File {path} uploaded, {len(content)} bytes"


def rm(user: User, path: str) -> str:
    """Remove a file, or a directory with everything in it."""
    real = user.areas.resolve_inner(path)
    if real.is_dir() and not real.is_symlink():
        shutil.rmtree(real)
    else:
        real.unlink()
    return f"Removed {path}"


def chmod(user: User, path: str, mode: str) -> Listing:
    """Change permissions; ``mode`` is octal text."""
    if not re.fullmatch("[0-7]{3,4}", mode):
        raise Rejected(f"invalid mode: {mode}")
    if int(mode, 8) & 0o7000:
        raise Denied(f"{path}: Operation not permitted: special mode bits")
    real = user.areas.resolve_inner(path, follow=True)
    real.chmod(int(mode, 8))
    return describe(real)


def chown(user: User, path: str, owner: str = "", group: str = "") -> Listing:
    """Change ownership; as on any shared machine, files cannot be given away."""
    real = user.areas.resolve_inner(path, follow=True)
    if owner not in ("", user.name, owner_name(os.getuid())):
        raise Denied(f"{path}: Operation not permitted: owner {owner}")
    if group:
        if group not in {group_name(number) for number in (os.getgid(), *os.getgroups())}:
            raise Denied(f"{path}: Operation not permitted: group {group}")
        shutil.chown(real, group=group)
    return describe(real)


def mkdir(user: User, path: str, parent: bool = False) -> Listing:
    """Make a directory; with ``parent`` also those above it, and an existing one is fine."""
    real = user.areas.resolve(path)
    real.mkdir(parents=parent, exist_ok=parent)
    return describe(real)


def symlink(user: User, path: str, link_path: str) -> Listing:
    """Make a symbolic link at ``link_path`` that leads to ``path``."""
    target = user.areas.resolve(path)
    link = user.areas.resolve_inner(link_path)
    link.symlink_to(target)
    return describe(link)


def cp(user: User, path: str, target_path: str, dereference: bool = False) -> Listing:
    """Copy a file, or a directory with everything in it."""
    source = user.areas.resolve(path, follow=dereference)
    target = user.areas.resolve(target_path)
    if source.is_dir() and not source.is_symlink():
        if target.is_relative_to(source):
            raise Rejected(f"cannot copy {path} into itself")
        if dereference:
            refuse_escapes(user, source)
        shutil.copytree(source, target, symlinks=not dereference, dirs_exist_ok=True)
    else:
        if target.is_dir():
            target = user.areas.resolve(source.name, base=target)
        shutil.copy2(source, target, follow_symlinks=dereference)
    return describe(target)


def mv(user: User, path: str, target_path: str) -> Listing:
    """Move or rename."""
    source = user.areas.resolve_inner(path)
    source.lstat()
    target = user.areas.resolve(target_path)
    return describe(Path(shutil.move(str(source), str(target))))


def refuse_escapes(user: User, top: Path) -> None:
    """Refuse to follow symbolic links below ``top`` that lead out of the user's areas."""
    for directory, directories, names in os.walk(top):
        for name in (*directories, *names):
            entry = Path(directory, name)
            if entry.is_symlink() and not user.areas.contains(entry):
                raise Denied(f"{entry}: Permission denied")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISREG(mode):
        return "file"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def owner_name(uid: int) -> str:
    """The name of a user of this machine, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The name of a group, likewise."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
