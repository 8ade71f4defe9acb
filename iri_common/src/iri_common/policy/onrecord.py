"""Between the ledger and a submission: what a record lets us know, and what is written next. No I/O here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.policy.asking import Known, Note
from iri_common.policy.classify import Outcome

KEYS_KEPT = 23 * 3600.0  # seconds: the IRI reference server forgets an idempotency key after a day


@dataclass(frozen=True, slots=True)
class DoorFacts:
    """What a door can do for a submission, as far as this process knows.

    Attributes:
        settle: As in :class:`iri_common.model.grades.Grades`.
        keeps_keys: No reply has said that idempotency keys are not kept.
        honours_keys: Some reply has proved that they are.
    """

    settle: Literal["native", "lookup", "snapshot", "none"] = "native"
    keeps_keys: bool = True
    honours_keys: bool = False

    @property
    def keyed(self) -> bool:
        """Whether requests carry a key."""
        return self.keeps_keys and self.settle == "native"


def known_of(
    record: LedgerRecord | None, door: DoorFacts, *, seen_before: bool, guarded: bool, now: float
) -> Known:
    """What is known before a submission begins.

    Args:
        record: Of this generation.
        door: What the door can do.
        seen_before: The engine knows of an earlier attempt.
        guarded: The job checks for itself whether it is a double.
        now: Seconds since the epoch.
    """
    doubt = record if record is not None and record.stage.in_doubt else None
    too_old = doubt is not None and now - doubt.asked_at > KEYS_KEPT
    return Known(
        doubtful=doubt is not None or seen_before,
        last=Outcome(doubt.last) if doubt is not None and doubt.last else None,
        before=frozenset(doubt.before) if doubt is not None and doubt.before is not None else None,
        keyed=door.keyed,
        honoured=door.honours_keys and not too_old,
        lookup=door.settle != "none",
        snapshot=door.settle == "snapshot",
        # A double of a job that was sent without its guard would not notice.
        guarded=guarded and (doubt is None or doubt.guarded),
    )


def noted(blank: LedgerRecord, before: LedgerRecord | None, note: Note, now: float) -> LedgerRecord:
    """The record after a note.

    Args:
        blank: The ask itself: identity, generation, reference, digest, name, guard; its stage says nothing.
        before: The record of this generation until now.
        note: What is to be written.
        now: Seconds since the epoch.
    """
    sent = note.stage is Stage.SENT
    return replace(
        blank,
        stage=note.stage,
        written_at=now,
        asked_at=(before.asked_at if before else 0.0) or (now if sent else 0.0),
        last=str(note.last or ""),
        sends=(before.sends if before else 0) + sent,
        guarded=blank.guarded and (before is None or not before.stage.in_doubt or before.guarded),
        before=tuple(sorted(note.before)) if note.before is not None else None,
    )
