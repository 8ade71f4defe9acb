"""Secrets that a facility tells once: a file each, for nobody else to read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import ParamSpec, TypeVar

from iri_common.auth.privatefile import write_private
from iri_common.model.errors import AuthError
from iri_common.model.streams import StreamAccess
from iri_common.policy.places import place

P = ParamSpec("P")
T = TypeVar("T")


def default_directory() -> Path:
    """``$XDG_STATE_HOME/iri/streams``, by default under ``~/.local/state``."""
    return Path(place(os.environ, "state", "streams")).expanduser()


class FileVault:
    """How clusters of message brokers are reached, in files.

    Args:
        directory: Created when first written to.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or default_directory()

    async def keep(self, label: str, access: StreamAccess) -> None:
        """Store durably: it is on the disk when this returns.

        Raises:
            AuthError: if it cannot be.
        """
        words = {**asdict(access), "urls": dict(access.urls)}
        await self._do(write_private, self._path(label), json.dumps(words))

    async def read(self, label: str) -> StreamAccess | None:
        """What is kept under a label.

        Raises:
            AuthError: if it cannot be read or understood.
        """
        return await self._do(self._read, label)

    async def drop(self, label: str) -> None:
        """Forget it."""
        await self._do(self._path(label).unlink, True)

    def _read(self, label: str) -> StreamAccess | None:
        try:
            return StreamAccess(**json.loads(self._path(label).read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):  # the parser's error would refer to all of it
            raise AuthError(
                f"{self._path(label)} cannot be understood; move it away, release its cluster and ask again"
            ) from None

    def _path(self, label: str) -> Path:
        return self._directory / f"{hashlib.sha256(label.encode()).hexdigest()[:32]}.json"

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except OSError as error:
            raise AuthError(
                f"secrets cannot be kept in {self._directory} ({error.strerror}); make it usable, or point "
                "XDG_STATE_HOME to a directory that is"
            ) from None
