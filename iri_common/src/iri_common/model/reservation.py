"""Nodes that are kept for somebody for a while: what is asked for, what there is, how it stands."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from iri_common.model.counts import many
from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey
from iri_common.model.ref import JobRef

_NAME = re.compile(r"[A-Za-z0-9_.-]*")  # goes into a path, and where jobs name it a comma begins another
_PREFIX = "reservations."  # of the resource in references: what they name is no job


class ReservationState(StrEnum):
    """How a reservation stands. Jobs may name it before its time; they wait until then."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    OVER = "over"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class NodesIntent:
    """Nodes that are wanted for a while, whole ones.

    Attributes:
        nodes: How many.
        seconds: For how long.
        start: When it begins; None for as soon as it is asked for.
        queue: Whose nodes; the facility's default queue for None.
        users: Who may use them; whoever asks, if nobody is named and no account.
        accounts: Whose jobs may use them.
        flags: Further words of the facility's own.
        name: For people who look at the facility.
    """

    nodes: int
    seconds: int
    start: datetime | None = None
    queue: str | None = None
    users: Sequence[str] = ()
    accounts: Sequence[str] = ()
    flags: Sequence[str] = ()
    name: str = "nodes"

    def __post_init__(self) -> None:
        if self.nodes < 1 or self.seconds < 1:
            raise UsageError(
                f"nodes are reserved by number, for some seconds: not {self.nodes} for {self.seconds} s"
            )
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"the name of a reservation is in letters, digits, '.', '_' and '-', not {self.name!r}"
            )
        if self.start is not None and self.start.tzinfo is None:
            raise UsageError("the start of a reservation needs a time zone: another clock reads it")

    @property
    def digest(self) -> str:
        """The same for the same wish."""
        told = {**asdict(self), "start": self.start and self.start.astimezone(UTC).isoformat()}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def reservation_name(self, key: JobKey) -> str:
        """The name that the reservation of a key gets: there is one of it, and by it it is found again."""
        return key.job_name(self.name)

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """From when to when, if it is asked for now."""
        begins = (self.start or now).replace(microsecond=0)
        return begins, begins + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class NodeReservation:
    """A reservation as the facility shows it.

    Attributes:
        name: What jobs name (``reservation_id``).
        nodes: How many.
        start: When it begins; None where that is not told, likewise ``end``.
        end: When it is over.
        node_list: Which nodes, in the facility's words.
        queue: Whose nodes.
        gone: There is none of that name.
    """

    name: str
    nodes: int = 0
    start: datetime | None = None
    end: datetime | None = None
    node_list: str = ""
    queue: str = ""
    gone: bool = False

    @property
    def missing(self) -> bool:
        """Whether there is none of that name."""
        return self.gone

    @property
    def words(self) -> str:
        """How it stands, for a person."""
        if self.gone:
            return str(ReservationState.MISSING)
        told = (self.start, self.end)
        begins, ends = (each.isoformat(" ", "seconds") if each else "?" for each in told)
        return f"{many(self.nodes, 'node')}, {begins} to {ends}"

    def state_at(self, now: datetime) -> ReservationState:
        """How it stands at a moment."""
        if self.gone:
            return ReservationState.MISSING
        if self.end is not None and self.end <= now:
            return ReservationState.OVER
        begun = self.start is None or self.start <= now
        return ReservationState.ACTIVE if begun else ReservationState.SCHEDULED


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A node, as far as it matters to who wants some.

    Attributes:
        name: Of the node.
        usable: It is neither down nor kept from jobs.
        idle: Nothing runs there.
        queues: That it belongs to; empty where that is not told.
    """

    name: str
    usable: bool
    idle: bool
    queues: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class NodesOffer:
    """What a look says of nodes that are wanted; nothing is kept, and another may be quicker.

    Attributes:
        usable: Nodes that could be had at all.
        reserved: Of them kept for others at that time, as far as that is told.
        idle: Of them without work now.
    """

    usable: int
    reserved: int
    idle: int

    @property
    def free(self) -> int:
        """Nodes that nobody else has reserved for that time; jobs may still run there."""
        return max(0, self.usable - self.reserved)


@dataclass(frozen=True, slots=True)
class NodesLease:
    """A reservation of mine.

    Attributes:
        ref: Finds it again from anywhere.
        reservation: As it was seen last.
        state: How it stood then.
    """

    ref: JobRef
    reservation: NodeReservation
    state: ReservationState

    @property
    def reservation_id(self) -> str:
        """What the attributes of a job name to run there."""
        return self.reservation.name

    @property
    def active(self) -> bool:
        """Whether jobs that name it could start when it was seen last."""
        return self.state is ReservationState.ACTIVE


def reserved_at(resource_id: str) -> str:
    """What references call the reservations of a resource."""
    return f"{_PREFIX}{resource_id}"


def resource_reserved(ref: JobRef) -> str | None:
    """The resource of a reservation's reference; None if it refers to something else."""
    return ref.resource_id.removeprefix(_PREFIX) if ref.resource_id.startswith(_PREFIX) else None
