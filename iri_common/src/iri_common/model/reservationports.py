"""What the upper floors may ask of a facility that keeps nodes for somebody: the port of reservations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from iri_common.model.outcome import Done
from iri_common.model.reservation import ClusterNode, NodeReservation, NodesIntent


class ReservationsApi(Protocol):
    """Reservations of nodes; a method is one request."""

    async def reservations(self, resource_id: str) -> Done[Sequence[NodeReservation]]:
        """Those that there are and this user may see."""
        ...

    async def nodes(self, resource_id: str) -> Done[Sequence[ClusterNode]]:
        """The nodes of a resource."""
        ...

    async def create(self, resource_id: str, name: str, intent: NodesIntent, start: datetime) -> Done[None]:
        """Reserve nodes under a name from a moment on.

        Raises Conflict if there is one of that name, NotOffered where reservations are only looked at, and
        AmbiguousReply if the answer was lost.
        """
        ...

    async def delete(self, resource_id: str, name: str) -> Done[None]:
        """Give nodes back; one that is gone is fine. Raises Conflict while jobs run there."""
        ...


@runtime_checkable
class ReservingDialect(Protocol):
    """Beside the ports of a dialect: that of an API that may reserve nodes."""

    @property
    def reservations(self) -> ReservationsApi | None:
        """Its reservations; None at a site that has none."""
        ...
