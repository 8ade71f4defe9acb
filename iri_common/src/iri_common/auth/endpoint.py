"""The token endpoint of OAuth2 (RFC 6749 §3.2): one request, and a token or the reason why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from iri_common.model.errors import AuthError, Unreachable
from iri_common.model.ports import Token, TokenExchange, WireReply, WireRequest
from iri_common.policy.classify import NotSent, ReplyLost


async def token_from(
    send: TokenExchange, request: WireRequest, *, asked_at: float, client: str, advice: str
) -> Token:
    """Ask for a token.

    Args:
        send: The wire.
        request: To the endpoint, with the credential.
        asked_at: When, in seconds since the epoch: the token's life is counted from then.
        client: What a refusal calls the one who asks.
        advice: What to do about a refusal.

    Raises:
        AuthError: if it refuses the client.
        Unreachable: if it does not answer.
    """
    try:
        reply = await send(request)
    except (NotSent, ReplyLost) as error:
        raise Unreachable(f"no answer from the token endpoint {request.url}: {error}") from None
    answer = _answer(reply)
    if reply.status == 200 and answer.get("access_token"):
        return Token(str(answer["access_token"]), _end(asked_at, answer.get("expires_in")))
    if reply.status >= 500 or reply.status == 429:
        raise Unreachable(f"the token endpoint {request.url} answered HTTP {reply.status}; try later")
    reason = answer.get("error_description") or answer.get("error") or f"HTTP {reply.status}"
    raise AuthError(f"{request.url} gave {client} no token: {reason}. {advice}", status=reply.status)


def _end(asked_at: float, lifetime: object) -> float | None:
    if not isinstance(lifetime, int | float) or not abs(lifetime) < 10**10:
        return None
    return asked_at + lifetime


def _answer(reply: WireReply) -> Mapping[str, object]:
    try:
        answer: object = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, object]", answer) if isinstance(answer, dict) else {}
