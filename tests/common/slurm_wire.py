"""A wire that says what it is told to, and the slurm dialect before it."""

from __future__ import annotations

import json

from iri_common.apis.kind import ApiWords
from iri_common.apis.slurm import API, SlurmDialect
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.ports import WireReply
from iri_common.policy.retry import Limits

SPEC = {"executable": "/bin/true", "directory": "/d"}
PING = {"errors": [], "pings": []}
NO_URL = (404, "Unable find requested URL. Please view /openapi/v3 for API reference.")


def errors(number, text="it says so", key="error_number"):
    return {"errors": [{key: number, "error": text, "description": "", "source": "s"}], "jobs": []}


class Wire:
    """Answers each path by the first line that fits; a list is used up, its last entry stays."""

    def __init__(self, answers):
        self.answers = answers
        self.seen = []

    async def send(self, request):
        line = f"{request.method} {request.url.removeprefix('http://s')}"
        self.seen.append(line + "".join(f"?{name}={value}" for name, value in request.params))
        for part, answer in self.answers.items():
            if part in line:
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                return reply(*(answer if isinstance(answer, tuple) else (200, answer)))
        return reply(*NO_URL)

    async def close(self): ...


def reply(status, body):
    if isinstance(body, bytes):
        return WireReply(status, {"content-type": "application/json"}, body)
    if isinstance(body, str):
        return WireReply(status, {"content-type": "text/plain"}, body.encode())
    return WireReply(status, {"content-type": "application/json"}, json.dumps(body).encode())


def dialect(answers, version="v0.0.38", **words):
    wire = Wire(answers)
    session = Session(
        "http://s", wire, None, Budget(per_second=1e9), rules=API.rules, limits=Limits(attempts=1)
    )
    return SlurmDialect(session, ApiWords(version=version, **words)), wire


def s3m(answers, version="v0.0.43"):
    return dialect(answers, version, site="s3m")
