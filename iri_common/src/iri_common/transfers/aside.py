"""A file of this machine that is written aside, in any order, and put in its place whole."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from iri_common.transfers import local
from iri_common.transfers.boots import boot_id
from iri_common.transfers.lent import LentFile

T = TypeVar("T")

_ZEROS = bytes(local.PIECE)
# Bytes in one write. For more, Linux takes pages of memory together that nobody has used yet; a virtual
# machine has to ask its host for those, which takes three times as long as the writing.
_AT_ONCE = 512 * 1024
_sync_content = getattr(os, "fdatasync", os.fsync)  # macOS knows only the one that syncs times, too


class LocalAside:
    """A file on its way into the place of ``target``: written beside it, in any order, then renamed.

    Args:
        target: Where it will be.
        transfer: Names the transfer, so that a later try finds what this one has written.

    Attributes:
        boot: Of the machine, once it is open: as long as that lasts, what was written is there.
    """

    def __init__(self, target: str, transfer: str) -> None:
        self.target = target
        self.path = local.aside_of(target, transfer)
        self.boot = ""
        self._file: LentFile | None = None
        self._written_before = 0
        self._syncing = threading.Lock()

    async def open(self, *, keep: bool = False) -> int:
        """Begin; gives the bytes that an earlier try has left, which stay with ``keep``.

        Raises:
            UsageError: if nothing can be written there.
        """
        try:
            await asyncio.to_thread(self._open, keep)
        except OSError as error:
            raise local.unwritten(self.target, error) from None
        return self._written_before

    async def read(self, offset: int, count: int) -> bytes:
        """Bytes that were written; fewer where there are no more."""
        return await self._off_the_loop(lambda file: os.pread(file, count, offset))

    async def write(self, offset: int, content: bytes) -> None:
        """Put some bytes where they belong; long zeros become holes."""
        await self.write_together(offset, [memoryview(content)])

    async def write_together(
        self, offset: int, pieces: Sequence[memoryview], take: Callable[[memoryview], None] | None = None
    ) -> None:
        """Put pieces that follow one another where they belong; long zeros become holes.

        Args:
            offset: Of the first.
            pieces: Of any sizes.
            take: Handed each bit as it is written, in a thread.
        """
        await self._off_the_loop(lambda file: self._write_together(file, offset, pieces, take))

    async def sha256(self, size: int) -> str:
        """The digest of its first bytes, so many; it is no longer than that afterwards."""
        return await self._off_the_loop(lambda file: self._sha256(file, size))

    async def durable(self) -> None:
        """Return when all that was written is on the disk.

        Raises:
            IriError: if it cannot be; nothing of it is left then.
        """
        await self._off_the_loop(lambda file: self._sync(file, _sync_content))

    async def mark(self, size: int) -> str:
        """Make it durable, whole at so many bytes; gives its mark, which the target has once it is placed."""
        return await self._off_the_loop(lambda file: self._finished(file, size))

    async def place(self, size: int) -> None:
        """Make it durable and rename it over the target; it is whole at so many bytes."""
        await self._off_the_loop(lambda file: self._place(file, size))

    def close(self) -> None:
        """Let go of it; what was written stays for a later try."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def drop(self) -> None:
        """Leave nothing of it."""
        self.close()
        with contextlib.suppress(OSError):
            await asyncio.to_thread(os.unlink, self.path)

    async def _off_the_loop(self, work: Callable[[int], T]) -> T:
        if self._file is None:
            raise ValueError(f"{self.path} is not open")
        try:
            return await asyncio.to_thread(self._file.lent, work)
        except OSError as error:
            raise local.unwritten(self.target, error) from None

    def _open(self, keep: bool) -> None:
        local.require_place_now(Path(self.target))
        # A link that somebody put under this name in a directory of all (/tmp) is not followed.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags if keep else flags | os.O_TRUNC, 0o666)
        self._file = LentFile(descriptor)
        self._written_before = os.fstat(descriptor).st_size
        self.boot = boot_id()

    def _write_together(
        self,
        file: int,
        offset: int,
        pieces: Sequence[memoryview],
        take: Callable[[memoryview], None] | None,
    ) -> None:
        for piece in pieces:
            for begin in range(0, len(piece), _AT_ONCE):
                bit = piece[begin : begin + _AT_ONCE]
                if offset < self._written_before or not _is_zeros(bit):
                    _write_piece(file, offset, bit)
                if take is not None:
                    take(bit)
                offset += len(bit)

    def _sha256(self, file: int, size: int) -> str:
        os.ftruncate(file, size)
        digest, offset = hashlib.sha256(), 0
        while piece := os.pread(file, local.PIECE, offset):
            digest.update(piece)
            offset += len(piece)
        return digest.hexdigest()

    def _place(self, file: int, size: int) -> None:
        self._finished(file, size)
        self.close()
        os.replace(self.path, self.target)
        local.sync_directory_now(os.path.dirname(self.target) or ".")

    def _finished(self, file: int, size: int) -> str:
        if os.fstat(file).st_size != size:  # to cut it changes its time, wherever it ends
            os.ftruncate(file, size)
        self._sync(file, os.fsync)
        return local.mark_of_facts(os.fstat(file))

    def _sync(self, file: int, sync: Callable[[int], None]) -> None:
        # A system that has lost what it had taken says so once, be it to a thread that nobody waits for any
        # more; asked again, by another or by a later try, it says that all is well.
        with self._syncing:
            try:
                sync(file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
                raise


def _write_piece(file: int, offset: int, piece: memoryview) -> None:
    while piece:
        count = os.pwrite(file, piece, offset)
        offset, piece = offset + count, piece[count:]


def _is_zeros(piece: memoryview) -> bool:
    # Views are compared item by item, which takes a hundred times as long as with bytes.
    return not piece[0] and piece.tobytes() == _ZEROS[: len(piece)]
