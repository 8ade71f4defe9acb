"""What a watcher remembers of what it has told, in the state store of its asset."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_iri.happenings import Kept

log = logging.getLogger(__name__)


class Recollection:
    """The memory of one watcher; without a store, it ends with its process.

    Args:
        store: Of the assets that are watched; None where this Airflow has none.
        about: What is watched for, by which watchers of one asset are told apart.

    Attributes:
        now: What is remembered here, of which the newest may not be stored yet; None at the beginning.
    """

    def __init__(self, store: Any, about: str) -> None:
        self._store = store
        self._key = f"iri_{hashlib.sha256(about.encode()).hexdigest()[:32]}"
        self._stored: Kept | None = None
        self._asked = False
        self._turn = asyncio.Lock()  # what is being written is not taken for another's
        self.now: Kept | None = None

    async def recall(self, *, afresh: bool = False) -> Kept | None:
        """What is remembered; ``afresh``, also what another triggerer has told meanwhile.

        A triggerer that slept while another took its triggers over goes on for a moment, before it is told.
        """
        if self._store is None or (self._asked and not afresh):
            return self.now
        async with self._turn:
            try:
                stored: Any = await self._store.aget(self._key)
            except ValueError:
                log.warning(
                    "several assets are watched by equal triggers, and what was told is forgotten with the "
                    "triggerer: give each trigger a name"
                )
                self._store = None
                return self.now
            if not self._asked or stored != self._stored:
                self._stored = self.now = stored
            self._asked = True
        return self.now

    async def keep(self, kept: Kept) -> None:
        """Remember beyond this process."""
        if self._store is None:
            return
        async with self._turn:
            if kept == self._stored:
                return
            try:
                await self._store.aset(self._key, kept)
            except Exception as error:
                log.warning("what was told of an asset is not stored, the next look tries again: %s", error)
            else:
                self._stored = kept
