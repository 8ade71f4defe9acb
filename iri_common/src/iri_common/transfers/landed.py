"""What is noted of files that take their places, so that a later try leaves them there."""

from __future__ import annotations

from collections.abc import Sequence

from iri_common.model.transfer import Move
from iri_common.transfers.trip import Notes

_LANDED = "landed "


def note_landed(notes: Notes, move: Move) -> None:
    """Remember that a file need not be moved again while its source is as it was."""
    notes.put(_LANDED + move.target, [move.size, move.mtime])


async def note_landing(notes: Notes, move: Move, digest: str) -> None:
    """Remember, over a kill, what a file is that takes its place next: a look there tells whether it did."""
    notes.put(_LANDED + move.target, [move.size, move.mtime, digest])
    await notes.written()


def has_landed(notes: Notes, move: Move) -> bool:
    """Whether it is noted as landed, of a source as it is now."""
    # Where no time is told nobody knows whether the source is as it was.
    return move.mtime != 0.0 and notes.get(_LANDED + move.target) == [move.size, move.mtime]


def landed_before(notes: Notes, moves: Sequence[Move]) -> Sequence[Move]:
    """Those that an earlier try had landed, of a source as it is now."""
    return [move for move in moves if has_landed(notes, move)]


def landing_before(notes: Notes, move: Move) -> str | None:
    """The digest of what an earlier try may have landed, of a source that looks as it does now."""
    match notes.get(_LANDED + move.target):
        case [move.size, move.mtime, str(digest)]:
            return digest
        case _:
            return None


def forget_landed(notes: Notes, move: Move) -> None:
    """It is not at the target any more."""
    notes.put(_LANDED + move.target, None)
