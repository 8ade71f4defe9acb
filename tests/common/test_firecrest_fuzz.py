"""Whatever comes back, a caller sees a value or an IriError."""

from __future__ import annotations

import contextlib
import json

import pytest
from firecrest_world import TRANSFER_JOB, dialect, ok
from hypothesis import given, settings
from hypothesis import strategies as st

from iri_common.apis.firecrest import API
from iri_common.apis.firecrest.operations import TransferJob
from iri_common.model.errors import IriError
from iri_common.model.outcome import Done, Pending
from iri_common.model.ports import WireReply
from iri_common.model.transfer import PartsUpload

WORDS = [
    *("jobs", "jobId", "job_id", "name", "status", "state", "stateReason", "exitCode", "interruptSignal"),
    *("time", "start", "end", "workingDirectory", "standardOutput", "script", "output", "content", "type"),
    *("size", "mode", "checksum", "linkTarget", "lastModified", "systems", "scheduler", "servicesHealth"),
    *("serviceType", "healthy", "fileSystems", "path", "dataType", "defaultWorkDir", "dataOperation"),
    *("datatransfer_jobs_directives", "data_transfer", "ttl", "user", "accounts", "default", "transferJob"),
    *("logs", "outputLog", "errorLog", "transferDirectives", "partsUploadUrls", "completeUploadUrl"),
    *("maxPartSize", "downloadUrl", "errorType", "message", "causedBy", "data", "fields", "location"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**30, max_value=10**31)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(
        ["COMPLETED", "F", "CANCELLED by 1", "allocation", "s3", "slurm", "users", "\\303", "7"]
    )
)
replies = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=15,
)
KINDS = ["application/json", "application/json", "application/json", "text/html", "text/plain", ""]
STATUSES = [200, 200, 200, 201, 204, 400, 401, 403, 404, 408, 413, 424, 429, 500, 501, 503, 302]


class Wire:
    """Answers with what it was given."""

    def __init__(self, status, body, kind="application/json"):
        self.reply = WireReply(status, {"content-type": kind}, body)

    async def send(self, request):
        return self.reply

    async def close(self): ...


class Store:
    """A store that answers with anything."""

    def __init__(self, status, body):
        self.reply = WireReply(status, {}, body)

    async def post(self, url, content, headers=None):
        return self.reply


HANDLE = {"job": str(TransferJob("alps", "70", "/o", "/e"))}
UPLOAD = PartsUpload("/p", 5, 5, (), None, HANDLE)
CALLS = [
    lambda d: d.jobs.submit("alps", {"executable": "x", "directory": "/d"}, None),
    lambda d: d.jobs.submit("alps", {"executable": "x"}, None),
    lambda d: d.jobs.status("alps", "7"),
    lambda d: d.jobs.list("alps", offset=0, limit=1, historical=True, names=True),
    lambda d: d.jobs.output_paths("alps", "7"),
    lambda d: d.jobs.cancel("alps", "7"),
    lambda d: d.files.ls("alps", "/p"),
    lambda d: d.files.head("alps", "/p", lines=1),
    lambda d: d.files.view("alps", "/p", size=9, offset=5),
    lambda d: d.files.checksum("alps", "/p"),
    lambda d: d.files.file_type("alps", "/p"),
    lambda d: d.files.stat("alps", "/p"),
    lambda d: d.files.download("alps", "/p"),
    lambda d: d.files.upload("alps", "/p", b""),
    lambda d: d.files.mkdir("alps", "/p"),
    lambda d: d.files.rm("alps", "/p"),
    lambda d: d.files.mv("alps", "/p", "/q"),
    lambda d: d.files.cp("alps", "/p", "/q&"),
    lambda d: d.operations.check(Pending(HANDLE["job"], "transfer/mv", lambda result: result)),
    lambda d: d.operations.forget(HANDLE["job"]),
    lambda d: d.parts.begin("alps", "/p", 5),
    lambda d: d.parts.link("alps", "/p"),
    lambda d: d.parts.finish("alps", UPLOAD, ["e"]),
    lambda d: d.parts.abandon("alps", UPLOAD),
    lambda d: d.parts.clear("alps", "/p", 0),
    lambda d: d.status.resources(),
    lambda d: d.status.resource("alps"),
    lambda d: d.status.incidents(),
    lambda d: d.accounts.whoami(),
    lambda d: d.accounts.check_token(),
    lambda d: d.accounts.projects(),
    lambda d: d.storage.locations("alps"),
]
SYSTEM = {
    "systems": [
        {
            "name": "alps",
            "fileSystems": [{"path": "/users", "dataType": "users"}],
            "dataOperation": {"data_transfer": {"serviceType": "s3"}},
        }
    ]
}


async def asked(call, wire):
    with contextlib.suppress(IriError):
        door = dialect(wire, attempts=1)
        if door.parts is not None:
            assert isinstance(await call(door), (Done, Pending))


async def asked_when_known(call, wire):
    """The same, when the system was told well before."""
    with contextlib.suppress(IriError):
        door = dialect(first := Wire(200, json.dumps(SYSTEM).encode()), user="ana", attempts=1)
        await door.status.resources()
        first.reply = wire.reply
        assert isinstance(await call(door), (Done, Pending))


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=12, deadline=None)
@given(
    value=replies,
    status=st.sampled_from(STATUSES),
    kind=st.sampled_from(KINDS),
    inside=st.sampled_from(WORDS),
)
async def test_any_json(call, value, status, kind, inside):
    for body in (value, {inside: value}, {"jobs": [value]}, {"output": value}, {"systems": [value]}):
        wire = Wire(status, json.dumps(body).encode(), kind)
        await asked(call, wire)
        await asked_when_known(call, wire)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=10, deadline=None)
@given(body=st.binary(max_size=40), kind=st.sampled_from(KINDS))
async def test_any_bytes(call, body, kind):
    await asked_when_known(call, Wire(200, body, kind))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", ["jobs", "output", "systems", "transferJob", "status", "message"])
async def test_nesting_as_deep_as_json_reads(call, key):
    depth = 300
    body = (f'{{"{key}": ' * depth + "1" + "}" * depth).encode()
    for each in (body, b"[" + body + b"]", b"[" * 100_000):
        await asked(call, Wire(200, each))
        await asked_when_known(call, Wire(500, each))


@settings(max_examples=50, deadline=None)
@given(status=st.sampled_from(STATUSES), body=st.binary(max_size=60))
async def test_any_answer_of_a_store(status, body):
    directives = {"partsUploadUrls": ["u"], "completeUploadUrl": "https://s/x", "maxPartSize": 5}
    told = ok({"transferJob": TRANSFER_JOB, "transferDirectives": directives}, 201)
    door = dialect(
        wire := Wire(200, json.dumps(SYSTEM).encode()), user="ana", attempts=1, links=Store(status, body)
    )
    await door.status.resources()
    wire.reply = told
    upload = (await door.parts.begin("alps", "/p", 5)).value
    with contextlib.suppress(IriError):
        assert isinstance(await door.parts.finish("alps", upload, ["e"]), Pending)


@settings(max_examples=50, deadline=None)
@given(
    status=st.integers(min_value=100, max_value=599), body=st.binary(max_size=60) | replies.map(json.dumps)
)
def test_any_answer_to_a_knock(status, body):
    told = API.recognise(status, body if isinstance(body, bytes) else body.encode())
    assert told in {None, "FirecREST"}
