"""A wire that answers as it is told, in turn."""

from __future__ import annotations

import json

from iri_common.model.ports import WireReply
from iri_common.policy.classify import ReplyLost

JSON = {"content-type": "application/json"}


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
    return WireReply(status, JSON, json.dumps(value).encode())
