"""A SENSE dialect on a wire that answers as it is told."""

from __future__ import annotations

from iri_common.apis.kind import ApiWords
from iri_common.apis.sense import RULES, SenseDialect
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.ports import WireReply
from iri_common.policy.retry import Limits

LEASE = "7b1e6f0e-0000-4000-8000-000000000001"


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
