"""What comes next for a cluster of message brokers that somebody asks for: one closed table."""

from __future__ import annotations

from enum import StrEnum

from iri_common.model.ledger import Stage


class Step(StrEnum):
    """Towards a cluster that can be reached."""

    ASK = "ask"
    TAKE = "take"
    CLEAR = "clear"  # it is ours, and nobody was told how to reach it: of no use to anybody
    FOREIGN = "foreign"  # whoever asked for it may be using it
    GONE = "gone"


def step(stage: Stage, *, there: bool, reachable: bool) -> Step:
    """What to do about the cluster of a key.

    A second request for one name is harmless: the facility has one cluster of a name, and refuses another.

    Args:
        stage: SENT if a request of ours may have set it up whose answer nobody has, INTENT if none has left.
        there: A cluster of the key's name exists.
        reachable: It is known here how to reach it.
    """
    if not there:
        return Step.GONE if stage is Stage.ACCEPTED else Step.ASK
    if reachable:
        return Step.TAKE
    return Step.CLEAR if stage is Stage.SENT else Step.FOREIGN
