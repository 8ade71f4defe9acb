"""What the services of leases share: their book, whose a lease is, and how one is given back for an error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from iri_common.facility.services import Service
from iri_common.jobs.leasebook import LeaseBook
from iri_common.model.errors import IriError
from iri_common.model.key import JobKey
from iri_common.model.logfields import about
from iri_common.model.ref import JobRef, origin_of

log = logging.getLogger(__name__)


class Leased(Protocol):
    """A lease as a look showed it."""

    @property
    def ref(self) -> JobRef:
        """Finds it again."""
        ...


class LeaseService(Service):
    """Leases something, and has it on record."""

    @property
    def book(self) -> LeaseBook:
        """What is on record of this door."""
        settings = self.settings
        origin = origin_of(settings.url)
        return LeaseBook(self.ledger, origin, settings.dialect, settings.label, settings.profile)

    def own(self, lease: Leased | JobRef | str) -> JobRef:
        """The reference of a lease at this door.

        Raises:
            UsageError: if it is at another one.
        """
        ref = JobRef.parse(lease) if isinstance(lease, str) else lease
        ref = ref if isinstance(ref, JobRef) else ref.ref
        self.settings.require_own(ref)
        return ref

    async def given_back(
        self, what: str, key: JobKey, giving: Callable[[], Awaitable[None]], because: BaseException | None
    ) -> None:
        """Give a lease back; where that is for an error, this one counts more than what goes wrong here."""
        try:
            await giving()
        except IriError as error:
            if because is None:
                raise
            fields = about(key=key, error=error)
            log.warning("the %s of %s could not be given back: %s", what, key, error, extra=fields)
