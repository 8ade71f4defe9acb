"""Commands beside a job, on its nodes."""

from __future__ import annotations

import re
import shlex

from iri_common.apis.before import before_asking
from iri_common.apis.firecrest.systems import Systems
from iri_common.apis.reading import segment
from iri_common.http.session import Request, Session
from iri_common.jobside.guard import encodable
from iri_common.model.errors import NotOffered, UsageError
from iri_common.model.outcome import Done
from iri_common.policy.retry import Replay

_ASKABLE = re.compile(r"[A-Za-z0-9]+")


class FirecrestAttaching:
    """``srun --overlap`` in a job that runs."""

    def __init__(self, session: Session, systems: Systems) -> None:
        self._session = session
        self._systems = systems

    async def attach(self, resource_id: str, job_id: str, command: str) -> Done[None]:
        """Run a command to its end, for which FirecREST waits as long as for its own: mostly 5 seconds.

        Raises:
            NotOffered: if the scheduler is PBS, or is spoken to by its REST daemon: there FirecREST says
                that it was done, and does nothing.
        """
        if not _ASKABLE.fullmatch(job_id):
            raise UsageError(f"{job_id!r} is no job that FirecREST attaches to; a task of an array is none")
        with before_asking():
            scheduler = (await self._systems.of(resource_id)).scheduler
        if (scheduler.type, scheduler.connection_mode) != ("slurm", "ssh"):
            raise NotOffered(
                f"FirecREST runs commands beside jobs of Slurm over ssh, and {resource_id} has "
                f"{scheduler.type} in {scheduler.connection_mode} mode; have the job look for a file that "
                "you put there, and run what it says",
                facility=self._session.label,
                operation="attach",
            )
        # It goes through the shell of a login node as it is.
        words = shlex.join(["/bin/sh", "-c", encodable(command, "the command")])
        path = f"/compute/{segment(resource_id, 'system')}/jobs/{job_id}/attach"
        await self._session.send(
            Request(operation="attach", method="PUT", path=path, replay=Replay.ONCE, json={"command": words})
        )
        return Done(None)
