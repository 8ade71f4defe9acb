"""How long the queue of a Slurm is: what its controller counts anyway, in one small answer."""

from __future__ import annotations

from iri_common.apis.reading import Reading
from iri_common.apis.slurm.calls import Calls
from iri_common.apis.slurm.wire import field, number
from iri_common.http.session import Request
from iri_common.model.facility import QueueLength


async def queue_length(calls: Calls, resource_id: str) -> QueueLength:
    """The jobs of all users, as slurmctld counted them within the last half minute.

    Raises:
        ReplyError: if it tells no counts.
    """
    operation = "getDiag"
    request = Request(operation=operation, method="GET", path="diag")
    reply = await calls.send(resource_id, lambda version: request)
    told = field(reply.value, "statistics")
    if told is None:
        raise Reading(calls.label, operation).unfit("the counts of jobs are missing")
    # proto3 leaves out what is zero.
    return QueueLength(number(field(told, "jobs_pending")) or 0, number(field(told, "jobs_running")) or 0)
