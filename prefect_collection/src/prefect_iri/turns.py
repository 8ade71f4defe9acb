"""Which generation of a job a try asks for: facts kept where the flow run is, decided by the core's rule.

Prefect gives every try of a flow run new task runs, so nothing of theirs identifies a job. The facts are
rows of the flow run's input store: written at once, visible from every host, unique by key, and removed
with the flow run. See docs/decisions/prefect-generations.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from prefect.exceptions import PrefectHTTPStatusError

from iri_common import (
    GenerationFacts,
    GenerationStep,
    JobFailed,
    JobKey,
    JobRef,
    JobState,
    SpecChanged,
    generation_step,
)
from prefect_iri.runs import Ask, Run

MOST_ROWS = 10_000
T = TypeVar("T")
Steps = Generator[Callable[[Any], Any], Any, T]  # yields what to ask of the store, is sent its answer


@dataclass(frozen=True, slots=True)
class Turn:
    """What a try is to do.

    Attributes:
        key: To submit under; None outside of any run, where nobody will ask again.
        seen_before: An earlier try of the run may have reached the facility under this key.
        ref: The job, if it is known to have been taken: nothing is to be submitted.
    """

    key: JobKey | None = None
    seen_before: bool = False
    ref: JobRef | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """``iri-<label>-<number>-<what>-<generation>[-<epoch>]`` and its value.

    What is "asked" (an intent: owner and spec), "job" (its reference) or "ended" (a failure that a task
    run was told). ``number`` tells equal calls of one try apart.
    """

    number: int
    what: str
    generation: int
    epoch: str
    value: dict[str, str]

    @classmethod
    def read(cls, row: Any) -> _Row:
        _, _, number, what, generation, epoch = (row.key + "-").split("-")[:6]
        return cls(int(number), what, int(generation), epoch, json.loads(row.value))


def take_turn(run: Run, ask: Ask) -> Steps[Turn]:
    """Put down that this call asks, and tell what it is to do.

    Raises:
        SpecChanged: if a named call asks for something else while the job of before may be alive.
    """
    prefix = _prefix(ask.label)
    while True:
        rows = yield from _rows(run.id, prefix)
        here = [row for row in rows if row.what == "asked" and row.epoch == run.epoch]
        number = 1 if ask.named else _number(here, run.owner)
        ours = [row for row in rows if row.number == number]
        generation = _generation(ours)
        turn = _turn(run, ask, number, generation, ours)
        if any(row.number == number and row.generation == generation for row in here):
            return turn
        key = f"{prefix}{number}-asked-{generation}-{run.epoch}"
        if (yield from _write(run.id, key, owner=run.owner, spec=ask.spec)) or ask.named:
            return turn  # else: an equal call at the same moment took this number


def note_job(ref: JobRef) -> Steps[None]:
    """Put down which job was taken, so that a try on another host attaches without a search."""
    yield from _note(ref.key, "job", ref=str(ref))


def note_end(failure: JobFailed) -> Steps[None]:
    """Put down that a task run was told of this failure: the next try asks for a new job."""
    yield from _note(failure.ref.key, "ended", state=str(failure.job_status.reported), ref=str(failure.ref))


def run_kind(key: JobKey) -> str | None:
    """Which kind of run asked under this key; None if it was no run of Prefect's."""
    return key.segments[1] if key.segments[0] == "prefect" and len(key.segments) == 5 else None


def _note(key: JobKey, what: str, **value: str) -> Steps[None]:
    _, _, run_id, label, number = key.segments
    yield from _write(UUID(run_id), f"{_prefix(label)}{number}-{what}-{key.generation}", **value)


def _number(here: list[_Row], owner: str) -> int:
    taken = {row.number: row.value["owner"] for row in here}
    own = [number for number, who in taken.items() if who == owner]
    return own[0] if own else next(n for n in range(1, len(taken) + 2) if n not in taken)


def _generation(rows: list[_Row]) -> int:
    asked = {row.generation for row in rows if row.what == "asked"}
    ended = {row.generation: JobState(row.value["state"]) for row in rows if row.what == "ended"}
    generation = 1
    while (
        generation_step(GenerationFacts(generation in asked, reported=ended.get(generation)))
        is GenerationStep.RAISE
    ):
        generation += 1
    return generation


def _turn(run: Run, ask: Ask, number: int, generation: int, rows: list[_Row]) -> Turn:
    key = JobKey.of("prefect", run.kind, run.id, ask.label, number, generation=generation)
    asked = [row for row in rows if row.what == "asked" and row.generation == generation]
    if any(row.value["spec"] != ask.spec for row in asked):
        raise SpecChanged(
            f"the {ask.label!r} of this {run.kind} run asked for another job before, which may be alive; "
            "give the call another name, or start a new run"
        )
    for row in rows:
        if row.what == "job" and row.generation == generation:
            return Turn(key, ref=JobRef.parse(row.value["ref"]))
    # What this very call sent before is in the ledger of this host; what others sent may not be.
    others = any((row.epoch, row.value["owner"]) != (run.epoch, run.owner) for row in asked)
    return Turn(key, seen_before=others)


def _prefix(label: str) -> str:
    return f"iri-{hashlib.sha256(label.encode()).hexdigest()[:16]}-"


def _rows(run_id: UUID, prefix: str) -> Steps[list[_Row]]:
    found = yield lambda store: store.filter_flow_run_input(
        flow_run_id=run_id, key_prefix=prefix, limit=MOST_ROWS, exclude_keys=set()
    )
    return [_Row.read(row) for row in found]


def _write(run_id: UUID, key: str, **value: str) -> Steps[bool]:
    """Write a row; False if there is one of this key."""
    text = json.dumps(value)
    try:
        yield lambda store: store.create_flow_run_input(flow_run_id=run_id, key=key, value=text)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 409:
            raise
        return False
    return True
