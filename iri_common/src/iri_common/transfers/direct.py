"""One file through the facility's own API: written aside, compared, renamed; whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import stat
from pathlib import Path

from iri_common.jobs.operations import settled
from iri_common.model.errors import IriError, NotFound, NotOffered, TooLarge, TransferError, UsageError
from iri_common.model.ports import Dialect


async def put(dialect: Dialect, file_system: str, source: Path, target: str) -> str:
    """Upload a file; gives its SHA-256 in hex.

    The bytes go to a name beside the target, are compared there, and take the target's name only then.

    Raises:
        UsageError: if the source is no readable file, or the target is a directory.
        TooLarge: if it is over the API's limit; nothing was sent.
        TransferError: if what arrived is not what was sent; the target is as it was.
    """
    _require_files(dialect)
    content = await asyncio.to_thread(_read, source, dialect.grades.upload_limit)
    await _require_no_directory(dialect, file_system, target)
    digest = await asyncio.to_thread(_sha256, content)
    aside = f"{target}.{secrets.token_hex(4)}.part"
    try:
        await settled(await dialect.files.upload(file_system, aside, content), dialect.operations)
        await _compare(dialect, file_system, aside, digest, f"{source} -> {target}")
        await settled(await dialect.files.mv(file_system, aside, target), dialect.operations)
    except IriError:
        await _discard(dialect, file_system, aside)
        raise
    return digest


async def get(dialect: Dialect, file_system: str, source: str, target: Path) -> str:
    """Download a file; gives its SHA-256 in hex.

    Raises:
        UsageError: if the target's directory cannot be written to.
        TransferError: if what arrived is not what lies there; the target is as it was.
    """
    _require_files(dialect)
    await asyncio.to_thread(_require_place, target)
    content = await settled(await dialect.files.download(file_system, source), dialect.operations)
    digest = await asyncio.to_thread(_sha256, content)
    await _compare(dialect, file_system, source, digest, f"{source} -> {target}")
    await asyncio.to_thread(_write, target, content)
    return digest


def _require_files(dialect: Dialect) -> None:
    if dialect.grades.files != "direct":
        raise NotOffered(f"the {dialect.name} API of this facility moves no files")


async def _compare(dialect: Dialect, file_system: str, path: str, digest: str, what: str) -> None:
    there = await settled(await dialect.files.checksum(file_system, path), dialect.operations)
    if there.algorithm.upper().replace("-", "") != "SHA256":
        return  # another algorithm says nothing about ours; the size limit keeps this to small files
    if there.value.lower() != digest:
        raise TransferError(
            f"{what} did not arrive whole: SHA-256 {there.value} there, {digest} here; try again"
        )


async def _discard(dialect: Dialect, file_system: str, aside: str) -> None:
    try:
        await settled(await dialect.files.rm(file_system, aside), dialect.operations)
    except IriError:
        return  # the error that led here is the one to tell


async def _require_no_directory(dialect: Dialect, file_system: str, target: str) -> None:
    # A rename onto a directory succeeds: it puts the file inside, under the name it had until then.
    said = f"{target!r} is a directory; say the name of the file too"
    if not target or target.endswith("/"):
        raise UsageError(said)
    try:
        answer = await dialect.files.stat(file_system, target, dereference=True)
        there = await settled(answer, dialect.operations)
    except (NotFound, NotOffered):
        return
    if stat.S_ISDIR(there.mode):
        raise UsageError(said)


def _require_place(target: Path) -> None:
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"{target} must be a file name in a directory that exists")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target.parent} cannot be written to")


def _read(source: Path, limit: int | None) -> bytes:
    try:
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if limit is None or size <= limit:
                return file.read()
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from None
    raise TooLarge(f"{source} has {size} bytes; this facility's API takes {limit} in one file")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(target: Path, content: bytes) -> None:
    aside = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with open(aside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise TransferError(f"{target} cannot be written: {error.strerror}") from None
