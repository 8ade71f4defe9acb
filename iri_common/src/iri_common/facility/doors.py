"""Open doors: connections, token, budget and pollers, shared by all facilities that mean the same one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from iri_common.apis.iri import RULES, IriDialect, version_of
from iri_common.auth.keeper import TokenKeeper
from iri_common.facility.loop import io_loop
from iri_common.facility.settings import FacilitySettings
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.http.transport import HttpxTransport
from iri_common.jobs.submit import DoorMemory
from iri_common.jobs.watch import Poller
from iri_common.model.errors import UsageError
from iri_common.model.facility import Resource
from iri_common.model.ports import Dialect

RESOURCES_STAY_FRESH = 300.0  # seconds


@dataclass(slots=True)
class Door:
    """What is shared; lives on the I/O loop and dies with it."""

    dialect: Dialect
    label: str
    memory: DoorMemory = field(default_factory=DoorMemory)
    _pollers: dict[str, Poller] = field(default_factory=dict[str, Poller])
    _resources: Sequence[Resource] = ()
    _resources_read_at: float | None = None
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def poller(self, resource_id: str) -> Poller:
        """The one poller for this resource; each wait brings its own pace."""
        if resource_id not in self._pollers:
            self._pollers[resource_id] = Poller(self.dialect.jobs, resource_id, self.label)
        return self._pollers[resource_id]

    async def resources(self) -> Sequence[Resource]:
        """The facility's resources, as read within the last five minutes; once for all who ask."""
        async with self._reading:
            now = time.monotonic()
            if self._resources_read_at is None or now - self._resources_read_at > RESOURCES_STAY_FRESH:
                self._resources = (await self.dialect.status.resources()).value
                self._resources_read_at = now
            return self._resources

    async def resource(self, wanted: str | None, endpoint: str) -> Resource:
        """The resource that a user means, by id or name, or the only one that fits.

        Raises:
            UsageError: naming those that could be meant.
        """
        offered = await self.resources()
        fitting = [each for each in offered if each.offers(endpoint)]
        if wanted is None and len(fitting) == 1:
            return fitting[0]
        for each in [*fitting, *offered]:
            if wanted is not None and each.answers_to(wanted):
                return each
        names = ", ".join(each.name or each.id for each in fitting)
        if not fitting:
            problem = f"{self.label} offers no resource for {endpoint}"
        elif wanted is None:
            problem = f"{self.label} has several resources for {endpoint}; name one of: {names}"
        else:
            problem = f"{self.label} has no resource {wanted!r}; for {endpoint} it has: {names}"
        raise UsageError(problem)

    async def file_system(self, storage: str | None, near: str | None) -> Resource:
        """The resource whose files are meant: the named one, else the machine's own, else the only one.

        Args:
            storage: Name or id of a file system, if the user named one.
            near: Name or id of the compute resource whose files these are; its own view is the one
                that jobs share.
        """
        if storage is None and near is not None:
            machine = await self.resource(near, "compute")
            if machine.offers("filesystem"):
                return machine
        elif storage is None:
            machines = [each for each in await self.resources() if each.offers("compute")]
            if len(machines) == 1 and machines[0].offers("filesystem"):
                return machines[0]
        return await self.resource(storage, "filesystem")


def open_door(settings: FacilitySettings) -> Door:
    """The door for these settings; made once per process. Call it on the I/O loop.

    Raises:
        UsageError: if the certificates cannot be read, or the proxy's URL makes no sense.
    """
    doors = io_loop().belongings
    door = doors.get(settings.door)
    if door is None:
        transport = _transport(settings)
        tokens = TokenKeeper(settings.token, transport.send) if settings.token else None
        session = Session(settings.url, transport, tokens, Budget(), rules=RULES, label=settings.label)
        door = doors[settings.door] = Door(IriDialect(session, version_of(settings.url)), settings.label)
    return door


def _transport(settings: FacilitySettings) -> HttpxTransport:
    try:
        return HttpxTransport(settings.wire)
    except OSError as error:
        raise UsageError(
            f"the ca_file of {settings.label}, {settings.wire.ca_file}, cannot be used: {error}"
        ) from None
    except ValueError:
        # Its words repeat the proxy's URL, which may carry a password.
        raise UsageError(
            f"the proxy of {settings.label} is not a URL that can be used, such as http://host:3128"
        ) from None
