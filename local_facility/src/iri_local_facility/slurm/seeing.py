"""Which jobs a request sees: slurmctld forgets them, and they are everybody's to look at."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from iri_local_facility.arrays import shown
from iri_local_facility.errors import Missing
from iri_local_facility.facility import Facility
from iri_local_facility.jobs import Job

from .access import Call
from .jobs import job_document
from .replies import Refusal
from .values import number
from .versions import Version


def everybodys(core: Facility) -> list[Job]:
    """All jobs, oldest first; looking at those of others is everybody's right."""
    users = [core.accounts.user(name) for name in core.settings.users]
    jobs = [job for user in users for job in core.scheduler.jobs_of(user, finished=True)]
    return sorted(jobs, key=lambda job: job.id)


def remembered(core: Facility, jobs: list[Job]) -> list[Job]:
    """Those of the jobs that slurmctld has not forgotten."""
    forgotten = time.time() - core.settings.slurm_min_job_age
    return [job for job in jobs if not job.finished or (job.ended or 0) >= forgotten]


def looked_up(
    core: Facility,
    call: Call,
    job_id: str,
    doing: str,
    source: str,
    *,
    body: dict[str, Any] | None = None,
    changing: bool = False,
) -> list[Job]:
    """A job that slurmctld has not forgotten; of an array, all of its tasks.

    Raises:
        Refusal: There is none of that number, or it is to be changed and somebody else's.
    """
    doing = doing if "=" in doing else f"{doing}={job_id}"
    if not (job_id.isascii() and job_id.isdecimal() and 0 < int(job_id[:20]) < 2**32):
        raise Refusal(9002 if call.version.plain else 9000, doing, source, body=body)
    found = remembered(core, one(core, int(job_id)))
    if not found:
        raise Refusal(2017, doing, source, body=body)
    if changing and found[0].user != call.user.name:
        raise Refusal(2002, doing, source, body=body)
    return found


def one(core: Facility, job_id: int) -> list[Job]:
    """The job of that number, or the tasks of that array, whosever it is, if it is there."""
    for name in core.settings.users:
        with contextlib.suppress(Missing):
            return core.scheduler.all_of(core.accounts.user(name), job_id)
    return []


def job_list(version: Version, jobs: list[Job]) -> dict[str, Any]:
    """Jobs as lists and single looks both give them."""
    found: dict[str, Any] = {"jobs": [job_document(version, job) for job in shown(jobs)]}
    if not version.plain:
        now = time.time()
        found |= {"last_backfill": number(version, now), "last_update": number(version, now)}
    return found
