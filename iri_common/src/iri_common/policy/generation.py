"""When is an ask a new ask? The only rule that raises a key's generation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from iri_common.model.state import JobState


class GenerationStep(StrEnum):
    """What a new try of the same ask does."""

    SUBMIT = "submit"  # nothing was asked before: submit this generation
    ATTACH = "attach"  # the job of this generation is ours: wait for it, or settle its fate
    RAISE = "raise"  # that job is over and done with: submit the next generation
    REPLACE = "replace"  # cancel that job if it lives, then submit the next generation


@dataclass(frozen=True, slots=True)
class GenerationFacts:
    """What an engine and the facility tell of the time before.

    Attributes:
        asked_before: An intent of this generation is on record, with or without a job id.
        reported: The state of its job that the *engine was told* (``JobStatus.reported``), None if the try
            ended without being told: a crash, a lost reply, a restart.
        cleared: A person cleared the work, to have it done afresh.
        spec_changed: What is asked now differs from what was asked then.
        again: A person or a program said "again".
    """

    asked_before: bool = False
    reported: JobState | None = None
    cleared: bool = False
    spec_changed: bool = False
    again: bool = False


def generation_step(facts: GenerationFacts) -> GenerationStep:
    """Decide between attaching and raising.

    A crash, a lost reply or a job that still runs keeps the generation. Only a reported end without
    success, a clear, a changed spec or an explicit "again" raises it; the last three replace a job that
    may live. A reported success is attached to: asking again for done work gives its result.
    """
    if not facts.asked_before:
        return GenerationStep.SUBMIT
    if facts.cleared or facts.spec_changed or facts.again:
        return GenerationStep.REPLACE
    if facts.reported in {JobState.FAILED, JobState.CANCELED}:
        return GenerationStep.RAISE
    return GenerationStep.ATTACH
