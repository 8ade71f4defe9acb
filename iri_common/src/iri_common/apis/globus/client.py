"""Globus for one identity: one request at a time in a thread, patience by our table, errors of our tree."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from iri_common.apis.globus.credentials import GlobusCredential
from iri_common.apis.globus.rules import TRANSFER, https_scope, needs_data_access, transfer_scope
from iri_common.apis.globus.thread import OneThread
from iri_common.auth.store import TokenStore
from iri_common.http.budget import Budget
from iri_common.model.errors import (
    AmbiguousReply,
    AuthError,
    Conflict,
    IriError,
    NotFound,
    NotOffered,
    PermissionDenied,
    RateLimited,
    Refused,
    ReplyError,
    TooLarge,
    TransientError,
    Unreachable,
    UsageError,
)
from iri_common.model.logfields import about
from iri_common.policy.classify import Outcome
from iri_common.policy.retry import Action, Limits, Replay, decide

if TYPE_CHECKING:
    import globus_sdk

    from iri_common.apis.globus.rules import Needs
    from iri_common.apis.globus.sdk import Bearer, Trouble
    from iri_common.apis.globus.tokens import GlobusTokens

log = logging.getLogger(__name__)

T = TypeVar("T")
C = TypeVar("C")

LABEL = "Globus"
MISSING = "Globus is spoken to through its own SDK; install iri-common[globus]"
FRESH = 3600.0  # seconds that what is known of a collection counts


@dataclass(frozen=True, slots=True)
class Collection:
    """What Globus tells of a collection.

    Attributes:
        id: As everybody names it.
        name: For people.
        https: Where its own HTTPS is; "" if it has none.
        data_access: Whether its files need a consent of their own.
    """

    id: str
    name: str = ""
    https: str = ""
    data_access: bool = False


@dataclass(frozen=True, slots=True)
class Service(Generic[C]):
    """One of Globus' services.

    Attributes:
        name: As a resource server: its tokens are for nobody else.
        scopes: What is asked for with a token; it may grow.
        make: Makes the SDK's client; in the thread.
    """

    name: str
    scopes: Callable[[], Sequence[str]]
    make: Callable[[Bearer], C]


class _Met(Exception):
    """Carries trouble from the thread to the loop; never leaves this module."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__()
        self.trouble = trouble


class GlobusClient:
    """One identity at Globus; lives on one loop.

    Args:
        credential: Whose.
        store: Where the tokens of a login are; by default in the user's state directory.
        limits: How patient a request is.
    """

    def __init__(
        self, credential: GlobusCredential, *, store: TokenStore | None = None, limits: Limits | None = None
    ) -> None:
        self.credential = credential
        self._store = store
        self.limits = limits or Limits()
        self._budget = Budget(concurrent=1, per_second=10.0, burst=10)  # of Globus' 20 a second and user
        # One thread: neither the SDK's session nor the tokens are made for two at once.
        self._thread = OneThread("iri-globus")
        self._tokens: GlobusTokens | None = None
        self._clients: dict[str, tuple[Any, Bearer]] = {}  # by the service's name
        self._data_access: set[str] = set()
        self._transfer = Service(TRANSFER, lambda: [transfer_scope(self._data_access)], _transfer_client)
        self._collections: dict[str, tuple[float, Collection]] = {}

    async def call(
        self,
        operation: str,
        work: Callable[[globus_sdk.TransferClient], T],
        *,
        replay: Replay = Replay.SAFE,
    ) -> T:
        """Have the thread do some requests of Transfer, as :meth:`ask` says."""
        return await self.ask(self._transfer, operation, work, replay=replay)

    async def ask(
        self, service: Service[C], operation: str, work: Callable[[C], T], *, replay: Replay = Replay.SAFE
    ) -> T:
        """Have the thread do some requests of a service, again where the table allows.

        Raises:
            IriError: the kind that fits what happened; AmbiguousReply where a request that must arrive
                once may have had its effect.
        """
        started = time.monotonic()
        attempt, renewed, consented = 0, False, False
        while True:
            attempt += 1
            async with self._budget:
                try:
                    return await self._in_thread(lambda: self._asked(service, work))
                except _Met as met:
                    trouble = met.trouble
            if trouble.needs is not None:
                if consented or not await self.consented(trouble.needs):
                    raise self._login_needed(operation, trouble, trouble.needs)
                consented = True
                continue
            decision = decide(
                trouble.outcome,
                replay,
                attempt=attempt,
                elapsed=time.monotonic() - started,
                chance=random.random(),
                renewed=renewed or self.credential.mode == "token",
                retry_after=trouble.retry_after,
                limits=self.limits,
            )
            if trouble.retry_after is not None:
                self._budget.slow_down(min(trouble.retry_after, 120.0))
            if decision.action is Action.STOP:
                raise self._error(operation, trouble, replay, attempt)
            renewed = renewed or decision.action is Action.RENEW
            log.info(
                "%s at Globus: %s (%s); again in %.1f s",
                operation,
                trouble.outcome,
                trouble.words,
                decision.delay,
                extra=about(facility="Globus", operation=operation),
            )
            await asyncio.sleep(decision.delay)

    async def collection(self, collection: str) -> Collection:
        """What a collection is; from then on its data is asked for with every token."""
        known = self._collections.get(collection)
        if known is None or time.monotonic() - known[0] > FRESH:
            words = await self.call(
                "getEndpoint", lambda transfer: dict(transfer.get_endpoint(collection).data)
            )
            known = (time.monotonic(), _collection(collection, words))
            self._collections[collection] = known
            if known[1].data_access:
                self._data_access.add(collection)
        return known[1]

    async def https_token(self, collection: str) -> str:
        """A bearer token for the collection's own HTTPS.

        Raises:
            AuthError: with the command to run.
        """
        scopes = [https_scope(collection)]
        try:
            return await self._in_thread(lambda: self._gives().token(collection, scopes))
        except _Met as met:
            raise self._error("token", met.trouble, Replay.SAFE, 1) from None

    async def https_refused(self, token: str) -> bool:
        """The collection did not take it; whether another one can be had."""
        await self._in_thread(lambda: self._gives().refused(token))
        return self.credential.mode != "token"

    def speak_by(self, credential: GlobusCredential) -> None:
        """Go on with another way to the same identity.

        The newest one counts: an older may read a variable or a file that is gone by now.
        """
        self.credential = credential
        if self._tokens is not None:
            self._tokens.credential = credential

    @property
    def remedy(self) -> str:
        """What to do about a credential that is refused."""
        return self.credential.facts().mend

    async def check(self) -> None:
        """One request that needs the credential.

        Raises:
            AuthError: if it does not count.
        """
        await self.call("getTaskList", lambda transfer: transfer.task_list(limit=1).data["DATA"])

    def _asked(self, service: Service[C], work: Callable[[C], T]) -> T:
        from iri_common.apis.globus.sdk import Bearer

        tokens = self._gives()
        if service.name not in self._clients:
            bearer = Bearer(lambda: tokens.token(service.name, service.scopes()))
            self._clients[service.name] = service.make(bearer), bearer
        client, bearer = self._clients[service.name]
        bearer.used = ""
        try:
            return _translated(lambda: work(client))
        except _Met as met:
            if met.trouble.status == 401:
                tokens.refused(bearer.used)
            if not bearer.used and met.trouble.outcome.may_have_worked:
                # It was the token that could not be had: nothing else went out.
                met.trouble = replace(met.trouble, outcome=Outcome.NOT_SENT)
            raise

    def _gives(self) -> GlobusTokens:
        from iri_common.apis.globus.tokens import GlobusTokens

        if self._tokens is None:
            self._tokens = GlobusTokens(self.credential, self._store)
        return self._tokens

    async def consented(self, needs: Needs) -> bool:
        """Whether what Globus Auth wants could be had without a person: a client consents to itself."""
        try:
            return await self._in_thread(lambda: self._gives().consented(needs))
        except _Met as met:
            raise self._error("token", met.trouble, Replay.SAFE, 1) from None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._thread.start(functools.partial(_translated, work)))

    def _login_needed(self, operation: str, trouble: Trouble, needs: Needs) -> AuthError:
        said, what = needs.message or trouble.words, self.credential.remedy(needs)
        return AuthError(
            f"Globus wants more than {self.credential.identity} brings ({said}); {what}",
            **_context(operation, trouble),
        )

    def _error(self, operation: str, trouble: Trouble, replay: Replay, attempts: int) -> IriError:
        context = _context(operation, trouble)
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        if replay is Replay.ONCE and trouble.outcome.may_have_worked:
            return AmbiguousReply(
                f"the request was sent, and whether it took effect is unknown: {trouble.words}", **context
            )
        if trouble.outcome is Outcome.BAD_TOKEN:
            return AuthError(
                f"Globus refused {self.credential.identity}: {trouble.words}; {self.remedy}", **context
            )
        lead, kind = _KINDS[trouble.outcome]
        return kind(f"{lead}{tried}: {trouble.words}", **context)


def _transfer_client(bearer: Bearer) -> globus_sdk.TransferClient:
    from iri_common.apis.globus.sdk import transfer_client

    return transfer_client(bearer)


def _translated(work: Callable[[], T]) -> T:
    try:
        import globus_sdk

        from iri_common.apis.globus.sdk import Trouble, trouble_of
    except ImportError:
        raise UsageError(MISSING) from None
    try:
        return work()
    except globus_sdk.GlobusError as error:
        trouble = trouble_of(error)
    except (KeyError, TypeError, ValueError) as error:
        # How the SDK says that a body is no JSON, or lacks what every answer of its kind has.
        trouble = Trouble(Outcome.UNREADABLE, f"that is no answer of Globus ({type(error).__name__})")
    # Out here, so that nothing refers to the SDK's exception: it holds the request with the token.
    raise _Met(trouble)


def _collection(collection: str, words: Mapping[str, Any]) -> Collection:
    return Collection(
        collection,
        str(words.get("display_name") or ""),
        str(words.get("https_server") or "").rstrip("/"),
        needs_data_access(words),
    )


def _context(operation: str, trouble: Trouble) -> dict[str, Any]:
    return {
        "facility": LABEL,
        "operation": operation,
        "request_id": trouble.request_id,
        "status": trouble.status,
        "outcome": str(trouble.outcome),
    }


_KINDS: Mapping[Outcome, tuple[str, type[IriError]]] = {
    Outcome.NOT_SENT: ("no answer from Globus", Unreachable),
    Outcome.LOST: ("no answer from Globus", Unreachable),
    Outcome.FORBIDDEN: ("Globus denies it to this identity", PermissionDenied),
    Outcome.NOT_FOUND: ("Globus does not find it", NotFound),
    Outcome.INVALID: ("Globus refused", Refused),
    Outcome.CONFLICT: ("Globus reports a conflict", Conflict),
    Outcome.TOO_LARGE: ("too much for one request to Globus", TooLarge),
    Outcome.RATE_LIMITED: ("Globus asks for fewer requests", RateLimited),
    Outcome.BROKEN: ("Globus failed", TransientError),
    Outcome.AWAY: ("Globus, or the collection behind it, is away", TransientError),
    Outcome.NOT_OFFERED: ("Globus does not offer it here", NotOffered),
    Outcome.UNREADABLE: ("Globus' answer cannot be read", ReplyError),
}
