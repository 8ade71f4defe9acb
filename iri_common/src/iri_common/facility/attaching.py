"""Commands beside a job that runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from iri_common.facility.canceling import job_id_of
from iri_common.facility.following import JobFollowing
from iri_common.model.errors import NotOffered, UsageError
from iri_common.model.ports import AttachDialect
from iri_common.model.ref import JobRef


class JobAttaching(JobFollowing):
    """Runs commands where jobs run."""

    async def attach(self, job: JobRef | str, command: str | Sequence[str]) -> None:
        """Run a short command beside a job, on its nodes, and wait for its end; its output is lost.

        It runs once for each process that the scheduler gave the job.

        Args:
            job: Which; it runs.
            command: For the shell there, or its words.

        Raises:
            NotOffered: if this facility has no such thing; says what serves instead.
            NotFound: if the job does not run.
            Refused: if the command fails.
            AmbiguousReply: if it takes longer than the facility waits, or no answer comes: it may run on.
        """
        ref = self._ref(job)
        text = command if isinstance(command, str) else shlex.join(command)
        if not text.strip():
            raise UsageError("a command is needed")
        dialect = self.door.dialect
        if not isinstance(dialect, AttachDialect):
            raise NotOffered(
                f"{self.settings.label} runs no commands beside a job; have the job look for a file that you "
                "put there, and run what it says",
                facility=self.settings.label,
            )
        await dialect.attaching.attach(ref.resource_id, job_id_of(ref), text)
