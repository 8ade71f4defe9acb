"""Token exchange (RFC 8693): what proves who asks elsewhere becomes a token for the facility."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlencode

from iri_common.auth.claims import end_of
from iri_common.auth.endpoint import Ask, EndpointSource, Granted, ReadSecret, basic
from iri_common.model.credential import Renewal, SourceFacts
from iri_common.model.errors import AuthError, Unreachable
from iri_common.model.ports import Token, TokenExchange, TokenSource, WireRequest
from iri_common.policy.classify import NotSent, ReplyLost

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_KINDS = "urn:ietf:params:oauth:token-type:"
_URL, _TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"


class Subject(TokenSource, Protocol):
    """Where tokens come from that are given for others."""

    def facts(self) -> SourceFacts:
        """What it tells of itself."""
        ...

    def proof(self) -> str:
        """What they are had with, as it is now; it blocks, and raises AuthError if there is nothing."""
        ...


class GithubToken:
    """The token by which GitHub says which workflow of which repository runs here.

    Args:
        audience: Who is to believe it.
    """

    renewable = True

    def __init__(self, audience: str) -> None:
        self._audience = audience

    @property
    def identity(self) -> str:
        """The workflow, and for whom."""
        return f"this GitHub workflow for {self._audience}"

    def facts(self) -> SourceFacts:
        """Each comes by itself, while the job runs."""
        return SourceFacts(self.identity, Renewal.ITSELF, "run the workflow again")

    def proof(self) -> str:
        """By what GitHub knows the job: it gives each time another token."""
        return "\0".join(_of_the_runner())

    def __repr__(self) -> str:
        return f"GithubToken({self._audience})"

    async def fetch(self, send: TokenExchange) -> Token:
        """Ask the runner's own endpoint.

        Raises:
            AuthError: if this is no workflow that may ask.
            Unreachable: if the endpoint does not answer.
        """
        url, bearer = _of_the_runner()
        if not url or not bearer:
            raise AuthError(
                f"GitHub gives {self.identity} no token: {_URL} or {_TOKEN} is not set. Only a job of "
                "GitHub Actions has them, with `permissions: id-token: write`"
            )
        where = f"{url}{'&' if '?' in url else '?'}{urlencode({'audience': self._audience})}"
        try:
            reply = await send(WireRequest("GET", where, headers={"authorization": f"Bearer {bearer}"}))
        except (NotSent, ReplyLost) as error:
            raise Unreachable(f"no answer from GitHub's endpoint for tokens: {error}") from None
        if reply.status >= 500 or reply.status == 429:
            raise Unreachable(f"GitHub's endpoint for tokens answered HTTP {reply.status}; try later")
        value = _value(reply.body)
        if reply.status != 200 or not value:
            raise AuthError(f"GitHub gave {self.identity} no token: HTTP {reply.status}", status=reply.status)
        return Token(value, end_of(value, time.time()))


class ExchangeGrant(EndpointSource):
    """Exchanges one token for another.

    Args:
        token_url: The token endpoint.
        subject: The token that is given for another, where there is one yet; never shown.
        kind: Of that token: the last word of its RFC 8693 name, or another name as a whole.
        audience: Whom the new one is for, where the endpoint wants to know.
        client_id: Of the application, where the endpoint wants one,
        secret: and its secret, likewise.
        scope: Blank-separated.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        token_url: str,
        subject: str = "",
        kind: str = "jwt",
        audience: str = "",
        client_id: str = "",
        secret: ReadSecret | None = None,
        scope: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(token_url, scope, clock, (secret,))
        self._subject = subject
        self._kind = kind if ":" in kind else _KINDS + kind
        self._audience = audience
        self._client_id = client_id
        self._secret = secret

    @property
    def identity(self) -> str:
        """Whose exchange, where, for whom; and where the secret is."""
        client = f" through client {self._client_id}" if self._client_id else ""
        audience = f" for {self._audience}" if self._audience else ""
        return self._named(f"a token exchanged{client}{audience}")

    def proof(self) -> str:
        """The token that is given, and the application's secret."""
        return "\0".join([self._subject, self._secret() if self._secret else ""])

    def with_subject(self, value: str) -> ExchangeGrant:
        """The same for a token in hand."""
        rest = (self._kind, self._audience, self._client_id, self._secret, self._scope, self._clock)
        return ExchangeGrant(self._token_url, value, *rest)

    def ask(self, now: int) -> Ask:
        """The token and what is wanted for it; a client with a secret tells both in a header."""
        secret = self._secret() if self._secret else ""
        form = {"grant_type": _GRANT, "subject_token": self._subject, "subject_token_type": self._kind}
        form |= {"audience": self._audience} if self._audience else {}
        headers, told = dict[str, str](), ""
        if secret:
            told = basic(self._client_id, secret)
            headers["authorization"] = f"Basic {told}"
        elif self._client_id:
            form["client_id"] = self._client_id
        return Ask(
            client=f"client {self._client_id}" if self._client_id else "this exchange",
            advice="Check that the endpoint trusts who issued the token, and its audience",
            form=form,
            secrets=tuple(filter(None, (told, secret, self._subject))),
            headers=headers,
        )


class ExchangedTokens:
    """Tokens for which another source's are given, a fresh one each time.

    Args:
        grant: The exchange.
        subject: Where the tokens come from that are given.
    """

    renewable = True

    def __init__(self, grant: ExchangeGrant, subject: Subject) -> None:
        self._grant = grant
        self._subject = subject

    @property
    def identity(self) -> str:
        """Both sources."""
        return f"{self._grant.identity}, given {self._subject.identity}"

    def facts(self) -> SourceFacts:
        """They come by themselves, while the ones do that are given."""
        given = self._grant.facts().given or self._subject.facts().given
        return SourceFacts(self.identity, Renewal.ITSELF, f"see to {self._subject.identity}", given)

    def proof(self) -> str:
        """What is had to give, and the application's secret: whose are equal may share tokens."""
        return self._grant.with_subject(self._subject.proof()).proof()

    def __repr__(self) -> str:
        return f"ExchangedTokens({self.identity})"

    def __reduce__(self) -> str:
        raise TypeError("a credential is not pickled: hand over the name of its source instead")

    async def fetch(self, send: TokenExchange) -> Token:
        """Get one, and exchange it; raises as ``granted``."""
        return (await self.granted(send)).token

    async def granted(self, send: TokenExchange) -> Granted:
        """Get one, and exchange it, for all that the endpoint gives.

        Raises:
            AuthError: if there is none to give, or the endpoint refuses it.
            Unreachable: if one of the two does not answer.
        """
        subject = await self._subject.fetch(send)
        return await self._grant.with_subject(subject.value).granted(send)


def _of_the_runner() -> tuple[str, str]:
    return os.environ.get(_URL, ""), os.environ.get(_TOKEN, "")


def _value(body: bytes) -> str:
    try:
        answer: Any = json.loads(body)
        value: object = answer["value"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""
