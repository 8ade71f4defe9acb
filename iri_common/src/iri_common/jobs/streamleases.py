"""Clusters of message brokers: one for each key, with what is needed to reach it, until it is released."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from iri_common.jobs.leasebook import LeaseBook
from iri_common.jobs.ledger import claim_owner
from iri_common.jobs.lookout import LOOKS, Lookout
from iri_common.model.errors import (
    AmbiguousReply,
    Conflict,
    IriError,
    NotFound,
    NotOffered,
    StreamLost,
    SubmitUncertain,
    UsageError,
)
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.logfields import about
from iri_common.model.outcome import Done
from iri_common.model.ref import JobRef
from iri_common.model.streamports import StreamingApi, StreamVault
from iri_common.model.streams import (
    StreamAccess,
    StreamCluster,
    StreamIntent,
    StreamLease,
    StreamState,
    engine_of,
    resource_of,
)
from iri_common.policy.pace import Pace
from iri_common.policy.streams import Step, step

log = logging.getLogger(__name__)

LIMIT = 900.0  # seconds: a cluster takes minutes to come up, and some to go
_ACTS = 6  # requests for one cluster and its removal, each after looks at what became of the one before
_AGAIN = 15.0  # paces after which a release that shows no effect is asked for once more

OnChange = Callable[[StreamCluster], None]


@dataclass(frozen=True, slots=True)
class StreamLeases:
    """The clusters of one project at one facility.

    Attributes:
        api: The facility's.
        book: Where it is kept what was asked for.
        vault: Where it is kept how it is reached.
        pace: How often to look.
    """

    api: StreamingApi
    book: LeaseBook
    vault: StreamVault
    pace: Pace

    # -- asking

    async def provision(self, intent: StreamIntent, key: JobKey) -> StreamLease:
        """Ask for a cluster once, however often this is called with the key.

        Raises:
            SpecChanged: if the key was used for another cluster.
            Conflict: if there is one of this key whose credentials are not here.
            SubmitUncertain: if nothing tells whether it was taken.
        """
        owner = claim_owner()
        async with self.book.claimed(key, owner):
            record = await self.book.current(key, lambda ref: self.release(ref, LIMIT))
            if record is None or record.stage is Stage.INTENT:  # whatever it was, nothing of it has left
                record = await self._begun(intent, key, owner)
            self.book.require_same(record, key, intent.digest)
            return await _Ask(self, intent, record, owner).taken()

    async def _begun(self, intent: StreamIntent, key: JobKey, owner: str) -> LedgerRecord:
        name, resource = intent.cluster_name(key), resource_of(intent.engine)
        ref = self.book.ref(resource, key, name)
        record = LedgerRecord(
            key.identity, key.generation, Stage.INTENT, str(ref), intent.digest, time.time(), name=name
        )
        await self.book.write(record, owner)
        return record

    async def kind_of(self, intent: StreamIntent) -> str:
        """The kind of cluster that is meant.

        Raises:
            NotOffered: if the facility has no such engine.
            UsageError: if it has several kinds and none was named.
        """
        if intent.kind is not None:
            return intent.kind
        offered = (await self.api.backends()).value
        kinds = [each.kind for each in offered if each.engine == intent.engine]
        if not kinds:
            engines = ", ".join(sorted({each.engine for each in offered})) or "none"
            raise NotOffered(f"there is no {intent.engine}; engines: {engines}", facility=self.book.label)
        if len(kinds) > 1:
            raise UsageError(f"which kind of {intent.engine}? There are {', '.join(kinds)}")
        return kinds[0]

    # -- looking

    async def look(self, ref: JobRef) -> StreamLease:
        """How it stands."""
        engine, name = _of(ref)
        try:
            return StreamLease(ref, (await self.api.cluster(engine, name)).value)
        except NotFound:
            return StreamLease(ref, StreamCluster(engine, name, state=StreamState.MISSING))

    async def wait(self, ref: JobRef, timeout: float, on_change: OnChange | None = None) -> StreamLease:
        """Wait until it can be used.

        Raises:
            StreamLost: if there is none.
            WaitTimeout: if it cannot be used after so many seconds; it is left as it is.
        """
        watch = self._lookout(ref, timeout, on_change)
        while True:
            cluster = await watch.look()
            if cluster is not None and cluster.state is StreamState.UP:
                return StreamLease(ref, cluster)
            if watch.absent >= LOOKS:
                raise self.gone(ref)
            await watch.pause("is not up")

    def gone(self, ref: JobRef) -> StreamLost:
        """The error for one that is not there."""
        return StreamLost(
            f"cluster {ref.job_id} is not there any more: its time was over, or somebody released it. Asked "
            "for again, there will be another one, and empty",
            ref=ref,
            facility=self.book.label,
        )

    async def access(self, ref: JobRef) -> StreamAccess:
        """How it is reached.

        Raises:
            NotFound: if there is no such cluster.
            Conflict: if whoever asked for it has that elsewhere.
        """
        found = await self.reached(ref, await self.book.of(ref))
        if found is None:
            raise self.foreign(ref)
        return found

    async def reached(self, ref: JobRef, record: LedgerRecord | None) -> StreamAccess | None:
        """How it is reached, as far as that is known here, or the facility tells it."""
        kept = await self.vault.read(_label(record)) if record is not None else None
        return kept or (await self.api.access(*_of(ref))).value

    async def standing(self, ref: JobRef, record: LedgerRecord) -> tuple[StreamLease, StreamAccess | None]:
        """How it stands, and how it is reached as far as that is known."""
        lease = await self.look(ref)
        try:
            return lease, None if lease.cluster.missing else await self.reached(ref, record)
        except NotFound:  # deleted between the two looks
            return await self.look(ref), None

    def foreign(self, ref: JobRef) -> Conflict:
        """The error for one whose credentials are elsewhere."""
        return Conflict(
            f"cluster {ref.job_id} is there, and how it is reached was told to whoever asked for it, not "
            f"here. Take it from them, or release {ref} and ask again: what is in it is lost then",
            facility=self.book.label,
        )

    def _lookout(
        self, ref: JobRef, timeout: float, on_change: OnChange | None = None
    ) -> Lookout[StreamCluster]:
        async def look() -> StreamCluster:
            return (await self.look(ref)).cluster

        return Lookout(f"cluster {ref.job_id}", look, ref, self.book.label, self.pace, timeout, on_change)

    # -- giving back

    async def release(self, ref: JobRef, timeout: float) -> None:
        """Delete it for good, wait until it is gone, and forget how it was reached.

        Raises:
            WaitTimeout: if it is still there after so many seconds.
        """
        mine = await self.book.of(ref)
        # A request whose answer is lost may still be on its way.
        await self.cleared(ref, timeout, looks=LOOKS if mine and mine.stage is Stage.SENT else 1)
        mine = await self.book.of(ref)  # its key's next generation may be on record by now
        if mine is not None:
            await self.vault.drop(_label(mine))
            await self.book.ledger.forget(ref.key)

    async def cleared(self, ref: JobRef, timeout: float, *, looks: int = 1) -> None:
        """Delete it, and see so many times that it is gone."""
        watch = self._lookout(ref, timeout)
        released_at: float | None = None
        while True:
            cluster = await watch.look()
            if watch.absent >= looks:
                return
            now = time.monotonic()
            again = released_at is None or now - released_at > _AGAIN * self.pace.quickest
            if cluster is not None and not cluster.missing and again:
                released_at = now
                await self._released(ref)
                continue
            await watch.pause("is not gone")

    async def _released(self, ref: JobRef) -> None:
        try:
            await self.api.release(*_of(ref))
        except IriError as error:
            if not (error.transient or isinstance(error, AmbiguousReply | Conflict)):
                raise
            log.info("release of cluster %s: %s; looking at it", ref.job_id, error, extra=about(ref=ref))

    async def give_back(self, key: JobKey, timeout: float) -> None:
        """Leave nothing of what was asked for under a key."""
        ref = await self.book.asked(key)
        if ref is not None:
            await self.release(ref, timeout)


class _Ask:
    """One cluster on its way."""

    def __init__(self, leases: StreamLeases, intent: StreamIntent, record: LedgerRecord, owner: str) -> None:
        self._leases = leases
        self._intent = intent
        self._record = record
        self._owner = owner
        self._ref = JobRef.parse(record.ref)
        self._error: IriError | None = None  # of the last request whose fate is open

    async def taken(self) -> StreamLease:
        """The cluster, asked for if need be."""
        leases, looks, acts = self._leases, 0, 0
        while True:
            lease, access = await leases.standing(self._ref, self._record)
            there, looks = not lease.cluster.missing, looks + 1
            following = step(self._record.stage, there=there, reachable=access is not None)
            if following is Step.TAKE and access is not None:
                await self._accept(access)
                return lease
            if following is Step.FOREIGN:
                raise leases.foreign(self._ref)
            if not there and self._record.stage is not Stage.INTENT and looks < LOOKS:
                await asyncio.sleep(leases.pace.quickest)  # what was asked for may not show yet
                continue
            if following is Step.GONE:
                await leases.vault.drop(_label(self._record))
                await leases.book.ledger.forget(self._ref.key)
                raise leases.gone(self._ref)
            if acts == _ACTS:
                raise self._uncertain()
            acts, looks = acts + 1, 0
            if following is Step.CLEAR:
                await leases.cleared(self._ref, LIMIT)
            elif (access := await self._sent()) is not None:
                await self._accept(access)
                return StreamLease(self._ref, _coming(self._ref))

    async def _sent(self) -> StreamAccess | None:
        """One request; None where what became of it is to be looked at."""
        before = self._record
        kind = await self._leases.kind_of(self._intent)
        await self._leases.vault.drop(_label(before))  # of a cluster that is not there any more
        await self._note(replace(before, stage=Stage.SENT, sends=before.sends + 1))
        try:
            return (await self._provisioned(kind)).value
        except AmbiguousReply as error:
            self._error = error
        except Conflict as error:
            self._error = error
            await self._back_to(before)
            await asyncio.sleep(self._leases.pace.quickest)  # it may be one that is just being deleted
        except IriError:
            await self._back_to(before)
            raise
        log.info("cluster %s: %s; looking at it", self._ref.job_id, self._error, extra=about(ref=self._ref))
        return None

    async def _provisioned(self, kind: str) -> Done[StreamAccess]:
        engine, name = _of(self._ref)
        return await self._leases.api.provision(engine, kind, name, self._intent.settings)

    async def _back_to(self, before: LedgerRecord) -> None:
        """This request certainly did nothing; the doubt that there was before is there still."""
        await self._note(replace(self._record, stage=before.stage))

    async def _accept(self, access: StreamAccess) -> None:
        if self._record.stage is Stage.ACCEPTED:
            return
        await self._leases.vault.keep(_label(self._record), access)  # before it counts as ours
        await self._note(replace(self._record, stage=Stage.ACCEPTED))

    async def _note(self, record: LedgerRecord) -> None:
        now = time.time()
        record = replace(record, asked_at=record.asked_at or now, written_at=now)
        await self._leases.book.write(record, self._owner)
        self._record = record

    def _uncertain(self) -> SubmitUncertain:
        return SubmitUncertain(
            f"cluster {self._ref.job_id} was asked for again and again, and nothing comes of it: "
            f"{self._error}. Ask again with the same key later, or release it",
            key=self._ref.key,
            candidates=(self._ref.job_id or "",),
            facility=self._leases.book.label,
        )


def _coming(ref: JobRef) -> StreamCluster:
    engine, name = _of(ref)
    return StreamCluster(engine, name, state=StreamState.PENDING)


def _of(ref: JobRef) -> tuple[str, str]:
    """Engine and name."""
    engine = engine_of(ref)
    if engine is None or ref.job_id is None:
        raise UsageError(f"{ref} names no cluster of message brokers")
    return engine, ref.job_id


def _label(record: LedgerRecord) -> str:
    """Where the credentials are that the newest request was told.

    Each request has a place of its own: a process that slept over the loss of its claim must not put those of
    an older cluster where they would be taken for these.
    """
    return f"{record.ref} {record.sends}"
