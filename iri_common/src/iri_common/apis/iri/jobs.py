"""Jobs: submit, look, list, change, cancel."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, cast

from iri_common.apis.iri import unwrap
from iri_common.apis.iri.quirks import PLAIN, Site
from iri_common.apis.iri.states import NOT_BEGUN, job_state
from iri_common.apis.iri.versions import Version
from iri_common.apis.iri.wire import JobReply, SpecReply, StatusReply, TaskSubmitReply
from iri_common.apis.reading import Reading, secrets_of, segment
from iri_common.http.session import Reply, Request, Session
from iri_common.jobside.batch import ONE_BY_ONE
from iri_common.model.errors import NotFound, ReplyError, UsageError
from iri_common.model.job import Accepted, JobEntry, JobStatus
from iri_common.model.outcome import Answer, Done, Pending
from iri_common.model.ports import WireRequest
from iri_common.model.state import JobState
from iri_common.policy.reason import explained
from iri_common.policy.retry import Replay

# Header `Idempotency-Key-Reply`; no header means that the server did not look at the key.
_REPLAYED: Mapping[str, bool] = {"hit": True, "miss": False}

# Where output really goes, in words of facilities and schedulers; the keys of `meta_data` are their own.
_TOLD: Mapping[str, Sequence[str]] = {
    "stdout": ("stdout_path", "standard_output", "StdOut"),
    "stderr": ("stderr_path", "standard_error", "StdErr"),
}

_NO_WORD: Mapping[str, str] = {
    "array": ONE_BY_ONE,
    "after": "wait for the other jobs and submit this one then, or use a custom attribute of the site's",
}


class IriJobs:
    """The compute service. A job id is opaque and means something at its own resource only."""

    def __init__(self, session: Session, version: Version, site: Site = PLAIN) -> None:
        self._session = session
        self._keys = version.keys
        self._site = site

    async def submit(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> Answer[Accepted]:
        """Ask for a job once. A facility may queue the ask itself; that answer is a Pending.

        A key goes along only where the version has keys: what others do with the header is not described.
        """
        reply = await self._session.send(self._launch(resource_id, spec, idempotency_key))
        reading = self._reading("launchJob")
        replayed = _REPLAYED.get(reply.headers.get("idempotency-key-reply", "").strip().lower())

        def read(result: object) -> Accepted:
            return _accepted(reading, unwrap.structure(result), replayed, self._site)

        if _is_task(reply.value):
            task_id = reading.one(TaskSubmitReply, reply.value).task_id
            return Pending(task_id, "launchJob", read, secrets=secrets_of(spec))
        return Done(read(reply.value))

    def submit_request(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> WireRequest:
        """What :meth:`submit` sends, without its credential."""
        return self._session.wire(self._launch(resource_id, spec, idempotency_key))

    def _launch(self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None) -> Request:
        headers = self._key_header(idempotency_key)
        return Request(
            operation="launchJob",
            method="POST",
            path=f"/compute/job/{segment(resource_id, 'resource')}",
            replay=Replay.ONCE,
            json=self._site.said(_described(spec)),
            headers=headers,
            keyed=bool(headers),
            secrets=secrets_of(spec),
        )

    async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
        """Look at one job, ended ones included; MISSING in each of the ways to say that it is not there."""
        try:
            reply = await self._get(resource_id, job_id, include_spec=False)
        except NotFound as error:
            return Done(JobStatus(JobState.MISSING, message=error.message))
        reading = self._reading("getJob")
        if reply.value is None:  # a null instead of a 404
            return Done(JobStatus(JobState.MISSING))
        return Done(_status(reading, reading.one(JobReply, reply.value).status, self._site))

    async def list(
        self, resource_id: str, *, offset: int, limit: int, historical: bool, names: bool
    ) -> Done[Sequence[JobEntry]]:
        """One page of jobs. No filter is sent: its keys are undefined and ALCF answers any with 501."""
        reply = await self._session.send(
            Request(
                operation="getJobs",
                method="POST",
                path=f"/compute/status/{segment(resource_id, 'resource')}",
                params=(
                    ("offset", str(offset)),
                    ("limit", str(limit)),
                    ("historical", _flag(historical)),
                    ("include_spec", _flag(names and self._site.specs)),
                ),
            )
        )
        reading = self._reading("getJobs")
        return Done([_entry(reading, job, self._site) for job in reading.many(JobReply, reply.value)])

    async def output_paths(self, resource_id: str, job_id: str) -> Done[Mapping[str, str]]:
        """Where the job's output goes by its status, or else by its own specification.

        Some sites put it where no specification said (iri-facility-api-python#53) or have none to show (501).
        """
        reply = await self._get(resource_id, job_id, include_spec=True)
        reading = self._reading("getJob")
        if reply.value is None:
            return Done({})
        job = reading.one(JobReply, reply.value)
        spec = reading.one(SpecReply, {} if job.job_spec is None else job.job_spec)
        meta = _status(reading, job.status, self._site).meta
        asked = {"stdout": spec.stdout_path, "stderr": spec.stderr_path}
        named = {stream: _told(meta, words) or asked[stream] for stream, words in _TOLD.items()}
        # An absolute path stays as it is; without a directory a relative one is the facility's to resolve.
        return Done(
            {stream: posixpath.join(spec.directory or "", path) for stream, path in named.items() if path}
        )

    async def cancel(self, resource_id: str, job_id: str) -> Done[None]:
        """Ask for the end of a job. The 204 comes before the end, and a job may win the race."""
        await self._session.send(
            Request(
                operation="cancelJob",
                method="DELETE",
                path=f"/compute/cancel/{segment(resource_id, 'resource')}/{segment(job_id, 'job')}",
            )
        )
        return Done(None)

    async def update(
        self, resource_id: str, job_id: str, changes: Mapping[str, Any], idempotency_key: str | None
    ) -> Done[JobStatus]:
        """Change fields of a job; repeated only under a key that the version knows."""
        headers = self._key_header(idempotency_key)
        reply = await self._session.send(
            Request(
                operation="updateJob",
                method="PUT",
                path=f"/compute/job/{segment(resource_id, 'resource')}/{segment(job_id, 'job')}",
                replay=Replay.SAFE if headers else Replay.ONCE,
                json=dict(changes),
                headers=headers,
                keyed=bool(headers),
                secrets=secrets_of(changes),
            )
        )
        return Done(_accepted(self._reading("updateJob"), reply.value, None, self._site).status)

    async def _get(self, resource_id: str, job_id: str, *, include_spec: bool) -> Reply:
        # `historical` is always sent: its default differs between versions, and without it an ended job
        # cannot be told from one that never was.
        return await self._session.send(
            Request(
                operation="getJob",
                method="GET",
                path=f"/compute/status/{segment(resource_id, 'resource')}/{segment(job_id, 'job')}",
                params=(("historical", "true"), ("include_spec", _flag(include_spec and self._site.specs))),
            )
        )

    def _key_header(self, key: str | None) -> dict[str, str]:
        return {"Idempotency-Key": key} if key and self._keys else {}

    def _reading(self, operation: str) -> Reading:
        return Reading(self._session.label, operation)


def _told(meta: Mapping[str, object], words: Sequence[str]) -> str | None:
    told = (meta.get(word) for word in words)
    # Schedulers may show the pattern (`slurm-%j.out`) in place of the name that it made.
    return next((path for path in told if isinstance(path, str) and path and "%" not in path), None)


def _described(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec, if the API has words for all of it: what it does not know, services drop and say nothing.

    Raises:
        UsageError: naming the word, and what to do instead.
    """
    attributes: Mapping[str, Any] = spec.get("attributes") or {}
    for word, instead in _NO_WORD.items():
        if attributes.get(word):
            raise UsageError(f"the IRI API has no word for {word} in a job's attributes; {instead}")
    if "array" in (attributes.get("custom_attributes") or {}):
        raise UsageError(f"the custom attribute array would make many jobs of one; {ONE_BY_ONE}")
    return spec


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _is_task(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    fields = cast("dict[str, object]", value)
    return fields.get("task_id") is not None and fields.get("id") is None


def _accepted(reading: Reading, value: object, replayed: bool | None, site: Site) -> Accepted:
    try:
        job = reading.one(JobReply, value)
    except ReplyError as error:
        raise reading.ambiguous(error.message) from None
    try:
        status = _status(reading, job.status, site)
    except ReplyError:
        # The job is there and has an id; what else the answer says can be asked for again.
        status = JobStatus(JobState.UNKNOWN)
    return Accepted(job.id, status, replayed)


def _status(reading: Reading, value: object, site: Site) -> JobStatus:
    reply = reading.one(StatusReply, {} if value is None else value)
    state = _scheduler_state(reply.meta_data, site) or job_state(reply.state)
    status = JobStatus(
        state=state,
        exit_code=None if state in NOT_BEGUN else reply.exit_code,
        message=reply.message,
        time=reply.time,
        raw_state=reply.state,
        meta=reply.meta_data,
    )
    return explained(status)


def _scheduler_state(meta: Mapping[str, object], site: Site) -> JobState | None:
    """What the scheduler says, where the API's word for it is wrong."""
    if not site.states:
        return None
    told = (word for word in meta.values() if isinstance(word, str))
    return next((site.states[word] for word in told if word in site.states), None)


def _entry(reading: Reading, job: JobReply, site: Site) -> JobEntry:
    spec = None if job.job_spec is None else reading.one(SpecReply, job.job_spec)
    return JobEntry(job.id, _status(reading, job.status, site), spec.name if spec else None)
