"""A path and nodes that are had together or not at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey
from iri_common.model.network import LeaseState, NetworkPath, PathIntent, PathOffer
from iri_common.model.reservation import NodesIntent, NodesLease, NodesOffer

_PATH, _NODES = "/lease/path", "/lease/nodes"  # each has a key of its own, made from the lease's


@dataclass(frozen=True, slots=True)
class PathAndNodesIntent:
    """A path and nodes that are wanted at the same time: the window is that of the nodes.

    Attributes:
        path: Between what and how fast. If it says nothing of its end, it ends by itself when the nodes do,
            within the hour: also if nobody lives to give it back.
        nodes: How many, and for how long.
    """

    path: PathIntent
    nodes: NodesIntent

    def __post_init__(self) -> None:
        if self.nodes.start is not None and self.path.start == "now" and self.path.profile is None:
            raise UsageError("nodes for later need a path for later: say when it begins and when it ends")

    @property
    def bounded_path(self) -> PathIntent:
        """The path, with an end."""
        if self.path.end is not None or self.path.profile is not None or self.nodes.start is not None:
            return self.path
        # Whole hours are what the network's own words for a time have been seen with.
        return replace(self.path, end=f"+{-(-self.nodes.seconds // 3600)}h")


@dataclass(frozen=True, slots=True)
class PathAndNodesOffer:
    """What there is of both; nothing is kept, and nothing promised.

    Attributes:
        path: That was found.
        nodes: That were seen.
    """

    path: PathOffer
    nodes: NodesOffer


@dataclass(frozen=True, slots=True)
class PathAndNodesLease:
    """Both, as far as there is something of them.

    Attributes:
        key: Whose.
        path: As it was seen last; None if none is on record.
        nodes: Likewise.
        over: Their time is up, or the path has ended by itself: one of them is of no use to anybody.
    """

    key: JobKey
    path: NetworkPath | None = None
    nodes: NodesLease | None = None
    over: bool = False

    @property
    def ready(self) -> bool:
        """Whether both could be used when they were seen last."""
        both = self.path is not None and self.path.up and self.nodes is not None and self.nodes.active
        return both and not self.over

    @property
    def reservation_id(self) -> str | None:
        """What the attributes of a job name to run on these nodes."""
        return self.nodes.reservation_id if self.nodes is not None else None

    @property
    def state(self) -> str:
        """How it stands, in a word."""
        if self.path is None and self.nodes is None:
            return "none"
        if self.over:
            return "over"
        failed = self.path is not None and self.path.status.state is LeaseState.FAILED
        return "ready" if self.ready else "failed" if failed else "pending"


def path_key(key: JobKey) -> JobKey:
    """Under which the path of a lease is asked for."""
    return JobKey(key.identity + _PATH, key.generation)


def nodes_key(key: JobKey) -> JobKey:
    """Under which its nodes are."""
    return JobKey(key.identity + _NODES, key.generation)


def lease_key(part: JobKey) -> JobKey | None:
    """The lease that this is the key of a part of; None if it is none."""
    for suffix in (_PATH, _NODES):
        if part.identity.endswith(suffix):
            return JobKey(part.identity.removesuffix(suffix), part.generation)
    return None
