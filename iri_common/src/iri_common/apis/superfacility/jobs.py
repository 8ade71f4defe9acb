"""Jobs: submitted and canceled by tasks of the facility, seen by squeue while they live, by sacct after."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlencode

from iri_common.apis.reading import Reading, secrets_of, segment
from iri_common.apis.superfacility.owner import Owner
from iri_common.apis.superfacility.rules import REPLAYS, TASK_SECONDS
from iri_common.apis.superfacility.states import exit_code, job_state
from iri_common.apis.superfacility.wire import AcceptedReply, Row, result_of, rows_of, unreadable
from iri_common.http.session import Request, Session
from iri_common.jobside.batch import batch_script
from iri_common.model.array import parted
from iri_common.model.errors import NotFound, NotOffered, Refused, ReplyError
from iri_common.model.job import Accepted, JobEntry, JobStatus
from iri_common.model.outcome import Done, Pending
from iri_common.model.ports import WireRequest
from iri_common.model.state import JobState
from iri_common.policy.arrays import gathered, told_of
from iri_common.policy.outputs import filled
from iri_common.policy.reason import explained

T = TypeVar("T")

# sacct shows today's jobs where it is not told since when; one may be looked for after a long weekend.
_DAYS = 7

# The columns of squeue and sacct are taken apart by the API, nobody knows at which letters.
_ODD = re.compile(r"[^A-Za-z0-9._+@=-]")

_ENDING = re.compile(r"already (completing|completed)", re.IGNORECASE)
_PATHS_IN_COMMENT = "iri:"
_NO_ROW: Row = {}
_STREAMS = ("stdout", "stderr")


class SuperfacilityJobs:
    """The compute service. The resource is the machine."""

    def __init__(self, session: Session, owner: Owner) -> None:
        self._session = session
        self._owner = owner

    async def submit(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> Pending[Accepted]:
        """Ask for a job once. The API knows no keys: the job's name tells whose it is."""
        reply = await self._session.send(self._submission(resource_id, spec))
        return self._begun("submit_job", reply.value, _accepted, secrets_of(spec))

    def submit_request(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> WireRequest:
        """What :meth:`submit` sends, without its credential."""
        return self._session.wire(self._submission(resource_id, spec))

    def _submission(self, resource_id: str, spec: Mapping[str, Any]) -> Request:
        # What users name as a queue is a quality of service here: the partition follows from it.
        script = batch_script(_findable(spec), "slurm", queue_option="--qos")
        return Request(
            operation="submit_job",
            method="POST",
            path=f"/compute/jobs/{segment(resource_id, 'machine')}",
            replay=REPLAYS["submit_job"],
            form={"job": script, "isPath": "false"},
            secrets=secrets_of(spec),
        )

    async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
        """Look at one job, ended ones included; MISSING if nobody knows one of exactly this id.

        Accounting hears of a job some seconds after the queue, so that is asked about one without a row.
        """
        unknown: NotFound | None = None
        for sacct in (True, False):
            try:
                if rows := await self._rows(resource_id, job_id, sacct=sacct):
                    jobs = gathered((_called(row), _status(row)) for row in rows)
                    return Done(told_of(jobs, job_id))
            except NotFound as error:
                unknown = error
        return Done(JobStatus(JobState.MISSING, message=unknown.message if unknown else None))

    async def list(
        self, resource_id: str, *, offset: int, limit: int, historical: bool, names: bool
    ) -> Done[Sequence[JobEntry]]:
        """The user's jobs: of squeue, or with ``historical`` of sacct, where the ended ones are.

        The API keeps what squeue said for a while. That is good enough for whoever watches, and not for
        somebody who looks for a name: a fresh job is not in it (sfapi_client#93).
        """
        if offset:
            return Done([])
        user = await self._owner.name()
        since = (("kwargs", f"starttime={_some_days_ago()}"),) if historical else ()
        reply = await self._session.send(
            Request(
                operation="read_jobs",
                method="GET",
                path=f"/compute/jobs/{segment(resource_id, 'machine')}",
                params=(
                    ("sacct", _flag(historical)),
                    ("cached", _flag(not historical and not names)),
                    ("kwargs", f"user={user}"),
                    *since,
                ),
            )
        )
        rows = [row for row in rows_of(self._reading("read_jobs"), reply.value) if _is_job(row)]
        names_of = {parted(_called(row))[0]: row.get("name") or row.get("jobname") for row in rows}
        jobs = gathered((_called(row), _status(row)) for row in rows)
        return Done([JobEntry(job_id, status, names_of[job_id]) for job_id, status in jobs.items()])

    async def output_paths(self, resource_id: str, job_id: str) -> Done[Mapping[str, str]]:
        """Where the job's output goes: by accounting when it is known there, by our own comment before."""
        row = _row_of(await self._rows(resource_id, job_id, sacct=True), job_id)
        paths = _output_paths(row, job_id)
        if not paths and not (row and _status(row).state.terminal):
            row = _row_of(await self._rows(resource_id, job_id, sacct=False), job_id)
            paths = _output_paths(row, job_id)
        return Done(paths)

    async def cancel(self, resource_id: str, job_id: str) -> Done[None] | Pending[None]:
        """Ask for the end of a job. Only the task tells what scancel said; a job may win the race."""
        reply = await self._session.send(
            Request(
                operation="cancel_job",
                method="DELETE",
                path=f"/compute/jobs/{segment(resource_id, 'machine')}/{segment(job_id, 'job')}",
            )
        )
        return self._begun("cancel_job", reply.value, _canceled)

    async def update(
        self, resource_id: str, job_id: str, changes: Mapping[str, Any], idempotency_key: str | None
    ) -> Done[JobStatus]:
        """Not offered."""
        raise NotOffered(
            "the Superfacility API changes no jobs; cancel it and ask for another",
            facility=self._session.label,
            operation="update",
        )

    async def _rows(self, resource_id: str, job_id: str, *, sacct: bool) -> Sequence[Row]:
        """The row of a job, or the rows of all tasks of an array; steps (1.batch) come with the job."""
        job_id, _, _ = parted(job_id)
        reply = await self._session.send(
            Request(
                operation="read_job",
                method="GET",
                path=f"/compute/jobs/{segment(resource_id, 'machine')}/{segment(job_id, 'job')}",
                params=(("sacct", _flag(sacct)), ("cached", "false")),
            )
        )
        rows = rows_of(self._reading("read_job"), reply.value)
        return [row for row in rows if _is_job(row) and parted(_called(row))[0] == job_id]

    def _begun(
        self,
        operation: str,
        value: object,
        read: Callable[[Reading, object], T],
        secrets: Sequence[str] = (),
    ) -> Pending[T]:
        reading = Reading(self._session.label, operation, self._session.hiding(secrets))
        try:
            task = reading.one(AcceptedReply, value)
        except ReplyError as error:
            raise unreadable(reading, error.message) from None
        return Pending(task.task_id, operation, lambda result: read(reading, result), TASK_SECONDS, secrets)

    def _reading(self, operation: str) -> Reading:
        return Reading(self._session.label, operation)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _some_days_ago() -> str:
    return f"{datetime.now(UTC) - timedelta(days=_DAYS):%Y-%m-%d}"


def _findable(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec under a name that comes back whole, with a comment that tells where its output goes."""
    changed = dict(spec)
    if name := spec.get("name"):
        changed["name"] = _ODD.sub("_", name)
    attributes: Mapping[str, Any] = spec.get("attributes") or {}
    custom: Mapping[str, Any] = attributes.get("custom_attributes") or {}
    paths = {stream: spec[f"{stream}_path"] for stream in _STREAMS if spec.get(f"{stream}_path")}
    if paths and "comment" not in custom:
        comment = _PATHS_IN_COMMENT + urlencode(paths)
        changed["attributes"] = {**attributes, "custom_attributes": {**custom, "comment": comment}}
    return changed


def _accepted(reading: Reading, result: object) -> Accepted:
    job_id = result_of(reading, result).get("jobid")
    if not isinstance(job_id, str | int) or isinstance(job_id, bool) or not str(job_id).strip():
        raise unreadable(reading, "the task that submitted the job does not tell its id")
    return Accepted(str(job_id).strip(), JobStatus(JobState.QUEUED))


def _canceled(reading: Reading, result: object) -> None:
    try:
        result_of(reading, result)
    except Refused as error:
        # A cancel that comes again, after a reply that was lost, finds the first one at work.
        if not _ENDING.search(error.message):
            raise


def _is_job(row: Row) -> bool:
    return "jobid" in row and "." not in row["jobid"]


def _called(row: Row) -> str:
    """Its id, of tasks as Slurm shows them: ``42_7``, ``42_[8-9%2]``; squeue also has it in two columns."""
    array, task = row.get("array_job_id"), row.get("array_task_id")
    if array is None or task is None:
        return row["jobid"]
    return f"{array}_{task}" if task.isdecimal() else f"{array}_[{task}]"


def _row_of(rows: Sequence[Row], job_id: str) -> Row:
    """The row of a job or task; of a task that has not begun that of all such tasks."""
    found = {_called(row): row for row in rows}
    several = (row for called, row in found.items() if parted(called)[2] is not None)
    return found.get(job_id) or next(several, _NO_ROW)


def _status(row: Row) -> JobStatus:
    word, reason = row.get("state", ""), row.get("reason")
    state = job_state(word, reason)
    # No time: what the columns have is the facility's local time, of a zone that nobody tells.
    status = JobStatus(
        state=state,
        exit_code=exit_code(row.get("exitcode", ""), state),
        message=reason,
        raw_state=word or None,
        meta=row,
    )
    return explained(status)


def _output_paths(row: Row, job_id: str) -> Mapping[str, str]:
    named = _of_accounting(row.get("admincomment", "")) or _of_comment(row.get("comment", ""))
    directory = row.get("workdir") or row.get("work_dir") or ""
    array, index, _ = parted(job_id)
    letters = {} if index is None else {"A": array, "a": str(index)}
    # Accounting may show the pattern (`slurm-%j.out`) in place of the name that it made.
    told = {stream: filled(pattern, letters) for stream, pattern in named.items()}
    return {stream: posixpath.join(directory, path) for stream, path in told.items() if path}


def _of_accounting(comment: str) -> Mapping[str, str]:
    """NERSC's own note of an ended job."""
    try:
        note: Any = json.loads(comment) if comment.startswith("{") else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(note, dict):
        return {}
    paths = {stream: cast("dict[str, object]", note).get(f"{stream}Path") for stream in _STREAMS}
    return {stream: path for stream, path in paths.items() if isinstance(path, str)}


def _of_comment(comment: str) -> Mapping[str, str]:
    if not comment.startswith(_PATHS_IN_COMMENT):
        return {}
    words = dict(parse_qsl(comment.removeprefix(_PATHS_IN_COMMENT)))
    return {stream: words[stream] for stream in _STREAMS if stream in words}
