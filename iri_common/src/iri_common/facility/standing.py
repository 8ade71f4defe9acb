"""How a door's credential stands: asked for when somebody wants to know, and watched at each submit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from iri_common.apis.globus import GlobusCredential
from iri_common.auth.claims import moment_of, term_of
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.auth.shared import SharedTokens, asking
from iri_common.facility.collections import open_globus
from iri_common.model.credential import (
    Credential,
    CredentialFacts,
    CredentialState,
    Principal,
    Renewal,
    SourceFacts,
    Term,
)
from iri_common.model.errors import AuthError, IriError, NotOffered, PermissionDenied, ReplyError
from iri_common.model.logfields import about
from iri_common.model.ports import (
    Dialect,
    KnownUserApi,
    PrincipalApi,
    TellingSource,
    TermApi,
    Token,
    TokenSource,
)
from iri_common.policy.credential import judge, moment
from iri_common.policy.queues import QueueSign
from iri_common.policy.sizes import duration

log = logging.getLogger(__name__)

CLIENTS_STAY_FRESH = 6 * 3600.0  # seconds
CLIENT_ENDS_SOON = timedelta(days=1)  # the shortest-lived ones live for two
LONGEST_QUEUE = timedelta(days=7)  # a credential that lasts for so much longer outlives any that is known
WAIT_LASTS = 30.0  # seconds after which a wait is worth a request for whose job it is

Sign = Callable[[bool], Awaitable[QueueSign | None]]
"""Tells how long a queue is; by a request only if it is worth one."""

NONE = Credential(
    CredentialState.NEEDS_PERSON,
    "no credential",
    why="none is configured; only what is public can be seen",
    mend='add token = { file = "…" } or a client to the profile, or give --token-env or --token-file',
)


@dataclass(slots=True)
class Standing:
    """What is known of a door's credential.

    Attributes:
        label: What messages call the door.
        dialect: Whose accounts are asked.
        source: Where tokens come from; None for a door without a credential.
        tokens: Its keeper.
        runs_jobs: There are jobs that can belong to somebody.
    """

    label: str = ""
    dialect: Dialect | None = None
    source: TokenSource | None = None
    tokens: TokenKeeper | None = None
    runs_jobs: bool = True
    _lasting: Term = field(default_factory=Term)
    _asked_at: float | None = None
    _warned: set[datetime] = field(default_factory=set[datetime])
    _whose: tuple[Token | str | None, Principal | None] | None = None
    _learning: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def credential(self) -> Credential:
        """What it is worth now; at most one request to the facility's API, beside that for a token."""
        if self.source is None or self.tokens is None or self.dialect is None:
            return NONE
        return judge(await self._facts(self.source, self.tokens, self.dialect), datetime.now(UTC))

    # -- before a submit

    async def warn(self, seconds: float | None, sign: Sign | None = None) -> None:
        """Say so once if it is known to end before a job of this length would, after its wait in the queue.

        Only a warning: the job does not suffer from that, but whoever waits for it has to mend it meanwhile.
        A client is told of a day before, because a person has to make the next one.

        Args:
            seconds: That the job may run; None where that is not known.
            sign: Tells how long it may wait before; without one that is not counted.
        """
        if self.source is None or self.tokens is None or self.dialect is None:
            return
        known = facts_of(self.source)
        token_ends = None
        with suppress(IriError):  # the submit itself tells
            token = await self.tokens.token()
            token_ends = None if known.renewal is Renewal.ITSELF else _term(token).ends
            await self._look_at_client(self.dialect)
        now = datetime.now(UTC)
        over = now + timedelta(seconds=seconds or 0)
        ends = [each for each in (token_ends, self._lasting.ends) if each is not None]
        queue = None
        if sign is not None and ends:
            undecided = over <= min(ends) < over + LONGEST_QUEUE
            queue = await sign(undecided and known.renewal is not Renewal.ITSELF)
        over += timedelta(seconds=queue.seconds if queue else 0)
        deadline = max(over, now + CLIENT_ENDS_SOON) if self.client else over
        if not ends or min(ends) >= deadline or min(ends) in self._warned:
            return
        self._warned.add(min(ends))
        waits = f"some {duration(queue.seconds)} in the queue counted, {queue.because}" if queue else ""
        log.warning(
            "%s works at %s until %s: %s. Jobs that take longer (%s) run on in any case, and what waits for "
            "them goes on once that is done",
            known.identity,
            self.label,
            moment(min(ends)),
            known.mend,
            waits or "time in the queue not counted",
            extra=about(facility=self.label),
        )

    # -- in whose name

    async def principal(self) -> Principal:
        """Whom the token speaks for and whom jobs will belong to, asked for.

        Raises:
            NotOffered: if this API has no word for it.
        """
        assert self.dialect is not None
        accounts = self.dialect.accounts
        if isinstance(accounts, PrincipalApi):
            found = (await accounts.principal()).value
        else:
            found = self._named((await accounts.whoami()).value)
        self._whose = (self._basis, found)
        return found

    async def whose(self) -> Principal | None:
        """The same, asked for once a token; None where nobody tells, or nobody can be asked now."""
        async with self._learning:
            if self._answered or self.known is not None:
                return self.known
            try:
                return await self.principal()
            except IriError as error:
                if not self._passes(error):
                    self._whose = (self._basis, None)
                return None

    @property
    def known(self) -> Principal | None:
        """The same, as far as it is known without a request."""
        if self._answered and self._whose is not None:
            return self._whose[1]
        accounts = self.dialect.accounts if self.dialect is not None else None
        user = accounts.known_user if isinstance(accounts, KnownUserApi) else None
        return self._named(user) if user else None

    @asynccontextmanager
    async def learned_beside(self) -> AsyncGenerator[Standing]:
        """Around a wait: one that lasts learns meanwhile whose its job is, if nobody knows yet."""
        if self.known is not None or self._answered or self.dialect is None:
            yield self
            return
        learning = asyncio.create_task(self._learn_later())
        try:
            yield self
        finally:
            learning.cancel()

    async def _learn_later(self) -> None:
        pause = WAIT_LASTS
        while self.known is None and not self._answered:
            await asyncio.sleep(pause)
            await self.whose()
            pause *= 2  # what cannot be asked for so long is asked less often

    def _passes(self, error: IriError) -> bool:
        """Whether the same question may be answered later, with the same token or login."""
        if isinstance(error, AuthError):  # a token that is refused stays so; a login's next one may do
            return not isinstance(self._basis, Token)
        return error.transient or isinstance(error, ReplyError)

    @property
    def _answered(self) -> bool:
        """Whether that was asked for what is in use: another token or login may be another person's."""
        if self._whose is None:
            return False
        asked, basis = self._whose[0], self._basis
        return asked == basis if isinstance(basis, str) else asked is basis

    @property
    def _basis(self) -> Token | str | None:
        """What an answer holds for: a token, or what tokens come from by themselves."""
        if self.source is not None and facts_of(self.source).renewal is Renewal.ITSELF:
            return self.source.entry if isinstance(self.source, SharedTokens) else ""
        return self.tokens.held if self.tokens is not None else None

    def _named(self, user: str) -> Principal:
        return Principal(user, user if self.runs_jobs else None)

    # -- how it is done

    @property
    def client(self) -> str | None:
        """The API client whose key is used, as far as its source has read it."""
        source = asking(self.source)
        return source.client_id if isinstance(source, PrivateKeyJwt) else None

    async def _look_at_client(self, dialect: Dialect) -> None:
        """When the client dies; seldom asked, and never of a token that one look may use up."""
        now = time.monotonic()
        fresh = self._asked_at is not None and now - self._asked_at < CLIENTS_STAY_FRESH
        if self.client is not None and not fresh and isinstance(accounts := dialect.accounts, TermApi):
            self._asked_at = now
            self._lasting = (await accounts.term(self.client)).value

    async def _facts(self, source: TokenSource, tokens: TokenKeeper, dialect: Dialect) -> CredentialFacts:
        known, term = facts_of(source), Term()
        accepted, words, mend, silent = None, "", "", False
        try:
            token = await tokens.token()
            term = _term(token)
            await self._judged(dialect)
        except (AuthError, PermissionDenied) as error:
            accepted, (words, mend) = False, _said(error)
        except NotOffered as error:
            words, silent = str(error), True
        except IriError as error:
            words = str(error)
        else:
            accepted = True
        return CredentialFacts(known, term, self._lasting, accepted, words, mend, silent)

    async def _judged(self, dialect: Dialect) -> None:
        accounts = dialect.accounts
        if isinstance(accounts, TermApi):
            self._lasting = (await accounts.term(self.client)).value
            self._asked_at = time.monotonic()
        elif (name := (await accounts.check_token()).value) and not isinstance(accounts, PrincipalApi):
            self._whose = (self._basis, self._named(name))


async def at_globus(credential: GlobusCredential) -> Credential:
    """What a credential is worth at Globus, by one request; only on the I/O loop."""
    accepted, words, mend = None, "", ""
    try:
        await open_globus(credential).dialect.client.check()
    except (AuthError, PermissionDenied) as error:
        accepted, (words, mend) = False, _said(error)
    except IriError as error:
        words = str(error)
    else:
        accepted = True
    facts = CredentialFacts(credential.facts(), accepted=accepted, words=words, mend=mend)
    return judge(facts, datetime.now(UTC))


def facts_of(source: TokenSource) -> SourceFacts:
    """What a source tells of itself, or what can be said of one that tells nothing."""
    if isinstance(source, TellingSource):
        return source.facts()
    renewal = Renewal.ITSELF if source.renewable else Renewal.NEVER
    mend = f"see to {source.identity}"
    return SourceFacts(source.identity, renewal, mend, given=not source.renewable)


def _said(error: AuthError | PermissionDenied) -> tuple[str, str]:
    """Why, and what to do where that is not what the source tells of itself."""
    if isinstance(error, AuthError) and error.mend:
        return error.why, error.mend
    return str(error), ""


def _term(token: Token) -> Term:
    """As its endpoint tells, else as it tells itself."""
    told = term_of(token.value)
    return Term(told.begins, moment_of(token.expires_at) or told.ends)
