"""The Superfacility behind its face: clients, the queue, and tasks that submit, cancel and run commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from iri_local_facility.accounts import Accounts, User
from iri_local_facility.batch import QOS, batch_request, check_script
from iri_local_facility.batch.directives import directives
from iri_local_facility.errors import FacilityError, Missing, Rejected
from iri_local_facility.jobs import JobRequest
from iri_local_facility.requestlog import RequestLog
from iri_local_facility.scheduler import Scheduler
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store

from .clients import Clients
from .commands import Commands
from .queue import Queue
from .tasks import Result, Task, Tasks


class Superfacility:
    """What the Superfacility is at this facility."""

    def __init__(
        self, settings: Settings, store: Store, accounts: Accounts, scheduler: Scheduler, log: RequestLog
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._scheduler = scheduler
        self._log = log
        self._commands = Commands()
        self.clients = Clients(settings, store)
        self.queue = Queue(settings, scheduler)
        works = {"submit": self._submit, "cancel": self._cancel, "command": self._command}
        self.tasks = Tasks(settings, store, works)

    def start(self) -> None:
        """Begin to work."""
        self.tasks.start()

    async def stop(self) -> None:
        """Let go of what is under way."""
        await self.tasks.stop()
        self._commands.stop()

    # -- what tasks do; that they do it is all that their status tells, how it went is in the result

    async def _submit(self, task: Task) -> Result:
        user = self._accounts.user(task.user)
        document = task.document
        try:
            script = _remote(user, document["job"]) if document["is_path"] else document["job"]
            check_script(script)
        except (FacilityError, OSError) as problem:
            return _failed(f"sbatch: error: {problem}")
        path = document["job"] if document["is_path"] else None
        try:
            request = self._request(user, script, path, document["args"])
            job = await self._scheduler.submit(user, request, {"path": path})
        except FacilityError as refused:
            reason = str(refused).removeprefix("Job submit failed: ")
            return _failed(f"sbatch: error: Batch job submission failed: {reason}")
        self._log.note_created(task.request, job.id)
        return {"status": "ok", "jobid": str(job.id), "error": None}

    def _request(self, user: User, script: str, path: str | None, args: list[str]) -> JobRequest:
        # A queue is a quality of service here, and the partition follows from it.
        qos = directives(script, "slurm").get("qos")
        words = {"queue": qos, "qos": QOS} if qos in self._settings.queues else {}
        request = batch_request(self._settings, user, script, script_arguments=args, **words)
        if path is not None and request.name == "sbatch":
            return replace(request, name=PurePosixPath(path).name)
        return request

    async def _cancel(self, task: Task) -> Result:
        user, number = self._accounts.user(task.user), task.document["job"]
        try:
            tasks = self._scheduler.all_of(user, int(number))
        except (Missing, ValueError, OverflowError):
            return _failed(f"scancel: error: Kill job error on job id {number}: Invalid job id specified")
        if all(each.finished for each in tasks):
            reason = "Job/step already completing or completed"
            return _failed(f"scancel: error: Kill job error on job id {number}: {reason}")
        self._scheduler.cancel(user, int(number))
        return {"status": "ok", "output": "", "error": None}

    async def _command(self, task: Task) -> Result:
        return await self._commands.run(task.document["line"], self._accounts.user(task.user))


def _remote(user: User, path: str) -> str:
    """A script that is at the facility already."""
    try:
        return user.areas.resolve(path).read_text(errors="surrogateescape")
    except (OSError, FacilityError):
        raise Rejected(f"Unable to open file {path}") from None


def _failed(error: str) -> dict[str, Any]:
    return {"status": "error", "jobid": None, "error": error}
