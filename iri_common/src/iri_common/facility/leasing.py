"""What the services of leases share: their book, whose a lease is, and how one is given back for an error."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol, TypeVar

from iri_common.facility.services import Service
from iri_common.jobs.leasebook import LeaseBook
from iri_common.model.errors import Conflict, IriError, SpecChanged, WaitTimeout
from iri_common.model.key import JobKey
from iri_common.model.logfields import about
from iri_common.model.ref import JobRef, origin_of

log = logging.getLogger(__name__)

T = TypeVar("T")


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


def anothers(error: BaseException) -> bool:
    """Whether what stands under a key is another lease than was asked for, or another process is at it.

    Nothing of that is given back by whoever asked in vain.
    """
    if isinstance(error, WaitTimeout):
        return error.ref is None  # for the claim
    return isinstance(error, SpecChanged) or (isinstance(error, Conflict) and error.operation is None)


@contextmanager
def lent(having: Callable[[], T], giving_back: Callable[[BaseException | None], None]) -> Generator[T]:
    """Something that is had, and given back at the end, whatever happens.

    Args:
        having: Asks, and waits until it can be used.
        giving_back: Takes what it is given back for.
    """
    try:
        thing = having()
    except BaseException as error:
        if not anothers(error):
            giving_back(error)
        raise
    try:
        yield thing
    except BaseException as error:
        giving_back(error)
        raise
    giving_back(None)


@asynccontextmanager
async def alent(
    having: Callable[[], Awaitable[T]], giving_back: Callable[[BaseException | None], Awaitable[None]]
) -> AsyncGenerator[T]:
    """The same for event loops."""
    try:
        thing = await having()
    except BaseException as error:
        if not anothers(error):
            await giving_back(error)
        raise
    try:
        yield thing
    except BaseException as error:
        await giving_back(error)
        raise
    await giving_back(None)
