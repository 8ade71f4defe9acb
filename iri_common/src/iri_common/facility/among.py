"""Several doors for one ask: which of them, and the next one where one is closed; the job is still one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iri_common.facility.facility import Facility
from iri_common.facility.facing import Face, awaited, awaited_watch, blocking, blocking_watch
from iri_common.facility.jobs import JobService
from iri_common.facility.profiles import load_profile
from iri_common.facility.prospects import prospect
from iri_common.facility.settings import FacilitySettings, on_outage_of, seconds_of
from iri_common.jobs.ledger import FileLedger
from iri_common.jobs.watch import OnChange
from iri_common.model.errors import (
    IriError,
    ResourceDown,
    SpecChanged,
    SubmitUncertain,
    TransientError,
    UsageError,
)
from iri_common.model.facility import Availability
from iri_common.model.job import JobResult, JobStatus
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.logfields import about
from iri_common.model.ports import Ledger
from iri_common.model.ref import JobRef, origin_of
from iri_common.model.spec import JobSpec
from iri_common.policy import asking
from iri_common.policy.choice import Choice, Requirements, moves_on, nowhere, ranked, stays
from iri_common.policy.outage import OnOutage, OutageStep, after_error, outage_pause

log = logging.getLogger(__name__)

LIMIT = 3600.0  # seconds that a submit waits at most while all doors are closed
_LOOKS = (0.0, 1 / 3, 2 / 3)  # pauses, in parts of the time within which a job is listed


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is asked for, as :meth:`AmongService.submit` was told."""

    spec: JobSpec
    key: JobKey
    best: bool
    seen_before: bool


class AmongService:
    """Jobs that may run at one of several facilities.

    Args:
        doors: Of all of them, in the order in which they are asked.
        ledger: Of all of them: that a key runs once across doors is known from it alone.
    """

    def __init__(self, doors: Sequence[FacilitySettings], ledger: Ledger) -> None:
        self._doors = [JobService(each, ledger) for each in doors]
        self._ledger = ledger

    async def select(self, requirements: Requirements | None = None) -> Sequence[Choice]:
        """The doors in the order in which they should be asked, each with the reasons; closed ones last.

        Args:
            requirements: What is to be run; a short job of one node by default.
        """
        wanted = requirements or Requirements()
        asked = (prospect(each.settings, wanted) for each in self._doors)
        return ranked(wanted, await asyncio.gather(*asked))

    async def submit(
        self,
        spec: JobSpec | Mapping[str, Any],
        *,
        key: JobKey | None = None,
        best: bool = False,
        seen_before: bool = False,
        on_outage: OnOutage | str = OnOutage.WAIT,
        outage_limit: float = LIMIT,
    ) -> JobRef:
        """Ask for a job at the first door that takes it; asked again with the same key, it is the same job.

        A door is passed by where nothing of the ask can be there: it is down or does not answer, it refuses
        the credential, or its grant does not allow this. Where a request went out whose fate is open, no
        other door is asked: the ask is settled at that one, now or by a later call with the same key.

        Args:
            spec: A JobSpec, or the same words as a mapping, as every door understands it.
            key: Who asks. Without one, every call is an ask of its own.
            best: Ask in the order of :meth:`select` instead of the order in which the doors were named.
            seen_before: An earlier attempt with this key may have reached some door, although the ledger
                may not know it: every door is looked at before anything is sent.
            on_outage: "wait" while all doors are closed, "fail" when they are.
            outage_limit: Seconds that "wait" waits at most.

        Raises:
            UsageError: for bad input, before anything is sent.
            NotOffered: if no door can take it, and no time mends that.
            ResourceDown: if all doors stay closed, with what each said.
            SubmitUncertain: if a request was sent and its fate cannot be settled; keep the key.
            IriError: if a door read the ask and refused it: the next one would too.
        """
        ask = _Ask(JobSpec.of(spec), key or JobKey.random(), best, seen_before)
        wait, limit = on_outage_of(on_outage), seconds_of("outage_limit", outage_limit)
        clock, waits = asyncio.get_running_loop().time, 0
        begun = clock()
        while True:
            told: list[IriError] = []
            try:
                if (ref := await self._tried(ask, told)) is not None:
                    return ref
                if not told:
                    continue  # another try of the same ask has taken it to another door
                trouble = nowhere(ask.key, told)
            except (TransientError, SubmitUncertain) as error:
                trouble = error
            waited = clock() - begun
            if not await self._worth_waiting(ask.key, trouble, wait, waited, limit):
                raise trouble
            if not waits:
                what = "%s waits for a facility, up to %.0f s (on_outage): %s"
                words = ask.key, limit, trouble.message
                log.warning(what, *words, extra=about(key=ask.key, error=trouble))
            await asyncio.sleep(min(outage_pause(waits), limit - waited))
            waits += 1

    async def wait(
        self, job: JobRef | str, *, timeout: float | None = None, on_change: OnChange | None = None
    ) -> JobStatus:
        """Wait for the end of a job at whichever door it is, as that facility's ``jobs.wait`` does."""
        return await self._door_of(job).wait(job, timeout=timeout, on_change=on_change)

    async def result(
        self, job: JobRef | str, *, timeout: float | None = None, on_change: OnChange | None = None
    ) -> JobResult:
        """Wait for success, as that facility's ``jobs.result`` does."""
        return await self._door_of(job).result(job, timeout=timeout, on_change=on_change)

    async def run(
        self,
        spec: JobSpec | Mapping[str, Any],
        *,
        key: JobKey | None = None,
        best: bool = False,
        timeout: float | None = None,
        on_change: OnChange | None = None,
    ) -> JobResult:
        """Submit and wait for success: :meth:`submit`, then :meth:`result`."""
        ref = await self.submit(spec, key=key, best=best)
        return await self.result(ref, timeout=timeout, on_change=on_change)

    async def cancel(self, job: JobRef | str | JobKey) -> None:
        """Ask the facility at which it is to end a job.

        Args:
            job: Which; a key means every job of its identity from its generation on, also one that may still
                come, at the door that the ledger names, or at all of them if it names none.

        Raises:
            SubmitUncertain: if a job of the key may be there, and nothing can be done about it.
        """
        if not isinstance(job, JobKey):
            await self._door_of(job).cancel(job)
            return
        record = await self._ledger.read(job)
        doors = self._doors if record is None else [await self._home_of(record)]
        trouble: IriError | None = None
        for each in doors:
            try:
                await each.cancel(job)
            except IriError as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble

    # -- how it is done

    async def _tried(self, ask: _Ask, told: list[IriError]) -> JobRef | None:
        """The job, at the door where it is or may be, or at the first that takes it; None if nobody does.

        Args:
            ask: What, in whose name.
            told: Filled with what each door said that is closed.
        """
        home = await self._home(ask.key, seen_before=ask.seen_before)
        if home is None:
            return await self._at_the_first(ask, told)
        try:
            return await self._at(home, ask)
        except IriError as error:
            if not isinstance(error, SpecChanged) and not moves_on(error):
                raise
            if await self._home(ask.key, seen_before=ask.seen_before) is home:
                raise
            return None  # it was not there after all

    async def _at_the_first(self, ask: _Ask, told: list[IriError]) -> JobRef | None:
        for door in await self._order(ask):
            try:
                await _require_open(door)
                return await self._at(door, ask)
            except IriError as error:
                if not isinstance(error, SpecChanged) and not moves_on(error):
                    raise
                home = await self._home(ask.key)
                if home is door:
                    raise
                if home is not None or isinstance(error, SpecChanged):  # another process is at it, elsewhere
                    told.clear()
                    return None
                told.append(error)
                fields = about(facility=door.settings.label, key=ask.key, error=error)
                log.warning(
                    "%s does not take %s: %s", door.settings.label, ask.key, error.message, extra=fields
                )
        return None

    async def _at(self, door: JobService, ask: _Ask) -> JobRef:
        try:
            return await door.submit(
                ask.spec, key=ask.key, seen_before=ask.seen_before, on_outage=OnOutage.FAIL
            )
        except SubmitUncertain as error:
            if len(self._doors) == 1:
                raise
            raise stays(error) from error

    async def _worth_waiting(
        self, key: JobKey, trouble: IriError, on_outage: OnOutage, waited: float, limit: float
    ) -> bool:
        """Whether the ask may go through later; one in doubt only where its job guards itself."""
        if on_outage is not OnOutage.WAIT or waited >= limit:
            return False
        if not isinstance(trouble, SubmitUncertain):
            return trouble.transient
        record = await self._ledger.read(key)
        guarded = record is not None and record.guarded
        step = after_error(on_outage, trouble, waited, limit, reached=True, guarded=guarded)
        return step is OutageStep.WAIT

    async def _order(self, ask: _Ask) -> Sequence[JobService]:
        if not ask.best:
            return self._doors
        by_label = {each.settings.label: each for each in self._doors}
        return [by_label[each.facility] for each in await self.select(requirements_of(ask.spec))]

    async def _home(self, key: JobKey, *, seen_before: bool = False) -> JobService | None:
        """The door at which this ask is, or may be; None if it is free to go anywhere."""
        record = await self._ledger.read(key)
        if record is None:
            return await self._found(key) if seen_before else None
        if record.generation != key.generation or record.stage in {Stage.INTENT, Stage.REFUSED}:
            return None
        return await self._home_of(record)

    async def _home_of(self, record: LedgerRecord) -> JobService:
        """The door that a record names, which may be one of several to the same facility."""
        fitting = self._doors_of(record.ref)
        for each in fitting if len(fitting) > 1 else ():
            with contextlib.suppress(IriError):  # what is wrong with it is told where it is asked
                machine = await each.door.resource(each.settings.resource, "compute")
                if machine.id == JobRef.parse(record.ref).resource_id:
                    return each
        return fitting[0]

    async def _found(self, key: JobKey) -> JobService | None:
        """The door that shows a job of a key which the ledger has lost.

        A guard keeps doubles from working at one facility, and at none beside it: before a job is asked for
        anywhere, each list has had the time that it may take to show one.

        Raises:
            IriError: if one of them cannot be looked at: the job may be there.
        """
        for part in _LOOKS:
            await asyncio.sleep(part * asking.LISTED_WITHIN)
            for door in self._doors:
                if await door.begun(key):
                    return door
        return None

    def _door_of(self, job: JobRef | str) -> JobService:
        return self._doors_of(job)[0]

    def _doors_of(self, job: JobRef | str) -> Sequence[JobService]:
        """The doors to the facility at which a job is, those of its own profile if there are any."""
        ref = JobRef.parse(job) if isinstance(job, str) else job
        fitting = [each for each in self._doors if _is_at(ref, each.settings)]
        same = [each for each in fitting if each.settings.profile == ref.profile]
        if fitting:
            return same or fitting
        names = ", ".join(each.settings.label for each in self._doors)
        raise UsageError(f"{ref.describe()} is at {ref.profile or ref.origin}, which is none of: {names}")


async def _require_open(door: JobService) -> None:
    """Look at a door afresh: the submit to one that is closed may end in doubt, and then no other is asked.

    Raises:
        ResourceDown: if the machine is down.
        IriError: if the facility does not answer.
    """
    known = await door.door.resource(door.settings.resource, "compute")
    machine = (await door.door.dialect.status.resource(known.id)).value
    if machine.status is Availability.DOWN:
        label = door.settings.label
        raise ResourceDown(f"{machine.name or machine.id} is down at {label}", facility=label)


def _is_at(ref: JobRef, settings: FacilitySettings) -> bool:
    return (ref.origin, ref.dialect) == (origin_of(settings.url), settings.dialect)


def _settings_of(door: str | Facility) -> FacilitySettings:
    return load_profile(door) if isinstance(door, str) else door._settings  # pyright: ignore[reportPrivateUsage]


def requirements_of(spec: JobSpec) -> Requirements:
    """What a spec asks for, as far as it decides where."""
    nodes = spec.resources.node_count if spec.resources else None
    return Requirements(nodes or 1, spec.attributes.duration if spec.attributes else None)


class AsyncFacilities(Face[AmongService]):
    """Several facilities for event loops: every method is awaited, on any loop."""

    select = awaited(AmongService.select)
    submit = awaited(AmongService.submit)
    wait = awaited_watch(AmongService.wait)
    result = awaited_watch(AmongService.result)
    run = awaited_watch(AmongService.run)
    cancel = awaited(AmongService.cancel)


class Facilities(Face[AmongService]):
    """Several facilities for one ask; it runs once, at one of them.

    Example:
        >>> among = Facilities("nersc", "alcf")
        >>> for choice in among.select(Requirements(nodes=4, seconds=1800)):
        ...     print(choice)
        >>> ref = among.submit(JobSpec(executable="/bin/hostname"), key=JobKey.of("nightly", "2026-11-23"))

    Args:
        doors: Names of profiles, or facilities, in the order in which they are asked.
        mixed: Take doors of different enclaves together; data of one may not be seen in another.
        ledger: Where intents are kept; by default files in the user's state directory. Whoever may ask
            again for the same key uses the same one.

    Raises:
        UsageError: for no door, one door twice, or doors of different enclaves without ``mixed``.
    """

    def __init__(self, *doors: str | Facility, mixed: bool = False, ledger: Ledger | None = None) -> None:
        settings = [_settings_of(each) for each in doors]
        labels = [each.label for each in settings]
        if not settings or len(set(labels)) < len(labels):
            raise UsageError(
                f"name the facilities to choose among, each once; not {', '.join(labels) or 'none'}"
            )
        enclaves = {each.enclave: each.label for each in settings}
        if len(enclaves) > 1 and not mixed:
            kinds = ", ".join(f"{label} is {enclave}" for enclave, label in enclaves.items())
            raise UsageError(
                f"these facilities are of different enclaves ({kinds}), and what may be done in one may be "
                "forbidden in another; mixed=True takes them together all the same"
            )
        ledger = ledger or FileLedger()
        super().__init__(AmongService(settings, ledger))
        self.aio = AsyncFacilities(AmongService(settings, ledger))

    select = blocking(AmongService.select)
    submit = blocking(AmongService.submit)
    wait = blocking_watch(AmongService.wait)
    result = blocking_watch(AmongService.result)
    run = blocking_watch(AmongService.run)
    cancel = blocking(AmongService.cancel)


def select(
    requirements: Requirements | None = None, *, among: Sequence[str | Facility], mixed: bool = False
) -> Sequence[Choice]:
    """The facilities in the order in which they should be asked; see :class:`Facilities`."""
    return Facilities(*among, mixed=mixed).select(requirements)
