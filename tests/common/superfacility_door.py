"""A Superfacility dialect on a wire that answers as it is told."""

from __future__ import annotations

import base64
import json

from told_wire import ok

from iri_common.apis.superfacility import RULES, SuperfacilityDialect
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.outcome import Pending
from iri_common.policy.retry import Limits

ACCEPTED = {"task_id": "11", "status": "OK", "error": None}


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
