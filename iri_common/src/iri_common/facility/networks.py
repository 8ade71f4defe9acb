"""Paths through a network, as they are asked for on the I/O loop."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from iri_common.facility.granted import speak_for
from iri_common.facility.leasing import LeaseService
from iri_common.facility.preview import shown
from iri_common.jobs.leasechange import LeaseChange
from iri_common.jobs.leases import Leases, OnChange, id_of
from iri_common.model.errors import IriError, NotOffered, UsageError
from iri_common.model.key import JobKey
from iri_common.model.network import (
    NetworkPath,
    NetworkProfile,
    PathIntent,
    PathOffer,
    PathPort,
    PathProof,
    Quality,
)
from iri_common.model.networkports import NetworkDialect, NetworksApi
from iri_common.model.ports import WireRequest
from iri_common.model.ref import JobRef
from iri_common.policy.operations import ask_of

NEW_ID = "ID"
LIMIT = 1200.0  # seconds: paths over several domains take minutes


class NetworkService(LeaseService):
    """Leases paths."""

    async def profiles(self) -> Sequence[NetworkProfile]:
        """Paths that the network's operators describe, to ask for by id."""
        return (await self._api.profiles()).value

    async def negotiate(self, intent: PathIntent) -> PathOffer:
        """What the network could give; nothing is reserved, and nothing is left behind.

        Raises:
            Refused: if it finds no such path.
        """
        await self.admit(intent)
        api = self._api
        lease_id = (await api.new()).value
        try:
            return (await api.compute(lease_id, intent, JobKey.random().job_name(intent.name))).value
        finally:
            with contextlib.suppress(IriError):  # it holds nothing
                await api.delete(lease_id)

    async def admit(self, intent: PathIntent) -> None:
        """Refuse what the profile may not be used for before anything is begun for it.

        Raises:
            GrantExceeded: saying what would be allowed.
        """
        await self.door.gate.admit(ask_of("networks", "compute", {"intent": intent}))

    async def preview(
        self, intent: PathIntent, *, key: JobKey | None = None, change: JobRef | None = None
    ) -> Sequence[WireRequest]:
        """What :meth:`provision` would send, or :meth:`modify` of a path; nothing is sent.

        In the place of the id that the network gives for a new path they have :data:`NEW_ID`. The second one
        may name what the first was answered with.

        Raises:
            GrantExceeded: if it may not be sent.
        """
        await self.admit(intent)
        alias = (key or JobKey.random()).job_name(intent.name)
        if change is not None:
            known = await self.book.of(change)
            alias = known.name if known else change.key.job_name(intent.name)
            return shown(self.settings, self._api.modify_request(id_of(change), intent, alias))
        return shown(self.settings, *self._api.provision_requests(NEW_ID, intent, alias))

    async def provision(self, intent: PathIntent, *, key: JobKey | None = None) -> NetworkPath:
        """Ask for a path, once for a key until it is given back; :meth:`wait` waits until it is up.

        Args:
            intent: The path.
            key: Who asks; without one nobody can ask again for the same.

        Raises:
            Refused: if the network finds no such path.
            SpecChanged: if the key was used for another path, which still stands.
            SubmitUncertain: if nothing tells whether it was taken; the same key settles it later.
        """
        asker = key or JobKey.random()
        speak_for(asker)
        await self.admit(_sensible(intent))
        return await self._leases.provision(intent, asker, search=key is not None)

    async def status(self, path: NetworkPath | JobRef | str) -> NetworkPath:
        """How a path stands; state MISSING if there is none."""
        return await self._leases.look(self.own(path))

    async def wait(
        self,
        path: NetworkPath | JobRef | str,
        *,
        timeout: float = LIMIT,
        on_change: OnChange | None = None,
    ) -> NetworkPath:
        """Wait until a path is ready at the network and stable at the sites.

        Raises:
            PathFailed: if it will not be: failed, expired, given back.
            WaitTimeout: if it is not up after so many seconds; it is left as it is.
        """
        return await self._leases.wait(self.own(path), timeout, on_change)

    async def modify(
        self, path: NetworkPath | JobRef | str, intent: PathIntent, *, timeout: float = LIMIT
    ) -> NetworkPath:
        """Have a path that is ready become what is meant now: another bandwidth, another schedule.

        Its key stands for the new intent from then on; :meth:`wait` waits until it is up again.

        Args:
            path: Which.
            intent: All of what is wanted, not what is different.
            timeout: Seconds until it must be ready to be changed, and the change taken.

        Raises:
            Refused: if the network finds no such path; the one that stands is left as it is.
            PathFailed: if it is not up, and will not be.
            WaitTimeout: if it is not ready after so many seconds.
            SubmitUncertain: if nothing tells whether it was taken; the same call settles it later.
        """
        ref = self.own(path)
        await self.admit(_sensible(intent))
        return await LeaseChange(self._leases, ref, intent, timeout).made()

    async def manifest(self, path: NetworkPath | JobRef | str) -> Sequence[PathPort]:
        """The ports that a path goes through, with the VLANs and addresses that it was given there."""
        ref = self.own(path)
        return (await self._api.manifest(ref.job_id or "")).value

    async def mine(self) -> Sequence[JobRef]:
        """Those that are on record here; how each stands, :meth:`status` tells."""
        book, records = self._leases.book, await self.ledger.records()
        refs = [JobRef.parse(each.ref) for each in records]
        return [each for each in refs if (each.origin, each.dialect) == (book.origin, book.dialect)]

    async def verify(self, path: NetworkPath | JobRef | str) -> PathProof:
        """What the sites were seen to have configured."""
        ref = self.own(path)
        return (await self._api.verification(ref.job_id or "")).value

    async def cancel(self, path: NetworkPath | JobRef | str, *, timeout: float = LIMIT) -> NetworkPath:
        """End a path, by force if it is not ready, and wait until the sites have cleared it away.

        Raises:
            PathFailed: if its end fails: what it holds is freed by a person only.
            WaitTimeout: if it has not ended after so many seconds.
        """
        return await self._leases.cancel(self.own(path), timeout)

    async def delete(self, path: NetworkPath | JobRef | str) -> None:
        """Forget a path that has ended; its key may then ask for another one.

        Raises:
            Conflict: if it has not ended.
        """
        await self._leases.delete(self.own(path))

    async def give_back(
        self, key: JobKey, *, timeout: float = LIMIT, because: BaseException | None = None
    ) -> None:
        """Cancel and delete whatever was asked for under a key, if anything.

        Where nothing is on record here it is looked for by the key in its name, unless it is for an error:
        what an ask in vain has not brought about is somebody else's.

        Args:
            key: Whose.
            timeout: Seconds for its end.
            because: What it is given back for; counts more than what goes wrong here, which is logged.
        """
        speak_for(key)
        leases, search = self._leases, because is None
        await self.given_back("path", key, lambda: leases.give_back(key, timeout, search=search), because)

    @property
    def _api(self) -> NetworksApi:
        dialect = self.door.dialect
        if not isinstance(dialect, NetworkDialect):
            raise NotOffered(
                f'{self.settings.label} leases no paths; a profile with dialect = "sense" does',
                facility=self.settings.label,
            )
        return dialect.networks

    @property
    def _leases(self) -> Leases:
        return Leases(self._api, self.book, self.settings.pace)


def _sensible(intent: PathIntent) -> PathIntent:
    guaranteed = intent.quality in {Quality.GUARANTEED, Quality.SOFT}
    if intent.profile is None and guaranteed and not intent.mbps:
        raise UsageError("a path with guaranteed bandwidth needs mbps; negotiate tells what there is")
    return intent
