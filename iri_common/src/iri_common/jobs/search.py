"""Finds a job by the name it was given."""

from __future__ import annotations

from iri_common.model.job import JobEntry
from iri_common.model.ports import JobsApi

PAGE = 1000  # the most that the IRI list gives at once
MOST_PAGES = 20


async def find_job(jobs: JobsApi, resource_id: str, name: str) -> tuple[JobEntry | None, bool]:
    """The job of exactly this name, live or ended, and whether its absence means anything."""
    conclusive = True
    for historical in (False, True):  # a live job is found in the short list
        complete, named, unnamed = False, 0, 0
        for page in range(MOST_PAGES):
            entries = await jobs.list(
                resource_id, offset=page * PAGE, limit=PAGE, historical=historical, names=True
            )
            for entry in entries.value:
                if entry.name == name:
                    return entry, True
                named, unnamed = named + bool(entry.name), unnamed + (not entry.name)
            if len(entries.value) < PAGE:
                complete = True
                break
        # Some facilities list jobs without their names (ALCF), and nobody reads a list without an end.
        conclusive = conclusive and complete and (named > 0 or unnamed == 0)
    return None, conclusive
