"""Whatever comes back, a caller sees a value or an IriError."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iri_common.apis.iri import RULES, IriDialect
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.errors import IriError
from iri_common.model.outcome import Done, Pending
from iri_common.model.ports import WireReply
from iri_common.policy.retry import Limits

WORDS = [
    *("id", "status", "state", "exit_code", "time", "message", "meta_data", "job_spec", "name", "directory"),
    *("stdout_path", "output", "error", "result", "task_id", "content", "checksum", "size", "mode", "type"),
    *("start", "end", "occurred_at", "resource_uris", "resource_uri", "units", "username", "entries", "unit"),
    *(
        "allocation",
        "usage",
        "capability_uri",
        "logical_name",
        "path",
        "access",
        "read",
        "protocol",
        "user_ids",
    ),
    *("supported_endpoints", "current_status", "link_target"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**30, max_value=10**31)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(
        ["completed", "failed", "new", "2026-01-01T00:00:00Z", "YQ==", "[1]", "{'output': [{}]}"]
    )
)
replies = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=15,
)


class Wire:
    """Answers with what it was given."""

    def __init__(self, status, body):
        self.reply = WireReply(status, {"content-type": "application/json"}, body)

    async def send(self, request):
        return self.reply

    async def close(self): ...


def dialect(status, body):
    wire = Wire(status, body)
    budget = Budget(per_second=1e9)
    return IriDialect(Session("http://d/api/v2", wire, None, budget, rules=RULES, limits=Limits(attempts=1)))


CALLS = [
    lambda d: d.jobs.submit("r", {}, "k"),
    lambda d: d.jobs.status("r", "1"),
    lambda d: d.jobs.list("r", offset=0, limit=1, historical=True, names=True),
    lambda d: d.jobs.output_paths("r", "1"),
    lambda d: d.jobs.cancel("r", "1"),
    lambda d: d.jobs.update("r", "1", {}, None),
    lambda d: d.files.ls("r", "/p"),
    lambda d: d.files.head("r", "/p", lines=1),
    lambda d: d.files.checksum("r", "/p"),
    lambda d: d.files.file_type("r", "/p"),
    lambda d: d.files.stat("r", "/p"),
    lambda d: d.files.download("r", "/p"),
    lambda d: d.files.upload("r", "/p", b""),
    lambda d: d.files.mkdir("r", "/p"),
    lambda d: d.operations.check(Pending("t", "ls", lambda result: result)),
    lambda d: d.operations.forget("t"),
    lambda d: d.status.facility(),
    lambda d: d.status.sites(),
    lambda d: d.status.resources(),
    lambda d: d.status.resource("r"),
    lambda d: d.status.incidents(),
    lambda d: d.status.events(),
    lambda d: d.accounts.whoami(),
    lambda d: d.accounts.check_token(),
    lambda d: d.accounts.capabilities(),
    lambda d: d.accounts.projects(),
    lambda d: d.accounts.project_allocations("p"),
    lambda d: d.accounts.user_allocations("p", "a"),
    lambda d: d.storage.locations("r"),
    lambda d: d.storage.access_endpoints("r"),
]


async def asked(call, status, body, then):
    with contextlib.suppress(IriError):
        answer = await call(dialect(status, body))
        assert isinstance(answer, (Done, Pending))
        if isinstance(answer, Pending):
            task = json.dumps({"id": "t", "status": "completed", "result": then}).encode()
            assert isinstance(await dialect(200, task).operations.check(answer), Done)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=60, deadline=None)
@given(value=replies, rows=st.booleans(), status=st.sampled_from([200, 200, 200, 202, 400, 404, 422, 501]))
async def test_any_json(call, value, rows, status):
    body = json.dumps([value] if rows else value).encode()
    await asked(call, status, body, None)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=60, deadline=None)
@given(result=replies)
async def test_any_result_of_a_task(call, result):
    await asked(call, 200, b'{"task_id": "t"}', result)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=20, deadline=None)
@given(body=st.binary(max_size=40))
async def test_any_bytes(call, body):
    await asked(call, 200, body, None)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", ["id", "status", "output", "result", "entries"])
async def test_nesting_as_deep_as_json_reads(call, key):
    depth = 300
    body = (f'{{"{key}": ' * depth + "1" + "}" * depth).encode()
    await asked(call, 200, body, json.loads(body))
    await asked(call, 200, b"[" + body + b"]", [json.loads(body)])
