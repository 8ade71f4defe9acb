"""What comes next for nodes that somebody asks for, and what a look says of nodes that are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from iri_common.model.ledger import Stage
from iri_common.model.reservation import (
    ClusterNode,
    NodeReservation,
    NodesIntent,
    NodesOffer,
    ReservationState,
)


class Step(StrEnum):
    """Towards nodes that are reserved."""

    ASK = "ask"
    TAKE = "take"
    GONE = "gone"


def step(stage: Stage, state: ReservationState) -> Step:
    """What to do about the reservation of a key.

    A second request for one name is harmless: there is one reservation of a name.

    Args:
        stage: ACCEPTED if it was there once.
        state: As it stands.
    """
    if state is ReservationState.MISSING:
        return Step.GONE if stage is Stage.ACCEPTED else Step.ASK
    return Step.GONE if state is ReservationState.OVER else Step.TAKE


def fits(intent: NodesIntent, found: NodeReservation) -> bool:
    """Whether one that was found under the name of a key may be what is wanted, as far as it tells.

    Somebody may have asked under this key for less, with another ledger. It may have more nodes than were
    asked for, as those that are in use may be replaced.
    """
    fewer = 0 < found.nodes < intent.nodes
    return not fewer and (not found.queue or intent.queue in {None, found.queue})


def offered(
    intent: NodesIntent, nodes: Sequence[ClusterNode], reserved: Sequence[NodeReservation], now: datetime
) -> NodesOffer:
    """What there is of nodes that are wanted, as far as lists of nodes and of reservations tell.

    Where reservations overlap, or are for other nodes than these, it is more than is said here.
    """
    begins, ends = intent.window(now)
    usable = [each for each in nodes if each.usable and _belongs(each.queues, intent.queue)]
    others = [
        each
        for each in reserved
        if _belongs([each.queue] if each.queue else [], intent.queue)
        and (each.start is None or each.start < ends)
        and (each.end is None or each.end > begins)
    ]
    return NodesOffer(
        usable=len(usable),
        reserved=min(len(usable), sum(each.nodes for each in others)),
        idle=sum(each.idle for each in usable),
    )


def _belongs(queues: Sequence[str], wanted: str | None) -> bool:
    return wanted is None or not queues or wanted in queues
