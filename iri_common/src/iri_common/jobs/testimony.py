"""What a job itself tells of its end, where the facility has forgotten it or shows a double."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

from iri_common.jobs.guards import GuardFiles
from iri_common.jobs.search import find_jobs, number_of, pages, the_one
from iri_common.jobside.codes import GuardCode, behind, ended_as_double
from iri_common.model.errors import IriError
from iri_common.model.job import JobStatus
from iri_common.model.key import JobKey
from iri_common.model.ports import Dialect, JobsApi
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState
from iri_common.policy.arrays import folded, untold

AT_ONCE = 8  # journals that are read together


async def by_journal(ref: JobRef, guards: GuardFiles) -> JobStatus | None:
    """How the job of a reference is by its key's journal: ended, or begun; None if nothing is written.

    Where another job wrote it, this one is a double. Of an array each task has one: they tell of those that
    the facility does not.

    Raises:
        IriError: if the journal cannot be read now.
    """
    if ref.array is None:
        return await _by_journal(ref, guards, None)
    shown = (await guards.dialect.jobs.status(ref.resource_id, ref.job_id or "")).value
    slots = asyncio.Semaphore(AT_ONCE)

    async def told(index: int) -> JobStatus | None:
        async with slots:
            return await _by_journal(ref, guards, index)

    rest = untold(shown, ref.array)
    written = await asyncio.gather(*(told(index) for index in rest))
    found = {index: status for index, status in zip(rest, written, strict=True) if status is not None}
    return folded({**shown.tasks, **found}, shown.others) if len(found) == len(rest) else None


async def _by_journal(ref: JobRef, guards: GuardFiles, index: int | None) -> JobStatus | None:
    journal = await guards.journal(ref.key, index)
    if journal is None or journal.last is None:
        return None
    if _other(ref.job_id, journal.last.job_id):
        return JobStatus(
            JobState.FAILED,
            exit_code=GuardCode.DOUBLE,
            message=f"by the journal of its key, job {journal.last.job_id} does the work",
            raw_state="journal",
        )
    if journal.exit_code is None or not journal.certain:
        what = "its first process ended with 0" if journal.exit_code == 0 else "it began"
        message = f"by its own journal {what}, and nothing tells of the end of all"
        return JobStatus(JobState.ACTIVE, message=message, raw_state="journal")
    state = JobState.FAILED if journal.exit_code else JobState.COMPLETED
    return JobStatus(
        state,
        exit_code=journal.exit_code,
        message="by the job's own journal; the facility no longer knows it",
        time=journal.last.ended,
        raw_state="journal",
    )


def _other(asked: str | None, wrote: str) -> bool:
    """Whether two ids surely mean two jobs; an API's own ids cannot be compared with a scheduler's."""
    ours, theirs = number_of(asked or ""), number_of(wrote)
    return ours is not None and theirs is not None and ours != theirs


async def owner_of(key: JobKey, resource_id: str, jobs: JobsApi, guards: GuardFiles) -> str | None:
    """The facility's id of the job that a generation belongs to; None while nobody took it or nothing tells.

    A job may know itself by a longer name than the API does (PBS: ``42.server`` for ``42``).

    Raises:
        IriError: if it cannot be learned now.
    """
    owner = await guards.owner(key)
    if owner is None or owner.job_id is None:
        return None
    for job_id in dict.fromkeys((owner.job_id, owner.job_id.partition(".")[0])):
        if (await jobs.status(resource_id, job_id)).value.state is not JobState.MISSING:
            return job_id
    return owner.job_id  # which the facility has forgotten; its journal tells the rest


async def worker_of(
    ref: JobRef, dialect: Dialect, guards: GuardFiles, exit_code: int | None = None
) -> JobRef | None:
    """The job that does the work of a key, if the one of this reference ended with the code of a double.

    Args:
        ref: The job that ended so.
        dialect: Where to look.
        guards: Where to read whose the key is.
        exit_code: Of that job; a counted double tells by it.

    Returns:
        Another job, or this one where the code is its program's own; None if nothing tells.
    """
    ids, own = behind(exit_code) if dialect.grades.counted else None, number_of(ref.job_id or "")
    if ids is not None and own is not None and own > ids:
        # As the scheduler numbers them; what follows the number is the same ("42.server").
        return ref.with_job(f"{own - ids}{(ref.job_id or '').removeprefix(str(own))}")
    with contextlib.suppress(IriError):
        owner = await owner_of(ref.key, ref.resource_id, dialect.jobs, guards)
        if owner is not None:
            return ref.with_job(owner)
    with contextlib.suppress(IriError):
        found, _ = await find_jobs(dialect.jobs, ref.resource_id, ref.key)
        # Another double is of no use either: two of them would be followed to and fro without an end.
        others = (each for each in found if each.status.exit_code != GuardCode.DOUBLE)
        best = the_one(each for each in others if each.job_id != ref.job_id)
        if best is not None:
            return ref.with_job(best.job_id)
    return None


async def come_between(ref: JobRef, jobs: JobsApi, before: Collection[str]) -> tuple[str, ...]:
    """Ids of the jobs that came before this double and after its key was asked for; one may do its work.

    That there is a double proves that the other was taken, not that the list shows it: even a single one in
    between may be of another ask. So they are told, for a person to adopt, and none is followed.

    Args:
        ref: The double.
        jobs: Where to look.
        before: Ids of jobs that were there before, the newest among them.
    """
    own = number_of(ref.job_id or "")
    least = max((number_of(each) or 0 for each in before), default=0)
    found = dict[str, int | None]()
    with contextlib.suppress(IriError):
        async for entries, _ in pages(jobs, ref.resource_id, historical=True, names=False):
            found |= {
                each.job_id: number_of(each.job_id)
                for each in entries
                if not ended_as_double(each.status.exit_code, counted=True) and each.job_id not in before
            }
    if own is None or None in found.values():
        return ()
    return tuple(each for each, number in found.items() if least < (number or 0) < own)
