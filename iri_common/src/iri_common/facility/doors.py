"""Open doors: connections, token, budget and pollers, shared by all facilities that mean the same one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from iri_common.auth.keeper import TokenKeeper
from iri_common.facility.collections import LentDialect, lent_grades, loan
from iri_common.facility.gateddialect import GrantedDialect
from iri_common.facility.granted import Gate
from iri_common.facility.loop import io_loop
from iri_common.facility.queues import Queues
from iri_common.facility.settings import FacilitySettings
from iri_common.facility.standing import Standing, facts_of
from iri_common.http.budget import Budget
from iri_common.http.bytes import HttpBytes
from iri_common.http.session import Session
from iri_common.http.transport import HttpxTransport
from iri_common.jobs.audit import AuditLog
from iri_common.jobs.audit import default_directory as audit_directory
from iri_common.jobs.guards import GuardFiles, Place
from iri_common.jobs.logs import Followed
from iri_common.jobs.operations import settled
from iri_common.jobs.submit import DoorMemory
from iri_common.jobs.testimony import by_journal
from iri_common.jobs.watch import Poller
from iri_common.model.errors import IriError, NotFound, NotOffered, UsageError
from iri_common.model.facility import Availability, Incident, Resource
from iri_common.model.grades import Grades
from iri_common.model.grant import Verb
from iri_common.model.job import JobStatus
from iri_common.model.logfields import about
from iri_common.model.networkports import NetworkDialect
from iri_common.model.ports import Dialect
from iri_common.model.ref import JobRef, origin_of
from iri_common.model.spec import JobAttributes
from iri_common.model.transfer import CollectionEnd
from iri_common.policy.collections import shown
from iri_common.policy.grants import Ask
from iri_common.policy.outage import announced
from iri_common.policy.queues import QueueSign

log = logging.getLogger(__name__)

RESOURCES_STAY_FRESH = 300.0  # seconds


_Where = tuple[str, str | None, str | None]  # resource, guard directory, file system


@dataclass(slots=True)
class Door:
    """What is shared; lives on the I/O loop and dies with it.

    Attributes:
        dialect: The facility's API.
        label: What messages call it.
        reached: Tells whether the facility has ever answered this process.
        storage: The file system whose files are meant where the facility has several.
        lent: The Globus collection that its files are, where the API's own are not used.
        mendable: The credential can become another one while the door is open.
        standing: How its credential stands.
        memory: What submits learned.
        queues: How long jobs wait there.
        followed: The jobs whose output is followed.
        gate: Before the dialect: what it may be used for, and what is written down of that.
        own: The dialect without its gate, for the door's own files; None where there is none before it.
    """

    dialect: Dialect
    label: str
    reached: Callable[[], bool] = lambda: True
    storage: str | None = None
    lent: CollectionEnd | None = None
    mendable: bool = True
    standing: Standing = field(default_factory=Standing)
    memory: DoorMemory = field(default_factory=DoorMemory)
    queues: Queues = field(default_factory=Queues)
    followed: Followed = field(default_factory=Followed)
    gate: Gate = field(default_factory=Gate)
    own: Dialect | None = None
    _pollers: dict[str, Poller] = field(default_factory=dict[str, Poller])
    _guards: dict[_Where, GuardFiles] = field(default_factory=dict[_Where, GuardFiles])
    _incidents: Sequence[Incident] = ()
    _incidents_read_at: float | None = None
    _warned: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _resources: Sequence[Resource] = ()
    _resources_read_at: float | None = None
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def poller(self, resource_id: str) -> Poller:
        """The one poller for this resource; each wait brings its own pace."""
        if resource_id not in self._pollers:
            source = self.standing.source
            self._pollers[resource_id] = Poller(
                self.dialect.jobs,
                resource_id,
                self.label,
                witness=self._witness,
                mendable=self.mendable,
                mend=facts_of(source).mend if source else "give one",
                began=functools.partial(self.queues.began, resource_id),
            )
        return self._pollers[resource_id]

    async def resources(self) -> Sequence[Resource]:
        """The facility's resources, as read within the last five minutes; once for all who ask."""
        async with self._reading:
            now = time.monotonic()
            if self._resources_read_at is None or now - self._resources_read_at > RESOURCES_STAY_FRESH:
                self._resources = (await self.dialect.status.resources()).value
                self._resources_read_at = now
            return self._resources

    async def resource_now(self, wanted: str | None, endpoint: str) -> Resource:
        """Like :meth:`resource`; one that was down is looked at afresh."""
        known = await self.resource(wanted, endpoint)
        if known.status is not Availability.DOWN:
            return known
        now = (await self.dialect.status.resource(known.id)).value
        return replace(known, status=now.status)

    def guards(self, resource_id: str, root: str | None, storage: str | None) -> GuardFiles:
        """What guarded jobs of a resource leave, wherever that is configured to be."""
        key = (resource_id, root, storage)
        if key not in self._guards:
            locate = functools.partial(self._guard_place, *key)
            self._guards[key] = GuardFiles(self.own or self.dialect, locate, root)
        return self._guards[key]

    async def _witness(self, ref: JobRef) -> JobStatus | None:
        """What a job that the facility has forgotten wrote of itself."""
        root = ref.directory.rpartition("/")[0] if ref.directory else None
        return await by_journal(ref, self.guards(ref.resource_id, root, self.storage))

    async def _guard_place(self, resource_id: str, root: str | None, storage: str | None) -> Place | None:
        # Guards pass no gate; whose they may be, the text of a reference says.
        await self.gate.admit(Ask(Verb.LOOK, "guards", (resource_id,)))
        if not self.dialect.grades.readable_files:
            return None
        try:
            file_system = await self._seen_by_jobs(storage, resource_id)
            if root is not None:
                return Place(file_system) if self._shows(root) else None
            answer = await self.dialect.storage.locations(resource_id, logical_name="home")
            found = await settled(answer, self.dialect.operations)
        except (UsageError, NotFound):  # NotOffered is one: no file system to name, or no word on homes
            return None
        homes = {each.path for each in found if each.logical_name == "home"}
        homes = {each for each in homes if self._shows(each)}
        return Place(file_system, homes.pop()) if len(homes) == 1 else None

    def _shows(self, path: str) -> bool:
        return self.lent is None or shown(self.lent, path)

    async def _seen_by_jobs(self, storage: str | None, resource_id: str) -> str:
        """The file system that guards are in: what the machine itself shows, else the one that is named."""
        if self.lent is not None:
            return self.lent.collection
        machine = await self.resource(resource_id, "compute")
        if machine.offers("filesystem"):
            return machine.id
        return (await self.file_system(storage, resource_id)).id

    async def warn(self, where: Resource, attributes: JobAttributes | None) -> None:
        """Say what may come between a job that is about to be asked for and its end, or who waits for it."""
        seconds, queue = (attributes.duration, attributes.queue_name) if attributes else (None, None)

        async def sign(worth_a_look: bool) -> QueueSign | None:
            look = Ask(Verb.LOOK, "jobs list", (where.id,))
            jobs = self.dialect.jobs if worth_a_look and await self.gate.lets(look) else None
            return await self.queues.sign(where.id, queue, jobs)

        await self.warn_of_maintenance(where, seconds)
        await self.standing.warn(seconds, sign)

    async def warn_of_maintenance(self, resource: Resource, seconds: float | None) -> None:
        """Say so if the resource is announced to be away before a job of this length would end.

        Only a warning: the scheduler holds such a job by itself, and its age in the queue is kept.
        """
        now = time.monotonic()
        if self._incidents_read_at is None or now - self._incidents_read_at > RESOURCES_STAY_FRESH:
            self._incidents_read_at = now
            with contextlib.suppress(IriError):  # some facilities tell nothing of incidents
                self._incidents = (await self.dialect.status.incidents()).value
        begin = datetime.now(UTC)
        for each in announced(self._incidents, resource.id, begin, begin + timedelta(seconds=seconds or 0)):
            if (each.id, resource.id) not in self._warned:
                self._warned.add((each.id, resource.id))
                log.warning(
                    "%s at %s is announced to be away from %s to %s (%s); a job that would not end before "
                    "is held by the scheduler until after",
                    resource.name or resource.id,
                    self.label,
                    each.start,
                    each.end or "an unknown time",
                    each.name or each.id,
                    extra=about(facility=self.label),
                )

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
        if not fitting and isinstance(self.dialect, NetworkDialect):
            raise NotOffered(
                f"{self.label} is a network: it runs no jobs and keeps no files. It leases the path "
                "(facility.networks) to a facility that does; ask that one",
                facility=self.label,
            )
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
        if self.lent is not None:
            name = f"Globus collection {self.lent.collection}"
            shows = Resource(self.lent.collection, name, endpoints=frozenset({"filesystem"}))
            if storage is None or shows.answers_to(storage):
                return shows
            named = await self.resource(storage, "filesystem")
            return named if await self._is_store(named) else shows
        return await self.own_file_system(storage, near)

    async def own_file_system(self, storage: str | None, near: str | None) -> Resource:
        """Like :meth:`file_system`, as the facility's own API knows it, whatever stands in for its files."""
        if storage is None and near is not None:
            machine = await self.resource(near, "compute")
            if machine.offers("filesystem"):
                return machine
        elif storage is None:
            machines = [each for each in await self.resources() if each.offers("compute")]
            if len(machines) == 1 and machines[0].offers("filesystem"):
                return machines[0]
        return await self.resource(storage, "filesystem")

    async def _is_store(self, resource: Resource) -> bool:
        """Whether it keeps objects, which no collection that is lent shows."""
        if resource.offers("filesystem") or resource.offers("compute"):
            return False
        with contextlib.suppress(NotFound, UsageError):  # NotOffered is one
            told = (await self.dialect.storage.access_endpoints(resource.id)).value
            return any(each.protocol == "s3" for each in told)
        return False


def open_door(settings: FacilitySettings) -> Door:
    """The door for these settings, with its gate; made once per process. Call it on the I/O loop.

    Whoever may do another thing has another gate, before the same connections, token and budget.

    Raises:
        UsageError: if the certificates cannot be read, or the proxy's URL makes no sense.
    """
    shared, doors = _shared_door(settings), io_loop().belongings
    directory = audit_directory()
    key = ("gate", settings.door, settings.grant, settings.audit, settings.profile, settings.label, directory)
    if key not in doors:

        async def names(resource_id: str) -> Sequence[str]:
            known = await shared.resources()
            return [each.name for each in known if each.id == resource_id and each.name is not None]

        whose = {
            "profile": settings.profile,
            "facility": settings.label,
            "origin": origin_of(settings.url),
            "principal": settings.token.identity if settings.token else None,
        }
        gate = Gate(settings.grant, settings.audit, whose, names, AuditLog(directory))
        doors[key] = replace(
            shared,
            dialect=GrantedDialect(shared.dialect, gate),
            gate=gate,
            own=shared.dialect,
            **_looked_at_together(settings),
            _guards={},
        )
    return doors[key]


def _looked_at_together(settings: FacilitySettings) -> dict[str, Any]:
    """The pollers, and the readers of output, of all who may see the same; of one name or another.

    Those of everybody would show them what one of them may see.
    """
    doors, key = io_loop().belongings, ("looks", settings.door, settings.grant, settings.audit)
    if key not in doors:
        doors[key] = {"followed": Followed(), "_pollers": dict[str, Poller]()}
    return doors[key]


def _shared_door(settings: FacilitySettings) -> Door:
    """What is shared by all who mean the same facility with the same credential.

    Raises:
        UsageError: if the certificates cannot be read, or the proxy's URL makes no sense.
    """
    doors = io_loop().belongings
    door = doors.get(settings.door)
    if door is None:
        transport = _transport(settings)
        tokens = TokenKeeper(settings.token, transport.send) if settings.token else None
        kind, words = settings.kind, settings.words
        session = Session(
            settings.url,
            transport,
            tokens,
            Budget(),
            rules=kind.rules,
            label=settings.label,
            credential=kind.credential(words),
            links=HttpBytes(settings.wire),
        )
        dialect = kind.make(session, words)
        if borrowed := loan(settings.globus, dialect.grades):
            dialect = LentDialect(dialect, borrowed)
        door = doors[settings.door] = Door(
            dialect,
            settings.label,
            reached=lambda: session.reached,
            storage=settings.storage,
            lent=borrowed.end if borrowed else None,
            mendable=settings.token is None or not facts_of(settings.token).given,
            standing=Standing(settings.label, dialect, settings.token, tokens, kind.runs_jobs),
        )
    return door


def grades_at(settings: FacilitySettings) -> Grades:
    """How exactly each promise is kept at the door of these settings."""
    grades = settings.kind.grades(settings.url, settings.words)
    directory = settings.defaults.guard_directory
    told = directory is not None and grades.readable_files
    if borrowed := loan(settings.globus, grades):
        grades = lent_grades(grades)
        if directory is not None and not shown(borrowed.end, directory):
            told, grades = False, replace(grades, journal="no")
    return replace(
        grades,
        guard=grades.guard if settings.guard else "none",
        journal="no" if not settings.guard else "readable" if told else grades.journal,
    )


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
