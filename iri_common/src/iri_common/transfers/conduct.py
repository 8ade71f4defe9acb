"""Carries a plan out: leg by leg, directories first, what an earlier try had landed left as it is."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from iri_common.model.transfer import Move
from iri_common.transfers.landed import has_landed
from iri_common.transfers.meter import TransferMeter
from iri_common.transfers.notes import FileNotes
from iri_common.transfers.trip import Carrier, Trip

Make = Callable[[Sequence[str]], Awaitable[None]]
"""Makes directories at the target, those above them too; ones that are there are fine."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Files that one carrier moves.

    Attributes:
        carrier: Over its road.
        moves: The files.
        makes_directories: The carrier makes the directories of its files by itself.
    """

    carrier: Carrier
    moves: Sequence[Move]
    makes_directories: bool = False


async def conduct(
    stretches: Sequence[Stretch],
    trip: Trip,
    notes: FileNotes,
    meter: TransferMeter,
    *,
    directories: Collection[str] = (),
    make: Make,
) -> None:
    """Move everything, one stretch after the other.

    Args:
        stretches: In their order.
        trip: What the carriers are handed.
        notes: The trip's.
        meter: The trip's.
        directories: That have to be at the target in the end; for a single file none, its own is to be there.
        make: Makes some of them.

    Raises:
        IriError: of a carrier; what had landed stays, and is not moved again by the next try.
    """
    notes.put("begun", True)  # what a try leaves aside bears its name: the next one has to know that
    missing = set(directories)
    for stretch in stretches:
        left = [move for move in stretch.moves if not has_landed(notes, move)]
        for move in stretch.moves:
            if has_landed(notes, move):
                meter.skipped(move)
        needed = {posixpath.dirname(move.target) for move in left}
        if not stretch.makes_directories:
            await make(leaves(needed & missing))
        if left:
            await stretch.carrier.carry(left, trip)
        missing -= {above for each in needed for above in _and_above(each)}
    await make(leaves(missing))


def leaves(directories: Iterable[str]) -> Sequence[str]:
    """Those that are above no other: making them makes all."""
    wanted = set(directories)
    above = {each for path in wanted for each in _and_above(posixpath.dirname(path))}
    return sorted(wanted - above)


def _and_above(path: str) -> Iterable[str]:
    yield path
    while path != (above := posixpath.dirname(path)):  # "//" is above itself, as "/" and "" are
        path = above
        yield path
