"""What the upper floors may ask of a facility that sets up message brokers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from iri_common.model.outcome import Done
from iri_common.model.ports import WireRequest
from iri_common.model.streams import StreamAccess, StreamBackend, StreamCluster


class StreamingApi(Protocol):
    """Clusters of message brokers of one project; a method is one request."""

    async def backends(self) -> Done[Sequence[StreamBackend]]:
        """What can be set up."""
        ...

    async def provision(
        self, engine: str, kind: str, name: str, settings: Mapping[str, int]
    ) -> Done[StreamAccess]:
        """Set up a cluster; how to reach it is told here, and perhaps never again.

        Raises Conflict if there is one of that name, and AmbiguousReply if the answer was lost.
        """
        ...

    def provision_request(
        self, engine: str, kind: str, name: str, settings: Mapping[str, int]
    ) -> WireRequest:
        """What :meth:`provision` sends, without its credential."""
        ...

    async def access(self, engine: str, name: str) -> Done[StreamAccess | None]:
        """How to reach a cluster, where the facility tells it once more; raises NotFound if there is none."""
        ...

    async def clusters(self, engine: str) -> Done[Sequence[StreamCluster]]:
        """Those that there are."""
        ...

    async def cluster(self, engine: str, name: str) -> Done[StreamCluster]:
        """One of them; raises NotFound if there is none of that name."""
        ...

    async def extend(self, engine: str, name: str) -> Done[None]:
        """Let its time begin anew."""
        ...

    async def release(self, engine: str, name: str) -> Done[None]:
        """Delete it for good; one that is gone is fine."""
        ...


class StreamVault(Protocol):
    """Keeps how clusters are reached, where nobody else can read it."""

    async def keep(self, label: str, access: StreamAccess) -> None:
        """Store durably, under a label of ours."""
        ...

    async def read(self, label: str) -> StreamAccess | None:
        """What is kept under a label."""
        ...

    async def drop(self, label: str) -> None:
        """Forget it; what is not there is fine."""
        ...


@runtime_checkable
class StreamDialect(Protocol):
    """Beside the ports of a dialect: that of an API that may set up message brokers."""

    @property
    def streaming(self) -> StreamingApi | None:
        """Its clusters; None at a site that has none."""
        ...
