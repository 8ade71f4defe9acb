"""Transfers that Globus makes by itself: begun once, waited for and ended by whatever process."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

from iri_common.facility import owning
from iri_common.facility.carriers import globus_road
from iri_common.facility.carrying import is_all
from iri_common.facility.collections import Globus
from iri_common.facility.facing import Face, awaited, awaited_watch, blocking, blocking_watch
from iri_common.facility.farreach import CollectionReach, FacilityReach
from iri_common.facility.granted import speak_for
from iri_common.facility.reach import Reach
from iri_common.facility.transferring import AnyEnd, TransferWords, copying, opened, said_of
from iri_common.model.errors import NotOffered, WaitTimeout
from iri_common.model.grant import Verb
from iri_common.model.transfer import Move, Road, TransferTask
from iri_common.policy.inside import inside
from iri_common.policy.roads import Plan
from iri_common.transfers.conduct import leaves
from iri_common.transfers.globus import GlobusRoad

FarReach = FacilityReach | CollectionReach


@dataclass(frozen=True, slots=True)
class Entrusting:
    """A transfer that Globus can make, not yet submitted.

    Attributes:
        submission: Under this id it is made once, however often it is submitted. Keep it before that.
        plan: How it goes.
    """

    submission: str
    plan: Plan
    _source: FarReach = field(repr=False)
    _target: FarReach = field(repr=False)
    _road: GlobusRoad = field(repr=False)
    _moves: Sequence[Move] = field(repr=False)
    _directories: Sequence[str] = field(repr=False)
    _who: str = field(repr=False)
    _above: bool = field(repr=False)

    async def submit(self) -> str:
        """Have Globus make it; gives the task's id."""
        if self._who:
            speak_for(self._who)
        owning.warn(self.plan)
        told = dict[str, Any](road=str(Road.GLOBUS))
        name = hashlib.sha256((self._who or self.submission).encode()).hexdigest()[:16]
        async with (
            self._source.carrying(Verb.READ, [move.source for move in self._moves], told),
            self._target.carrying(Verb.WRITE, [move.target for move in self._moves], told),
        ):
            await self._target.make(self._directories)
            if self._above:
                await self._target.make_above(self._moves[0].target)
            task_id = await self._road.entrust(self._moves, name, self.submission)
            told["task"] = task_id
        return task_id


class EntrustService:
    """Tasks of Globus Transfer between two ends; nothing is remembered here."""

    async def prepare(
        self, source: AnyEnd, target: AnyEnd, *, submission: str | None = None, **words: Unpack[TransferWords]
    ) -> Entrusting | None:
        """Plan a copy; None if it is not for Globus alone, so that a process has to carry it.

        Args:
            source: As of a copy.
            target: Likewise.
            submission: What an earlier try was given; asked for if None.
            words: Likewise.

        Raises:
            IriError: as a copy's plan.
        """
        said = said_of(words)
        from_, to, task = await copying(source, target, said)
        if not task.moves or {leg.quote.road for leg in task.plan.legs} != {Road.GLOBUS}:
            return None
        from_, to = _both_far(from_, to)
        whole = is_all(from_, task.tree, task.moves, said)
        road = globus_road(from_, to, (from_.path, to.path) if whole else None)
        directories = [inside(to.path, name) for name in task.tree.directories] if not whole else []
        await from_.admit(Verb.READ, [move.source for move in task.moves])
        await to.admit(Verb.WRITE, [move.target for move in task.moves])
        kept = submission or (await _globus(from_, to).transfers.new_submission()).value
        above = said.parents and task.tree.single
        return Entrusting(kept, task.plan, from_, to, road, task.moves, leaves(directories), said.who, above)

    async def submit(self, prepared: Entrusting) -> str:
        """Have Globus make what was prepared; gives the task's id.

        Raises:
            TransferError: if another task moves files to the same paths.
        """
        return await prepared.submit()

    async def status(self, source: AnyEnd, target: AnyEnd, task_id: str) -> TransferTask | None:
        """The task as it is now; None if this identity sees no such one."""
        from_, to = await _far(source, target)
        return (await _globus(from_, to).transfers.tasks([task_id])).value.get(task_id)

    async def wait(
        self,
        source: AnyEnd,
        target: AnyEnd,
        task_id: str,
        *,
        timeout: float | None = None,
        on_change: Callable[[TransferTask], object] | None = None,
    ) -> TransferTask:
        """The task when all has arrived; all who wait in this process look together.

        Args:
            source: As it was prepared.
            target: Likewise.
            task_id: The task.
            timeout: Seconds; None for as long as it takes.
            on_change: Called when it has got on.

        Raises:
            TransferError: if it failed, left files out, or stood still for an hour for want of a person.
            WaitTimeout: if it takes longer; it goes on.
        """
        from_, to = await _far(source, target)
        try:
            async with asyncio.timeout(timeout):
                return await globus_road(from_, to).follow(task_id, f"{source} -> {target}", on_change)
        except TimeoutError:
            words = f"task {task_id} was not over after {timeout:g} s; it goes on"
            raise WaitTimeout(words, facility="Globus") from None

    async def cancel(self, source: AnyEnd, target: AnyEnd, task_id: str) -> None:
        """End it; one that is over is left as it is."""
        from_, to = await _far(source, target)
        await to.admit(Verb.WRITE, [to.path])
        await _globus(from_, to).transfers.cancel(task_id)


async def _far(source: AnyEnd, target: AnyEnd) -> tuple[FarReach, FarReach]:
    """Both ends, asked for their collections."""
    both = _both_far(*await opened(source, target))
    for each in both:
        await each.offer(fully=True)
    return both


def _both_far(source: Reach, target: Reach) -> tuple[FarReach, FarReach]:
    if not isinstance(source, FarReach) or not isinstance(target, FarReach):
        raise NotOffered("Globus moves nothing from or to this machine")
    return source, target


def _globus(source: FarReach, target: FarReach) -> Globus:
    """Who asked for the transfers between them, as their road has it."""
    globus = target.globus or source.globus
    if globus is None:
        raise NotOffered("nobody speaks to Globus for these ends")
    return globus


class AsyncEntrustedTransfers(Face[EntrustService]):
    """Transfers that Globus makes by itself, awaited."""

    prepare = awaited(EntrustService.prepare)
    submit = awaited(EntrustService.submit)
    status = awaited(EntrustService.status)
    wait = awaited_watch(EntrustService.wait)
    cancel = awaited(EntrustService.cancel)


class EntrustedTransfers(Face[EntrustService]):
    """Transfers that Globus makes by itself, for who keeps their ids: engines, whose processes come and go.

    Example:
        >>> transfers = EntrustedTransfers()
        >>> prepared = transfers.prepare("globus://<collection>/scan12", "iri://nersc//pscratch/scan12")
        >>> task_id = transfers.submit(prepared)  # prepared.submission kept before, task_id after
        >>> transfers.wait("globus://<collection>/scan12", "iri://nersc//pscratch/scan12", task_id)
    """

    def __init__(self) -> None:
        service = EntrustService()
        super().__init__(service)
        self.aio = AsyncEntrustedTransfers(service)

    prepare = blocking(EntrustService.prepare)
    submit = blocking(EntrustService.submit)
    status = blocking(EntrustService.status)
    wait = blocking_watch(EntrustService.wait)
    cancel = blocking(EntrustService.cancel)
