"""A SENSE dialect on a wire that answers as it is told."""

from __future__ import annotations

import json

from iri_common.apis.kind import ApiWords
from iri_common.apis.sense import RULES, SenseDialect
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.ports import WireReply
from iri_common.policy.classify import ReplyLost
from iri_common.policy.retry import Limits

LEASE = "7b1e6f0e-0000-4000-8000-000000000001"


class Wire:
    """Gives prepared replies in turn, the last one again and again; a lost one is None."""

    def __init__(self, *replies):
        self.replies, self.requests = list(replies), []

    async def send(self, request):
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply is None:
            raise ReplyLost("cut")
        return reply

    async def close(self): ...


def ok(value, status=200):
    return WireReply(status, {"content-type": "application/json"}, json.dumps(value).encode())


def text(words, status=200):
    return WireReply(status, {"content-type": "text/plain;charset=UTF-8"}, words.encode())


def dialect(wire, user=None):
    limits = Limits(attempts=1, first_delay=0.0)
    session = Session(
        "http://door.example/restapi",
        wire,
        None,
        Budget(per_second=1e9),
        rules=RULES,
        label="door",
        limits=limits,
    )
    return SenseDialect(session, ApiWords(user=user))
