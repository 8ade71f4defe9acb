"""Clusters of message brokers that a facility sets up for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
        health: In the facility's words.
        ready: In the facility's words, whether it is as it was asked for.
        seconds_left: Until it is deleted for good; None where that is not told.
        settings: What was chosen.
    """

    engine: str
    name: str
    kind: str = ""
    health: str = ""
    ready: str = ""
    seconds_left: int | None = None
    settings: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class StreamAccess:
    """How to reach a cluster; told once, when it is set up, and never shown by a repr.

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
