"""The token endpoint of OAuth2 (RFC 6749 §3.2): one request, and a token or the reason why there is none."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from iri_common.auth.answers import answered, refused, words_of
from iri_common.auth.secret import SecretReader
from iri_common.model.credential import Renewal, SourceFacts
from iri_common.model.errors import UsageError
from iri_common.model.ports import Token, TokenExchange, WireReply, WireRequest

ReadSecret = SecretReader | Callable[[], str]

EXPOSED = "others could read the secrets that go there; use https:// (plain http is for this machine only)"


@dataclass(frozen=True, slots=True)
class Ask:
    """What an endpoint is asked for.

    Attributes:
        client: What a refusal calls the one who asks.
        advice: What to do about a refusal.
        form: The grant, and what goes with it.
        secrets: Of those in the request; an endpoint may repeat what it refuses.
        headers: Where the client is told there.
    """

    client: str
    advice: str
    form: Mapping[str, str] = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class Granted:
    """What an endpoint gave.

    Attributes:
        token: The one that was asked for.
        refresh_token: A secret with which the next one can be had, where there is one.
    """

    token: Token
    refresh_token: str | None = field(default=None, repr=False)


class EndpointSource(ABC):
    """Fetches each token from an endpoint.

    Args:
        token_url: The endpoint.
        scope: Blank-separated, where it wants any.
        clock: Seconds since the epoch.
        secrets: What it has, or reads, to ask with.

    Raises:
        UsageError: if the secrets could be read on their way there.
    """

    renewable = True

    def __init__(
        self,
        token_url: str,
        scope: str = "",
        clock: Callable[[], float] = time.time,
        secrets: Sequence[str | ReadSecret | None] = (),
    ) -> None:
        if exposed(token_url):
            raise UsageError(f"the token endpoint is reached over plain http: {EXPOSED}")
        self._token_url = token_url
        self._scope = scope
        self._clock = clock
        self._secrets = secrets

    @property
    @abstractmethod
    def identity(self) -> str:
        """Who asks where for what, and where the secrets are: sources that are equal in that share tokens."""

    @abstractmethod
    def ask(self, now: int) -> Ask:
        """Read the secrets and make the request; it blocks.

        Raises:
            AuthError: if there is no secret that can be used.
        """

    def facts(self) -> SourceFacts:
        """Its tokens come by themselves; what they are had with is a person's affair."""
        return SourceFacts(self.identity, Renewal.ITSELF, self._mending(), self._given)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.identity})"

    def __reduce__(self) -> str:
        raise TypeError("a credential is not pickled: hand over the name of its source instead")

    @abstractmethod
    def proof(self) -> str:
        """The secrets as they are now: whose are equal may share tokens. It blocks, and raises as ``ask``."""

    async def fetch(self, send: TokenExchange) -> Token:
        """Ask the endpoint; raises as ``granted``."""
        return (await self.granted(send)).token

    async def granted(self, send: TokenExchange) -> Granted:
        """Ask the endpoint, for all that it gives.

        Raises:
            AuthError: if a secret cannot be read, or the endpoint refuses it.
            Unreachable: if the endpoint does not answer.
        """
        asked_at = self._clock()
        # Secrets may lie on a slow disk, and signing takes milliseconds that the loop has no time for.
        ask = await asyncio.to_thread(self.ask, int(asked_at))
        form = {**ask.form} | ({"scope": self._scope} if self._scope else {})
        request = WireRequest("POST", self._token_url, headers=ask.headers, form=form)
        reply = await answered(send, request, f"the token endpoint {self._token_url}")
        return self._granted(reply, ask, asked_at)

    def _granted(self, reply: WireReply, ask: Ask, asked_at: float) -> Granted:
        answer = words_of(reply)
        value = answer.get("access_token")
        if reply.status == 200 and isinstance(value, str) and value:
            token = Token(value, _end(asked_at, answer.get("expires_in")))
            again = answer.get("refresh_token")
            return Granted(token, again if isinstance(again, str) and again else None)
        raise refused(reply, self._token_url, ask.client, ask.advice, ask.secrets)

    def _named(self, who: str) -> str:
        """Who asks, where, for what; and where the secrets are, as far as they tell."""
        scope = f" for {self._scope}" if self._scope else ""
        return f"{who} of {self._token_url}{scope}" + (
            f" ({', '.join(self._origins)})" if self._origins else ""
        )

    def _mending(self) -> str:
        """What a person does about a secret that counts no more."""
        lasting = [
            isinstance(each, str) or (isinstance(each, SecretReader) and not each.mendable)
            for each in self._secrets
        ]
        where = " or ".join(self._origins) or "this one"
        then = " and start again" if any(lasting) else "; it is read again by itself"
        return f"put a secret that counts in the place of {where}{then}"

    @property
    def _given(self) -> bool:
        return any(
            isinstance(each, str) or (isinstance(each, SecretReader) and each.given) for each in self._secrets
        )

    @property
    def _origins(self) -> list[str]:
        return [each.origin for each in self._secrets if isinstance(each, SecretReader)]


class PersonsSource(EndpointSource):
    """Fetches tokens for a person, through an application that the endpoint knows.

    Args:
        token_url: The token endpoint.
        client_id: Of the application.
        held: Reads what the person gave, when it is needed; never shown.
        secret: Reads the application's secret, where it has one.
        scope: Blank-separated, where the endpoint wants any.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        held: ReadSecret,
        secret: ReadSecret | None = None,
        scope: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(token_url, scope, clock, (held, secret))
        self._client_id = client_id
        self._held = held
        self._secret = secret

    def proof(self) -> str:
        """What the person gave, and the application's secret."""
        return "\0".join([self._held(), self._secret() if self._secret else ""])

    def _who(self, person: str) -> str:
        """The identity of such a person's tokens."""
        return self._named(f"{person} through client {self._client_id}")

    def _asking(self, client: str, advice: str, held: str, form: Mapping[str, str]) -> Ask:
        """The request, with the application told in the form."""
        application = {"client_id": self._client_id}
        if self._secret is not None:
            application["client_secret"] = self._secret()
        secrets = (held, application.get("client_secret", ""))
        return Ask(client, advice, {**form, **application}, secrets)


def exposed(url: str) -> bool:
    """Whether others could read what goes there; what is no URL leads nowhere."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and not _here(parts.hostname or "")


def _here(host: str) -> bool:
    """Whether that is this machine, by what it is called."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def basic(client_id: str, secret: str) -> str:
    """A client and its secret as a header tells them; this word is a secret, too."""
    # RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return base64.b64encode(pair.encode()).decode()


def _end(asked_at: float, lifetime: object) -> float | None:
    if not isinstance(lifetime, int | float) or not abs(lifetime) < 10**10:
        return None
    return asked_at + lifetime
