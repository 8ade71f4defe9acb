"""What Slurm tells of its state: one cluster, its partitions, and the maintenance that is reserved for."""

from __future__ import annotations

from collections.abc import Sequence

from iri_common.apis.reading import Reading
from iri_common.apis.slurm.calls import CLUSTER, Calls
from iri_common.apis.slurm.queue import queue_length
from iri_common.apis.slurm.reservations import listed
from iri_common.apis.slurm.states import availability
from iri_common.apis.slurm.wire import PartitionReply, ReservationReply, field, moment, texts
from iri_common.http.session import Request
from iri_common.model.errors import NotFound
from iri_common.model.facility import (
    Availability,
    Event,
    FacilityInfo,
    Incident,
    QueueLength,
    Resource,
    Site,
)
from iri_common.model.outcome import Done

PARTITION = "slurm:partition"


class SlurmStatus:
    """The state of a cluster. slurmrestd tells nothing without a token."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def facility(self) -> Done[FacilityInfo]:
        """The door itself: Slurm has no word for the facility around it."""
        return Done(FacilityInfo(CLUSTER, self._calls.label))

    async def sites(self) -> Done[Sequence[Site]]:
        """None: Slurm has no word for places."""
        return Done([])

    async def resources(self) -> Done[Sequence[Resource]]:
        """The cluster, which takes jobs, and its partitions, which are the queues of it."""
        request = Request(operation="getPartitions", method="GET", path="partitions")
        reply = await self._calls.send(CLUSTER, lambda version: request)
        rows = Reading(self._calls.label, "getPartitions").many(
            PartitionReply, field(reply.value, "partitions")
        )
        partitions = [
            Resource(row.name, row.name, PARTITION, availability(row.words), group=CLUSTER) for row in rows
        ]
        return Done([_cluster(partitions), *partitions])

    async def resource(self, resource_id: str) -> Done[Resource]:
        """The cluster or a partition, by its name."""
        for each in (await self.resources()).value:
            if each.id == resource_id:
                return Done(each)
        raise NotFound(f"Slurm has no partition {resource_id!r}", facility=self._calls.label)

    async def incidents(self, *, resource_id: str | None = None) -> Done[Sequence[Incident]]:
        """The reservations for maintenance; which nodes they take is not looked at."""
        rows = await listed(self._calls, CLUSTER)
        return Done([_incident(row) for row in rows if "MAINT" in texts(row.flags)])

    async def events(
        self, *, incident_id: str | None = None, resource_id: str | None = None
    ) -> Done[Sequence[Event]]:
        """None: Slurm keeps no history of its state."""
        return Done([])

    async def queue(self, resource_id: str) -> Done[QueueLength]:
        """How many jobs wait and run, of all users and in all partitions."""
        return Done(await queue_length(self._calls, CLUSTER))


def _cluster(partitions: Sequence[Resource]) -> Resource:
    """Its slurmctld has answered; it takes no job where no partition does."""
    down = bool(partitions) and all(each.status is Availability.DOWN for each in partitions)
    status = Availability.DOWN if down else Availability.UP
    return Resource(
        CLUSTER, CLUSTER, "urn:doe-iri:resource:compute", status, endpoints=frozenset({"compute"})
    )


def _incident(reservation: ReservationReply) -> Incident:
    whole = "ALL_NODES" in texts(reservation.flags)
    return Incident(
        id=reservation.name,
        name=reservation.name,
        status=Availability.DOWN if whole else Availability.DEGRADED,
        type="planned",
        resolution="",
        start=moment(reservation.start_time),
        end=moment(reservation.end_time),
        resource_ids=(CLUSTER,),
    )
