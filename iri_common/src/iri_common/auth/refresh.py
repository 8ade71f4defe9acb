"""Refresh tokens (RFC 6749 §6) that rotate: each is sent once, by one of all processes of a user.

What is known of a token whose reply is lost, and why it is not sent again: docs/decisions/tokens.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from iri_common.auth.endpoint import Ask, PersonsSource, ReadSecret
from iri_common.auth.secret import SecretReader
from iri_common.auth.shared import OnLoop, SharedTokens
from iri_common.auth.store import StoredToken, Tokens, TokenStore
from iri_common.model.credential import Renewal, SourceFacts
from iri_common.model.errors import AuthError
from iri_common.model.ports import Token, TokenExchange, WireReply, WireRequest
from iri_common.policy.classify import NotSent

_SENT = "sent"  # when the refresh token went out, while nothing is known of a reply
_REUSABLE = "reusable"  # the endpoint was seen to leave it as it is


class RefreshGrant(PersonsSource):
    """Fetches a token with a refresh token.

    Args:
        token_url: The token endpoint.
        client_id: Of the application that the person logged in with.
        refresh_token: Reads it when it is needed; never shown.
        secret: Reads the application's secret, where it has one.
        scope: Blank-separated, where less is wanted than was granted.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        refresh_token: SecretReader,
        secret: ReadSecret | None = None,
        scope: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(token_url, client_id, refresh_token, secret, scope, clock)
        self._refresh_token = refresh_token

    @property
    def identity(self) -> str:
        """Client, endpoint and scope, and where the secrets are."""
        return self._who("a login")

    @property
    def mending(self) -> str:
        """What a person does when the login has ended."""
        first = self._refresh_token
        if first.login:
            return f"log in again: run {first.login}"
        then = "; it is read again by itself" if first.mendable else ", and start again with that"
        return f"log in again and put its refresh token where the old one was ({first.origin}){then}"

    def facts(self) -> SourceFacts:
        """Its tokens come by themselves until the login ends."""
        return SourceFacts(self.identity, Renewal.ITSELF, self.mending, self._given)

    def proof(self) -> str:
        """The refresh token that a person put there, whatever becomes of the application's secret."""
        return self._refresh_token()

    def using(self, refresh_token: str) -> RefreshGrant:
        """The same with the token that came after."""
        held = replace(self._refresh_token, read=lambda: refresh_token)
        return RefreshGrant(self._token_url, self._client_id, held, self._secret, self._scope, self._clock)

    def ask(self, now: int) -> Ask:
        """Who they are, all in the form."""
        refresh_token = self._refresh_token()
        return self._asking(
            f"client {self._client_id}",
            f"If the login has ended, {self.mending}. It is for the machines that share one home: if others "
            "use it as well, the endpoint may end it",
            refresh_token,
            {"grant_type": "refresh_token", "refresh_token": refresh_token},
        )


class RefreshTokens(SharedTokens):
    """The tokens of a person's login, refreshed by one process and thread at a time.

    Args:
        grant: With the refresh token that the person put there; the ones that come after are in the store.
        store: Keeps them.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        grant: RefreshGrant,
        store: TokenStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(grant, store, clock)
        self._grant = grant

    def _renewed(self, tokens: Tokens, name: str, send: TokenExchange, on_loop: OnLoop) -> Token:
        last = tokens.get(name) or self._unsent(name)
        assert last.refresh_token is not None
        if _SENT in last.details:
            raise self._lost(float(last.details[_SENT]))
        since = self._clock()
        # On the disk before it is sent: whoever has the lock after a kill must know that it went out.
        if _REUSABLE not in last.details:
            tokens[name] = replace(last, details={**last.details, _SENT: since})
            self.store.write(tokens)
        fate = _Fate(send)
        try:
            granted = on_loop(self._grant.using(last.refresh_token).granted(fate.send))
        except BaseException:
            if fate.unused and tokens.get(name) != last:
                tokens[name] = last
                self.store.write(tokens)
            raise
        token, after = granted.token, granted.refresh_token or last.refresh_token
        kept = {_REUSABLE: True} if after == last.refresh_token else {}
        tokens[name] = StoredToken(
            token.value, token.expires_at or 0.0, after, details={"since": since} | kept
        )
        self.store.write(tokens)
        return token

    def _unsent(self, name: str) -> StoredToken:
        # Two scopes of one login, or a copy of its token in another place: nobody would see the other's mark.
        if not all(_REUSABLE in each.details for each in self.store.elsewhere(name)):
            raise AuthError(
                f"{self.identity}: its refresh token is that of another profile or connection, which has its "
                "own place, scope or application's secret. Sent by both it would look stolen; have a login "
                f"for each: {self._grant.mending}"
            )
        return StoredToken("", refresh_token=self._grant.proof())

    def _lost(self, sent: float) -> AuthError:
        when = datetime.fromtimestamp(sent, UTC).isoformat(timespec="seconds")
        return AuthError(
            f"{self.identity}: its refresh token went out at {when} and no reply came back. It may have been "
            "replaced by one that nobody has, and sent again it would look stolen; "
            f"{self._grant.mending}"
        )


class _Fate:
    """A wire that notes whether the endpoint can have used what was sent."""

    def __init__(self, send: TokenExchange) -> None:
        self._send = send
        self.unused = True

    async def send(self, request: WireRequest) -> WireReply:
        self.unused = False
        try:
            reply = await self._send(request)
        except NotSent:
            self.unused = True
            raise
        # A refusal uses nothing up; 408 and what a gateway says in the endpoint's place may follow a use.
        self.unused = 300 <= reply.status < 500 and reply.status != 408
        return reply
