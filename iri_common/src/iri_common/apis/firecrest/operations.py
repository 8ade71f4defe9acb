"""Transfers under way: the facility's own jobs, of which only the log tells how they ended."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from iri_common.apis.firecrest.rules import SAYS_DONE
from iri_common.apis.firecrest.wire import TransferReply
from iri_common.apis.reading import Reading, of_task
from iri_common.model.errors import (
    AmbiguousReply,
    IriError,
    NotFound,
    PermissionDenied,
    Refused,
    ReplyError,
    TooLarge,
    UsageError,
)
from iri_common.model.files import FileText
from iri_common.model.job import JobStatus
from iri_common.model.outcome import Answer, Done, FacilityTask, Pending
from iri_common.model.state import JobState
from iri_common.policy.classify import Outcome

T = TypeVar("T")

LINES = 20  # at the end of a log: the line that counts is one of the last

_CAUSES: tuple[tuple[re.Pattern[str], type[IriError], Outcome], ...] = (
    (re.compile(r"no such file|file_not_found", re.IGNORECASE), NotFound, Outcome.NOT_FOUND),
    (re.compile(r"permission denied|not permitted", re.IGNORECASE), PermissionDenied, Outcome.FORBIDDEN),
    (re.compile(r"error_max_part_size"), TooLarge, Outcome.TOO_LARGE),
)
_UNTOLD: tuple[type[IriError], Outcome] = (Refused, Outcome.INVALID)
# What a transfer leaves: FirecREST's logs and ours, and our links. `rm` takes a directory with all in it, so
# nothing else goes, whatever a reply calls a log.
_LEFT = re.compile(r".*/\.[^/]+\.(?:log|out|err)|.*/\.iri_link_[0-9a-f]+", re.DOTALL)
# Names of files may hold any of those words.
_NAMES = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"|\u2018[^\u2019]*\u2019|/\S+")


class Jobs(Protocol):
    """Of the jobs, what is needed here."""

    async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
        """Look at one."""
        ...


class Logs(Protocol):
    """Of the files, what is needed here."""

    async def tail(self, resource_id: str, path: str, *, lines: int) -> Done[FileText]:
        """The last lines of one."""
        ...

    async def rm(self, resource_id: str, path: str) -> Done[None]:
        """Remove one."""
        ...


@dataclass(frozen=True, slots=True)
class TransferJob:
    """A job that carries out a transfer.

    Attributes:
        system: Where it runs.
        job_id: Its id.
        output: The log that says whether it did what it was to do.
        errors: What its commands complained of; "" where that is not told.
        alias: A link that it reads through, ours; "" for none.
    """

    system: str
    job_id: str
    output: str
    errors: str
    alias: str = ""

    def __str__(self) -> str:
        told = {"output": self.output, "errors": self.errors, "alias": self.alias}
        logs = urlencode({name: path for name, path in told.items() if path}, safe="/")
        return f"{quote(self.system, safe='')}/{quote(self.job_id, safe='')}?{logs}"

    @classmethod
    def parse(cls, text: str) -> TransferJob:
        """Read what ``str`` wrote.

        Raises:
            UsageError: if this is none.
        """
        with contextlib.suppress(ValueError, KeyError):
            parts = urlsplit(text)
            system, job_id = (unquote(each) for each in parts.path.split("/"))
            logs = parse_qs(parts.query, keep_blank_values=True)
            rest = (logs.get(name, [""])[0] for name in ("errors", "alias"))
            return cls(system, job_id, logs["output"][0], *rest)
        raise UsageError(f"{text!r} names no transfer of FirecREST")


def begun(reading: Reading, system: str, value: object, then: Callable[[], T]) -> Pending[T]:
    """The transfer that an answer speaks of.

    Args:
        reading: Of that operation.
        system: Where it was asked for.
        value: The answer.
        then: The value when it is done.
    """
    return pending(job_of(reading, system, value), reading.operation, then)


def pending(job: TransferJob, operation: str, then: Callable[[], T]) -> Pending[T]:
    """The promise of a transfer."""
    return Pending(str(job), operation, lambda _: then())


def job_of(reading: Reading, system: str, value: object) -> TransferJob:
    """The job of a transfer that was asked for.

    Raises:
        AmbiguousReply: if the answer does not tell it.
    """
    try:
        job = reading.one(TransferReply, value).transfer_job
    except ReplyError as error:
        raise reading.ambiguous(error.message) from None
    return TransferJob(system, job.job_id, job.logs.output_log, job.logs.error_log)


class FirecrestTransfers:
    """Looks at the jobs of transfers."""

    def __init__(self, jobs: Jobs, logs: Logs, label: str) -> None:
        self._jobs = jobs
        self._logs = logs
        self._label = label

    async def check(self, pending: Pending[T]) -> Answer[T]:
        """Look once; a transfer is done when its log says so, whatever the state of its job.

        One whose job has come to an end without these words failed, and is raised as the error that its log
        names; if it is not known whether it had any effect, as an AmbiguousReply.
        """
        job = TransferJob.parse(pending.task_id)
        status = (await self._jobs.status(job.system, job.job_id)).value
        if not status.state.terminal and status.state is not JobState.MISSING:
            return pending
        # Accounting hears of a job late, and forgets it some day: its log knows.
        said = await self._log(job, job.output)
        if SAYS_DONE[pending.operation] in said:
            with contextlib.suppress(IriError):  # they have said all, and nobody else clears them away
                await self.forget(pending.task_id)
            return Done(pending.read(None))
        if status.state is JobState.MISSING:
            return pending
        if _LEFT.fullmatch(job.alias):
            with contextlib.suppress(IriError):
                await self._logs.rm(job.system, job.alias)
        raise self._failure(pending.operation, status, await self._log(job, job.errors))

    def promised(self, task: FacilityTask) -> Pending[object]:
        """What an operation on files was promised to give: that it is done."""
        of_task(task, SAYS_DONE)
        return pending(TransferJob.parse(task.task_id), task.operation, lambda: None)

    async def forget(self, task_id: str) -> Done[None]:
        """Remove the logs of a transfer that is over, and the link that it read through."""
        job = TransferJob.parse(task_id)
        for path in filter(_LEFT.fullmatch, (job.alias, job.output, job.errors)):
            with contextlib.suppress(NotFound):
                await self._logs.rm(job.system, path)
        return Done(None)

    async def _log(self, job: TransferJob, path: str) -> str:
        try:
            return (await self._logs.tail(job.system, path, lines=LINES)).value.content if path else ""
        except NotFound:  # canceled before it began, or over its quota
            return ""

    def _failure(self, operation: str, status: JobStatus, text: str) -> IriError:
        told = " ".join(text.split())[-600:]
        ended = told or f"its job ended as {status.raw_state}"
        if not told and status.state is JobState.COMPLETED:
            kind, outcome = AmbiguousReply, Outcome.LOST
            ended = "its job ended, and its log does not say what came of it"
        else:
            kind, outcome = cause(told)
        return kind(
            f"the transfer failed: {ended}", facility=self._label, operation=operation, outcome=outcome
        )


def cause(text: str) -> tuple[type[IriError], Outcome]:
    """What the log of a failed transfer names; a refusal where it names nothing that we know."""
    bare = _NAMES.sub(" ", text)
    told = ((kind, outcome) for pattern, kind, outcome in _CAUSES if pattern.search(bare))
    return next(told, _UNTOLD)
