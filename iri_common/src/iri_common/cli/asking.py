"""Asking for a job from the command line: under a key, or once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from iri_common.cli.jobspec import amount
from iri_common.cli.options import AskWords
from iri_common.facility.loop import run_blocking
from iri_common.jobside.amounts import seconds_of
from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey
from iri_common.model.spec import JobSpec
from iri_common.policy.generation import GenerationStep

if TYPE_CHECKING:
    from iri_common.facility.facility import Facility
    from iri_common.model.grades import Grades
    from iri_common.model.ref import JobRef

STEPS = {
    GenerationStep.SUBMIT: "submitted",
    GenerationStep.ATTACH: "found again, it was asked for before",
    GenerationStep.RAISE: "submitted anew, the one before had failed",
    GenerationStep.REPLACE: "submitted anew in the place of the one before",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One ask, ready to be made.

    Attributes:
        spec: The job.
        key: Its identity; a random one where none was given.
        named: Whether a person gave the key.
        again: Have it done afresh.
        words: Of ``facility.jobs.submit`` and ``ask``, as far as they were given.
    """

    spec: JobSpec
    key: JobKey
    named: bool
    again: bool
    words: dict[str, Any]

    def grades(self, facility: Facility) -> Grades:
        """How exactly each promise is kept for this job there."""
        return facility.grades if self.words.get("guard") is not False else facility.grades.unguarded()

    def make(
        self, facility: Facility, before: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> tuple[JobRef, GenerationStep]:
        """Ask the facility.

        Args:
            facility: Which.
            before: Awaited if a job is going to be submitted, rather than one that is there adopted.
        """
        if self.named:
            asked = facility.jobs.ask(self.spec, key=self.key, again=self.again, before=before, **self.words)
            return asked.ref, asked.step
        if before is not None:
            run_blocking(before())
        return facility.jobs.submit(self.spec, key=self.key, **self.words), GenerationStep.SUBMIT


def ask_of(spec: JobSpec, resource: str | None, words: AskWords) -> Ask:
    """The ask that the options describe.

    Raises:
        UsageError: for options that make no sense.
    """
    if words.again and not words.key:
        raise UsageError("--again goes with --key: without a key every ask is a new job")
    if words.on_outage not in (None, "wait", "fail", "try"):
        raise UsageError(f"--on-outage is wait, fail or try, not {words.on_outage}")
    said: dict[str, Any] = {
        "resource": resource,
        "guard": False if words.no_guard else None,
        "on_outage": words.on_outage,
        "outage_limit": amount("--outage-limit", seconds_of, words.outage_limit),
    }
    return Ask(
        spec=spec,
        key=key_of(words.key) if words.key else JobKey.random(),
        named=words.key is not None,
        again=words.again,
        words={name: value for name, value in said.items() if value is not None},
    )


def key_of(text: str) -> JobKey:
    """The key that ``--key`` names: segments joined by "/".

    A segment may be percent-encoded, as ``iri jobs`` shows it; it means the same either way.

    Raises:
        UsageError: for an empty segment.
    """
    segments = [unquote(each) for each in text.split("/")]
    if not all(segments):
        raise UsageError(f"--key {text!r} has an empty segment; write it as who/asks/for-what")
    return JobKey.of(*segments)
