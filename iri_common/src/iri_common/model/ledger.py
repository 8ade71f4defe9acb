"""What the ledger remembers of one ask."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far a submission came: intent -> sent -> accepted | refused | uncertain."""

    INTENT = "intent"
    SENT = "sent"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"


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
        detail: For a person: why refused or uncertain.
    """

    identity: str
    generation: int
    stage: Stage
    ref: str
    spec_digest: str
    written_at: float
    detail: str = ""
