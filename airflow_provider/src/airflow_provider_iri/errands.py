"""What a task asks for once beside jobs (a path, a run of a flow, a transfer), from one try to the next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_iri.record import remember
from airflow_provider_iri.storeless import nonce_of
from iri_common import GenerationFacts, GenerationStep, JobKey, JobState, generation_step

if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True, slots=True)
class ErrandRecord:
    """One ask, written before it is sent.

    Attributes:
        nonce: Makes it unique: the id of the task instance's first try.
        generation: Of the key.
        max_tries: Airflow's at the latest try. A clear sets it anew, a retry does not.
        digest: Of what is asked.
        submission: Under which a service is asked that wants to name an ask by itself.
        ref: What came of it, in the words of who was asked; None while that is not known.
        before: The same of the ask before a clear.
        unsettled: The generation of an ask before, of which nobody knows whether it came to anything.
        ended: Airflow was told that it ended without success.
        left: The last try ended with a trouble of its own, and left it alive.
        doubt: It was asked for, and no answer tells whether it was taken; what was there before. A clear is
            how a person says "ask again".
    """

    nonce: str
    generation: int
    max_tries: int
    digest: str
    submission: str | None = None
    ref: str | None = None
    before: str | None = None
    unsettled: int | None = None
    ended: bool = False
    left: bool = False
    doubt: str | None = None


class Errand:
    """Which ask a try is about: that of the tries before it, or the next one.

    Args:
        context: Of the task.
        name: Under which it is remembered.
        what: Is asked for, plain JSON; something else is another ask. None for what this try has asked for:
            its fields are rendered anew after a deferral, and may say something else by then.
        lasting: Without a store (Airflow 3.2), all tries are about the same ask, also after a clear.
        found: Without a store, what came of an ask by its key, and whether it ended without success; None if
            nothing came of it. Where this is not told, each try asks anew.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        what: object = None,
        *,
        lasting: bool = False,
        found: Callable[[JobKey], tuple[str, bool] | None] | None = None,
    ) -> None:
        self._ti: Any = context["ti"]
        self._store: Any = context.get("task_state_store")
        self._name = name
        digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:32]
        first = ErrandRecord(str(self._ti.id), 1, self._ti.max_tries, digest)
        run = nonce_of(context) if self._store is None else None
        if self._store is None and lasting:
            first = replace(first, nonce=run or "lasting")
        elif run and found is not None:  # after a clear, or for something else, nothing is found
            first = replace(first, nonce=f"{run}.{self._ti.max_tries}.{digest}")
            self.record = self._found(first, found)
            return
        kept = self._kept()
        if kept is not None and what is None:
            self.record = kept
            return
        self.record = _next(kept, first)
        self.note()

    @property
    def key(self) -> JobKey:
        """Who asks."""
        return self.key_of(self.record.generation)

    def key_of(self, generation: int) -> JobKey:
        """Who asked at that time."""
        ti = self._ti
        who = ("airflow", ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        return JobKey.of(*who, self.record.nonce, generation=generation)

    def again(self) -> None:
        """What came of it has ended, and not as it should have: ask another time."""
        record = self.record
        self.note(
            generation=record.generation + 1, submission=None, ref=None, ended=False, left=False, doubt=None
        )

    def note(self, **changes: Any) -> None:
        """Remember it, where there is a store."""
        self.record = replace(self.record, **changes)
        if self._store is not None:
            remember(self._store, self._name, asdict(self.record))

    def _found(self, asked: ErrandRecord, found: Callable[[JobKey], tuple[str, bool] | None]) -> ErrandRecord:
        """What the tries of before have asked for, or the next ask; a first try looks for nothing."""
        for _ in range(1, self._ti.try_number):
            self.record = asked
            came = found(self.key)
            if came is None:
                return asked
            known = _next(replace(asked, ref=came[0], ended=came[1]), asked)
            if known.ref is not None:
                return known
            asked = known
        return asked

    def _kept(self) -> ErrandRecord | None:
        found = self._store.get(self._name) if self._store is not None else None
        known = {each.name for each in fields(ErrandRecord)}
        return ErrandRecord(**{name: found[name] for name in known & found.keys()}) if found else None


def _next(kept: ErrandRecord | None, asked: ErrandRecord) -> ErrandRecord:
    if kept is None:
        return asked
    facts = GenerationFacts(
        asked_before=True,
        reported=JobState.FAILED if kept.ended else None,
        # Nothing can be ended whose fate is not known: the same key settles that. And clearing is also how a
        # person says "go on" after a try that left it alive.
        cleared=asked.max_tries != kept.max_tries and kept.ref is not None and not kept.left,
        spec_changed=asked.digest != kept.digest,
    )
    step = generation_step(facts)
    if step is GenerationStep.ATTACH:
        doubt = kept.doubt if asked.max_tries == kept.max_tries else None
        return replace(kept, max_tries=asked.max_tries, left=False, doubt=doubt)
    following = replace(asked, nonce=kept.nonce, generation=kept.generation + 1)
    if step is not GenerationStep.REPLACE:
        return following
    # While one before it is unsettled, nothing was asked under the generation after it.
    unsettled = kept.unsettled or (kept.generation if kept.ref is None else None)
    return replace(following, before=kept.ref or kept.before, unsettled=unsettled)
