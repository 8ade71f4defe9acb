"""Jobs: submit, look, list, change, cancel."""

from __future__ import annotations

import contextlib
import posixpath
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from iri_common.apis.reading import Reading, secrets_of
from iri_common.apis.slurm.arrays import all_over, letters, of_job, of_task, one_of_each, statuses
from iri_common.apis.slurm.calls import Calls
from iri_common.apis.slurm.needs import changes as changed_fields
from iri_common.apis.slurm.needs import submission
from iri_common.apis.slurm.rules import job_number
from iri_common.apis.slurm.versions import Version
from iri_common.apis.slurm.wire import JobReply, field, text
from iri_common.http.session import Reply, Request
from iri_common.model.array import parted
from iri_common.model.errors import Conflict, NotFound, NotOffered
from iri_common.model.job import Accepted, JobEntry, JobStatus
from iri_common.model.outcome import Done
from iri_common.model.ports import WireRequest
from iri_common.model.state import JobState
from iri_common.policy.arrays import told_of
from iri_common.policy.outputs import filled
from iri_common.policy.retry import Replay

_NUMBER = re.compile(r"[1-9][0-9]*")
_DEFAULT_OUTPUTS = {False: "slurm-%j.out", True: "slurm-%A_%a.out"}  # of jobs, and of arrays
_RECORDED_SECONDS = 7 * 86400  # how far back a name is looked for


class SlurmJobs:
    """The jobs of slurmctld, and those of the accounting database where slurmrestd shows that.

    Args:
        calls: Makes the requests.
        user: Whose jobs are listed; None for all that the token sees.
    """

    def __init__(self, calls: Calls, user: str | None) -> None:
        self._calls = calls
        self._user = user

    async def submit(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> Done[Accepted]:
        """Ask for a job once. Slurm has no idempotency keys; the job is found again by its name."""
        reply = await self._calls.send(resource_id, lambda version: self._submit(spec, version))
        number = job_number(reply.value)
        if number is None:
            raise self._reading("submitJob").ambiguous("the answer has no job_id")
        message = text(field(reply.value, "job_submit_user_msg")) or None
        return Done(Accepted(str(number), JobStatus(JobState.NEW, message=message)))

    def submit_request(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> WireRequest:
        """What :meth:`submit` sends, without its credential; in the newest version until one is known."""
        version = self._calls.supposed(resource_id)
        wire = self._calls.session.wire(self._submit(spec, version))
        path = self._calls.site.path(version, resource_id, "job/submit")
        return WireRequest(wire.method, self._calls.session.base_url + path, wire.headers, json=wire.json)

    def _submit(self, spec: Mapping[str, Any], version: Version) -> Request:
        return Request(
            operation="submitJob",
            method="POST",
            path="job/submit",
            replay=Replay.ONCE,
            json=submission(spec, version, self._calls.site),
            secrets=secrets_of(spec),
        )

    async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
        """Look at one job: at slurmctld, which forgets what has ended, then wherever else it may be known."""
        return Done(told_of(statuses(await self._found(resource_id, job_id)), job_id))

    async def list(
        self, resource_id: str, *, offset: int, limit: int, historical: bool, names: bool
    ) -> Done[Sequence[JobEntry]]:
        """All jobs that slurmctld knows, at once; with ``historical`` and ``names`` those on record too."""
        if offset:
            return Done([])
        recorded = await self._recorded_ones(resource_id) if historical and names else ()
        rows = {(job.job_id, job.array_index): job for job in recorded}
        rows |= {(job.job_id, job.array_index): job for job in await self._listed(resource_id)}
        jobs = one_of_each(rows.values())
        entries = [
            JobEntry(job_id, status, text(jobs[job_id].name) if names else None)
            for job_id, status in statuses(rows.values()).items()
        ]
        return Done([each for each in entries if historical or not each.status.state.terminal])

    async def output_paths(self, resource_id: str, job_id: str) -> Done[Mapping[str, str]]:
        """Where the job's output goes; without a word of that, where Slurm puts it."""
        found = await self._found(resource_id, job_id)
        if not found:
            raise NotFound(f"Slurm knows no job {job_id}", facility=self._calls.label, operation="getJob")
        _, index, _ = parted(job_id)
        job = of_task(found, index)
        stdout = _place(job, index, job.stdout_expanded, job.standard_output, job.stdout) or _place(
            job, index, _DEFAULT_OUTPUTS[bool(job.array_id)]
        )
        stderr = _place(job, index, job.stderr_expanded, job.standard_error, job.stderr) or stdout
        return Done({stream: path for stream, path in (("stdout", stdout), ("stderr", stderr)) if path})

    async def cancel(self, resource_id: str, job_id: str) -> Done[None]:
        """Ask for the end of a job: SIGTERM, and after Slurm's KillWait SIGKILL. One that is over is fine."""
        path = f"job/{self._id(job_id, 'cancelJob')}"
        params = (("signal", "SIGKILL"),) if self._calls.site.kill else ()
        request = Request(operation="cancelJob", method="DELETE", path=path, params=params)
        with contextlib.suppress(Conflict):
            await self._calls.send(resource_id, lambda version: request)
        return Done(None)

    async def update(
        self, resource_id: str, job_id: str, changes: Mapping[str, Any], idempotency_key: str | None
    ) -> Done[JobStatus]:
        """Change fields of a job, to the same values however often, and look at it."""
        site = self._calls.site
        if not site.changes:
            raise NotOffered(
                f"{site.name} cannot change a job; cancel it and submit another", facility=self._calls.label
            )
        path = f"job/{self._id(job_id, 'updateJob')}"
        await self._calls.send(
            resource_id,
            lambda version: Request(
                operation="updateJob",
                method="POST",
                path=path,
                json=changed_fields(changes, version, site),
            ),
        )
        return await self.status(resource_id, job_id)

    async def _found(self, resource_id: str, job_id: str) -> Sequence[JobReply]:
        """The records of a job; there are several of an array, which is also looked at for one task of it."""
        job_id, _, _ = parted(job_id)
        if not self._is_number(job_id):
            await self._calls.version(resource_id)  # there is no such job, but is there such a resource?
            return ()
        request = Request(operation="getJob", method="GET", path=f"job/{job_id}")
        with contextlib.suppress(NotFound):
            reply = await self._calls.send(resource_id, lambda version: request)
            found = of_job(self._jobs("getJob", reply), job_id)
            if found and all_over(found):  # slurmctld forgets the tasks of an array one by one
                found = [*await self._recorded(resource_id, job_id), *found]
            if found:
                return found
        if self._calls.site.archived:
            # The database hears of a job some seconds after the queue.
            return of_job(await self._listed(resource_id), job_id)
        return await self._recorded(resource_id, job_id)

    async def _recorded(self, resource_id: str, job_id: str) -> Sequence[JobReply]:
        """What the accounting database has of a job."""
        request = Request(operation="getRecordedJob", method="GET", path=f"job/{job_id}")
        reply = await self._calls.record(resource_id, request)
        return of_job(self._jobs("getRecordedJob", reply), job_id) if reply else ()

    async def _listed(self, resource_id: str) -> Sequence[JobReply]:
        request = Request(operation="getJobs", method="GET", path="jobs")
        reply = await self._calls.send(resource_id, lambda version: request)
        return self._mine("getJobs", reply)

    async def _recorded_ones(self, resource_id: str) -> Sequence[JobReply]:
        """The jobs of this user on record, where the database can be asked for just those."""
        version = await self._calls.version(resource_id)
        if self._user is None or version.plain:
            return ()
        since = str(int(time.time() - _RECORDED_SECONDS))
        params = (("users", self._user), ("start_time", since), ("skip_steps", "true"))
        request = Request(operation="getRecordedJobs", method="GET", path="jobs", params=params)
        reply = await self._calls.record(resource_id, request)
        return self._mine("getRecordedJobs", reply) if reply else ()

    def _mine(self, operation: str, reply: Reply) -> Sequence[JobReply]:
        jobs = self._jobs(operation, reply)
        return [job for job in jobs if self._user is None or job.owner in ("", self._user)]

    def _jobs(self, operation: str, reply: Reply) -> Sequence[JobReply]:
        return self._reading(operation).many(JobReply, field(reply.value, "jobs"))

    def _is_number(self, job_id: str) -> bool:
        return len(job_id) <= self._calls.site.digits and _NUMBER.fullmatch(job_id) is not None

    def _id(self, job_id: str, operation: str) -> str:
        if not self._is_number(job_id):
            raise NotFound(
                f"{job_id!r} is not the number of a job", facility=self._calls.label, operation=operation
            )
        return job_id

    def _reading(self, operation: str) -> Reading:
        return Reading(self._calls.label, operation)


def _place(job: JobReply, index: int | None, *patterns: object) -> str | None:
    """The first path that is told, its letters replaced as Slurm does; None if it alone can do that."""
    pattern = next((text(each) for each in patterns if text(each)), "")
    path = filled(pattern, {**letters(job, index), "x": text(job.name), "u": job.owner})
    directory = text(job.current_working_directory) or text(job.working_directory)
    return posixpath.join(directory, path) if path else None
