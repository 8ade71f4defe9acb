"""A Superfacility dialect on a wire that answers as it is told."""

from __future__ import annotations

import base64
import json

from iri_common.apis.superfacility import RULES, SuperfacilityDialect
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.outcome import Pending
from iri_common.model.ports import WireReply
from iri_common.policy.classify import ReplyLost
from iri_common.policy.retry import Limits

JSON = {"content-type": "application/json"}
ACCEPTED = {"task_id": "11", "status": "OK", "error": None}


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


def rows(*columns):
    return ok({"status": "OK", "output": list(columns), "error": None})


def task(result, status="completed"):
    return ok({"id": "11", "status": status, "result": result})


def told(output, code=0, error=""):
    """The result of a command's task, as the frame around the command makes it."""
    written = [base64.encodebytes(each).decode() for each in (output, error.encode())]
    text = f"Welcome to a login node\n:iri:{written[0]}:{code}:{written[1]}:iri:"
    return task(json.dumps({"status": "ok", "output": text, "error": None, "exit_code": 0}))


def dialect(wire, user="u", attempts=1):
    limits = Limits(attempts=attempts, first_delay=0.0)
    budget = Budget(per_second=1e9)
    session = Session(
        "http://door.example/api/v1.2", wire, None, budget, rules=RULES, label="door", limits=limits
    )
    return SuperfacilityDialect(session, user)


async def settled(door, answer):
    """The value of what one more look settles."""
    return (await door.operations.check(answer)).value if isinstance(answer, Pending) else answer.value
