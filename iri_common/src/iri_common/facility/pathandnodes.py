"""A lease of a path and of nodes, over two doors: set up, used and torn down together."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager

from iri_common.facility.facility import Facility
from iri_common.facility.facing import Face, awaited, awaited_watch, blocking, blocking_watch
from iri_common.facility.leasing import anothers
from iri_common.facility.networks import LIMIT, NetworkService
from iri_common.facility.profiles import load_profile
from iri_common.facility.reservations import ReservationService
from iri_common.facility.settings import FacilitySettings
from iri_common.jobs.leases import OnChange
from iri_common.jobs.ledger import FileLedger
from iri_common.model.errors import IriError, SpecChanged
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.logfields import about
from iri_common.model.network import LeaseState
from iri_common.model.pathandnodes import (
    PathAndNodesIntent,
    PathAndNodesLease,
    PathAndNodesOffer,
    lease_key,
    nodes_key,
    path_key,
)
from iri_common.model.ports import Ledger
from iri_common.model.ref import JobRef
from iri_common.model.reservation import ReservationState

log = logging.getLogger(__name__)

_ENDED = frozenset({ReservationState.OVER, ReservationState.MISSING})


class PathAndNodesService:
    """Leases of both.

    Nothing is on record of a lease but its two parts, under keys that are made from its own: whoever has the
    key finds both, however far whoever asked had come.

    Args:
        network: The door of the network.
        compute: The door of the nodes.
        ledger: Of both.
    """

    def __init__(self, network: FacilitySettings, compute: FacilitySettings, ledger: Ledger) -> None:
        self._networks = NetworkService(network, ledger)
        self._reservations = ReservationService(compute, ledger)
        self._ledger = ledger

    async def negotiate(self, intent: PathAndNodesIntent) -> PathAndNodesOffer:
        """What there is of both; nothing is kept, and nothing promised.

        Raises:
            Refused: if the network finds no such path.
        """
        nodes = await self._reservations.negotiate(intent.nodes)
        return PathAndNodesOffer(await self._networks.negotiate(intent.bounded_path), nodes)

    async def set_up(
        self,
        intent: PathAndNodesIntent,
        *,
        key: JobKey | None = None,
        timeout: float = LIMIT,
        on_change: OnChange | None = None,
    ) -> PathAndNodesLease:
        """Have both, or neither: what fails on one side is given back on the other.

        Nodes come first. They are granted or refused at once, and given back by one request; a path takes
        minutes to come and to go, and one that fails may need a person.

        Args:
            intent: What is wanted.
            key: Who asks; asked again under it, it is the same lease, taken up where it was left.
            timeout: Seconds until both must be ready, and again until what is given back must have ended.
            on_change: Called with how the path stands when that is something else than before.

        Raises:
            SpecChanged: if the key was used for something else, which still stands.
            GrantExceeded: if one of the profiles may not be used for it.
            Refused: if one side has not what is wanted.
            PathFailed: if the path will not be up.
            ReservationLost: if the nodes' time is over, or somebody gave them back.
            WaitTimeout: if they are not ready after so many seconds, or another process does not come to an
                end of asking for them; what it has is left to it.
        """
        asker, deadline = key or JobKey.random(), time.monotonic() + timeout
        await self._networks.admit(intent.bounded_path)
        try:
            # An end that failed may have left another path: no nodes for one that will not be had.
            await self._networks.book.require_unused(path_key(asker), intent.bounded_path.digest)
            nodes = await self._reservations.provision(intent.nodes, key=nodes_key(asker))
            path = await self._networks.provision(intent.bounded_path, key=path_key(asker))
            path = await self._networks.wait(path, timeout=timeout, on_change=on_change)
            nodes = await self._reservations.wait(nodes, timeout=max(0.0, deadline - time.monotonic()))
        except IriError as error:
            if anothers(error):
                raise
            await self.release(asker, timeout=timeout, because=error)
            raise
        return PathAndNodesLease(asker, path, nodes)

    async def status(self, key: JobKey) -> PathAndNodesLease:
        """How both stand. A lease whose time is over is given back by whoever looks."""
        nodes = await self._ledger.read(nodes_key(key))
        path = await self._ledger.read(path_key(key))
        seen = PathAndNodesLease(
            key,
            await self._networks.status(path.ref) if _of(path, key) and path is not None else None,
            await self._reservations.status(nodes.ref) if _of(nodes, key) and nodes is not None else None,
        )
        up = nodes is not None and nodes.stage is Stage.ACCEPTED and 0 < nodes.until < time.time()
        over = up and seen.nodes is not None and seen.nodes.state in _ENDED
        if not over and not (seen.path is not None and seen.path.status.state is LeaseState.EXPIRED):
            return seen
        log.info("the time of lease %s is over; it is given back", key, extra=about(key=key))
        await self.release(key)
        return PathAndNodesLease(key, seen.path, seen.nodes, over=True)

    async def mine(self) -> Sequence[JobKey]:
        """Those that are on record of these two doors; how each stands, :meth:`status` tells."""
        here = [*await self._reservations.mine(), *await self._networks.mine()]
        refs = [JobRef.parse(each.ref) for each in await self._ledger.records()]
        elsewhere = {lease_key(each.key) for each in refs if each not in here}
        keys = dict.fromkeys(lease_key(each.key) for each in here)
        return [each for each in keys if each is not None and each not in elsewhere]

    async def release(
        self, key: JobKey, *, timeout: float = LIMIT, because: BaseException | None = None
    ) -> None:
        """Give both back, whatever becomes of one of them, and whatever there is of them.

        Nodes go first: jobs that run there come to their end with the path that they were given.

        Args:
            key: Whose.
            timeout: Seconds for the end of each.
            because: What it is given back for; counts more than what goes wrong here, which is logged.

        Raises:
            SpecChanged: if one of them is of another facility; a path is left to nodes that are.
            WaitTimeout: if jobs still run there, or the path has not ended, after so many seconds.
            PathFailed: if the path's end fails.
        """
        trouble: IriError | None = None
        try:
            await self._reservations.give_back(nodes_key(key), timeout=timeout, because=because)
        except SpecChanged:  # they are at another facility, and jobs there may be using the path
            raise
        except IriError as error:
            trouble = error
        await self._networks.give_back(path_key(key), timeout=timeout, because=because or trouble)
        if trouble is not None:
            raise trouble


def _of(record: LedgerRecord | None, key: JobKey) -> bool:
    return record is not None and record.generation == key.generation


class AsyncPathAndNodes(Face[PathAndNodesService]):
    """Leases of a path and of nodes, awaited."""

    negotiate = awaited(PathAndNodesService.negotiate)
    set_up = awaited_watch(PathAndNodesService.set_up)
    status = awaited(PathAndNodesService.status)
    mine = awaited(PathAndNodesService.mine)
    release = awaited(PathAndNodesService.release)

    @asynccontextmanager
    async def lease(
        self, intent: PathAndNodesIntent, *, key: JobKey | None = None, timeout: float = LIMIT
    ) -> AsyncGenerator[PathAndNodesLease]:
        """Both, ready; they are given back at the end, whatever happens.

        Args:
            intent: What is wanted.
            key: Who asks; after a crash the same key takes up what still stands.
            timeout: Seconds until both must be ready, and again until each must have ended.
        """
        asker = key or JobKey.random()
        try:
            ready = await self.set_up(intent, key=asker, timeout=timeout)
        except IriError:
            raise  # what was to be given back was
        except BaseException as error:
            await self.release(asker, timeout=timeout, because=error)
            raise
        try:
            yield ready
        except BaseException as error:
            await self.release(asker, timeout=timeout, because=error)
            raise
        await self.release(asker, timeout=timeout)


class PathAndNodes(Face[PathAndNodesService]):
    """A path through a network and nodes at a facility, leased together.

    Example:
        >>> both = PathAndNodes("esnet", "cluster")
        >>> with both.lease(PathAndNodesIntent(path, NodesIntent(4, 3600)), key=key) as lease:
        ...     run(JobAttributes(reservation_id=lease.reservation_id))

    Args:
        network: A profile of a network (SENSE), or its facility.
        compute: A profile of a facility that reserves nodes, or that facility.
        ledger: Where it is kept what was asked for; files in the user's state directory by default.
    """

    def __init__(
        self, network: Facility | str, compute: Facility | str, *, ledger: Ledger | None = None
    ) -> None:
        doors = _settings(network), _settings(compute)
        service = PathAndNodesService(*doors, ledger or FileLedger())
        super().__init__(service)
        self.aio = AsyncPathAndNodes(service)

    negotiate = blocking(PathAndNodesService.negotiate)
    set_up = blocking_watch(PathAndNodesService.set_up)
    status = blocking(PathAndNodesService.status)
    mine = blocking(PathAndNodesService.mine)
    release = blocking(PathAndNodesService.release)

    @contextmanager
    def lease(
        self, intent: PathAndNodesIntent, *, key: JobKey | None = None, timeout: float = LIMIT
    ) -> Generator[PathAndNodesLease]:
        """Both, ready; they are given back at the end, whatever happens.

        Args:
            intent: What is wanted.
            key: Who asks; after a crash the same key takes up what still stands.
            timeout: Seconds until both must be ready, and again until each must have ended.
        """
        asker = key or JobKey.random()
        try:
            ready = self.set_up(intent, key=asker, timeout=timeout)
        except IriError:
            raise  # what was to be given back was
        except BaseException as error:
            self.release(asker, timeout=timeout, because=error)
            raise
        try:
            yield ready
        except BaseException as error:
            self.release(asker, timeout=timeout, because=error)
            raise
        self.release(asker, timeout=timeout)


def _settings(door: Facility | str) -> FacilitySettings:
    return load_profile(door) if isinstance(door, str) else door._settings  # pyright: ignore[reportPrivateUsage]
