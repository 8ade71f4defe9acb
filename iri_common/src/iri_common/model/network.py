"""A path through a network as a lease: what is asked for, what is offered, how it stands."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from iri_common.model.errors import UsageError
from iri_common.model.ref import JobRef

_VLAN = re.compile(r"any|[0-9]{1,4}(-[0-9]{1,4})?")
_MBPS = 1_000_000  # bits per second


class Quality(StrEnum):
    """What stands behind the bandwidth of a path."""

    GUARANTEED = "guaranteed"  # this much, and no more
    SOFT = "soft"  # this much, more where nobody else needs it
    AVAILABLE = "available"  # what is there
    BEST_EFFORT = "best effort"


class LeaseState(StrEnum):
    """How a lease stands. Only ``UP`` carries traffic as it was asked for."""

    NEW = "new"  # an id, perhaps with a path computed for it; nothing is reserved
    PENDING = "pending"
    SCHEDULED = "scheduled"  # its time has not come
    UP = "up"
    ENDING = "ending"
    ENDED = "ended"  # given back; the sites have cleared it away
    EXPIRED = "expired"
    FAILED = "failed"
    UNKNOWN = "unknown"  # a word that is not known here; never the end of a wait
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class PathEnd:
    """One end of a path.

    Attributes:
        uri: Of the port, as the network's own model names it.
        vlan: A number, a range of them ("3600-3619"), or "any".
    """

    uri: str
    vlan: str = "any"

    def __post_init__(self) -> None:
        if not self.uri or not _VLAN.fullmatch(self.vlan):
            raise UsageError(
                'an end of a path is the URI of a port and a VLAN ("any", "3605" or "3600-3619"), '
                f"not {self.uri!r} and {self.vlan!r}"
            )


@dataclass(frozen=True, slots=True)
class PathIntent:
    """A path that is wanted: between ends, or as a profile of the network's operators describes it.

    Attributes:
        ends: Two or more.
        mbps: Megabits a second; 0 leaves it to the profile, or asks what there is.
        quality: What stands behind that number.
        start: When it begins: a moment, or as "+1h".
        end: When it ends by itself; None for never.
        profile: Id of a profile, in place of ends.
        changes: What is different from the profile, by the paths that it lets one edit.
        name: For people who look at the network.
    """

    ends: Sequence[PathEnd] = ()
    mbps: int = 0
    quality: Quality = Quality.GUARANTEED
    start: str = "now"
    end: str | None = None
    profile: str | None = None
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    name: str = "path"

    def __post_init__(self) -> None:
        if (self.profile is None) == (len(self.ends) < 2):
            raise UsageError("a path is asked for by two ends or more, or by a profile in their place")
        if self.profile is None and self.changes:
            raise UsageError("changes are for what a profile describes; this path is described by its ends")
        if self.profile is not None and (self.start, self.end) != ("now", None):
            raise UsageError("a profile has a schedule of its own; say in changes what is different in it")
        if self.mbps < 0:
            raise UsageError(f"the bandwidth of a path is a number of Mbit/s, not {self.mbps}")

    @property
    def digest(self) -> str:
        """The same for the same wish."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """What the network could give, as far as it knows: it may be the whole link's, and old.

    Attributes:
        connection: Which part of the path, as the network calls it.
        bits_per_second: The most; None where it was not told.
    """

    connection: str
    bits_per_second: int | None

    @property
    def mbps(self) -> int | None:
        """In Mbit/s. Some sites take whole thousands only."""
        return None if self.bits_per_second is None else self.bits_per_second // _MBPS


@dataclass(frozen=True, slots=True)
class PathOffer:
    """A path that was found; nothing is reserved for it.

    Attributes:
        lease_id: Under which it was computed.
        intent_id: Of the computation.
        most: What it could carry, where that was asked.
    """

    lease_id: str
    intent_id: str
    most: Sequence[Bandwidth] = ()

    @property
    def mbps(self) -> int | None:
        """What all of its connections could carry; None where that is not told of each."""
        told = [each.mbps for each in self.most]
        known = [each for each in told if each is not None]
        return min(known) if known and len(known) == len(told) else None


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """A lease as the network shows it.

    Attributes:
        lease_id: The network's id.
        state: In our words.
        words: In the network's.
        alias: The name that it was given.
        ready: What was asked of it last is done, as far as the network's control goes.
        reserved: Something may be held for it.
        canceled: Its end was asked for.
        intent_id: Of what was asked of it last, where that is told.
    """

    lease_id: str
    state: LeaseState
    words: str = ""
    alias: str | None = None
    ready: bool = False
    reserved: bool = True
    canceled: bool = False
    intent_id: str = ""

    @property
    def missing(self) -> bool:
        """Whether the network knows nothing of it."""
        return self.state is LeaseState.MISSING


@dataclass(frozen=True, slots=True)
class PathProof:
    """What the sites were seen to have configured.

    Attributes:
        whole: All that was asked for, and nothing is left of what was taken away.
        missing: What was not found, in the network's words.
        left: What is still there although it was taken away.
    """

    whole: bool
    missing: str = ""
    left: str = ""


@dataclass(frozen=True, slots=True)
class PathPort:
    """A port that a path goes through, as it was set up.

    Attributes:
        uri: Of the port.
        vlan: Its tag there.
        node: What holds the port, by its name.
        ipv4: Address of the path there, where it has one; likewise ``ipv6`` and ``mac``.
    """

    uri: str
    vlan: str = ""
    node: str = ""
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""


@dataclass(frozen=True, slots=True)
class NetworkProfile:
    """A path, or a kind of path, that the network's operators describe."""

    id: str
    name: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class NetworkPath:
    """A path of mine.

    Attributes:
        ref: Finds it again from anywhere.
        status: As it was seen last.
    """

    ref: JobRef
    status: LeaseStatus

    @property
    def id(self) -> str:
        """The network's id."""
        return self.status.lease_id

    @property
    def up(self) -> bool:
        """Whether it carried traffic when it was seen last."""
        return self.status.state is LeaseState.UP
