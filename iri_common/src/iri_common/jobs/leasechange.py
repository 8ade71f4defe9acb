"""A path that stands becomes another one: more of it, or for longer."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

from iri_common.jobs.claim import claimed
from iri_common.jobs.leases import ASKS, Leases, id_of
from iri_common.jobs.ledger import claim_owner
from iri_common.model.errors import AmbiguousReply, Conflict
from iri_common.model.logfields import about
from iri_common.model.network import LeaseStatus, NetworkPath, PathIntent
from iri_common.model.ref import JobRef

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseChange:
    """One change.

    Attributes:
        leases: Of the network.
        ref: The path.
        intent: What it shall be, all of it: to ask for that twice is harmless.
        timeout: Seconds until it must be ready to be changed, and seen afterwards.
    """

    leases: Leases
    ref: JobRef
    intent: PathIntent
    timeout: float

    async def made(self) -> NetworkPath:
        """Ask for it, unless it is on record as made.

        Raises:
            Refused: if the network finds no such path; the one that stands is left as it is.
            PathFailed: if it is not up, and will not be.
            SubmitUncertain: if nothing tells whether it was taken.
        """
        book, ref, owner = self.leases.book, self.ref, claim_owner()

        async def known() -> None:
            return None  # whoever holds the claim may be making another change

        async with claimed(book.ledger, ref.key, owner, known, book.label):
            mine = await book.of(ref)
            if mine is not None and mine.spec_digest == self.intent.digest:
                return await self.leases.look(ref)
            path = await self._taken(mine.name if mine else ref.key.job_name(self.intent.name))
            if mine is not None:  # after a crash before this it is asked for once more
                changed = replace(mine, spec_digest=self.intent.digest, written_at=time.time())
                await book.write(changed, owner)
            return path

    async def _taken(self, alias: str) -> NetworkPath:
        asks = 0
        while True:
            before = await self._ready()
            if asks == ASKS:
                raise self.leases.uncertain(self.ref, before)
            asks += 1
            try:
                await self.leases.api.modify(id_of(self.ref), self.intent, alias)
            except (AmbiguousReply, Conflict) as error:
                log.info("path %s: %s; looking at it", self.ref.job_id, error, extra=about(ref=self.ref))
                after = await self._shown()
                if not after.intent_id or after.intent_id == before.intent_id:
                    continue
                return NetworkPath(self.ref, after)
            return NetworkPath(self.ref, await self._shown())

    async def _ready(self) -> LeaseStatus:
        """Wait until it can be changed."""
        watch = self.leases.lookout(self.ref, self.timeout)
        while True:
            status = await watch.look()
            if status is not None:
                self.leases.require_hope(NetworkPath(self.ref, status), watch.absent)
                if status.ready and not status.canceled:
                    return status
            await watch.pause("is not ready")

    async def _shown(self) -> LeaseStatus:
        """How it stands, as soon as the network says so."""
        watch = self.leases.lookout(self.ref, self.timeout)
        while (status := await watch.look()) is None:
            await watch.pause("is not shown")
        return status
