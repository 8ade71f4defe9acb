"""Running a command beside a job, on its nodes and with its variables."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

from iri_local_facility.accounts import User
from iri_local_facility.errors import Missing
from iri_local_facility.facility import Facility
from iri_local_facility.jobs import Job
from iri_local_facility.processes import signal_group
from iri_local_facility.scripts import job_environment

from . import schedulers
from .commands import slurm_failed
from .refusals import timed_out
from .status import COMMAND_TIMEOUT


async def attach(core: Facility, user: User, job_id: str, command: str) -> None:
    """Run a command to its end; what it prints is lost.

    Raises:
        Refusal: There is no such job, it does not run, the command fails or takes too long.
    """
    job = _running(core, user, job_id)
    if not command:
        raise slurm_failed("srun: fatal: No command given to execute.\n")
    process = await asyncio.to_thread(_start, core, job, command)
    try:
        _, stderr = await asyncio.to_thread(process.communicate, None, COMMAND_TIMEOUT)
    except subprocess.TimeoutExpired:
        signal_group(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.communicate)
        raise timed_out() from None
    if process.returncode:
        raise slurm_failed(stderr)


def _running(core: Facility, user: User, job_id: str) -> Job:
    try:
        job = schedulers.find(core, job_id)[0]
    except Missing:
        job = None
    if job is None or job.user != user.name or job.state != "active":
        words = "Access/permission denied" if job and job.user != user.name else "Invalid job id specified"
        raise slurm_failed(f"srun: error: Unable to confirm allocation for job {job_id}: {words}\n")
    return job


def _start(core: Facility, job: Job, command: str) -> subprocess.Popen[str]:
    path = f"{core.settings.tools}:{os.environ.get('PATH', os.defpath)}"
    environment = job_environment(job, core.accounts.user(job.user), os.environ, path)
    return subprocess.Popen(
        ["/bin/sh", "-c", f"srun --jobid='{job.id}' --overlap {command}"],
        cwd=job.request.directory,
        env={**environment, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
