"""A request with credentials: budget, token, send, meaning, and the retry that the table allows."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from iri_common.auth.keeper import TokenKeeper
from iri_common.http import telemetry
from iri_common.http.budget import Budget
from iri_common.http.turns import in_turn
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
)
from iri_common.model.logfields import about
from iri_common.model.ports import MOST_BYTES, ByteWire, Token, Transport, WireReply, WireRequest
from iri_common.policy.classify import (
    GENERAL,
    NotSent,
    Outcome,
    ReplyLost,
    ReplyTooLong,
    Rules,
    Verdict,
    classify,
)
from iri_common.policy.retry import Action, Limits, Replay, decide
from iri_common.policy.telling import Hide, Hiding, told

log = logging.getLogger(__name__)

LARGE = 256 * 1024  # bytes of a reply
LONGEST_REPLY = 900.0  # seconds from the first byte out to the last one in: one that trickles is never silent
LONGEST_REST = 120.0  # seconds for all requests, whatever a Retry-After asks: a cancel must get through


@dataclass(frozen=True, slots=True)
class Request:
    """A request in an API's own terms; the session adds base URL, token and patience.

    Attributes:
        operation: The API's name for it, for errors, logs and rules.
        method: HTTP verb.
        path: Below the base URL, already percent-encoded.
        replay: What a second arrival would do.
        public: Needs no token.
        params: Query, in order.
        json: Body.
        form: Body, urlencoded; a list repeats its key.
        headers: Further ones.
        files: Multipart fields: name to (file name, content).
        raw: A success is its body as bytes, whatever its content type.
        keyed: An idempotency key goes with it.
        most: Bytes of the reply that are read.
        limits: How patient to be with this request.
        secrets: What must not come back in the words of an error.
    """

    operation: str
    method: str
    path: str
    replay: Replay = Replay.SAFE
    public: bool = False
    params: Sequence[tuple[str, str]] = ()
    json: Any = None
    form: Mapping[str, str | Sequence[str]] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, tuple[str, bytes]] | None = None
    raw: bool = False
    keyed: bool = False
    most: int = MOST_BYTES
    limits: Limits | None = None
    secrets: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A success: the decoded body, or bytes where they were asked for; the headers (names in lower case)."""

    value: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Attempt:
    verdict: Verdict
    headers: Mapping[str, str]
    status: int | None = None

    @property
    def request_id(self) -> str | None:
        """The facility's."""
        return self.headers.get("x-request-id")


Credential = Callable[[Token], Mapping[str, str]]


def bearer(token: Token) -> Mapping[str, str]:
    """The header that carries a token (RFC 6750 §2.1)."""
    return {"authorization": f"Bearer {token.value}"}


class Session:
    """Everything between a dialect and the wire.

    Args:
        base_url: Up to and including the API's version prefix.
        transport: The wire.
        tokens: Gives the bearer token, one refresh for all; None for a door without one.
        budget: Shared by all sessions of one origin and principal.
        rules: The API's oddities.
        label: What errors call this facility.
        limits: Patience of requests that name none.
        credential: The headers that carry a token.
        links: The wire for links that the facility signs; no token goes over it.
    """

    def __init__(
        self,
        base_url: str,
        transport: Transport,
        tokens: TokenKeeper | None,
        budget: Budget,
        *,
        rules: Rules = GENERAL,
        label: str = "",
        limits: Limits | None = None,
        credential: Credential = bearer,
        links: ByteWire | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.label = label or self.base_url
        self.links = links
        self.reached = False  # whether the service, rather than something before it, has ever answered
        self._transport = transport
        self._tokens = tokens
        self._budget = budget
        self._rules = rules
        self._limits = limits or Limits()
        self._credential = credential
        self._token: Token | None = None  # the last one used, and since when: for those who look on
        self._token_since = 0.0

    async def send(self, request: Request) -> Reply:
        """Make the request, again where the table allows, and give the answer of a success.

        Raises:
            IriError: the kind that fits what happened; AmbiguousReply where a request that must arrive
                once may have had its effect.
        """
        limits = request.limits or self._limits
        started = time.monotonic()
        attempt, renewed = 0, False
        while True:
            attempt += 1
            result = await self._once(request, attempt)
            if result.verdict.outcome is Outcome.OK:
                return Reply(result.verdict.value, result.headers)
            decision = decide(
                result.verdict.outcome,
                request.replay,
                attempt=attempt,
                elapsed=time.monotonic() - started,
                chance=random.random(),
                renewed=renewed or request.public or not (self._tokens and self._tokens.renewable),
                retry_after=result.verdict.retry_after,
                limits=limits,
            )
            if result.verdict.retry_after is not None:
                self._budget.slow_down(min(result.verdict.retry_after, LONGEST_REST))
            elif result.verdict.outcome is Outcome.RATE_LIMITED:  # the IRI framework drops Retry-After
                self._budget.slow_down(decision.delay or limits.first_delay)
            if decision.action is Action.STOP:
                raise self._error(request, result, attempt)
            if decision.action is Action.RENEW:
                renewed = True
            log.info(
                "%s at %s: %s (%s)%s; again in %.1f s",
                request.operation,
                self.label,
                result.verdict.outcome,
                result.verdict.detail,
                f", request {result.request_id}" if result.request_id else "",
                decision.delay,
                extra=self._about(request, result),
            )
            await asyncio.sleep(decision.delay)

    def hiding(self, secrets: Sequence[str]) -> Hiding:
        """Takes these out of words that are told later, and the token that was used last."""
        return Hiding(dict.fromkeys(secrets, "[secret]") | _marked(self._token))

    def wire(self, request: Request) -> WireRequest:
        """The request as it goes out, but for its credential."""
        return WireRequest(
            method=request.method,
            url=self.base_url + request.path,
            headers=dict(request.headers),
            params=request.params,
            json=request.json,
            form=request.form,
            files=request.files,
            most=request.most,
        )

    async def _once(self, request: Request, attempt: int) -> _Attempt:
        headers = dict(request.headers)
        token = None
        if self._tokens and not request.public:
            token = await self._current_token(self._tokens)
            headers |= self._credential(token)
        wire = replace(self.wire(request), headers=headers)
        async with self._budget:
            with telemetry.request(self.label, request.operation, request.method, attempt) as ending:
                result = await self._answered(request, wire, token)
                ending.outcome, ending.status = str(result.verdict.outcome), result.status
                ending.request_id = result.request_id
        log.debug(
            "%s at %s: %s, HTTP %s, request %s",
            request.operation,
            self.label,
            result.verdict.outcome,
            result.status,
            result.request_id,
            extra=self._about(request, result),
        )
        return result

    async def _answered(self, request: Request, wire: WireRequest, token: Token | None) -> _Attempt:
        # Some services repeat what they refuse.
        hide = Hiding(dict.fromkeys(request.secrets, "[secret]") | _marked(token))
        try:
            async with asyncio.timeout(LONGEST_REPLY):
                reply = await self._transport.send(wire)
        except TimeoutError:
            return _Attempt(Verdict(Outcome.LOST, detail=f"no whole reply in {LONGEST_REPLY:.0f} s"), {})
        except NotSent as error:
            return _Attempt(Verdict(Outcome.NOT_SENT, detail=told(str(error), hide)), {})
        except ReplyTooLong as error:
            return _Attempt(Verdict(Outcome.TOO_LONG, detail=str(error)), {})
        except ReplyLost as error:
            return _Attempt(Verdict(Outcome.LOST, detail=told(str(error), hide)), {})
        verdict = await self._classified(request, reply, hide)
        self.reached = self.reached or verdict.outcome is not Outcome.AWAY
        if verdict.outcome is Outcome.BAD_TOKEN and token and self._tokens:
            self._tokens.refused(token)
        return _Attempt(verdict, reply.headers, reply.status)

    async def _current_token(self, tokens: TokenKeeper) -> Token:
        try:
            token = await tokens.token()
        except IriError:
            telemetry.token_fetched(self.label, worked=False)
            raise
        now = time.time()
        if token is not self._token:
            self._token, self._token_since = token, now
            telemetry.token_fetched(self.label, worked=True)
        ends = token.expires_at
        telemetry.token_used(self.label, now - self._token_since, None if ends is None else ends - now)
        return token

    def _about(self, request: Request, result: _Attempt) -> dict[str, str]:
        return about(facility=self.label, operation=request.operation, request_id=result.request_id)

    async def _classified(self, request: Request, reply: WireReply, hide: Hide) -> Verdict:
        meaning = functools.partial(
            classify,
            reply.status,
            reply.headers,
            reply.body,
            operation=request.operation,
            keyed=request.keyed,
            raw=request.raw,
            rules=self._rules,
            hide=hide,
        )
        # Megabytes of JSON (a download) are parsed off the loop that every wait lives on.
        return await in_turn(meaning) if len(reply.body) > LARGE else meaning()

    def _error(self, request: Request, result: _Attempt, attempts: int) -> IriError:
        verdict = result.verdict
        context: dict[str, Any] = {
            "facility": self.label,
            "operation": request.operation,
            "request_id": result.request_id,
            "status": result.status,
            "outcome": str(verdict.outcome),
        }
        outcome = verdict.outcome
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        if request.replay is Replay.ONCE and outcome.may_have_worked:
            return AmbiguousReply(
                f"the request was sent, and whether it took effect is unknown: {verdict.detail}", **context
            )
        if outcome is Outcome.BAD_TOKEN:
            whose = f"the token of {self._tokens.identity}" if self._tokens else "a request without a token"
            return AuthError(
                f"the facility refused {whose}: {verdict.detail}. {self._rules.remedy}; "
                "jobs that run are not touched by this",
                **context,
            )
        if outcome in {Outcome.NOT_SENT, Outcome.LOST}:
            return Unreachable(
                f"no answer from {self.base_url}{request.path}{tried}: {verdict.detail}. "
                "Check the URL and the network, or wait if the facility is down",
                **context,
            )
        kind = _KINDS[outcome]
        return kind(f"{_LEAD[outcome]}{tried}: {verdict.detail}", **context)


def _marked(token: Token | None) -> dict[str, str]:
    return {token.value: "[token]"} if token else {}


_KINDS: Mapping[Outcome, type[IriError]] = {
    Outcome.FORBIDDEN: PermissionDenied,
    Outcome.NOT_FOUND: NotFound,
    Outcome.INVALID: Refused,
    Outcome.CONFLICT: Conflict,
    Outcome.KEY_USED: Conflict,
    Outcome.TOO_LARGE: TooLarge,
    Outcome.RATE_LIMITED: RateLimited,
    Outcome.BROKEN: TransientError,
    Outcome.AWAY: TransientError,
    Outcome.NOT_OFFERED: NotOffered,
    Outcome.UNREADABLE: ReplyError,
    Outcome.TOO_LONG: ReplyError,
}
_LEAD: Mapping[Outcome, str] = {
    Outcome.FORBIDDEN: "the token is accepted but lacks the right",
    Outcome.NOT_FOUND: "the facility does not know it",
    Outcome.INVALID: "the facility refused",
    Outcome.CONFLICT: "the facility reports a conflict",
    Outcome.KEY_USED: "the facility has had this idempotency key with another request",
    Outcome.TOO_LARGE: "too many bytes for this operation",
    Outcome.RATE_LIMITED: "the facility asks for fewer requests",
    Outcome.BROKEN: "the facility's service failed",
    Outcome.AWAY: "the facility's service is away",
    Outcome.NOT_OFFERED: "this facility does not offer it",
    Outcome.UNREADABLE: "the facility's answer cannot be read",
    Outcome.TOO_LONG: "the facility's answer does not end",
}
