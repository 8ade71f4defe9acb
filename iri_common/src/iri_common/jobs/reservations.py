"""Nodes that are reserved: asked for once for each key, given back when nothing runs there any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from iri_common.jobs.leasebook import LeaseBook
from iri_common.jobs.ledger import claim_owner
from iri_common.jobs.lookout import LOOKS, Lookout
from iri_common.model.errors import (
    AmbiguousReply,
    Conflict,
    IriError,
    ReservationLost,
    SpecChanged,
    SubmitUncertain,
    UsageError,
)
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.logfields import about
from iri_common.model.ref import JobRef
from iri_common.model.reservation import (
    NodeReservation,
    NodesIntent,
    NodesLease,
    ReservationState,
    reserved_at,
    resource_reserved,
)
from iri_common.model.reservationports import ReservationsApi
from iri_common.policy.pace import Pace
from iri_common.policy.reservations import Step, fits, step

log = logging.getLogger(__name__)

LIMIT = 300.0  # seconds: slurmctld answers at once, so what is waited for is the end of jobs
ASKS = 4  # requests for one reservation, each after looks that show nothing of the one before

OnChange = Callable[[NodeReservation], None]


@dataclass(frozen=True, slots=True)
class Reservations:
    """The reservations of one user at one facility.

    Attributes:
        api: The facility's.
        book: What is on record of them.
        pace: How often to look.
    """

    api: ReservationsApi
    book: LeaseBook
    pace: Pace

    # -- asking

    async def provision(self, resource_id: str, intent: NodesIntent, key: JobKey) -> NodesLease:
        """Ask for nodes once, however often this is called with the key.

        Raises:
            SpecChanged: if the key was used for other nodes.
            ReservationLost: if they were reserved, and are no more.
            SubmitUncertain: if nothing tells whether it was taken.
        """
        owner = claim_owner()
        async with self.book.claimed(key, owner):
            record = await self.book.current(key, lambda ref: self.release(ref, LIMIT))
            if record is None or record.stage is Stage.INTENT:  # whatever it was, nothing of it has left
                name, resource = intent.reservation_name(key), reserved_at(resource_id)
                ref = str(self.book.ref(resource, key, name))
                record = LedgerRecord(
                    key.identity, key.generation, Stage.INTENT, ref, intent.digest, time.time(), name=name
                )
                await self.book.write(record, owner)
            self.book.require_same(record, key, intent.digest)
            return await _Ask(self, intent, record, owner).taken()

    # -- looking

    async def look(self, ref: JobRef) -> NodesLease:
        """How it stands."""
        resource_id, name = _of(ref)
        for each in (await self.api.reservations(resource_id)).value:
            if each.name == name:
                return self.seen(ref, each)
        return self.seen(ref, NodeReservation(name, gone=True))

    def seen(self, ref: JobRef, reservation: NodeReservation) -> NodesLease:
        """The lease of what a look showed."""
        return NodesLease(ref, reservation, reservation.state_at(datetime.now(UTC)))

    async def wait(self, ref: JobRef, timeout: float, on_change: OnChange | None = None) -> NodesLease:
        """Wait until jobs that name it could start.

        Raises:
            ReservationLost: if it is over, or there is none.
            WaitTimeout: if its time has not come after so many seconds; it is left as it is.
        """
        watch = self._lookout(ref, timeout, on_change)
        while True:
            found = await watch.look()
            if found is not None:
                lease = self.seen(ref, found)
                if lease.active:
                    return lease
                if lease.state is ReservationState.OVER or watch.absent >= LOOKS:
                    raise self.gone(ref)
            await watch.pause("has not begun")

    def gone(self, ref: JobRef) -> ReservationLost:
        """The error for one that is not there."""
        return ReservationLost(
            f"the nodes of {ref.job_id} are not reserved any more: their time is over, or somebody gave them "
            "back. Asked for again, others are reserved",
            ref=ref,
            facility=self.book.label,
        )

    def _lookout(
        self, ref: JobRef, timeout: float, on_change: OnChange | None = None
    ) -> Lookout[NodeReservation]:
        async def look() -> NodeReservation:
            return (await self.look(ref)).reservation

        what = f"reservation {ref.job_id}"
        return Lookout(what, look, ref, self.book.label, self.pace, timeout, on_change)

    # -- giving back

    async def release(self, ref: JobRef, timeout: float) -> None:
        """Give the nodes back, and wait until they are; jobs that run there come to their end first.

        Raises:
            WaitTimeout: if jobs still run there after so many seconds.
        """
        mine = await self.book.of(ref)
        # A request whose answer is lost may still be on its way.
        looks = LOOKS if mine is not None and mine.stage is Stage.SENT else 1
        watch, deleted = self._lookout(ref, timeout), False
        while True:
            found = await watch.look()
            if watch.absent >= looks:
                break
            if found is not None and not found.missing and await self._deleted(ref) and not deleted:
                deleted = True
                continue  # as a rule it is gone at once
            await watch.pause("is still there, perhaps with jobs that run")
        if await self.book.of(ref) is not None:  # its key's next generation may be on record by now
            await self.book.ledger.forget(ref.key)

    async def _deleted(self, ref: JobRef) -> bool:
        """Ask for its end; whether that was granted."""
        try:
            await self.api.delete(*_of(ref))
        except IriError as error:
            if not (error.transient or isinstance(error, AmbiguousReply | Conflict)):
                raise
            log.info("end of reservation %s: %s; looking at it", ref.job_id, error, extra=about(ref=ref))
            return False
        return True

    async def give_back(
        self, key: JobKey, timeout: float, search: Callable[[], Awaitable[str]] | None = None
    ) -> None:
        """Leave nothing of what was asked for under a key.

        Args:
            key: Whose.
            timeout: Seconds for its end.
            search: Where nothing is on record, gives the resource at which it may have been asked for with
                another ledger.
        """
        ref = await self.book.asked(key)
        refs = [ref] if ref is not None else []
        if search is not None and await self.book.ledger.read(key) is None:
            refs = await self._named(key, await search())
        for each in refs:
            await self.release(each, timeout)

    async def _named(self, key: JobKey, resource_id: str) -> Sequence[JobRef]:
        reserved = (await self.api.reservations(resource_id)).value
        resource = reserved_at(resource_id)
        return [self.book.ref(resource, key, each.name) for each in reserved if key.names(each.name)]


class _Ask:
    """One reservation on its way."""

    def __init__(
        self, reservations: Reservations, intent: NodesIntent, record: LedgerRecord, owner: str
    ) -> None:
        self._all = reservations
        self._intent = intent
        self._record = record
        self._owner = owner
        self._ref = JobRef.parse(record.ref)
        self._error: IriError | None = None  # of the last request whose fate is open

    async def taken(self) -> NodesLease:
        """The reservation, asked for if need be."""
        everything, looks, asks = self._all, 0, 0
        while True:
            lease, looks = await everything.look(self._ref), looks + 1
            following = step(self._record.stage, lease.state)
            if following is Step.TAKE:
                await self._accept(lease.reservation)
                return lease
            unseen = lease.state is ReservationState.MISSING and self._record.stage is not Stage.INTENT
            if unseen and looks < LOOKS:
                await asyncio.sleep(everything.pace.quickest)  # what was asked for may not show yet
                continue
            if following is Step.GONE:
                await everything.release(self._ref, LIMIT)
                raise everything.gone(self._ref)
            if asks == ASKS:
                raise self._uncertain()
            asks, looks = asks + 1, 0
            if (granted := await self._sent()) is not None:
                return everything.seen(self._ref, granted)

    async def _sent(self) -> NodeReservation | None:
        """One request; None where what became of it is to be looked at."""
        before, now = self._record, datetime.now(UTC)
        begins, ends = self._intent.window(now)
        sent = replace(before, stage=Stage.SENT, sends=before.sends + 1, until=ends.timestamp())
        await self._note(sent)
        resource_id, name = _of(self._ref)
        try:
            await self._all.api.create(resource_id, name, self._intent, now)
        except (AmbiguousReply, Conflict) as error:
            self._error = error
        except IriError as error:
            await self._note(replace(sent, stage=before.stage))  # the doubt that there was is there still
            if before.stage is Stage.INTENT or (await self._all.look(self._ref)).reservation.missing:
                raise
            self._error = error  # refused for being there: the one before has come
        else:
            made = NodeReservation(name, self._intent.nodes, begins, ends, queue=self._intent.queue or "")
            await self._accept(made)
            return made
        log.info("reservation %s: %s; looking at it", name, self._error, extra=about(ref=self._ref))
        return None

    async def _accept(self, found: NodeReservation) -> None:
        if self._record.stage is Stage.ACCEPTED:
            return
        if self._record.stage is Stage.INTENT and not fits(self._intent, found):
            raise SpecChanged(
                f"reservation {found.name} is there already, and is another one ({found.words}); give that "
                "back first, or ask for the key's next generation",
                facility=self._all.book.label,
            )
        until = found.end.timestamp() if found.end is not None else self._record.until
        await self._note(replace(self._record, stage=Stage.ACCEPTED, until=until))

    async def _note(self, record: LedgerRecord) -> None:
        now = time.time()
        record = replace(record, asked_at=record.asked_at or now, written_at=now)
        await self._all.book.write(record, self._owner)
        self._record = record

    def _uncertain(self) -> SubmitUncertain:
        return SubmitUncertain(
            f"reservation {self._ref.job_id} was asked for {ASKS} times, and nothing of it shows: "
            f"{self._error}. Ask again with the same key later, or give it back",
            key=self._ref.key,
            candidates=(self._ref.job_id or "",),
            facility=self._all.book.label,
        )


def _of(ref: JobRef) -> tuple[str, str]:
    """Resource and name."""
    resource_id = resource_reserved(ref)
    if resource_id is None or ref.job_id is None:
        raise UsageError(f"{ref} names no reservation of nodes")
    return resource_id, ref.job_id
