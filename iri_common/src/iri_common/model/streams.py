"""Clusters of message brokers that a facility sets up for a while."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey
from iri_common.model.ref import JobRef

LONGEST = 40  # letters in the name of a cluster
_PREFIX = "streams."  # of the resource in references: a name is unique within its engine only
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?")


class StreamState(StrEnum):
    """How a cluster stands."""

    PENDING = "pending"
    UP = "up"
    UNKNOWN = "unknown"  # a word that is not known here; never the end of a wait
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class StreamIntent:
    """A cluster that is wanted.

    Attributes:
        engine: Which software, as the facility lists it: "rabbitmq", "redis".
        kind: Of that software's clusters; may be left out where the facility has one kind.
        settings: What is chosen, such as cpus; the facility's defaults for the rest.
        name: For people who look at the facility.
    """

    engine: str
    kind: str | None = None
    settings: Mapping[str, int] = field(default_factory=dict[str, int])
    name: str = "stream"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                "the name of a stream has at most 20 lower-case letters, digits and dashes, "
                f"and begins and ends with none of the latter: not {self.name!r}"
            )

    @property
    def digest(self) -> str:
        """The same for the same wish."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def cluster_name(self, key: JobKey) -> str:
        """The name that the cluster of a key gets: there is none beside it, and by it it is found again."""
        name = self.name[: LONGEST - 1 - len(key.tag)].rstrip("-")
        return f"{name}-{key.tag}" if name else key.tag


@dataclass(frozen=True, slots=True)
class StreamOption:
    """What can be chosen of a cluster, in whole numbers."""

    name: str
    description: str = ""
    least: int | None = None
    most: int | None = None
    default: int | None = None


@dataclass(frozen=True, slots=True)
class StreamBackend:
    """A kind of cluster that is offered.

    Attributes:
        engine: Which software.
        kind: Of that software's clusters; what a request names.
        description: For a person.
        options: What can be chosen.
    """

    engine: str
    kind: str
    description: str = ""
    options: tuple[StreamOption, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamCluster:
    """A cluster as it stands.

    Attributes:
        engine: Which software.
        name: Unique within the project and engine.
        kind: As :class:`StreamBackend` names it.
        state: In our words.
        health: In the facility's words.
        ready: In the facility's words, whether it is as it was asked for.
        seconds_left: Until it is deleted for good; None where that is not told.
        settings: What was chosen.
    """

    engine: str
    name: str
    kind: str = ""
    state: StreamState = StreamState.UNKNOWN
    health: str = ""
    ready: str = ""
    seconds_left: int | None = field(default=None, compare=False)  # it changes, and nothing with it
    settings: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def missing(self) -> bool:
        """Whether there is none of that name."""
        return self.state is StreamState.MISSING

    @property
    def words(self) -> str:
        """How it stands, as the facility says it."""
        return ", ".join(each for each in (self.ready, self.health) if each) or str(self.state)


@dataclass(frozen=True, slots=True)
class StreamLease:
    """A cluster of mine.

    Attributes:
        ref: Finds it again from anywhere.
        cluster: As it was seen last.
    """

    ref: JobRef
    cluster: StreamCluster

    @property
    def name(self) -> str:
        """At the facility."""
        return self.cluster.name

    @property
    def up(self) -> bool:
        """Whether it could be used when it was seen last."""
        return self.cluster.state is StreamState.UP


def resource_of(engine: str) -> str:
    """What references call the clusters of an engine."""
    return f"{_PREFIX}{engine}"


def engine_of(ref: JobRef) -> str | None:
    """The engine of a cluster's reference; None if it refers to something else."""
    return ref.resource_id.removeprefix(_PREFIX) if ref.resource_id.startswith(_PREFIX) else None


@dataclass(frozen=True, slots=True)
class StreamAccess:
    """How to reach a cluster; told when it is set up, and never shown by a repr.

    Attributes:
        engine: Which software.
        name: Of the cluster.
        user: To log in as.
        password: Its secret.
        urls: By what they are for, with user and password in them.
    """

    engine: str
    name: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    urls: Mapping[str, str] = field(repr=False)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("credentials of a stream are not pickled: keep them where secrets are kept")
