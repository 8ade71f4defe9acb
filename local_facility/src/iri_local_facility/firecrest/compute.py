"""``/compute``: jobs."""

from __future__ import annotations

import time
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from iri_local_facility.accounts import User
from iri_local_facility.arrays import shown
from iri_local_facility.errors import Missing
from iri_local_facility.facility import Facility
from iri_local_facility.jobs import Job

from . import commands, schedulers
from .access import Asking, JobId
from .attaching import attach
from .documents import job_document, metadata, unreadable
from .models import Attachment, Submission
from .refusals import Refusal


class TimeWindow(Enum):
    """How far back finished jobs are looked for."""

    HOUR = "1h"
    HOURS_8 = "8h"
    DAY = "24h"
    DAYS_3 = "3d"
    DAYS_7 = "7d"

    @property
    def seconds(self) -> int:
        """Its length."""
        return int(self.value[:-1]) * (3600 if self.value.endswith("h") else 86400)


router = APIRouter(prefix="/compute/{system_name}/jobs")


@router.post("", operation_id="firecrestSubmit", status_code=201)
async def submit(caller: Asking, submission: Submission) -> dict[str, Any]:
    """Hand a job to the scheduler."""
    job = await schedulers.submit(caller.core, caller.user, submission.job)
    return {"jobId": str(job.id)}


@router.delete("/{job_id}", operation_id="firecrestCancel", status_code=204)
async def cancel(caller: Asking, job_id: JobId) -> Response:
    """End a job."""
    _cancel(caller.core, caller.user, job_id)
    return Response(status_code=204)


@router.put("/{job_id}/attach", operation_id="firecrestAttach", status_code=204)
async def attach_command(caller: Asking, job_id: JobId, attachment: Attachment) -> Response:
    """Run a command beside a job."""
    if _pbs(caller.core):
        raise Refusal(500, "('Interactive attach is not supported in PBS CLI client',)", unexpected=True)
    await attach(caller.core, caller.user, job_id, attachment.command or "")
    return Response(status_code=204)


@router.get("", operation_id="firecrestJobs")
async def jobs(
    caller: Asking,
    allusers: bool = False,
    account: str | None = None,
    name: Annotated[str | None, Query(max_length=235)] = None,
    time_window: TimeWindow = TimeWindow.DAY,
) -> dict[str, Any]:
    """The jobs that are not over, and those that ended in the window."""
    core = caller.core
    users = core.settings.users if allusers else [caller.user.name]
    found = [
        job
        for user in users
        for job in core.scheduler.jobs_of(core.accounts.user(user), finished=True)
        if account in (None, "", job.account)
        and (not name or name == _listed_name(core, job))
        and (_pbs(core) or job.ended is None or job.ended > time.time() - time_window.seconds)
    ]
    return {"jobs": _shown(core, sorted(found, key=lambda job: job.id))}


@router.get("/{job_id}", operation_id="firecrestJob")
async def job(caller: Asking, job_id: JobId) -> dict[str, Any]:
    """One job, of anybody."""
    return {"jobs": _shown(caller.core, _known(caller.core, job_id))}


@router.get("/{job_id}/metadata", operation_id="firecrestMetadata")
async def job_metadata(caller: Asking, job_id: JobId) -> dict[str, Any]:
    """What a job was made of."""
    found = shown(_known(caller.core, job_id))
    own = found[0].user == caller.user.name
    return {"jobs": [metadata(job, caller.core.settings.firecrest_scheduler, own=own) for job in found]}


def _shown(core: Facility, jobs: list[Job]) -> list[dict[str, Any]]:
    if not _pbs(core) and any(unreadable(job) for job in jobs):
        raise Refusal(500, "Error executing Slurm command.")
    again = [job for job in jobs if job.array_job is not None and not job.finished]
    rows = [job_document(job, core.settings.firecrest_scheduler) for job in shown(jobs)]
    # squeue tells the server no more than the number of a task: it shows those once more.
    return rows + [{**job_document(job, "slurm"), "jobId": str(job.id)} for job in shown(again)]


def _known(core: Facility, job_id: str) -> list[Job]:
    """A job of anybody, as the present request sees it; of an array, all of its tasks."""
    try:
        return schedulers.find(core, job_id)
    except Missing:
        if _pbs(core):
            raise commands.unknown_to_pbs("qstat", job_id) from None
        raise Refusal(404, "Job not found.") from None


def _listed_name(core: Facility, job: Job) -> str:
    """The name that a list is filtered by: of what is not over, squeue knows it from the beginning."""
    return job.name if job.ended is not None else core.scheduler.jobs.get(job.id).name


def _cancel(core: Facility, user: User, job_id: str) -> None:
    try:
        job = schedulers.find(core, job_id)[0]
    except Missing:
        if _pbs(core):
            raise commands.unknown_to_pbs("qdel", job_id) from None
        raise commands.scancel_failed(job_id, "Invalid job id specified") from None
    if job.user != user.name:
        raise commands.scancel_failed(job_id, "Access/permission denied")
    tasks = core.scheduler.jobs.tasks(int(job_id)) or [core.scheduler.jobs.get(job.id)]
    if all(each.finished for each in tasks):
        if _pbs(core):
            raise commands.over_in_pbs(job_id)
        raise commands.scancel_failed(job_id, "Job/step already completing or completed")
    core.scheduler.cancel(user, int(job_id))


def _pbs(core: Facility) -> bool:
    return core.settings.firecrest_scheduler == "pbs"
