"""Files of this machine: read in pieces and found unchanged, written aside and put in place whole."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from iri_common.model.errors import IriError, TooLarge, TransferError, UsageError

T = TypeVar("T")

PIECE = 1024 * 1024
_ASIDE = re.compile(r"\.[0-9a-f]{16}\.parts?$")
_LONGEST_NAME = 255  # bytes, on every file system that matters


def aside_of(target: str, transfer: str, ending: str = "part") -> str:
    """The name beside a target, at either end, that a transfer finds again after a crash."""
    head, slash, name = target.rpartition("/")
    tail = _ending(transfer, ending)
    room = _LONGEST_NAME - len(tail)
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) > room:
        mark = f"~{hashlib.sha256(encoded).hexdigest()[:8]}"
        name = encoded[: room - len(mark)].decode(errors="ignore") + mark
    return f"{head}{slash}{name}{tail}"


def aside_endings(transfer: str) -> tuple[str, str]:
    """How the names end that a transfer gives: to files on their way, and to directories of parts."""
    return _ending(transfer, "part"), _ending(transfer, "parts")


def is_aside(name: str) -> bool:
    """Whether something is on its way to another name, or lies in a directory of parts."""
    return any(map(_ASIDE.search, name.split("/")))


def _ending(transfer: str, ending: str) -> str:
    return f".{transfer}.{ending}"


# --------------------------------------------------------------------------------------------- reading


class LocalSource:
    """A regular file that is open for reading."""

    def __init__(self, path: str, descriptor: int, facts: os.stat_result) -> None:
        self.path = path
        self._descriptor = descriptor
        self._facts = facts

    @property
    def size(self) -> int:
        """In bytes, when it was opened."""
        return self._facts.st_size

    @property
    def mode(self) -> int:
        """Who may do what with it, when it was opened."""
        return stat.S_IMODE(self._facts.st_mode) & 0o777

    async def read(self, offset: int, count: int) -> bytes:
        """So many bytes from there; fewer only at its end."""
        return await asyncio.to_thread(self.read_now, offset, count)

    def read_now(self, offset: int, count: int) -> bytes:
        """As :meth:`read`, in a thread that may block."""
        wanted = min(count, self.size - offset)
        pieces: list[bytes] = []
        try:
            while wanted > 0 and (piece := os.pread(self._descriptor, wanted, offset)):
                pieces.append(piece)
                offset, wanted = offset + len(piece), wanted - len(piece)
        except OSError as error:
            raise TransferError(f"{self.path} cannot be read: {error.strerror}") from None
        if wanted > 0:
            raise _changed(self.path)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def mark(self) -> str:
        """Differs when the file was changed between two times that it was opened."""
        return mark_of_facts(self._facts)

    async def require_unchanged(self) -> None:
        """Raise if it is not what was opened.

        Raises:
            TransferError: if it was written to, or replaced, since then.
        """
        await asyncio.to_thread(self.require_unchanged_now)

    def require_unchanged_now(self) -> None:
        """As :meth:`require_unchanged`, in a thread that may block."""
        try:
            now = os.fstat(self._descriptor)
            there = os.stat(self.path)
        except OSError:
            raise _changed(self.path) from None
        seen = self._facts
        if (now.st_size, now.st_mtime_ns) != (seen.st_size, seen.st_mtime_ns) or not os.path.samestat(
            now, there
        ):
            raise _changed(self.path)


def mark_of_facts(facts: os.stat_result) -> str:
    """Differs for another file, and for the same one when it was written to; a rename leaves it as it is."""
    return f"{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ino}"


async def mark_of(path: str) -> str | None:
    """Of what is there; None for nothing."""
    try:
        return mark_of_facts(await asyncio.to_thread(os.stat, path))
    except OSError:
        return None


@asynccontextmanager
async def reading(path: str) -> AsyncGenerator[LocalSource]:
    """A file open for reading; whoever has read it asks whether it is unchanged.

    Raises:
        UsageError: if it is no regular file, or cannot be read.
    """
    source, descriptor = await asyncio.to_thread(_opened, path)
    try:
        yield source
    finally:
        os.close(descriptor)


async def content_of(path: str, limit: int | None = None) -> bytes:
    """All of a small file.

    Raises:
        UsageError: as :func:`reading`.
        TooLarge: if it is over the limit; it is not read then.
        TransferError: if it changed while it was read.
    """
    return await asyncio.to_thread(content_now, path, limit)


def content_now(path: str, limit: int | None = None) -> bytes:
    """As :func:`content_of`, in a thread that may block."""
    return content_and_mode_now(path, limit)[0]


def content_and_mode_now(path: str, limit: int | None = None) -> tuple[bytes, int]:
    """As :func:`content_now`, with the file's permissions."""
    source, descriptor = _opened(path)
    try:
        if limit is not None and source.size > limit:
            raise TooLarge(f"{path} has {source.size} bytes; this facility's API takes {limit} in one file")
        content = source.read_now(0, source.size)
        source.require_unchanged_now()
        return content, source.mode
    finally:
        os.close(descriptor)


def _opened(path: str) -> tuple[LocalSource, int]:
    try:
        # A pipe would keep an open without O_NONBLOCK waiting for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        facts = os.fstat(descriptor)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path!r} cannot be read: it is no path") from None
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} cannot be read: it is no regular file")
    return LocalSource(path, descriptor, facts), descriptor


def _changed(path: str) -> TransferError:
    return TransferError(f"{path} changed while it was read; ask again when nobody writes to it")


async def sha256(content: bytes) -> str:
    """The digest in hex, made off the loop."""
    return await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())


# --------------------------------------------------------------------------------------------- writing


async def write_whole(target: str, transfer: str, content: bytes) -> None:
    """Write a small file, whole or not at all.

    Raises:
        UsageError: if the target's directory cannot be written to.
        TransferError: if the disk does not take it; nothing is left of it.
    """
    await asyncio.to_thread(write_whole_now, target, transfer, content)


def write_whole_now(target: str, transfer: str, content: bytes) -> None:
    """As :func:`write_whole`, in a thread that may block."""
    aside = aside_of(target, transfer)
    try:
        require_place_now(Path(target))
        write_aside_now(aside, [content])
        os.replace(aside, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise unwritten(target, error) from None
    sync_directory_now(os.path.dirname(target) or ".")


def write_aside_now(aside: str, pieces: Iterable[bytes], mode: int = 0o666, *, durable: bool = True) -> None:
    """Write what is to get its name later.

    Args:
        aside: Its name until then.
        pieces: Of the file, in order.
        mode: Permissions, of which this process' umask takes away; the owner can always read and write.
        durable: It is on the disk then.
    """
    # A link that somebody put under this name in a directory of all (/tmp) is not followed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(aside, flags, mode & 0o777 | 0o600), "wb", buffering=0) as file:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[file.write(rest) :]
        if durable:
            os.fsync(file.fileno())


async def is_whole(path: str, size: int, sha256: str) -> bool:
    """Whether a file is there already, by its size and then its digest."""
    return await asyncio.to_thread(_is_whole, path, size, sha256)


def _is_whole(path: str, size: int, sha256: str) -> bool:
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


async def require_place(target: str) -> None:
    """Raise if no file can be written under this name.

    Raises:
        UsageError: saying why.
    """
    await asyncio.to_thread(require_place_now, Path(target))


def require_place_now(target: Path) -> None:
    """As :func:`require_place`, in a thread that may block."""
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"{target} must be a file name in a directory that exists")
    if target.exists() and not target.is_file():  # root would leave no /dev/null, nor /dev/stdout
        raise UsageError(f"{target} is no regular file, and is not replaced by one; take another name")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target.parent} cannot be written to")


def unwritten(target: str, error: OSError) -> IriError:
    """The error for a file that cannot be written, with what to do."""
    said = f"{target} cannot be written: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return TransferError(f"{said}; make room there, then ask again")
    if error.errno == errno.EFBIG:
        return TransferError(f"{said}; the file system, or a limit of this process, takes no file so large")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP}:
        return UsageError(said)
    return TransferError(said)


def sync_directory_now(path: str) -> None:
    """Have the names in a directory outlive the machine, as far as its file system can."""
    # Without this a rename may be forgotten by a machine that loses power; not every file system can.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
