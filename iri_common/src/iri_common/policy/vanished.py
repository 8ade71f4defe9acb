"""What to make of a job that the facility does not list: late, a case for a witness, or lost."""

from __future__ import annotations

from enum import Enum, auto

GRACE = 60.0  # seconds for the queue and the archive to agree
GRACE_UNSEEN = 120.0  # ... for a job just accepted to be listed for the first time
GRACE_BEGUN = 900.0  # ... for a job that is known to have begun, and whose end is not written
ASK_EVERY = 60.0  # seconds between two questions to the witness
MOST_BETWEEN = 30.0  # seconds that count between two looks: a time without looks proves nothing


class Absence(Enum):
    """What to do now."""

    WAIT = auto()
    ASK = auto()
    LOST = auto()


def counted(since_last_look: float) -> float:
    """Seconds of absence that this look proves."""
    return min(since_last_look, MOST_BETWEEN)


def judge(
    absent: float, *, seen: bool, witness: bool, begun: bool = False, since_asked: float | None = None
) -> Absence:
    """What to do about a job that has been absent so long.

    A job just accepted may not be listed yet and an ended one not archived yet (seen with firecrest-v2
    thread 177 and aiida-core thread 3404: an empty list is no end).

    Args:
        absent: Seconds for which looks have not found it.
        seen: Whether it was ever found.
        witness: Whether somebody else can be asked, such as its journal.
        begun: Whether the witness has said that it began.
        since_asked: Seconds since the witness was asked; None if it was not.
    """
    if absent < (GRACE if seen else GRACE_UNSEEN):
        return Absence.WAIT
    if begun and absent >= GRACE_BEGUN:
        return Absence.LOST
    if not witness:
        return Absence.LOST
    return Absence.ASK if since_asked is None or since_asked >= ASK_EVERY else Absence.WAIT
