"""One transfer under way: what every road is handed, and what it tells while it carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from iri_common.model.transfer import Move


class Meter(Protocol):
    """Counts what moves, holds it to the bandwidth that was asked for, and tells whoever looks."""

    async def spend(self, count: int) -> None:
        """Wait until so many bytes may be sent or asked for."""
        ...

    def moved(self, count: int, name: str = "") -> None:
        """So many bytes have arrived; fewer than 0 if they have to be moved again."""
        ...

    def kept(self, count: int) -> None:
        """So many bytes need not be moved, because an earlier try had moved them."""
        ...

    def landed(self, move: Move, sha256: str | None = None) -> None:
        """A file is whole at the target."""
        ...


class Notes(Protocol):
    """What a transfer remembers over a crash of its process; written at once, never with secrets in it."""

    @property
    def transfer(self) -> str:
        """16 hex digits that name this transfer, the same in every try until it is done."""
        ...

    def get(self, name: str) -> Any:
        """What was noted under a name last; None for nothing."""
        ...

    def put(self, name: str, value: Mapping[str, Any] | Sequence[Any] | str | int | None) -> None:
        """Note something, plain JSON, under a name; None forgets it.

        It outlives this process when :meth:`written` returns, and the machine when :meth:`durable` does.
        """
        ...

    async def written(self) -> None:
        """Return when all that was put outlives this process, as far as there is room for it."""
        ...

    async def durable(self) -> None:
        """Return when all that was put is on the disk: before an act that must not be done twice."""
        ...


@dataclass(frozen=True, slots=True)
class Trip:
    """What a carrier is handed.

    Attributes:
        meter: Told of every byte.
        notes: Of this transfer.
        parallel: How many parts, or files, may be under way at once.
    """

    meter: Meter
    notes: Notes
    parallel: int = 4


class Carrier(Protocol):
    """Moves files over one road between two ends that it was made with."""

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Move them all, each whole or not at all; ``trip.meter.landed`` is called for each that is.

        Carried again after a kill, it goes on where its notes end.

        Raises:
            TransferError: naming the file; what had landed stays.
        """
        ...
