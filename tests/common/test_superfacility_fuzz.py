"""Whatever a Superfacility sends, a caller sees a value or an IriError."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from superfacility_door import ACCEPTED, Wire, dialect, ok

from iri_common.model.errors import IriError
from iri_common.model.outcome import Done, Pending
from iri_common.model.ports import WireReply

M = "perlmutter"
WORDS = [
    *("task_id", "status", "output", "error", "result", "id", "jobid", "state", "exitcode", "reason", "name"),
    *("jobname", "admincomment", "comment", "workdir", "entries", "perms", "size", "date", "file", "user"),
    *("is_binary", "system_type", "full_name", "description", "start_at", "end_at", "notes", "repo_name"),
    *("hours_given", "project_hours_given", "project_projdir_usage", "bytes_given", "exit_code", "detail"),
    *("clientId", "expiresAt"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**30, max_value=10**31)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(["OK", "ERROR", "ok", "12", "RUNNING", "3:0", "YQ==", "2026-01-01T00:00:00Z", "lrwx"])
)
replies = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=15,
)
SPEC = {"executable": "/bin/true", "name": "n"}

CALLS = [
    lambda d: d.jobs.submit(M, SPEC, "k"),
    lambda d: d.jobs.status(M, "12"),
    lambda d: d.jobs.list(M, offset=0, limit=1, historical=True, names=True),
    lambda d: d.jobs.output_paths(M, "12"),
    lambda d: d.jobs.cancel(M, "12"),
    lambda d: d.files.ls(M, "/p"),
    lambda d: d.files.ls(M, "/p", recursive=True),
    lambda d: d.files.view(M, "/p", size=1),
    lambda d: d.files.checksum(M, "/p"),
    lambda d: d.files.file_type(M, "/p"),
    lambda d: d.files.stat(M, "/p"),
    lambda d: d.files.download(M, "/p"),
    lambda d: d.files.upload(M, "/p", b""),
    lambda d: d.files.mkdir(M, "/p"),
    lambda d: d.files.rm(M, "/p"),
    lambda d: d.storage.locations(M),
    lambda d: d.operations.check(Pending("t", "ls", lambda result: result)),
    lambda d: d.status.resources(),
    lambda d: d.status.resource(M),
    lambda d: d.status.incidents(),
    lambda d: d.status.incidents(resource_id=M),
    lambda d: d.accounts.whoami(),
    lambda d: d.accounts.clients(),
    lambda d: d.accounts.projects(),
    lambda d: d.accounts.project_allocations("12"),
    lambda d: d.accounts.user_allocations("12", "all"),
]


async def asked(call, status, body, then, kind="application/json"):
    with contextlib.suppress(IriError):
        door = dialect(Wire(WireReply(status, {"content-type": kind}, body)), user=None)
        answer = await call(door)
        assert isinstance(answer, (Done, Pending))
        if isinstance(answer, Pending):
            finished = ok({"id": "t", "status": "completed", "result": then})
            assert isinstance(await dialect(Wire(finished)).operations.check(answer), Done)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=40, deadline=None)
@given(
    value=replies, rows=st.integers(0, 2), status=st.sampled_from([200, 200, 200, 201, 400, 403, 404, 422])
)
async def test_any_json(call, value, rows, status):
    for _ in range(rows):
        value = [value]
    await asked(call, status, json.dumps(value).encode(), None)
    await asked(call, status, json.dumps({"status": "OK", "output": value, "entries": value}).encode(), value)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=30, deadline=None)
@given(result=replies, inside=st.booleans())
async def test_any_result_of_a_task(call, result, inside):
    body = json.dumps(ACCEPTED).encode()
    await asked(call, 200, body, json.dumps(result) if inside else result)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=20, deadline=None)
@given(written=st.binary(max_size=60), code=st.integers(0, 999), error=st.binary(max_size=20))
async def test_whatever_a_command_writes(call, written, code, error):
    out, err = (base64.b64encode(each).decode() for each in (written, error))
    told = {"status": "ok", "output": f"noise {{ :iri:{out}:{code}:{err}:iri:", "error": None}
    await asked(call, 200, json.dumps(ACCEPTED).encode(), json.dumps(told))


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=10, deadline=None)
@given(body=st.binary(max_size=40), kind=st.sampled_from(["application/json", "text/html", ""]))
async def test_any_bytes(call, body, kind):
    await asked(call, 200, body, None, kind)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", ["task_id", "status", "output", "result", "entries", "error"])
async def test_nesting_as_deep_as_json_reads(call, key):
    depth = 300
    body = (f'{{"{key}": ' * depth + "1" + "}" * depth).encode()
    await asked(call, 200, body, json.loads(body))
    await asked(call, 200, json.dumps(ACCEPTED).encode(), body.decode())
    await asked(call, 200, json.dumps(ACCEPTED).encode(), "{" * 100_000)
