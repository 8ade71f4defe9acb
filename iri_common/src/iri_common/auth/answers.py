"""What an endpoint of OAuth2 answers: its words, or the reason why it gives nothing (RFC 6749 §5.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from iri_common.model.errors import AuthError, Unreachable
from iri_common.model.ports import TokenExchange, WireReply, WireRequest
from iri_common.policy.classify import NotSent, ReplyLost
from iri_common.policy.telling import Hiding, told


async def answered(send: TokenExchange, request: WireRequest, called: str = "") -> WireReply:
    """The reply to a request.

    Args:
        send: The wire.
        request: To an endpoint.
        called: What messages call that.

    Raises:
        Unreachable: if none comes.
    """
    try:
        return await send(request)
    except (NotSent, ReplyLost) as error:
        raise Unreachable(f"no answer from {called or request.url}: {error}") from None


def words_of(reply: WireReply) -> Mapping[str, object]:
    """The words of a reply; none where it has no JSON object in it."""
    try:
        answer: object = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, object]", answer) if isinstance(answer, dict) else {}


def refused(
    reply: WireReply, where: str, client: str, advice: str, secrets: Sequence[str], what: str = "token"
) -> AuthError | Unreachable:
    """Why an endpoint did not give what was asked for; it may repeat what it refuses, which is hidden.

    Args:
        reply: Its answer.
        where: Its URL.
        client: What messages call the one who asks.
        advice: What to do about it.
        secrets: Of those in the request.
        what: Was asked for.
    """
    if reply.status >= 500 or reply.status == 429:
        return Unreachable(f"the token endpoint {where} answered HTTP {reply.status}; try later")
    answer = words_of(reply)
    reason = str(answer.get("error_description") or answer.get("error") or f"HTTP {reply.status}")
    hide = Hiding(dict.fromkeys(secrets, "[secret]"), shortest=1)
    return AuthError(f"{where} gave {client} no {what}: {told(reason, hide)}. {advice}", status=reply.status)
