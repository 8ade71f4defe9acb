"""Whose jobs these are: squeue shows everybody's, so a list is asked for by name."""

from __future__ import annotations

from iri_common.apis.reading import Reading
from iri_common.apis.superfacility.wire import UserReply
from iri_common.http.session import Request, Session


class Owner:
    """The user that the client acts for.

    Args:
        session: Where to ask.
        user: The name, where the profile tells it; asked for once otherwise.
    """

    def __init__(self, session: Session, user: str | None) -> None:
        self._session = session
        self._user = user

    @property
    def known(self) -> str | None:
        """The name, as far as anybody has told it."""
        return self._user

    async def name(self) -> str:
        """The name, as it is known."""
        return self._user or await self.told()

    async def told(self) -> str:
        """The name, asked for."""
        reply = await self._session.send(Request(operation="read_user", method="GET", path="/account/"))
        name = Reading(self._session.label, "read_user").one(UserReply, reply.value).name
        self._user = self._user or name
        return name
