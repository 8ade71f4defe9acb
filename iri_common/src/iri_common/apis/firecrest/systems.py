"""What is known of the systems behind the door, and of the user there; asked for once."""

from __future__ import annotations

import asyncio
import math
import posixpath
import time
from collections.abc import Mapping, Sequence

from iri_common.apis.firecrest.wire import SystemReply, SystemsReply, UserReply
from iri_common.apis.reading import Reading, segment
from iri_common.http.session import Request, Session
from iri_common.model.errors import NotFound, NotOffered

# What FirecREST has beside S3 (docs/decisions/firecrest.md).
_NOT_SPOKEN: Mapping[str, str] = {
    "streamer": "sends them, and the secret that admits to them, unencrypted, and spoils what is sent up",
    "wormhole": "needs a relay on the internet, and does not say whether a file arrived",
}

FRESH = 5.0  # seconds: the server itself looks at its systems once in two minutes


class Systems:
    """The configuration of the systems: what a submit, a home and a transfer depend on.

    A deployment changes it with a restart of its own, so what was read counts for this process; whoever asks
    for the status of the systems reads it anew.

    Args:
        session: The door's.
        user: The name that the user has there, where the profile tells it.
    """

    def __init__(self, session: Session, user: str | None) -> None:
        self._session = session
        self._user = user
        self._systems: Mapping[str, SystemReply] = {}
        self._read_at = -math.inf
        self._users: dict[str, UserReply] = {}
        self._asking = asyncio.Lock()  # for many submits that begin at once, the first asks

    async def read(self, *, fresh: bool = False) -> Sequence[SystemReply]:
        """All systems, as they are now or, unless it shall be ``fresh``, were a moment ago."""
        async with self._asking:
            if fresh or time.monotonic() - self._read_at > FRESH:
                await self._read()
        return list(self._systems.values())

    async def _read(self) -> None:
        reply = await self._session.send(
            Request(operation="get_systems", method="GET", path="/status/systems")
        )
        reading = Reading(self._session.label, "get_systems")
        found = reading.many(SystemReply, reading.one(SystemsReply, reply.value).systems)
        self._systems = {each.name.casefold(): each for each in found}
        self._read_at = time.monotonic()

    def known(self, resource_id: str) -> SystemReply | None:
        """A system as it was read before. The server ignores the case of its name."""
        return self._systems.get(resource_id.casefold())

    @property
    def moves_large_files(self) -> bool:
        """Whether a system has a method for them, as far as is known."""
        return not self._systems or any(each.data_operation.data_transfer for each in self._systems.values())

    @property
    def why_no_links(self) -> str:
        """Why no system signs links, as far as is known; "" if one does."""
        moving = [each for each in self._systems.values() if each.data_operation.data_transfer]
        reasons = [why_no_s3(each) for each in moving]
        return reasons[0] if reasons and all(reasons) else ""

    async def of(self, resource_id: str) -> SystemReply:
        """A system.

        Raises:
            NotFound: if there is none of this name.
        """
        async with self._asking:
            if not self._systems:
                await self._read()
        found = self.known(resource_id)
        if found is None:
            raise NotFound(
                f"{self._session.label} has no system {resource_id!r}",
                facility=self._session.label,
                operation="get_systems",
            )
        return found

    async def user(self, resource_id: str, *, fresh: bool = False) -> UserReply:
        """Who the token is at a system, and what can be charged there."""
        async with self._asking:
            if fresh or resource_id not in self._users:
                path = f"/status/{segment(resource_id, 'system')}/userinfo"
                reply = await self._session.send(Request(operation="get_userinfo", method="GET", path=path))
                reading = Reading(self._session.label, "get_userinfo")
                self._users[resource_id] = reading.one(UserReply, reply.value)
        return self._users[resource_id]

    async def user_name(self, resource_id: str) -> str:
        """The user's name at a system."""
        return self._user or (await self.user(resource_id)).user.name

    @property
    def known_user(self) -> str | None:
        """The user's name, as far as anybody has told it, and where all systems tell the same."""
        names = {self._user} if self._user else {each.user.name for each in self._users.values()}
        return names.pop() if len(names) == 1 else None

    async def home(self, resource_id: str) -> str:
        """The user's home as jobs see it.

        No request tells it, so it is what FirecREST itself takes for granted: a directory with the user's
        name in the file system of all users, or else in the one that its own jobs work in.

        Raises:
            NotOffered: if the system names neither.
        """
        root = home_root(await self.of(resource_id))
        if root is None:
            raise NotOffered(
                f"{resource_id} names no file system with homes; give the job's `directory`, and a guard "
                "directory in the profile",
                facility=self._session.label,
                operation="get_systems",
            )
        return posixpath.join(root, await self.user_name(resource_id))

    async def work(self, resource_id: str) -> str:
        """Where FirecREST has its own jobs work, and keeps their logs."""
        works = [each.path for each in (await self.of(resource_id)).file_systems if each.default_work_dir]
        if not works:
            return await self.home(resource_id)
        return posixpath.join(works[0], await self.user_name(resource_id))

    async def account(self, resource_id: str) -> str | None:
        """What a transfer's job is charged to, where this system wants that said."""
        directives = (await self.of(resource_id)).data_operation.datatransfer_jobs_directives
        if not any("{account}" in each for each in directives):
            return None
        accounts = (await self.user(resource_id)).accounts
        chosen = next((each for each in accounts if each.default), accounts[0] if accounts else None)
        return chosen.name if chosen else None


def home_root(system: SystemReply) -> str | None:
    """The directory that has the users' homes in it; None if the system names none."""
    homes = [each.path for each in system.file_systems if each.data_type == "users"]
    works = [each.path for each in system.file_systems if each.default_work_dir]
    return next(iter([*homes, *works]), None)


def why_no_s3(system: SystemReply) -> str:
    """Why large files do not go over S3 there, for people; "" if they do."""
    method = system.data_operation.data_transfer
    if method is None:
        return f"{system.name} has no transfers over S3"
    if method.service_type == "s3":
        return ""
    told = _NOT_SPOKEN.get(method.service_type, "is not spoken here")
    return f"{system.name} moves large files by {method.service_type!r} alone, which {told}"
