"""Who the token speaks for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from iri_common.apis.reading import Reading
from iri_common.apis.slurm.calls import CLUSTER, Calls
from iri_common.apis.slurm.tokens import IntrospectReply, ProjectToken, project_token
from iri_common.http.session import Request, Session
from iri_common.model.credential import Principal, Term
from iri_common.model.errors import NotOffered
from iri_common.model.facility import Allocation, Capability, Project
from iri_common.model.outcome import Done


class _NoAllocations:
    """Neither slurmrestd nor S3M tells what is left to use."""

    def __init__(self, label: str) -> None:
        self._label = label

    async def capabilities(self) -> Done[Sequence[Capability]]:
        """Not told."""
        raise self._lacks("units of allocations")

    async def project_allocations(self, project_id: str) -> Done[Sequence[Allocation]]:
        """Not told."""
        raise self._lacks("allocations")

    async def user_allocations(self, project_id: str, allocation_id: str) -> Done[Sequence[Allocation]]:
        """Not told."""
        raise self._lacks("allocations")

    def _lacks(self, what: str) -> NotOffered:
        return NotOffered(
            f"this API tells nothing of {what}; ask sacctmgr or the facility's web page", facility=self._label
        )


class SlurmAccounts(_NoAllocations):
    """The user whose token it is, by what the profile says.

    Args:
        calls: Makes the requests.
        user: As the profile names it.
    """

    def __init__(self, calls: Calls, user: str | None) -> None:
        super().__init__(calls.label)
        self._calls = calls
        self._user = user

    async def check_token(self) -> Done[str | None]:
        """Have slurmctld judge it; it takes a token for no other user than the one that is named."""
        request = Request(operation="ping", method="GET", path="ping")
        await self._calls.send(CLUSTER, lambda version: request)
        return Done(self._user)

    @property
    def known_user(self) -> str | None:
        """As the profile names it: slurmctld takes a token for no other one."""
        return self._user

    async def whoami(self) -> Done[str]:
        """The user that the profile names, if slurmctld takes the token for that one."""
        user = (await self.check_token()).value
        if user is None:
            raise NotOffered(
                "Slurm does not tell whose a token is; name the user in the profile", facility=self._label
            )
        return Done(user)

    async def projects(self) -> Done[Sequence[Project]]:
        """Not told."""
        raise self._lacks("accounts")


class S3mAccounts(_NoAllocations):
    """The project's automation user, by introspection."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.label)
        self._session = session
        self._one_time: ProjectToken | None = None

    async def introspect(self) -> Done[ProjectToken]:
        """What S3M tells of the token. A one-time token is used up by that, and never asked about again."""
        if self._one_time is not None:
            return Done(self._one_time)
        operation = "introspectToken"
        reply = await self._session.send(
            Request(operation=operation, method="GET", path="/olcf/v1/token/ctls/introspect")
        )
        token = project_token(Reading(self._session.label, operation).one(IntrospectReply, reply.value))
        self._one_time = token if token.one_time else None
        return Done(token)

    async def concerns(self) -> Done[Sequence[str]]:
        """Its end, its beginning, and what it may not do."""
        return Done((await self.introspect()).value.concerns(datetime.now(UTC)))

    async def term(self, client_id: str | None) -> Done[Term]:
        """Its delayed start and its planned end; the token itself tells neither."""
        token = (await self.introspect()).value
        return Done(Term(token.begins, token.expires))

    async def principal(self) -> Done[Principal]:
        """The project, and its automation user."""
        token = (await self.introspect()).value
        why = "jobs run as the project's user, not as the person: it needs group access to a person's files"
        return Done(Principal(f"project {token.project}", token.user or None, why))

    async def check_token(self) -> Done[str | None]:
        """The user that jobs will belong to."""
        return Done((await self.introspect()).value.user or None)

    async def whoami(self) -> Done[str]:
        """The user that jobs will belong to; it is no person."""
        token = (await self.introspect()).value
        return Done(token.user)

    async def projects(self) -> Done[Sequence[Project]]:
        """The one project that the token is bound to."""
        token = (await self.introspect()).value
        users = (token.user,) if token.user else ()
        return Done([Project(token.project, token.project, user_ids=users)] if token.project else [])
