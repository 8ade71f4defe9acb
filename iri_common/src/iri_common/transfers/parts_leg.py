"""What a file's way over parts needs in either direction: who signs, who compares, what is noted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iri_common.jobs.operations import Patience
from iri_common.model.dataports import PartsApi
from iri_common.model.ports import ByteWire, OperationsApi
from iri_common.model.transfer import Move
from iri_common.transfers.far import FarEnd
from iri_common.transfers.trip import Trip

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartsEnd:
    """The far end.

    Attributes:
        parts: Signs the links.
        operations: Tells when that is over.
        wire: Brings the bytes there.
        id: Of the file system.
        far: Renames, and tells digests; None before a store of objects.
        checksum: As the road was asked.
    """

    parts: PartsApi
    operations: OperationsApi
    wire: ByteWire
    id: str
    far: FarEnd | None
    checksum: bool | None


class Leg:
    """One file on its way."""

    def __init__(self, end: PartsEnd, move: Move, trip: Trip, slots: asyncio.Semaphore) -> None:
        self._end, self._move, self._trip, self._slots = end, move, trip, slots
        ends = f"{move.source}\0{move.target}".encode(errors="surrogateescape")
        self._name = f"parts:{hashlib.sha256(ends).hexdigest()[:16]}"

    async def carry(self) -> None:
        """Move it; carried again, it goes on."""
        raise NotImplementedError

    @property
    def _noted(self) -> Mapping[str, Any] | None:
        return self._trip.notes.get(self._name)

    def _note(self, what: Mapping[str, Any] | None) -> None:
        self._trip.notes.put(self._name, what)

    def _landed(self, sha256: str | None) -> None:
        self._trip.meter.landed(self._move, sha256)  # before what is noted of its way goes
        self._note(None)
        self._trip.notes.put(f"{self._name}:begun", None)

    @property
    def _patience(self) -> Patience:
        # FirecREST's own job looks for the object once a minute, and then copies it.
        return Patience(first=0.2, longest=10.0, total=1800.0 + self._move.size / (20 * MIB))
