"""The newest generation of an identity: from the ledger, or found again at the facility."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from iri_common.jobs.guards import GuardFiles
from iri_common.jobs.search import pages, the_one
from iri_common.jobside.codes import GuardCode
from iri_common.model.errors import IriError
from iri_common.model.job import JobEntry
from iri_common.model.key import JobKey
from iri_common.model.ledger import Stage
from iri_common.model.logfields import about
from iri_common.model.ports import Dialect, Ledger
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState
from iri_common.policy.generation import GenerationFacts

log = logging.getLogger(__name__)

_TAG = re.compile(r"\.([0-9a-f]{16})-([1-9][0-9]{0,17})$")


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest generation of an identity that anybody knows of.

    Attributes:
        generation: Its number.
        ran: A job of it may be or have been at the facility.
        job_id: Of its job, where known.
        reported: How it ended, if whoever asked was told so. Without a ledger nobody knows who was told
            what, and an end that the facility shows counts as told.
        spec_digest: Of what was asked; "" where that is not known.
        ref: The job's, with all that was noted when it was asked for, where that is on record.
    """

    generation: int
    ran: bool = True
    job_id: str | None = None
    reported: JobState | None = None
    spec_digest: str = ""
    ref: JobRef | None = field(default=None, compare=False)

    def facts(self, spec_digest: str, *, again: bool) -> GenerationFacts:
        """What the rule wants to know, for an ask with this spec."""
        changed = bool(self.spec_digest) and self.spec_digest != spec_digest
        return GenerationFacts(
            asked_before=self.ran, reported=self.reported, spec_changed=changed, again=again
        )


def tag_of(name: str | None) -> tuple[str, int] | None:
    """The digest and generation of the key in a job's name, if it carries one."""
    match = _TAG.search(name or "")
    return (match.group(1), int(match.group(2))) if match else None


async def newest(
    identity: JobKey, resource_id: str, dialect: Dialect, ledger: Ledger, guards: GuardFiles | None
) -> Newest | None:
    """The newest generation, None if nothing was ever asked in this name.

    Raises:
        IriError: if there is no record and the facility cannot be looked at: starting again at 1 could
            run done work twice.
    """
    return await _recorded(identity, ledger) or await _rediscovered(identity, resource_id, dialect, guards)


async def newest_anywhere(
    identity: JobKey, resource_id: str, dialect: Dialect, ledger: Ledger, guards: GuardFiles | None
) -> Newest | None:
    """The same, though the newest may have been asked for with another ledger than this one.

    Raises:
        IriError: if the facility cannot be looked at now; or not at all, and there is no record either.
    """
    recorded = await _recorded(identity, ledger)
    try:
        seen = await _rediscovered(identity, resource_id, dialect, guards)
    except IriError as error:
        if recorded is None or error.transient:
            raise
        return recorded
    if recorded is None or (seen is not None and seen.generation > recorded.generation):
        return seen
    if seen is None or seen.generation < recorded.generation:
        return recorded
    if seen.job_id is None and recorded.job_id is not None:  # its guard alone tells of it yet, or still
        return replace(recorded, reported=recorded.reported or seen.reported)
    return replace(seen, ref=recorded.ref if recorded.job_id == seen.job_id else None)


async def _recorded(identity: JobKey, ledger: Ledger) -> Newest | None:
    record = await ledger.read(identity)
    if record is None:
        return None
    ref = JobRef.parse(record.ref)
    return Newest(
        record.generation,
        ran=record.stage not in {Stage.INTENT, Stage.REFUSED},
        job_id=ref.job_id,
        reported=JobState(record.state) if record.state else None,
        spec_digest=record.spec_digest,
        ref=ref if ref.job_id else None,
    )


async def _rediscovered(
    identity: JobKey, resource_id: str, dialect: Dialect, guards: GuardFiles | None
) -> Newest | None:
    readable = guards is not None and await guards.readable()
    listed: Sequence[JobEntry] = ()
    try:
        listed = await _tagged(identity, resource_id, dialect)
    except IriError:
        if not readable:
            raise  # neither names nor guards: nothing is known
    began = await guards.generations(identity) if guards and readable else dict[int, bool]()
    numbers = {tag[1] for each in listed if (tag := tag_of(each.name))} | set(began)
    if not numbers:
        return None
    generation = max(numbers)
    log.info(
        "%s is at generation %d, as its jobs at the facility tell",
        identity.identity,
        generation,
        extra=about(key=JobKey(identity.identity, generation)),
    )
    same = (each for each in listed if tag_of(each.name) == (identity.digest, generation))
    entry = the_one(each for each in same if each.status.exit_code != GuardCode.DOUBLE)  # it tells of no work
    key = JobKey(identity.identity, generation)
    canceled = began.get(generation)  # True, False, or None: nobody took it
    owner = await guards.owner(key) if guards and canceled is False else None
    digest = owner.spec_digest if owner else ""
    if entry is None and canceled:
        return Newest(generation, reported=JobState.CANCELED)
    if entry is None:
        return Newest(generation, reported=await _written(key, guards), spec_digest=digest)
    state = entry.status.reported
    return Newest(
        generation,
        job_id=entry.job_id,
        reported=state if state.terminal else None,
        spec_digest=digest,
    )


async def _tagged(identity: JobKey, resource_id: str, dialect: Dialect) -> list[JobEntry]:
    found: list[JobEntry] = []
    async for entries, _ in pages(dialect.jobs, resource_id, historical=True, names=True):
        found += _with_digest(entries, identity.digest)
    return found


def _with_digest(entries: Iterable[JobEntry], digest: str) -> list[JobEntry]:
    return [each for each in entries if (tag := tag_of(each.name)) and tag[0] == digest]


async def _written(key: JobKey, guards: GuardFiles | None) -> JobState | None:
    """How the job of a key ended by its own account; None while nothing tells of the end of all."""
    try:
        journal = await guards.journal(key) if guards else None
    except IriError:
        return None
    if journal is None or journal.exit_code is None or not journal.certain:
        return None
    return JobState.FAILED if journal.exit_code else JobState.COMPLETED
