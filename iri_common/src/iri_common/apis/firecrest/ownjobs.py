"""Copies and renames whose paths FirecREST's own script would spoil: the same job, with a script of ours."""

from __future__ import annotations

import posixpath
import shlex
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from iri_common.apis.firecrest.operations import TransferJob, pending
from iri_common.apis.firecrest.rules import SAYS_DONE
from iri_common.apis.firecrest.wire import SubmittedReply, SystemReply
from iri_common.apis.reading import Reading
from iri_common.model.errors import ReplyError
from iri_common.model.outcome import Pending

T = TypeVar("T")

_NAMES: Mapping[str, str] = {"transfer/mv": "MoveFiles", "transfer/cp": "CopyFiles"}


@dataclass(frozen=True, slots=True)
class OwnJob:
    """A job that does what a transfer would.

    Attributes:
        operation: The transfer in whose place it is.
        command: What it runs.
        mark: Names its logs.
    """

    operation: str
    command: str
    mark: str

    @classmethod
    def of(cls, operation: str, source: str, target: str, *, dereference: bool) -> OwnJob:
        """The job for a copy or a rename."""
        tool = "mv" if operation == "transfer/mv" else f"cp -f -p -R{'L' if dereference else 'P'}"
        return cls(operation, f"{tool} -- {shlex.join([source, target])}", uuid.uuid4().hex)

    def described(self, system: SystemReply, directory: str, account: str | None) -> dict[str, Any]:
        """The object ``job`` of a submit; it goes where this site wants such jobs to go."""
        wanted = system.data_operation.datatransfer_jobs_directives
        directives = [each.replace("{account}", account or "") for each in wanted]
        script = f"{self.command} &&\necho {shlex.quote(SAYS_DONE[self.operation])}\n"
        output, errors = self._logs(directory)
        return {
            "name": _NAMES[self.operation],
            "workingDirectory": directory,
            "standardInput": "/dev/null",
            "standardOutput": output,
            "standardError": errors,
            "env": {"PATH": "/bin:/usr/bin:/usr/local/bin"},  # Slurm's REST daemon adds none
            "script": "\n".join(["#!/bin/sh", *directives, script]),
        }

    def begun(
        self, reading: Reading, system: str, directory: str, value: object, then: Callable[[], T]
    ) -> Pending[T]:
        """The promise, by the answer to the submit."""
        try:
            job_id = reading.one(SubmittedReply, value).job_id
        except ReplyError as error:
            raise reading.ambiguous(error.message) from None
        job = TransferJob(system, job_id, *self._logs(directory))
        return pending(job, self.operation, then)

    def _logs(self, directory: str) -> tuple[str, str]:
        log = posixpath.join(directory, f".iri_job_{self.mark}")
        return f"{log}.out", f"{log}.err"
