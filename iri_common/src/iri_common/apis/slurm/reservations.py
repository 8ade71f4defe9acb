"""Nodes that Slurm keeps for somebody: looked at in every version, made and deleted in the newer ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from iri_common.apis.before import before_asking
from iri_common.apis.reading import Reading, segment
from iri_common.apis.slurm.calls import Calls
from iri_common.apis.slurm.versions import RESERVES, Version
from iri_common.apis.slurm.wire import NodeReply, ReservationReply, field, moment, number, text, texts
from iri_common.http.session import Request
from iri_common.model.errors import NotFound, NotOffered
from iri_common.model.outcome import Done
from iri_common.model.reservation import ClusterNode, NodeReservation, NodesIntent
from iri_common.policy.retry import Replay

# Words of a node's state that keep jobs from it.
_UNUSABLE = frozenset(
    {
        "BLOCKED",
        "DOWN",
        "DRAIN",
        "DRAINED",
        "DRAINING",
        "ERROR",
        "FAIL",
        "FUTURE",
        "MAINTENANCE",
        "NOT_RESPONDING",
        "UNKNOWN",
    }
)


class SlurmReservations:
    """The reservations of slurmctld. Who may make one is the site's to say: operators, if it says nothing."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def reservations(self, resource_id: str) -> Done[Sequence[NodeReservation]]:
        """All that slurmctld shows this user, at once."""
        return Done([_reservation(row) for row in await listed(self._calls, resource_id)])

    async def nodes(self, resource_id: str) -> Done[Sequence[ClusterNode]]:
        """All nodes, at once."""
        request = Request(operation="getNodes", method="GET", path="nodes")
        reply = await self._calls.send(resource_id, lambda version: request)
        rows = Reading(self._calls.label, "getNodes").many(NodeReply, field(reply.value, "nodes"))
        return Done([_node(row) for row in rows])

    async def create(self, resource_id: str, name: str, intent: NodesIntent, start: datetime) -> Done[None]:
        """Reserve nodes; Slurm chooses which, among those that no other reservation and no job has.

        Sent once: a name that there is already would be changed, were it not refused for having begun.
        """
        await self._require(resource_id)
        body = _described(name, intent, start)
        await self._calls.send(
            resource_id,
            lambda version: Request(
                operation="createReservation",
                method="POST",
                path="reservation",
                replay=Replay.ONCE,
                json=body,
            ),
        )
        return Done(None)

    async def delete(self, resource_id: str, name: str) -> Done[None]:
        """Give nodes back; Slurm holds the jobs that wait for them, and refuses while others run there."""
        await self._require(resource_id)
        path = f"reservation/{segment(name, 'reservation')}"
        request = Request(operation="deleteReservation", method="DELETE", path=path)
        try:
            await self._calls.send(resource_id, lambda version: request)
        except NotFound as error:
            if error.operation != request.operation:
                raise  # of the resource
        return Done(None)

    async def _require(self, resource_id: str) -> Version:
        with before_asking():
            version = await self._calls.version(resource_id)
        if version.number < RESERVES:
            raise NotOffered(
                f"this slurmrestd speaks {version.name}, and makes reservations from v0.0.{RESERVES} (Slurm "
                "25.05) on; have one made by those who run it, and name it as reservation_id",
                facility=self._calls.label,
            )
        return version


async def listed(calls: Calls, resource_id: str) -> Sequence[ReservationReply]:
    """The reservations as they are told."""
    request = Request(operation="getReservations", method="GET", path="reservations")
    reply = await calls.send(resource_id, lambda version: request)
    return Reading(calls.label, request.operation).many(ReservationReply, field(reply.value, "reservations"))


def _described(name: str, intent: NodesIntent, start: datetime) -> Mapping[str, Any]:
    begins, ends = intent.window(start)
    described: dict[str, Any] = {
        "name": name,
        "start_time": _number(int(begins.timestamp())),
        "end_time": _number(int(ends.timestamp())),
        "node_count": _number(intent.nodes),
        "partition": intent.queue,
        "users": list(intent.users),
        "accounts": list(intent.accounts),
        "flags": list(intent.flags),
    }
    return {word: value for word, value in described.items() if value}


def _number(value: int) -> Mapping[str, Any]:
    return {"set": True, "infinite": False, "number": value}


def _reservation(row: ReservationReply) -> NodeReservation:
    return NodeReservation(
        name=row.name,
        nodes=number(row.node_count) or 0,
        start=moment(row.start_time),
        end=moment(row.end_time),
        node_list=text(row.node_list),
        queue=text(row.partition),
    )


def _node(row: NodeReply) -> ClusterNode:
    words = {each.upper().rstrip("*~#!%$@^-+") for each in row.words}
    return ClusterNode(
        name=row.name,
        usable=bool(words) and not words & _UNUSABLE,
        idle="IDLE" in words,
        queues=texts(row.partitions),
    )
