"""Reads a facility's list of jobs: page by page, or for the one that was given a name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from iri_common.model.job import JobEntry
from iri_common.model.ports import JobsApi

PAGE = 1000  # the most that the IRI list gives at once
MOST_PAGES = 20  # nobody reads a list without an end


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


async def find_job(jobs: JobsApi, resource_id: str, name: str) -> tuple[JobEntry | None, bool]:
    """The job of exactly this name, live or ended, and whether its absence means anything."""
    conclusive = True
    for historical in (False, True):  # a live job is found in the short list
        complete, named, unnamed = False, 0, 0
        async for entries, complete in pages(jobs, resource_id, historical=historical, names=True):  # noqa: B007
            for entry in entries:
                if entry.name == name:
                    return entry, True
                named, unnamed = named + bool(entry.name), unnamed + (not entry.name)
        # Some facilities list jobs without their names (ALCF).
        conclusive = conclusive and complete and (named > 0 or unnamed == 0)
    return None, conclusive
