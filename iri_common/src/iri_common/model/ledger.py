"""What the ledger remembers of one ask."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far a submission came: intent -> sent -> accepted | refused | uncertain -> settled."""

    INTENT = "intent"
    SENT = "sent"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    SETTLED = "settled"  # its end is known and was told

    @property
    def in_doubt(self) -> bool:
        """Whether a request may be at the facility whose fate is open."""
        return self in {Stage.SENT, Stage.UNCERTAIN}

    @property
    def has_job(self) -> bool:
        """Whether the facility's job is known."""
        return self in {Stage.ACCEPTED, Stage.SETTLED}


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """One generation of one identity. Holds no secret: the spec is there only as a digest.

    Attributes:
        identity: Of the key.
        generation: Of the key.
        stage: How far it came.
        ref: The job's reference as text, with the job id once it is known.
        spec_digest: Of what was asked.
        written_at: Seconds since the epoch, by the writer's clock.
        detail: For a person: why refused or uncertain, or how it ended.
        name: The job's name at the facility.
        asked_at: When the first request of this generation was about to leave; 0 before that.
        last: What the last request ended with, a word of ``Outcome``; "" where it is not known.
        sends: How many requests of this generation may have reached the facility.
        guarded: The requests carried the job-side guard.
        before: Ids of the jobs that lived before, and the newest of those that had ended, where nothing else
            tells jobs apart.
        wall_time: Seconds that the job asked for; None where it named no limit.
        state: How the job ended, a word of ``JobState``, once that was told.
        until: When what was asked for ends by itself, in seconds since the epoch; 0 where it does not.
    """

    identity: str
    generation: int
    stage: Stage
    ref: str
    spec_digest: str
    written_at: float
    detail: str = ""
    name: str = ""
    asked_at: float = 0.0
    last: str = ""
    sends: int = 0
    guarded: bool = False
    before: tuple[str, ...] | None = None
    wall_time: int | None = None
    state: str = ""
    until: float = 0.0
