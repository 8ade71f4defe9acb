"""Nodes that a facility keeps for somebody for a while: one service and its two faces."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from iri_common.facility.facing import Face, awaited, awaited_watch, blocking, blocking_watch
from iri_common.facility.granted import speak_for
from iri_common.facility.leasing import LeaseService, alent, lent
from iri_common.jobs import reservations
from iri_common.jobs.reservations import LIMIT, OnChange
from iri_common.model.errors import NotOffered
from iri_common.model.key import JobKey
from iri_common.model.ref import JobRef
from iri_common.model.reservation import (
    NodeReservation,
    NodesIntent,
    NodesLease,
    NodesOffer,
    resource_reserved,
)
from iri_common.model.reservationports import ReservationsApi, ReservingDialect
from iri_common.policy.reservations import offered


class ReservationService(LeaseService):
    """Reserves nodes."""

    async def all(self, *, resource: str | None = None) -> Sequence[NodeReservation]:
        """All reservations that the facility shows, whoever made them."""
        return (await self._api.reservations(await self._resource(resource))).value

    async def negotiate(self, intent: NodesIntent, *, resource: str | None = None) -> NodesOffer:
        """What there is of nodes that are wanted, by two looks; nothing is kept, and nothing promised."""
        api, resource_id = self._api, await self._resource(resource)
        nodes = (await api.nodes(resource_id)).value
        reserved = (await api.reservations(resource_id)).value
        return offered(intent, nodes, reserved, datetime.now(UTC))

    async def provision(
        self, intent: NodesIntent, *, key: JobKey | None = None, resource: str | None = None
    ) -> NodesLease:
        """Reserve nodes, once for a key until they are given back; jobs name them by ``reservation_id``.

        Args:
            intent: The nodes.
            key: Who asks; without one nobody can ask again for the same.
            resource: Where, by name or id; the profile's own if None.

        Raises:
            PermissionDenied: if the facility leaves that to its operators.
            SpecChanged: if the key was used for other nodes, which are still reserved.
            ReservationLost: if they were reserved, and are no more.
            SubmitUncertain: if nothing tells whether it was taken; the same key settles it later.
        """
        asker = key or JobKey.random()
        speak_for(asker)
        reservations, resource_id = self._reservations, await self._resource(resource)
        if not (intent.users or intent.accounts):
            intent = replace(intent, users=((await self.door.dialect.accounts.whoami()).value,))
        return await reservations.provision(resource_id, intent, asker)

    async def status(self, lease: NodesLease | JobRef | str) -> NodesLease:
        """How a reservation stands; state MISSING if there is none."""
        return await self._reservations.look(self.own(lease))

    async def wait(
        self,
        lease: NodesLease | JobRef | str,
        *,
        timeout: float = LIMIT,
        on_change: OnChange | None = None,
    ) -> NodesLease:
        """Wait until jobs that name it could start.

        Raises:
            ReservationLost: if it is over, or there is none.
            WaitTimeout: if its time has not come after so many seconds; it is left as it is.
        """
        return await self._reservations.wait(self.own(lease), timeout, on_change)

    async def mine(self) -> Sequence[JobRef]:
        """Those that are on record here; how each stands, :meth:`status` tells."""
        book, records = self._reservations.book, await self.ledger.records()
        refs = [JobRef.parse(each.ref) for each in records]
        return [each for each in refs if each.origin == book.origin and resource_reserved(each) is not None]

    async def release(self, lease: NodesLease | JobRef | str, *, timeout: float = LIMIT) -> None:
        """Give nodes back; their key may then ask for others. Jobs that run there come to their end first.

        Raises:
            WaitTimeout: if jobs still run there after so many seconds.
        """
        await self._reservations.release(self.own(lease), timeout)

    async def give_back(
        self, key: JobKey, *, timeout: float = LIMIT, because: BaseException | None = None
    ) -> None:
        """Release whatever was asked for under a key, if anything.

        Where nothing is on record here it is looked for by the key in its name at the profile's resource,
        unless it is for an error: what an ask in vain has not brought about is somebody else's.

        Args:
            key: Whose.
            timeout: Seconds for its end.
            because: What it is given back for; counts more than what goes wrong here, which is logged.
        """
        speak_for(key)
        nodes = self._reservations
        search = functools.partial(self._resource, None) if because is None else None
        await self.given_back("nodes", key, lambda: nodes.give_back(key, timeout, search), because)

    @property
    def _api(self) -> ReservationsApi:
        dialect = self.door.dialect
        api = dialect.reservations if isinstance(dialect, ReservingDialect) else None
        if api is None:
            raise NotOffered(
                f"{self.settings.label} reserves no nodes over its API; a slurmrestd from v0.0.43 on does. "
                "Have a reservation made by those who run it, and name it as reservation_id",
                facility=self.settings.label,
            )
        return api

    @property
    def _reservations(self) -> reservations.Reservations:
        return reservations.Reservations(self._api, self.book, self.settings.pace)

    async def _resource(self, resource: str | None) -> str:
        return (await self.door.resource(resource or self.settings.resource, "compute")).id


class Reservations(Face[ReservationService]):
    """Nodes that are reserved, blocking."""

    all = blocking(ReservationService.all)
    negotiate = blocking(ReservationService.negotiate)
    provision = blocking(ReservationService.provision)
    status = blocking(ReservationService.status)
    wait = blocking_watch(ReservationService.wait)
    mine = blocking(ReservationService.mine)
    release = blocking(ReservationService.release)
    give_back = blocking(ReservationService.give_back)

    @contextmanager
    def lease(
        self,
        intent: NodesIntent,
        *,
        key: JobKey | None = None,
        resource: str | None = None,
        timeout: float = LIMIT,
    ) -> Generator[NodesLease]:
        """Nodes that jobs could run on now; they are given back at the end, whatever happens.

        Args:
            intent: The nodes.
            key: Who asks; after a crash the same key takes up the reservation that still stands.
            resource: Where.
            timeout: Seconds until their time must have come, and again until nothing must run there.
        """
        asker = key or JobKey.random()

        def nodes() -> NodesLease:
            return self.wait(self.provision(intent, key=asker, resource=resource), timeout=timeout)

        with lent(nodes, lambda why: self.give_back(asker, timeout=timeout, because=why)) as had:
            yield had


class AsyncReservations(Face[ReservationService]):
    """Nodes that are reserved, awaited."""

    all = awaited(ReservationService.all)
    negotiate = awaited(ReservationService.negotiate)
    provision = awaited(ReservationService.provision)
    status = awaited(ReservationService.status)
    wait = awaited_watch(ReservationService.wait)
    mine = awaited(ReservationService.mine)
    release = awaited(ReservationService.release)
    give_back = awaited(ReservationService.give_back)

    @asynccontextmanager
    async def lease(
        self,
        intent: NodesIntent,
        *,
        key: JobKey | None = None,
        resource: str | None = None,
        timeout: float = LIMIT,
    ) -> AsyncGenerator[NodesLease]:
        """Nodes that jobs could run on now; they are given back at the end, whatever happens.

        Args:
            intent: The nodes.
            key: Who asks; after a crash the same key takes up the reservation that still stands.
            resource: Where.
            timeout: Seconds until their time must have come, and again until nothing must run there.
        """
        asker = key or JobKey.random()

        async def nodes() -> NodesLease:
            asked = await self.provision(intent, key=asker, resource=resource)
            return await self.wait(asked, timeout=timeout)

        async with alent(nodes, lambda why: self.give_back(asker, timeout=timeout, because=why)) as had:
            yield had
