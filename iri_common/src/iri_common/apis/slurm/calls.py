"""Requests in the version that is spoken there, which is asked for; and who is to blame where none says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from iri_common.apis.before import before_asking
from iri_common.apis.slurm.rules import LOOKS, UNEXPLAINED
from iri_common.apis.slurm.versions import Site, Version
from iri_common.http.session import Reply, Request, Session
from iri_common.model.errors import NotFound, NotOffered, Refused, TransientError
from iri_common.policy.classify import Outcome

CLUSTER = "cluster"  # a slurmrestd is one resource, and has no name for it


class Calls:
    """Makes the requests of all services.

    Args:
        session: Where to.
        site: What is different there.
        version: To speak without asking.
    """

    def __init__(self, session: Session, site: Site, version: Version | None = None) -> None:
        self.session = session
        self.site = site
        self.label = session.label
        self._given = version
        self._known: dict[str, Version] = {}
        self._asking = asyncio.Lock()
        self._recorded = not site.archived  # whether there may be a database beside slurmctld

    def supposed(self, resource_id: str) -> Version:
        """The version, as far as it is known without asking; else the newest there may be."""
        return self._given or self._known.get(resource_id, self.site.versions[0])

    async def version(self, resource_id: str) -> Version:
        """The newest version that is served there, remembered.

        Raises:
            NotFound: if the resource is another one than there is.
            NotOffered: if it serves none that is spoken here.
        """
        if not self.site.by_resource and resource_id != CLUSTER:
            raise NotFound(
                f"a slurmrestd is one resource, {CLUSTER!r}, and not {resource_id!r}", facility=self.label
            )
        async with self._asking:
            version = self._given or self._known.get(resource_id)
            return version or await self._asked(resource_id)

    async def send(self, resource_id: str, make: Callable[[Version], Request]) -> Reply:
        """Make the request of the version that is served.

        Args:
            resource_id: Of what.
            make: The request, its path without what is before the resource's own part.
        """
        with before_asking():
            version = await self.version(resource_id)
        try:
            return await self._send(version, resource_id, make(version))
        except NotOffered:
            if self._given is not None:
                raise
        # A slurmrestd of another Slurm has taken its place: nobody has looked at the request.
        if self._known.get(resource_id) is version:
            del self._known[resource_id]
        with before_asking():
            version = await self.version(resource_id)
        return await self._send(version, resource_id, make(version))

    async def record(self, resource_id: str, request: Request) -> Reply | None:
        """What the accounting database says; None where it says nothing, or is not shown here."""
        if not self._recorded:
            return None
        version = await self.version(resource_id)
        try:
            return await self.session.send(replace(request, path=f"/slurmdb/{version.name}/{request.path}"))
        except NotOffered:  # slurmrestd was started without it, or the cluster has none
            self._recorded = False
        except Refused:
            pass
        return None

    async def _asked(self, resource_id: str) -> Version:
        for version in self.site.versions:
            ping = Request(operation="ping", method="GET", path="ping")
            try:
                await self._send(version, resource_id, ping)
            except (NotFound, NotOffered):
                continue
            self._known[resource_id] = version
            return version
        names = ", ".join(version.name for version in self.site.versions)
        raise NotOffered(
            f"{self.session.base_url} serves none of Slurm's API versions that are spoken here for "
            f"{resource_id} ({names}); is the base URL right?",
            facility=self.label,
        )

    async def _send(self, version: Version, resource_id: str, request: Request) -> Reply:
        placed = replace(request, path=self.site.path(version, resource_id, request.path))
        try:
            return await self.session.send(placed)
        except Refused as error:
            if self.site.by_resource or not _unexplained(request, error):
                raise
        await self._find_out(version, resource_id)
        try:
            return await self.session.send(placed)
        except Refused as error:
            if not _unexplained(request, error):
                raise
            # As a refusal it would say of a job that slurmctld does not know it.
            raise TransientError(
                f"Slurm's REST service failed and gives no reason: {error.message}",
                facility=self.label,
                operation=request.operation,
                request_id=error.request_id,
                status=error.status,
                outcome=Outcome.BROKEN,
            ) from None

    async def _find_out(self, version: Version, resource_id: str) -> None:
        """Learn whether the token was refused or slurmctld was not there, which a look does not tell apart.

        A cancel does, and there is no job 0.

        Raises:
            AuthError: if it is the token.
            Unreachable: if it is slurmctld.
        """
        with contextlib.suppress(Refused):
            path = self.site.path(version, resource_id, "job/0")
            await self.session.send(Request(operation="cancelJob", method="DELETE", path=path))


def _unexplained(request: Request, error: Refused) -> bool:
    return request.operation in LOOKS and UNEXPLAINED.search(error.message) is not None
