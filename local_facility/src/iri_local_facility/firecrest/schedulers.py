"""Jobs handed to the scheduler, and found there."""

from __future__ import annotations

from typing import Any, cast

from iri_local_facility.accounts import User
from iri_local_facility.batch import Scheduler, batch_request, check_script, exported
from iri_local_facility.errors import Denied, Missing, Rejected
from iri_local_facility.facility import Facility
from iri_local_facility.jobs import Job

from . import commands
from .models import JobDescription
from .refusals import Refusal, timed_out


async def submit(core: Facility, user: User, wanted: JobDescription) -> Job:
    """Hand a job to the scheduler.

    Raises:
        Refusal: It does not take the job.
    """
    scheduler = cast("Scheduler", core.settings.firecrest_scheduler)
    if isinstance(wanted.env, list):
        raise Refusal(500, "(\"'list' object has no attribute 'items'\",)", unexpected=True)
    try:
        script, name = _script(user, wanted)
        if scheduler == "slurm":
            check_script(script)
        asked: dict[str, Any] = {
            "directory": wanted.directory,
            "name": wanted.name or name,
            "account": wanted.account,
            "queue": wanted.partition,
            "reservation": wanted.reservation,
            "constraint": wanted.constraints,
            "stdin": wanted.stdin,
            "stdout": wanted.stdout,
            "stderr": wanted.stderr,
            # One word of a command line, in which commas and quotes have a meaning.
            **exported(",".join(f"{key}={value}" for key, value in wanted.env.items())),
        }
        if scheduler == "pbs":
            asked["queue"] = wanted.reservation or wanted.partition  # a reservation is a queue there
            del asked["reservation"], asked["constraint"], asked["stdin"]
        asked = {key: None if value == "" else value for key, value in asked.items()}
        request = batch_request(core.settings, user, script, scheduler=scheduler, **asked)
        return await core.scheduler.submit(user, request, {})
    except Rejected as refused:
        if scheduler == "pbs":
            raise commands.qsub_refused(refused) from None
        raise commands.sbatch_refused(refused, wanted.partition) from None


def find(core: Facility, job_id: str) -> list[Job]:
    """Anybody's job, as the present request sees it; of an array, all of its tasks.

    Raises:
        Missing: There is none of that id.
    """
    if not job_id.isdecimal() or len(job_id) > 17:
        raise Missing(job_id)
    number = int(job_id)
    return core.scheduler.all_of(core.accounts.user(core.scheduler.jobs.get(number).user), number)


def _script(user: User, wanted: JobDescription) -> tuple[str, str | None]:
    """The script, and the name that a job has from its file."""
    if wanted.script_path:
        try:
            path = user.areas.resolve(wanted.script_path, base=user.areas.resolve(wanted.directory))
            return path.read_text(errors="surrogateescape"), path.name
        except (OSError, Denied) as problem:
            words = getattr(problem, "strerror", None) or "Permission denied"
            stderr = f"sbatch: error: Unable to open file {wanted.script_path}: {words}\n"
            raise commands.slurm_failed(stderr) from None
    if not wanted.script:
        raise timed_out()  # the command waits for a script that nobody sends
    return wanted.script, None
