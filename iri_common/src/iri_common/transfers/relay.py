"""From one facility to another through this machine: a few files down, the same files up, and so on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from iri_common.model.errors import TransferError
from iri_common.model.transfer import Move
from iri_common.policy.places import place
from iri_common.transfers.trip import Carrier, Meter, Notes, Trip

BATCH = 256 * 1024 * 1024  # bytes on this machine's disk at once, if no single file has more


def default_stage() -> Path:
    """``$XDG_CACHE_HOME/iri/transfers``, by default under ``~/.cache``."""
    return Path(place(os.environ, "cache", "transfers")).expanduser()


class RelayRoad:
    """Two roads in a row.

    Args:
        down: To this machine.
        up: From this machine.
        stage: Where the files are between; made when needed, gone when all are through.
    """

    def __init__(self, down: Carrier, up: Carrier, stage: Path) -> None:
        self._down, self._up = down, up
        self._stage = stage

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Move them all, each whole or not at all; files that were down already go up only.

        Raises:
            TransferError: naming the file; also if this machine has no room.
        """
        try:
            await asyncio.to_thread(self._stage.mkdir, mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise TransferError(f"{self._stage} cannot be made: {error.strerror}") from None
        for batch in _batches(moves):
            staged = {move: str(self._stage / _name(move)) for move in batch}
            await self._fetch(staged, trip)
            await self._send(staged, trip)
        await asyncio.to_thread(shutil.rmtree, self._stage, ignore_errors=True)

    async def _fetch(self, staged: Mapping[Move, str], trip: Trip) -> None:
        notes = _Named(trip.notes, "down ")
        there = await asyncio.to_thread(_present, list(staged.values()))
        share = _Share(trip.meter, 0)
        missing: list[Move] = []
        for move, path in staged.items():
            if path in there and notes.get(path) == [move.size, move.mtime]:
                share.kept(move.size)
            else:
                missing.append(replace(move, target=path))
        share.on_landed = lambda move, _: notes.put(move.target, [move.size, move.mtime])
        if missing:
            await self._down.carry(missing, Trip(share, notes, trip.parallel))

    async def _send(self, staged: Mapping[Move, str], trip: Trip) -> None:
        by_path = {path: move for move, path in staged.items()}
        notes = _Named(trip.notes, "up ")
        share = _Share(trip.meter, 1)
        share.on_landed = lambda move, sha256: trip.meter.landed(by_path[move.source], sha256)
        ups = [replace(move, source=path) for move, path in staged.items()]
        await self._up.carry(ups, Trip(share, notes, trip.parallel))
        await asyncio.to_thread(_unlink, list(staged.values()))
        for path in staged.values():
            notes.put(path, None)


class _Share:
    """Half of the transfer's meter: a byte counts when it has gone both ways, half of them at each."""

    def __init__(self, meter: Meter, rest: int) -> None:
        self.on_landed: Callable[[Move, str | None], None] = lambda move, sha256: None
        self._meter = meter
        self._moved = self._kept = rest

    async def spend(self, count: int) -> None:
        """As the whole."""
        await self._meter.spend(count)

    def moved(self, count: int, name: str = "") -> None:
        """Half of it."""
        before, self._moved = self._moved, self._moved + count
        self._meter.moved(self._moved // 2 - before // 2, name)

    def kept(self, count: int) -> None:
        """Half of it."""
        before, self._kept = self._kept, self._kept + count
        self._meter.kept(self._kept // 2 - before // 2)

    def landed(self, move: Move, sha256: str | None = None) -> None:
        """A file is through this half."""
        self.on_landed(move, sha256)


class _Named:
    """Notes of a transfer under names of one's own."""

    def __init__(self, notes: Notes, prefix: str) -> None:
        self._notes = notes
        self._prefix = prefix

    @property
    def transfer(self) -> str:
        """Of the whole."""
        return self._notes.transfer

    def get(self, name: str) -> Any:
        """What was noted here."""
        return self._notes.get(self._prefix + name)

    def put(self, name: str, value: Mapping[str, Any] | Sequence[Any] | str | int | None) -> None:
        """Note it here."""
        self._notes.put(self._prefix + name, value)

    async def written(self) -> None:
        """All of the transfer's."""
        await self._notes.written()

    async def durable(self) -> None:
        """All of the transfer's."""
        await self._notes.durable()


def _batches(moves: Sequence[Move]) -> Iterator[Sequence[Move]]:
    batch: list[Move] = []
    size = 0
    for move in moves:
        if batch and size + move.size > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(move)
        size += move.size
    if batch:
        yield batch


def _name(move: Move) -> str:
    return hashlib.sha256(f"{move.source}\0{move.target}".encode(errors="surrogateescape")).hexdigest()[:32]


def _present(paths: Sequence[str]) -> set[str]:
    return {path for path in paths if os.path.isfile(path)}


def _unlink(paths: Sequence[str]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
