"""What the upper floors may ask of a network: the port of paths that are leased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from iri_common.model.network import (
    LeaseStatus,
    NetworkProfile,
    PathIntent,
    PathOffer,
    PathPort,
    PathProof,
)
from iri_common.model.outcome import Done
from iri_common.model.ports import WireRequest


class NetworksApi(Protocol):
    """Paths through one network; a method is one request."""

    async def new(self) -> Done[str]:
        """An id for a lease; nothing is stored for it until a path is computed."""
        ...

    async def compute(self, lease_id: str, intent: PathIntent, alias: str) -> Done[PathOffer]:
        """Find a path and what it could carry; reserves nothing, and may be done again."""
        ...

    async def provision(self, lease_id: str, intent_id: str | None) -> Done[None]:
        """Ask for what was computed (the last one for None); it is there when the status says so.

        Of one lease it is taken once: raises Conflict if that is under way or done.
        """
        ...

    async def modify(self, lease_id: str, intent: PathIntent, alias: str) -> Done[None]:
        """Ask for a lease that is ready to become what is meant now; it is, when the status says so.

        Asked again for the same it is the same path; raises Conflict if it is not ready.
        """
        ...

    def provision_requests(self, lease_id: str, intent: PathIntent, alias: str) -> Sequence[WireRequest]:
        """What :meth:`compute` and :meth:`provision` send, without the credential."""
        ...

    def modify_request(self, lease_id: str, intent: PathIntent, alias: str) -> WireRequest:
        """What :meth:`modify` sends, likewise."""
        ...

    async def status(self, lease_id: str) -> Done[LeaseStatus]:
        """Look at one lease; state MISSING if the network does not know it."""
        ...

    async def find(self, name: str) -> Done[Sequence[LeaseStatus]]:
        """The leases of this name, or whose name ends with it; how they stand may be told in part only."""
        ...

    async def verification(self, lease_id: str) -> Done[PathProof]:
        """What the sites were seen to have configured."""
        ...

    async def manifest(self, lease_id: str) -> Done[Sequence[PathPort]]:
        """What the sites were told to set up."""
        ...

    async def cancel(self, lease_id: str, *, force: bool) -> Done[None]:
        """Ask for the end of a lease, by force where it is not ready; it is over when its status says so."""
        ...

    async def delete(self, lease_id: str) -> Done[None]:
        """Forget a lease that has ended, or was only computed; raises NotFound if there is none."""
        ...

    async def profiles(self) -> Done[Sequence[NetworkProfile]]:
        """What the operators describe and this user may ask for."""
        ...


@runtime_checkable
class NetworkDialect(Protocol):
    """Beside the ports of a dialect: that of an API that leases paths."""

    @property
    def networks(self) -> NetworksApi:
        """Its paths."""
        ...
