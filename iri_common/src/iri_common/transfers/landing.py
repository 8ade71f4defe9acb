"""Many files at once on the disk of this machine: a disk is waited for once for several of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from iri_common.model.transfer import Move
from iri_common.transfers import local

_THREADS = 8  # a file system writes down for many what it writes for one


class Landing:
    """Files that lie aside until :meth:`land` gives them their names; in a thread that may block.

    Left as a context, it takes away those that have not got theirs.

    Args:
        transfer: Names what lies aside.
    """

    def __init__(self, transfer: str) -> None:
        self._transfer = transfer
        self._asides: dict[str, Move] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for aside in self._asides:
            with contextlib.suppress(OSError):
                os.unlink(aside)

    def __len__(self) -> int:
        return len(self._asides)

    def write(self, move: Move, pieces: Iterable[bytes], mode: int) -> None:
        """Write one aside.

        Raises:
            IriError: if it cannot be written; nothing is left of it.
        """
        aside = local.aside_of(move.target, self._transfer)
        try:
            local.require_place_now(Path(move.target))
            local.write_aside_now(aside, pieces, mode, durable=False)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            if isinstance(error, OSError):
                raise local.unwritten(move.target, error) from None
            raise
        self._asides[aside] = move

    def land(self) -> Sequence[Move]:
        """Make all durable, then give them their names; gives what has landed.

        Raises:
            IriError: if one cannot be; neither are those after it.
        """
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(_sync, self._asides, self._asides.values()))
            for aside, move in self._asides.items():
                try:
                    os.replace(aside, move.target)
                except OSError as error:
                    raise local.unwritten(move.target, error) from None
            directories = {os.path.dirname(move.target) or "." for move in self._asides.values()}
            list(threads.map(local.sync_directory_now, directories))
        landed = list(self._asides.values())
        self._asides.clear()
        return landed


def _sync(aside: str, move: Move) -> None:
    try:
        descriptor = os.open(aside, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise local.unwritten(move.target, error) from None
