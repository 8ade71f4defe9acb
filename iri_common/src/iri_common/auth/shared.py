"""Tokens that all processes of a user share: one of them asks, the others read what it got."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from iri_common.auth.endpoint import Granted
from iri_common.auth.keeper import AT_LEAST_AHEAD, due
from iri_common.auth.store import StoredToken, Tokens, TokenStore
from iri_common.model.credential import SourceFacts
from iri_common.model.ports import Token, TokenExchange, TokenSource

OnLoop = Callable[[Coroutine[Any, Any, Granted]], Granted]


class Shareable(Protocol):
    """A source whose tokens can be shared."""

    @property
    def identity(self) -> str:
        """Who asks where for what, and where the secrets are."""
        ...

    def facts(self) -> SourceFacts:
        """What it tells of itself."""
        ...

    def proof(self) -> str:
        """The secrets as they are now: whose are equal may share tokens. It blocks, and raises AuthError."""
        ...

    async def granted(self, send: TokenExchange) -> Granted:
        """Ask; raises AuthError and Unreachable."""
        ...


def shared_store(source: Shareable) -> TokenStore:
    """Where the tokens of a source are kept: the same place for equal sources."""
    return TokenStore("client", hashlib.sha256(source.identity.encode()).hexdigest()[:32])


def entry_of(proof: str) -> str:
    """Under what a token is kept: by what it was had with. One variable differs from shell to shell."""
    return hashlib.sha256(proof.encode()).hexdigest()[:32]


class SharedTokens:
    """The tokens of a source, asked for by one process and thread at a time.

    Args:
        source: Asks for them.
        store: Keeps them.
        clock: Seconds since the epoch.
    """

    renewable = True

    def __init__(
        self, source: Shareable, store: TokenStore | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.source = source
        self.store = store or shared_store(source)
        self._clock = clock
        self.entry = ""  # of what was last asked with: another one may be another person's
        self._given, self._refused = "", ""

    @property
    def identity(self) -> str:
        """That of the source."""
        return self.source.identity

    def facts(self) -> SourceFacts:
        """Those of the source."""
        return self.source.facts()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.identity})"

    def __reduce__(self) -> str:
        raise TypeError("a credential is not pickled: hand over the name of its source instead")

    def refused(self, token: Token) -> None:
        """That one is not given again, nor read where others keep it."""
        self._refused = token.value

    async def fetch(self, send: TokenExchange) -> Token:
        """The token of all, or a new one for all.

        Raises:
            AuthError: if the tokens cannot be kept, or the source gives none.
            Unreachable: if it cannot be asked now.
        """
        loop = asyncio.get_running_loop()

        def on_loop(coroutine: Coroutine[Any, Any, Granted]) -> Granted:
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        # A thread of its own: one that waits for the lock must not keep one of the loop's few from who has
        # it. What it began it ends, also when the caller is cancelled or the program is about to end.
        thread = ThreadPoolExecutor(1, thread_name_prefix="iri-tokens")
        try:
            token = await loop.run_in_executor(thread, self._shared, send, on_loop)
        finally:
            thread.shutdown(wait=False)
        self._given = token.value
        return token

    def _shared(self, send: TokenExchange, on_loop: OnLoop) -> Token:
        self.entry = name = entry_of(self.source.proof())
        if token := self._counting(self.store.read().get(name)):
            return token
        with self.store.locked() as tokens:
            # Read again: a person may have logged in meanwhile.
            self.entry = name = entry_of(self.source.proof())
            if token := self._counting(tokens.get(name)):
                return token  # another process was quicker
            return self._renewed(tokens, name, send, on_loop)

    def _counting(self, kept: StoredToken | None) -> Token | None:
        if kept is None or kept.access_token in {"", self._refused}:
            return None
        since = float(kept.details.get("since", kept.expires_at))
        # Who had it before comes back to renew it in time; who is new here takes what is there.
        last = kept.expires_at - min(AT_LEAST_AHEAD, (kept.expires_at - since) / 2)
        end = due(kept.expires_at, since) if kept.access_token == self._given else last
        return Token(kept.access_token, kept.expires_at) if self._clock() < end else None

    def _renewed(self, tokens: Tokens, name: str, send: TokenExchange, on_loop: OnLoop) -> Token:
        since = self._clock()
        token = on_loop(self.source.granted(send)).token
        if token.expires_at is not None:  # else nobody could know how long to read it
            tokens[name] = StoredToken(token.value, token.expires_at, details={"since": since})
            self.store.write({each: kept for each, kept in tokens.items() if kept.expires_at > since})
        return token


def asking(source: TokenSource | None) -> object:
    """The source that asks, also behind one whose tokens are shared."""
    return source.source if isinstance(source, SharedTokens) else source
