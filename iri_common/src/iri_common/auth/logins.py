"""What a login leaves on this machine, and how it ends there and at its endpoint (RFC 7009)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from iri_common.auth.answers import answered, refused
from iri_common.auth.endpoint import Granted
from iri_common.auth.provider import Application, Provider
from iri_common.auth.secret import SecretReader
from iri_common.auth.shared import SharedTokens, entry_of
from iri_common.auth.store import StoredToken, Tokens
from iri_common.model.errors import AuthError
from iri_common.model.ports import TokenExchange, WireRequest


def keep(tokens: SharedTokens, first: SecretReader, granted: Granted) -> None:
    """A person logged in: put the refresh token where it is read, and forget all logins before; it blocks.

    Raises:
        AuthError: if there is no refresh token, or it cannot be kept.
    """
    if granted.refresh_token is None:
        raise AuthError(
            "the login gave no refresh token, and without one it ends with its first token. Give the profile "
            "a scope that brings one (most often offline_access), or have the application allowed to get one"
        )
    token, since = granted.token, {"since": time.time()}
    _replace(
        tokens,
        first,
        granted.refresh_token,
        StoredToken(token.value, token.expires_at or 0.0, granted.refresh_token, details=since),
    )


def take(tokens: SharedTokens, first: SecretReader, refresh_token: str) -> None:
    """The same with the refresh token of a login that was made elsewhere."""
    _replace(tokens, first, refresh_token, None)


def _replace(
    tokens: SharedTokens, first: SecretReader, refresh_token: str, entry: StoredToken | None
) -> None:
    """In an order in which a kill at any moment leaves a login that works.

    The successors of the old token stay until another one is in its place: without them the old one would be
    sent again, and look stolen.
    """
    assert first.put is not None
    with tokens.store.locked() as before:
        name = entry_of(refresh_token)
        known = entry or before.get(name)  # the same token again has successors, too
        after = {name: known} if known else {}
        tokens.store.write(before | after)
        try:
            first.put(refresh_token)
        except BaseException:
            tokens.store.write(before)
            raise
        tokens.store.write(after)


def held(tokens: SharedTokens, first: SecretReader) -> Sequence[str]:
    """The refresh tokens that may still count: the last of each login, and one that was never sent.

    Raises:
        AuthError: if there is one that cannot be read.
    """
    return _held(tokens.store.read(), first)


def _held(kept: Tokens, first: SecretReader) -> Sequence[str]:
    last = [each.refresh_token for each in kept.values() if each.refresh_token]
    try:
        unsent = first()
    except AuthError:
        if first.there is not None and first.there():
            raise
        return last
    return last if not unsent or entry_of(unsent) in kept else [*last, unsent]


def end(tokens: SharedTokens, first: SecretReader, revoke_one: Callable[[str], None]) -> None:
    """Have each of them revoked, while nobody gets another one for it; it blocks."""
    with tokens.store.locked() as kept:
        for each in _held(kept, first):
            revoke_one(each)


def forget(tokens: SharedTokens) -> bool:
    """Drop all that the store keeps of these logins; it blocks. Whether there was anything."""
    with tokens.store.locked() as kept:
        if kept:
            tokens.store.write({})
        return bool(kept)


async def revoke(provider: Provider, application: Application, token: str, send: TokenExchange) -> None:
    """End the login of a refresh token, with all access tokens of it.

    Raises:
        AuthError: if the endpoint refuses that.
        Unreachable: if it does not answer.
    """
    form = {"token": token, "token_type_hint": "refresh_token"} | await asyncio.to_thread(application.form)
    reply = await answered(send, WireRequest("POST", provider.revoke_url, form=form))
    if reply.status != 200:  # also for a token that it does not know (§2.2)
        secrets = (token, form.get("client_secret", ""))
        client, advice = f"client {application.id}", "Nothing is forgotten here"
        raise refused(reply, provider.revoke_url, client, advice, secrets, "end of its login")
