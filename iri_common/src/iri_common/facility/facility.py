"""``Facility``: one configured door, the object that scripts and engines hold."""

from __future__ import annotations

from typing import Any, Self

from iri_common.facility import faces
from iri_common.facility.doors import grades_at
from iri_common.facility.files import FileService
from iri_common.facility.jobs import JobService
from iri_common.facility.networks import NetworkService
from iri_common.facility.profiles import load_profile, profile_names
from iri_common.facility.reservations import AsyncReservations, Reservations, ReservationService
from iri_common.facility.services import (
    AccountService,
    StatusService,
    StorageService,
)
from iri_common.facility.settings import FacilitySettings, make_settings
from iri_common.facility.streams import AsyncStreams, Streams, StreamService
from iri_common.jobs.ledger import FileLedger
from iri_common.model.grades import Grades
from iri_common.model.ports import Ledger, TokenSource


class AsyncFacility:
    """The same door for event loops: every method is awaited, on any loop."""

    def __init__(self, settings: FacilitySettings, ledger: Ledger) -> None:
        self.jobs = faces.AsyncJobs(JobService(settings, ledger))
        self.files = faces.AsyncFiles(FileService(settings, ledger))
        self.status = faces.AsyncStatus(StatusService(settings, ledger))
        self.accounts = faces.AsyncAccounts(AccountService(settings, ledger))
        self.storage = faces.AsyncStorage(StorageService(settings, ledger))
        self.networks = faces.AsyncNetworks(NetworkService(settings, ledger))
        self.streams = AsyncStreams(StreamService(settings, ledger))
        self.reservations = AsyncReservations(ReservationService(settings, ledger))


class Facility:
    """One configured door to a facility. Cheap to make; connections are shared and opened when needed.

    Example:
        >>> facility = Facility.from_profile("nersc")
        >>> facility.jobs.run(JobSpec(executable="/bin/hostname"))

    Args:
        url: Base URL up to and including the API's version (".../api/v2").
        token: A bearer token, or where tokens come from; None for what is public.
        ledger: Where intents are kept; by default files in the user's state directory.
        settings: Further words: name, resource, storage, account, queue, directory, pre_launch,
            guard, guard_directory, on_outage, outage_limit, poll_seconds, ca_file, proxy, dialect, user,
            site, api_version, grant, audit, globus.

    Raises:
        UsageError: for a URL or a word that makes no sense; nothing is sent.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | TokenSource | None = None,
        ledger: Ledger | None = None,
        **settings: Any,
    ) -> None:
        self._set_up(make_settings(url, token=token, **settings), ledger, None)

    @classmethod
    def from_profile(cls, name: str, *, ledger: Ledger | None = None, **overrides: Any) -> Self:
        """The door of a profile (see :mod:`iri_common.facility.profiles`).

        Raises:
            ProfileError: if there is no such profile; names those that exist.
        """
        facility = cls.__new__(cls)
        facility._set_up(load_profile(name, **overrides), ledger, {"ledger": ledger, **overrides})
        return facility

    @staticmethod
    def profiles() -> list[str]:
        """Names that :meth:`from_profile` takes here."""
        return profile_names()

    def _set_up(
        self, settings: FacilitySettings, ledger: Ledger | None, of_profile: dict[str, Any] | None
    ) -> None:
        self._settings = settings
        self._of_profile = of_profile  # what was said beside the profile's name, if it was made from one
        ledger = ledger or FileLedger()
        self.jobs = faces.Jobs(JobService(settings, ledger))
        self.files = faces.Files(FileService(settings, ledger))
        self.status = faces.Status(StatusService(settings, ledger))
        self.accounts = faces.Accounts(AccountService(settings, ledger))
        self.storage = faces.Storage(StorageService(settings, ledger))
        self.networks = faces.Networks(NetworkService(settings, ledger))
        self.streams = Streams(StreamService(settings, ledger))
        self.reservations = Reservations(ReservationService(settings, ledger))
        self.aio = AsyncFacility(settings, ledger)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._settings.label

    @property
    def url(self) -> str:
        """Its base URL."""
        return self._settings.url

    @property
    def directory(self) -> str | None:
        """Where jobs work that name no directory, as it is configured."""
        return self._settings.defaults_for(self._settings.resource).directory

    @property
    def account(self) -> str | None:
        """What jobs are charged to that name no account, as it is configured."""
        return self._settings.defaults_for(self._settings.resource).account

    @property
    def grades(self) -> Grades:
        """How exactly each promise is kept here."""
        return grades_at(self._settings)

    def __repr__(self) -> str:
        return f"Facility({self.name!r}, {self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        words = self._of_profile
        if words is None or words.get("token") is not None or words.get("proxy") is not None:
            raise TypeError(
                f"{self!r} cannot be pickled: its token or its proxy's password would travel along. "
                "Make it from a profile that holds them, or make it anew where it is needed"
            )
        return (_from_profile, (type(self), self._settings.profile, words))


def _from_profile(kind: type[Facility], name: str, words: dict[str, Any]) -> Facility:
    return kind.from_profile(name, **words)
