"""What is on record of leases at one facility: the same for paths, streams and reservations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from iri_common.jobs.claim import claimed
from iri_common.model.errors import Conflict, SpecChanged, UsageError
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.ports import Ledger
from iri_common.model.ref import JobRef


@dataclass(frozen=True, slots=True)
class LeaseBook:
    """The records of one door.

    Attributes:
        ledger: Where they are.
        origin: Of the facility, for references; so are ``dialect`` and ``profile``.
        label: What errors call it.
    """

    ledger: Ledger
    origin: str
    dialect: str
    label: str
    profile: str | None

    def ref(self, resource: str, key: JobKey, lease_id: str) -> JobRef:
        """The reference of a lease."""
        return JobRef(self.origin, self.dialect, resource, key, lease_id, profile=self.profile)

    def claimed(self, key: JobKey, owner: str) -> AbstractAsyncContextManager[JobRef | None]:
        """Hold the claim on a key, or learn that another process brought its lease about meanwhile."""

        async def known() -> JobRef | None:
            return accepted(await self.ledger.read(key), key)

        return claimed(self.ledger, key, owner, known, self.label)

    async def current(
        self, key: JobKey, give_back: Callable[[JobRef], Awaitable[None]]
    ) -> LedgerRecord | None:
        """What is on record of this generation; an earlier one is given back first.

        Raises:
            SpecChanged: if the key was used at another facility, which alone can give that back.
            UsageError: if a later generation was asked for already.
        """
        record = self._here(await self.ledger.read(key), key)
        if record is None or record.generation == key.generation:
            return record
        if record.generation > key.generation:
            raise UsageError(
                f"generation {record.generation} of {key.identity} was asked for already; "
                f"generation {key.generation} is in the past",
                facility=self.label,
            )
        await give_back(JobRef.parse(record.ref))
        await self.ledger.forget(key)
        return None

    async def asked(self, key: JobKey) -> JobRef | None:
        """The lease of this very generation, if one is on record.

        Raises:
            SpecChanged: if it is one of another facility: not to be seen here does not mean that it is gone.
        """
        record = self._here(await self.ledger.read(key), key)
        return JobRef.parse(record.ref) if record and record.generation == key.generation else None

    def _here(self, record: LedgerRecord | None, key: JobKey) -> LedgerRecord | None:
        """A record of this door; None also for an intent of another one, of which nothing has left."""
        if record is None:
            return None
        ref = JobRef.parse(record.ref)
        if (ref.origin, ref.dialect) == (self.origin, self.dialect):
            return record
        if record.stage is Stage.INTENT:
            return None
        raise SpecChanged(
            f"the key {key} was used at {ref.profile or ref.origin} ({record.ref}); give that back there "
            "first",
            facility=self.label,
        )

    async def require_unused(self, key: JobKey, digest: str) -> None:
        """Let nobody begin what would end at a lease of this generation that is another one.

        Raises:
            SpecChanged: if the key was used for that.
        """
        record = self._here(await self.ledger.read(key), key)
        if record is not None and record.generation == key.generation:
            self.require_same(record, key, digest)

    def require_same(self, record: LedgerRecord, key: JobKey, digest: str) -> None:
        """Let nobody take something else under the same key.

        Raises:
            SpecChanged: if it was used for that.
        """
        if record.spec_digest != digest:
            raise SpecChanged(
                f"the key {key} was used for something else ({record.ref}); give that back first, or ask "
                "for the key's next generation",
                facility=self.label,
            )

    async def write(self, record: LedgerRecord, owner: str) -> None:
        """Put it on record, if this is still the process to do so."""
        if not await self.ledger.write(record, owner):
            raise Conflict(
                f"another process took over {record.identity}; ask again with the same key",
                facility=self.label,
            )

    async def of(self, ref: JobRef) -> LedgerRecord | None:
        """What is on record of this very lease."""
        record = await self.ledger.read(ref.key)
        return record if record is not None and JobRef.parse(record.ref).job_id == ref.job_id else None


def accepted(record: LedgerRecord | None, key: JobKey) -> JobRef | None:
    """What a record tells to be there of this generation.

    Whoever waits for another process only looks: an earlier generation is given back with the claim held.
    Without it, the record that would be forgotten in the end may be the new one.
    """
    if record is None or record.generation != key.generation or record.stage is not Stage.ACCEPTED:
        return None
    return JobRef.parse(record.ref)
