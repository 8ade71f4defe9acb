"""Telling a success from a failure, and why a job failed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from iri_common.facility.canceling import job_id_of, task_of
from iri_common.facility.placing import JobPlacing
from iri_common.jobs.output import LastWords, last_words
from iri_common.model.errors import IriError, JobFailed
from iri_common.model.job import JobResult, JobStatus
from iri_common.model.ref import JobRef

LINES = 20
TOLD = 3  # tasks of an array of which more is told than that they failed: each costs a few requests


class JobFailing(JobPlacing):
    """Tells why jobs failed."""

    async def require_success(
        self, job: JobRef | str, status: JobStatus, *, names: Mapping[int, str] | None = None
    ) -> JobResult:
        """Raise JobFailed for a status that is not a success, telling exit code and the last of stderr.

        Of an array the first three tasks that failed are told of, one by one; where a task's stderr has
        nothing, the last of its stdout.

        Args:
            job: Which.
            status: How it ended.
            names: Of an array, what its tasks are to a person, by index.
        """
        ref, principal = self._ref(job), self.door.standing.known
        if status.succeeded:
            return JobResult(ref, status, principal)
        if ref.array is not None:
            status = await self._with_tasks(ref, status)
            told = await self._last_words([task_of(ref, index) for index in status.failed_tasks[:TOLD]])
            last = next((each.text for each in told[:1] if each.stream == "stderr"), "")
            said = _said_of_tasks(status, told, names or {})
        else:
            last = await self.tail(ref, "stderr", lines=LINES)
            said = _said(LastWords(text=last), "\n")
        raise JobFailed(
            f"{ref.describe()} ended as {status.describe()}{said}",
            ref=ref,
            job_status=status,
            stderr_tail=last,
            principal=principal,
        )

    async def _with_tasks(self, ref: JobRef, status: JobStatus) -> JobStatus:
        """An engine may have kept only the gist of it; what the facility does not tell now is left out."""
        if status.tasks:
            return status
        with contextlib.suppress(IriError):
            seen = await self.door.dialect.jobs.status(ref.resource_id, job_id_of(ref))
            return replace(status, tasks=seen.value.tasks)
        return status

    async def _last_words(self, refs: Sequence[JobRef]) -> Sequence[LastWords]:
        if not refs:
            return ()
        file_system: str | None = None
        with contextlib.suppress(IriError):
            file_system = (await self.door.file_system(self.settings.storage, refs[0].resource_id)).id
        return await last_words(self.door.dialect, refs, file_system, LINES)


def _said_of_tasks(status: JobStatus, told: Sequence[LastWords], names: Mapping[int, str]) -> str:
    failed = status.failed_tasks
    parts = list[str]()
    for index, words in zip(failed, told, strict=False):
        name = f" ({names[index]})" if index in names else ""
        parts.append(f"\ntask {index}{name}: {status.tasks[index].describe()}{_said(words, ', ')}")
    if more := len(failed) - len(told):
        parts.append(f"\nand {more} more")
    return "".join(parts)


def _said(words: LastWords, before: str) -> str:
    text = words.text.rstrip()
    return f"{before}the last lines of its {words.stream}:\n{text}" if text else ""
