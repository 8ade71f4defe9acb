"""Reads a facility's list of jobs: page by page, or for those that were given one name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence

from iri_common.jobside.codes import GuardCode
from iri_common.model.job import JobEntry
from iri_common.model.key import JobKey
from iri_common.model.ports import JobsApi
from iri_common.model.state import JobState

PAGE = 1000  # the most that the IRI list gives at once
MOST_PAGES = 20  # nobody reads a list without an end
_NUMBER = re.compile(r"[0-9]+(?![0-9A-Za-z-])")


async def pages(
    jobs: JobsApi, resource_id: str, *, historical: bool, names: bool
) -> AsyncIterator[tuple[Sequence[JobEntry], bool]]:
    """The pages of the list, each with whether it is the last one; none may be, of a list without an end."""
    for page in range(MOST_PAGES):
        answer = await jobs.list(
            resource_id, offset=page * PAGE, limit=PAGE, historical=historical, names=names
        )
        last = len(answer.value) < PAGE
        yield answer.value, last
        if last:
            return


async def find_jobs(jobs: JobsApi, resource_id: str, key: JobKey) -> tuple[Sequence[JobEntry], bool]:
    """The jobs whose name carries a key, live or else ended, and whether their absence means anything."""
    conclusive = True
    for historical in (False, True):  # a live job is found in the short list
        found: list[JobEntry] = []
        complete, named, unnamed = False, 0, 0
        async for entries, complete in pages(jobs, resource_id, historical=historical, names=True):  # noqa: B007
            found += (entry for entry in entries if key.names(entry.name))
            named += sum(bool(entry.name) for entry in entries)
            unnamed += sum(not entry.name for entry in entries)
        if found:
            return found, True
        # Some facilities list jobs without their names (ALCF).
        conclusive = conclusive and complete and (named > 0 or unnamed == 0)
    return [], conclusive


async def job_ids(jobs: JobsApi, resource_id: str) -> frozenset[str]:
    """The ids of the live jobs."""
    ids: set[str] = set()
    async for entries, _ in pages(jobs, resource_id, historical=False, names=False):
        ids.update(entry.job_id for entry in entries)
    return frozenset(ids)


async def ids_before(jobs: JobsApi, resource_id: str) -> frozenset[str]:
    """The ids of the live jobs, and the highest of all that are numbers: whatever comes has a higher one."""
    entries: list[JobEntry] = []
    async for page, _ in pages(jobs, resource_id, historical=True, names=False):
        entries += page
    live = {each.job_id for each in entries if not each.status.state.terminal}
    numbered = [(number, each.job_id) for each in entries if (number := number_of(each.job_id)) is not None]
    return frozenset(live | ({max(numbered)[1]} if numbered else set[str]()))


def number_of(job_id: str) -> int | None:
    """The number in what schedulers call a job: 42, 42.server, 42_7, 42[]; none in 42ab-…."""
    found = _NUMBER.match(job_id)
    return int(found.group()) if found else None


def the_one(entries: Iterable[JobEntry]) -> JobEntry | None:
    """Of jobs with one name, the one that does or did the work; a double that ended as such is not it."""
    return max(entries, key=_promise, default=None)


def the_array(entries: Sequence[JobEntry]) -> JobEntry | None:
    """Of jobs with the name of an array, the array itself: its tasks may be shown by later numbers."""
    listed = [each for each in entries if number_of(each.job_id) is not None]
    return min(listed, key=lambda each: number_of(each.job_id) or 0, default=None) or the_one(entries)


def _promise(entry: JobEntry) -> int:
    state = entry.status.state
    if state is JobState.COMPLETED:
        return 4
    if state.terminal:
        return 0 if entry.status.exit_code == GuardCode.DOUBLE else 1
    return 3 if state is JobState.ACTIVE else 2
