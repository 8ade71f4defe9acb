"""Jobs: submit, look, list, cancel."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from iri_common.apis.before import before_asking
from iri_common.apis.firecrest import states
from iri_common.apis.firecrest.description import described, output_paths
from iri_common.apis.firecrest.systems import Systems
from iri_common.apis.firecrest.wire import (
    JobReply,
    JobsReply,
    MetadataReply,
    StatusReply,
    SubmittedReply,
    TimeReply,
)
from iri_common.apis.reading import Reading, secrets_of, segment
from iri_common.http.session import Request, Session
from iri_common.model.array import parted
from iri_common.model.errors import Conflict, NotFound, NotOffered, ReplyError, UsageError
from iri_common.model.job import Accepted, JobEntry, JobStatus
from iri_common.model.outcome import Done
from iri_common.model.ports import WireRequest
from iri_common.model.state import JobState
from iri_common.policy.arrays import gathered, told_of
from iri_common.policy.outputs import filled
from iri_common.policy.reason import explained
from iri_common.policy.retry import Replay

# What waits and what runs is in the list whatever the window; what ended before it is not.
_LIVE, _HISTORY = "1h", "7d"

# The name that accounting gives a job until it has heard of it, and for ever if that was over sooner.
_NO_NAME = "allocation"

_ASKABLE = re.compile(r"[A-Za-z0-9]+")  # `42_7` and `42.server` are asked for by their beginning
_TASK = re.compile(r"[_\[]")
_REMEMBERED = 10_000  # jobs


class FirecrestJobs:
    """The compute service. A system's name is the resource, a job's id the scheduler's."""

    def __init__(self, session: Session, systems: Systems) -> None:
        self._session = session
        self._systems = systems
        self._outputs: OrderedDict[tuple[str, str], Mapping[str, str]] = OrderedDict()

    async def submit(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> Done[Accepted]:
        """Ask for a job once. FirecREST knows no keys: an uncertain ask is settled by the job's name."""
        with before_asking():
            system = await self._systems.of(resource_id)
            directory = spec.get("directory") or await self._systems.home(resource_id)
        job = described(spec, directory, system)
        reply = await self._session.send(_submission(resource_id, job, spec))
        reading = self._reading("post_job_submit")
        try:
            job_id = reading.one(SubmittedReply, reply.value).job_id
        except ReplyError as error:
            raise reading.ambiguous(error.message) from None
        self._remember(resource_id, job_id, job)
        return Done(Accepted(job_id, JobStatus(JobState.NEW)))

    def submit_request(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> WireRequest:
        """What :meth:`submit` sends, without its credential; ``~`` for a home that was not asked for yet."""
        job = described(spec, spec.get("directory") or "~", self._systems.known(resource_id))
        return self._session.wire(_submission(resource_id, job, spec))

    async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
        """Look at one job; MISSING before it is known to accounting, and after it is forgotten."""
        try:
            rows = await self._rows("get_job", self._path(resource_id, job_id))
        except NotFound as error:
            return Done(JobStatus(JobState.MISSING, message=error.message))
        reading = self._reading("get_job")
        jobs = gathered((row.job_id, _status(reading, row)) for row in _own(rows))
        return Done(told_of(jobs, job_id))

    async def list(
        self, resource_id: str, *, offset: int, limit: int, historical: bool, names: bool
    ) -> Done[Sequence[JobEntry]]:
        """All jobs of the user, in one answer; those that ended within the hour are always among them."""
        if offset:
            return Done([])
        window = _HISTORY if historical else _LIVE
        path = f"/compute/{segment(resource_id, 'system')}/jobs"
        rows = _own(await self._rows("get_jobs", path, ("time_window", window)))
        reading = self._reading("get_jobs")
        names_of = {parted(row.job_id)[0]: _name(row) for row in rows}
        jobs = gathered((row.job_id, _status(reading, row)) for row in rows)
        return Done([JobEntry(job_id, status, names_of[job_id]) for job_id, status in jobs.items()])

    async def output_paths(self, resource_id: str, job_id: str) -> Done[Mapping[str, str]]:
        """Where the job's output goes: as this process asked for it, or by what the scheduler still knows."""
        array, index, _ = parted(job_id)
        asked = self._outputs.get((resource_id, array), {})
        paths = _expanded(asked, job_id)
        if asked and (index is None or len(paths) == len(asked)):  # of a task the scheduler may know more
            return Done(paths)
        with contextlib.suppress(NotFound, NotOffered):  # Slurm before 24.05 forgets it soon after the end
            paths |= await self._metadata(resource_id, job_id)
        return Done(paths if paths or asked else await self._by_name(resource_id, job_id))

    async def script(self, resource_id: str, job_id: str) -> str:
        """The script of a job of the user, as long as the scheduler keeps it; "" for none."""
        row = await self._metadata_row(resource_id, job_id)
        return (row.script or "") if row is not None else ""

    async def cancel(self, resource_id: str, job_id: str) -> Done[None]:
        """Ask for the end of a job; one that is over, which is an error there, is as good.

        Raises:
            NotOffered: for a task of an array, which is asked for by the array's id.
        """
        if _TASK.search(job_id):
            raise NotOffered(
                f"FirecREST would end all tasks of the array, not {job_id} alone; name the array to end it",
                facility=self._session.label,
                operation="delete_job_cancel",
            )
        with contextlib.suppress(Conflict):
            await self._session.send(
                Request(operation="delete_job_cancel", method="DELETE", path=self._path(resource_id, job_id))
            )
        return Done(None)

    async def update(
        self, resource_id: str, job_id: str, changes: Mapping[str, Any], idempotency_key: str | None
    ) -> Done[JobStatus]:
        """FirecREST changes no job."""
        raise NotOffered(
            "FirecREST changes no job that was submitted; cancel it and ask for its next generation",
            facility=self._session.label,
            operation="update",
        )

    async def _rows(self, operation: str, path: str, *params: tuple[str, str]) -> list[JobReply]:
        reply = await self._session.send(Request(operation=operation, method="GET", path=path, params=params))
        reading = self._reading(operation)
        found = reading.one(JobsReply, reply.value).jobs
        return reading.many(JobReply, [] if found is None else found)

    async def _metadata_row(self, resource_id: str, job_id: str) -> MetadataReply | None:
        path = f"{self._path(resource_id, job_id)}/metadata"
        reply = await self._session.send(Request(operation="get_job_metadata", method="GET", path=path))
        reading = self._reading("get_job_metadata")
        found = reading.one(JobsReply, reply.value).jobs
        rows = reading.many(MetadataReply, [] if found is None else found)
        return next((row for row in rows if row.job_id == job_id), rows[0] if len(rows) == 1 else None)

    async def _metadata(self, resource_id: str, job_id: str) -> dict[str, str]:
        row = await self._metadata_row(resource_id, job_id)
        if row is None:
            return {}
        streams = {"stdout": row.standard_output, "stderr": row.standard_error}
        if (
            await self._systems.of(resource_id)
        ).scheduler.type == "pbs":  # there they are the wrong way round
            streams = {"stdout": row.standard_error, "stderr": row.standard_output}
        return _expanded({stream: path for stream, path in streams.items() if path}, job_id)

    async def _by_name(self, resource_id: str, job_id: str) -> dict[str, str]:
        """The files that a job of ours writes unless it was asked for others: they are named like it."""
        rows = await self._rows("get_job", self._path(resource_id, job_id))
        array, index, _ = parted(job_id)
        row = next((each for each in rows if parted(each.job_id)[0] == array), None)
        if row is None or not row.working_directory or not (name := _name(row)):
            return {}
        if index is None and row.job_id != array:  # an array, each task of which writes for itself
            return {}
        path = posixpath.join(row.working_directory, name if index is None else f"{name}.{index}")
        return {"stdout": f"{path}.out", "stderr": f"{path}.err"}

    def _remember(self, resource_id: str, job_id: str, job: Mapping[str, Any]) -> None:
        directory = job["workingDirectory"]
        paths = {stream: posixpath.join(directory, path) for stream, path in output_paths(job).items()}
        self._outputs[resource_id, job_id] = paths
        while len(self._outputs) > _REMEMBERED:
            self._outputs.popitem(last=False)

    def _path(self, resource_id: str, job_id: str) -> str:
        askable = _ASKABLE.match(job_id)
        if askable is None:
            raise UsageError(f"{job_id!r} is not the id of a job")
        return f"/compute/{segment(resource_id, 'system')}/jobs/{askable[0]}"

    def _reading(self, operation: str) -> Reading:
        return Reading(self._session.label, operation)


def _submission(resource_id: str, job: Mapping[str, Any], spec: Mapping[str, Any]) -> Request:
    return Request(
        operation="post_job_submit",
        method="POST",
        path=f"/compute/{segment(resource_id, 'system')}/jobs",
        replay=Replay.ONCE,
        json={"job": job},
        secrets=secrets_of(spec),
    )


def _name(row: JobReply) -> str | None:
    return None if row.name == _NO_NAME else row.name


def _own(rows: Sequence[JobReply]) -> Sequence[JobReply]:
    """Without the rows that show a task of an array once more, as a job by a number of its own.

    Such a row has the array's name and no earlier number. The double of an array may be among them, which its
    guard ends. What has no name yet may be anybody's.
    """
    first: dict[str, int] = {}
    for row in rows:
        array, index, several = parted(row.job_id)
        if (name := _name(row)) and (index is not None or several is not None):
            first[name] = min(int(array), first.get(name, int(array)))
    return [row for row in rows if not _again(row, first.get(_name(row) or ""))]


def _again(row: JobReply, array: int | None) -> bool:
    return array is not None and row.job_id.isdecimal() and int(row.job_id) >= array


def _status(reading: Reading, row: JobReply) -> JobStatus:
    try:
        reply = reading.one(StatusReply, {} if row.status is None else row.status)
        time = reading.one(TimeReply, {} if row.time is None else row.time)
    except ReplyError:
        return JobStatus(JobState.UNKNOWN)
    state = states.job_state(reply.state, reply.state_reason, reply.exit_code, began=bool(time.start))
    reason = reply.state_reason if reply.state_reason not in {None, "", "None"} else None
    return explained(
        JobStatus(
            state=state,
            exit_code=states.exit_code(state, reply.exit_code, reply.interrupt_signal),
            message=reason,
            time=(time.end if state.terminal else time.start) or None,
            raw_state=reply.state,
            meta={"state_reason": reason} if reason else {},
        )
    )


def _expanded(patterns: Mapping[str, str], job_id: str) -> dict[str, str]:
    """Paths with what the scheduler puts in the place of letters; without those where it alone can."""
    array, index, _ = parted(job_id)
    letters = {"A": array, **({"j": array} if index is None else {"a": str(index)})}
    told = {stream: filled(pattern, letters) for stream, pattern in patterns.items()}
    return {stream: path for stream, path in told.items() if path and path.startswith("/")}
