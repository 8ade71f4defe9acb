"""Paths through a network: asked for once, waited for, given back whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from iri_common.jobs.leasebook import LeaseBook
from iri_common.jobs.ledger import claim_owner
from iri_common.jobs.lookout import LOOKS, Lookout
from iri_common.model.errors import (
    AmbiguousReply,
    Conflict,
    IriError,
    NotFound,
    PathFailed,
    Refused,
    SubmitUncertain,
    UsageError,
)
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.logfields import about
from iri_common.model.network import LeaseState, LeaseStatus, NetworkPath, PathIntent
from iri_common.model.networkports import NetworksApi
from iri_common.model.ref import JobRef
from iri_common.policy.leases import Step, WayOut, step, way_out
from iri_common.policy.pace import Pace

log = logging.getLogger(__name__)

NETWORK = "network"  # the one resource of an orchestrator, in references
ASKS = 4  # requests for one path, each after looks that show nothing of the one before
_AGAIN = 15.0  # paces after which a cancel that shows no effect is asked for once more

OnChange = Callable[[LeaseStatus], None]


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of one user at one network.

    Attributes:
        api: The network's.
        book: Where the id of a lease is kept before anything is reserved under it.
        pace: How often to look.
    """

    api: NetworksApi
    book: LeaseBook
    pace: Pace

    # -- asking

    async def provision(self, intent: PathIntent, key: JobKey, *, search: bool) -> NetworkPath:
        """Ask for a path once, however often this is called with the key.

        Args:
            intent: The path.
            key: Who asks.
            search: Somebody may have asked under this key with another ledger.

        Raises:
            SpecChanged: if the key was used for another path, which still stands.
            SubmitUncertain: if nothing tells whether it was taken.
        """
        owner = claim_owner()
        async with self.book.claimed(key, owner):
            deadline = time.monotonic() + 1200.0
            record = await self.book.current(key, lambda ref: self._given_back(ref, deadline))
            fresh = False
            if record is None:
                record, fresh = await self._begun(intent, key, owner, search=search)
            self.book.require_same(record, key, intent.digest)
            return await self._taken(intent, record, owner, fresh=fresh)

    async def _begun(
        self, intent: PathIntent, key: JobKey, owner: str, *, search: bool
    ) -> tuple[LedgerRecord, bool]:
        """The lease that was asked for under this key elsewhere, or one that is new (True)."""
        alias = key.job_name(intent.name)
        found = await self._found(alias, key) if search else None
        lease_id = found or (await self.api.new()).value
        ref = self.book.ref(NETWORK, key, lease_id)
        record = LedgerRecord(
            key.identity, key.generation, Stage.INTENT, str(ref), intent.digest, time.time(), name=alias
        )
        # On the disk before anything is stored under this id: nobody else could find it again.
        await self.book.write(record, owner)
        return record, found is None

    async def _found(self, alias: str, key: JobKey) -> str | None:
        found = [
            each.lease_id
            for each in (await self.api.find(alias)).value
            if each.alias == alias and way_out(each) is not WayOut.NOTHING and not each.canceled
        ]
        if len(found) > 1:
            raise SubmitUncertain(
                f"{self.book.label} has several paths named {alias} ({', '.join(found)}); cancel and delete "
                "those that nobody needs",
                key=key,
                candidates=tuple(found),
                facility=self.book.label,
            )
        return found[0] if found else None

    async def _taken(
        self, intent: PathIntent, record: LedgerRecord, owner: str, *, fresh: bool
    ) -> NetworkPath:
        ref = JobRef.parse(record.ref)
        lease_id, intent_id = id_of(ref), None
        asked, asks, looks = record.stage is not Stage.INTENT, 0, 0
        while True:
            # The network knows nothing yet of an id that is new.
            status = LeaseStatus(lease_id, LeaseState.NEW) if fresh else (await self.look(ref)).status
            fresh, looks = False, looks + 1
            following = step(status, asked=asked)
            if following is Step.THERE:
                if record.stage is not Stage.ACCEPTED:
                    await self.book.write(_at(record, Stage.ACCEPTED), owner)
                return NetworkPath(ref, status)
            if following is Step.COMPUTE:
                intent_id = await self._computed(lease_id, intent, record)
                record, asked = _at(record, Stage.SENT), True
                await self.book.write(record, owner)
            elif looks < LOOKS:  # what was asked for may not show yet
                await asyncio.sleep(self.pace.quickest)
                continue
            elif following is Step.GONE:
                raise await self._gone(NetworkPath(ref, status))
            if asks == ASKS:
                raise self.uncertain(ref, status)
            asks, looks = asks + 1, 0
            await self._sent(lease_id, intent_id, ref)

    async def _gone(self, path: NetworkPath) -> PathFailed:
        await self.book.ledger.forget(path.ref.key)
        return PathFailed(
            f"path {path.id} is not there any more: somebody has deleted it. Asked for again, there will "
            "be another one",
            path=path,
            facility=self.book.label,
        )

    def uncertain(self, ref: JobRef, status: LeaseStatus) -> SubmitUncertain:
        """The error for one that was asked for, and nothing of it shows."""
        return SubmitUncertain(
            f"path {status.lease_id} was asked for {ASKS} times, and {self.book.label} shows it as "
            f"{status.words}; ask again with the same key, or look at it there",
            key=ref.key,
            candidates=(status.lease_id,),
            facility=self.book.label,
        )

    async def _sent(self, lease_id: str, intent_id: str | None, ref: JobRef) -> None:
        """One request; what became of it where that is not told shows in the status."""
        try:
            await self.api.provision(lease_id, intent_id)
        except (AmbiguousReply, Conflict) as error:
            log.info("path %s: %s; looking at it", lease_id, error, extra=about(ref=ref))

    async def _computed(self, lease_id: str, intent: PathIntent, record: LedgerRecord) -> str:
        try:
            return (await self.api.compute(lease_id, intent, record.name)).value.intent_id
        except Refused:
            with contextlib.suppress(IriError):  # nothing is reserved for it; the reason counts
                await self.api.delete(lease_id)
            await self.book.ledger.forget(JobKey(record.identity))
            raise

    # -- waiting

    async def look(self, ref: JobRef) -> NetworkPath:
        """How it stands."""
        return NetworkPath(ref, (await self.api.status(id_of(ref))).value)

    async def wait(self, ref: JobRef, timeout: float, on_change: OnChange | None = None) -> NetworkPath:
        """Wait until it is ready and stable.

        Raises:
            PathFailed: if it will not be.
            WaitTimeout: if it is not after so many seconds; it is left as it is.
        """
        watch = self.lookout(ref, timeout, on_change)
        while True:
            status = await watch.look()
            if status is not None:
                path = NetworkPath(ref, status)
                if path.up:
                    return path
                self.require_hope(path, watch.absent)
            await watch.pause("is not up")

    def lookout(self, ref: JobRef, timeout: float, on_change: OnChange | None = None) -> Lookout[LeaseStatus]:
        """Looks at one, up to a limit."""

        async def look() -> LeaseStatus:
            return (await self.look(ref)).status

        return Lookout(f"path {ref.job_id}", look, ref, self.book.label, self.pace, timeout, on_change)

    def require_hope(self, path: NetworkPath, absent: int) -> None:
        """Let nobody wait for a path that will not be up; ``absent`` looks in a row have missed it.

        Raises:
            PathFailed: if it will not be.
        """
        status = path.status
        gone = status.missing and absent >= LOOKS
        ends = {
            LeaseState.FAILED: "failed; its manifest and log at the orchestrator tell more",
            LeaseState.EXPIRED: "has expired",
            LeaseState.ENDING: "is being given back",
            LeaseState.ENDED: "was given back",
        }
        if gone or status.state in ends:
            what = "is not there any more" if gone else f"{ends[status.state]} ({status.words})"
            raise PathFailed(f"path {path.id} {what}", path=path, facility=self.book.label)

    # -- giving back

    async def cancel(self, ref: JobRef, timeout: float) -> NetworkPath:
        """Ask for its end and wait until the sites have cleared it away; it is not forgotten then.

        Raises:
            PathFailed: if its end fails: what it holds is freed by a person only.
            WaitTimeout: if it has not ended after so many seconds.
        """
        watch = self.lookout(ref, timeout)
        canceled_at: float | None = None
        while True:
            status = await watch.look()
            way = way_out(status) if status else WayOut.WAIT
            if status and way is WayOut.NOTHING and watch.absent >= LOOKS:
                return NetworkPath(ref, status)
            if status and way is WayOut.DELETE:
                return NetworkPath(ref, status)
            if status and way is WayOut.STUCK:
                raise PathFailed(
                    f"the end of path {status.lease_id} failed ({status.words}), and it may hold what it "
                    "has; ask those who run the orchestrator",
                    path=NetworkPath(ref, status),
                    facility=self.book.label,
                )
            now = time.monotonic()
            again = canceled_at is None or now - canceled_at > _AGAIN * self.pace.quickest
            if way in {WayOut.CANCEL, WayOut.FORCE} and again:
                canceled_at = now
                await self._cancel(ref, force=way is WayOut.FORCE)
            await watch.pause("has not ended")

    async def _cancel(self, ref: JobRef, *, force: bool) -> None:
        try:
            await self.api.cancel(id_of(ref), force=force)
        except (AmbiguousReply, Conflict) as error:
            log.info("cancel of path %s: %s; looking at it", ref.job_id, error, extra=about(ref=ref))
        except IriError as error:
            if not (error.transient or isinstance(error, NotFound)):
                raise

    async def delete(self, ref: JobRef) -> None:
        """Have the network forget one that has ended, or was never asked for.

        Raises:
            Conflict: if it stands: its resources would be held by nothing that anybody can see.
        """
        status = (await self.api.status(id_of(ref))).value
        way = way_out(status)
        if way not in {WayOut.DELETE, WayOut.NOTHING}:
            raise Conflict(
                f"path {status.lease_id} is {status.state} ({status.words}); cancel it, and delete it when "
                "it has ended",
                facility=self.book.label,
            )
        if way is WayOut.DELETE:
            with contextlib.suppress(NotFound):
                await self.api.delete(status.lease_id)
        if await self.book.of(ref) is not None:
            await self.book.ledger.forget(ref.key)

    async def give_back(self, key: JobKey, timeout: float, *, search: bool) -> None:
        """Leave nothing of what was asked for under a key.

        Args:
            key: Whose.
            timeout: Seconds for its end.
            search: Where nothing is on record, it may have been asked for with another ledger.
        """
        deadline, ref = time.monotonic() + timeout, await self.book.asked(key)
        refs = [ref] if ref is not None else []
        if search and await self.book.ledger.read(key) is None:
            refs = await self._named(key)
        for each in refs:
            await self._given_back(each, deadline)

    async def _named(self, key: JobKey) -> Sequence[JobRef]:
        leases = (await self.api.find(f".{key.tag}")).value
        return [self.book.ref(NETWORK, key, each.lease_id) for each in leases if key.names(each.alias)]

    async def _given_back(self, ref: JobRef, deadline: float) -> None:
        for left in (2, 1, 0):
            await self.cancel(ref, max(0.0, deadline - time.monotonic()))
            try:
                await self.delete(ref)
                return
            except Conflict:  # a request that was still on its way when it was looked at has been taken
                if not left:
                    raise
            await asyncio.sleep(self.pace.quickest)


def _at(record: LedgerRecord, stage: Stage) -> LedgerRecord:
    now = time.time()
    return replace(record, stage=stage, asked_at=record.asked_at or now, written_at=now)


def id_of(ref: JobRef) -> str:
    """The network's id.

    Raises:
        UsageError: if the reference names none.
    """
    if ref.job_id is None:
        raise UsageError(f"{ref} names no path")
    return ref.job_id
