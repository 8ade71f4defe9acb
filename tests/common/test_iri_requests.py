"""What is put on the wire for every port method, and how often."""

from __future__ import annotations

import json

import pytest

from iri_common.apis.iri import RULES, V2, IriDialect
from iri_common.apis.iri.rules import FILE_REPLAYS
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.errors import AmbiguousReply, Unreachable, UsageError
from iri_common.model.files import Compression
from iri_common.model.outcome import Pending
from iri_common.model.ports import WireReply
from iri_common.policy.classify import ReplyLost
from iri_common.policy.retry import Limits, Replay

ODD = "a b/ü&'\"?#%"
ENCODED = "a%20b%2F%C3%BC%26%27%22%3F%23%25"
TASK = {"task_id": "t1", "task_uri": "http://elsewhere.example/api/v2/task/t1"}


class Wire:
    """Answers every request with the same reply, or with none."""

    def __init__(self, value=None, *, lost=False, status=200):
        self.value, self.lost, self.status, self.requests = value, lost, status, []

    async def send(self, request):
        self.requests.append(request)
        if self.lost:
            raise ReplyLost("cut")
        return WireReply(self.status, {"content-type": "application/json"}, json.dumps(self.value).encode())

    async def close(self): ...


def dialect(wire, version=V2):
    limits, url = Limits(attempts=3, first_delay=0.0), f"http://door.example/api/{version.name}/"
    return IriDialect(Session(url, wire, None, Budget(), rules=RULES, label="door", limits=limits), version)


GET_JOB = (("historical", "true"), ("include_spec", "false"))
GET_SPEC = (("historical", "true"), ("include_spec", "true"))
PAGE = (("offset", "0"), ("limit", "1000"))
GZIP, XZ = "urn:doe-iri:compression:gzip", "urn:doe-iri:compression:xz"
SPEC = {"executable": "/bin/true", "name": "n.0-1"}

# (id, call, method, path, params, json, reply)
CALLS = [
    (
        "submit",
        lambda d: d.jobs.submit(ODD, SPEC, "k"),
        "POST",
        f"/compute/job/{ENCODED}",
        (),
        SPEC,
        {"id": "1"},
    ),
    (
        "status",
        lambda d: d.jobs.status(ODD, ODD),
        "GET",
        f"/compute/status/{ENCODED}/{ENCODED}",
        GET_JOB,
        None,
        None,
    ),
    (
        "list",
        lambda d: d.jobs.list("r", offset=5, limit=7, historical=True, names=False),
        "POST",
        "/compute/status/r",
        (("offset", "5"), ("limit", "7"), ("historical", "true"), ("include_spec", "false")),
        None,
        [],
    ),
    (
        "output_paths",
        lambda d: d.jobs.output_paths("r", "1"),
        "GET",
        "/compute/status/r/1",
        GET_SPEC,
        None,
        None,
    ),
    ("cancel", lambda d: d.jobs.cancel("r", ODD), "DELETE", f"/compute/cancel/r/{ENCODED}", (), None, None),
    (
        "update",
        lambda d: d.jobs.update("r", ODD, {"attributes": {"duration": 60}}, "k"),
        "PUT",
        f"/compute/job/r/{ENCODED}",
        (),
        {"attributes": {"duration": 60}},
        {"id": "1"},
    ),
    ("facility", lambda d: d.status.facility(), "GET", "/facility", (), None, {"id": "f"}),
    ("sites", lambda d: d.status.sites(), "GET", "/facility/sites", PAGE, None, []),
    ("resources", lambda d: d.status.resources(), "GET", "/status/resources", PAGE, None, []),
    (
        "resource",
        lambda d: d.status.resource(ODD),
        "GET",
        f"/status/resources/{ENCODED}",
        (),
        None,
        {"id": "r"},
    ),
    ("incidents", lambda d: d.status.incidents(), "GET", "/status/incidents", PAGE, None, []),
    (
        "events",
        lambda d: d.status.events(incident_id="i", resource_id=ODD),
        "GET",
        "/status/events",
        (("incident_id", "i"), ("resource_id", ODD), *PAGE),
        None,
        [],
    ),
    ("whoami", lambda d: d.accounts.whoami(), "GET", "/account/whoami", (), None, {"username": "u"}),
    ("capabilities", lambda d: d.accounts.capabilities(), "GET", "/account/capabilities", PAGE, None, []),
    ("projects", lambda d: d.accounts.projects(), "GET", "/account/projects", (), None, []),
    (
        "project_allocations",
        lambda d: d.accounts.project_allocations(ODD),
        "GET",
        f"/account/projects/{ENCODED}/project_allocations",
        (),
        None,
        [],
    ),
    (
        "user_allocations",
        lambda d: d.accounts.user_allocations("p", ODD),
        "GET",
        f"/account/projects/p/project_allocations/{ENCODED}/user_allocations",
        (),
        None,
        [],
    ),
    (
        "locations",
        lambda d: d.storage.locations("r", logical_name="scratch", project=ODD),
        "GET",
        "/storage/locations/r",
        (("logicalpath", "scratch"), ("project", ODD)),
        None,
        [],
    ),
    (
        "endpoints",
        lambda d: d.storage.access_endpoints(ODD),
        "GET",
        f"/storage/access-endpoints/{ENCODED}",
        (),
        None,
        [],
    ),
    (
        "check",
        lambda d: d.operations.check(Pending(ODD, "ls", str)),
        "GET",
        f"/task/{ENCODED}",
        (),
        None,
        {"id": "t"},
    ),
    ("forget", lambda d: d.operations.forget(ODD), "DELETE", f"/task/{ENCODED}", (), None, "gone"),
]

# (operation, call, body)
FILE_CALLS = [
    (
        "ls",
        lambda f: f.ls("r", ODD, hidden=True),
        {"path": ODD, "showHidden": True, "recursive": False, "dereference": False},
    ),
    ("head", lambda f: f.head("r", ODD, lines=3), {"path": ODD, "lines": 3}),
    ("tail", lambda f: f.tail("r", ODD, size=9), {"path": ODD, "bytes": 9}),
    ("view", lambda f: f.view("r", ODD, size=4), {"path": ODD, "size": 4, "offset": 0}),
    ("checksum", lambda f: f.checksum("r", ODD), {"path": ODD}),
    ("file", lambda f: f.file_type("r", ODD), {"path": ODD}),
    ("stat", lambda f: f.stat("r", ODD, dereference=True), {"path": ODD, "dereference": True}),
    ("download", lambda f: f.download("r", ODD), {"path": ODD}),
    ("rm", lambda f: f.rm("r", ODD), {"path": ODD}),
    ("chmod", lambda f: f.chmod("r", ODD, 0o7), {"path": ODD, "mode": "007"}),
    ("chmod", lambda f: f.chmod("r", ODD, 0o4755), {"path": ODD, "mode": "4755"}),
    ("chown", lambda f: f.chown("r", ODD, group="g"), {"path": ODD, "owner": "", "group": "g"}),
    ("mkdir", lambda f: f.mkdir("r", ODD), {"path": ODD, "parent": False}),
    ("symlink", lambda f: f.symlink("r", "/t", ODD), {"path": "/t", "link_path": ODD}),
    ("cp", lambda f: f.cp("r", "/s", ODD), {"path": "/s", "target_path": ODD, "dereference": False}),
    ("mv", lambda f: f.mv("r", "/s", ODD), {"path": "/s", "target_path": ODD}),
    (
        "compress",
        lambda f: f.compress("r", "/s", ODD, pattern=".*", compression=Compression.XZ),
        {"path": "/s", "target_path": ODD, "match_pattern": ".*", "dereference": False, "compression": XZ},
    ),
    ("extract", lambda f: f.extract("r", "/s", ODD), {"path": "/s", "target_path": ODD, "compression": GZIP}),
]


@pytest.mark.parametrize(
    ("call", "method", "path", "params", "body", "value"),
    [case[1:] for case in CALLS],
    ids=[case[0] for case in CALLS],
)
async def test_a_request_is_what_the_api_describes(call, method, path, params, body, value):
    wire = Wire(value)
    await call(dialect(wire))
    (request,) = wire.requests
    assert (request.method, request.url) == (method, f"http://door.example/api/v2{path}")
    assert tuple(request.params) == params
    assert request.json == body


@pytest.mark.parametrize(("operation", "call", "body"), FILE_CALLS, ids=[case[0] for case in FILE_CALLS])
async def test_a_file_operation_is_a_task_in_documented_names(operation, call, body):
    wire = Wire(TASK)
    pending = await call(dialect(wire).files)
    (request,) = wire.requests
    assert (request.method, request.url) == ("POST", f"http://door.example/api/v2/filesystem/{operation}/r")
    assert (request.json, request.files, tuple(request.params)) == (body, None, ())
    assert (pending.task_id, pending.operation) == ("t1", operation)


async def test_an_upload_names_its_path_in_the_query():
    wire = Wire(TASK)
    assert isinstance(await dialect(wire).files.upload("r", ODD, b"\x00\xff"), Pending)
    (request,) = wire.requests
    assert tuple(request.params) == (("path", ODD),)
    assert request.json is None
    assert request.files == {"file": ("content", b"\x00\xff")}


async def test_a_task_is_looked_up_at_this_door_whatever_its_link_says():
    wire = Wire(TASK)
    pending = await dialect(wire).files.ls("r", "/d")
    wire.value = {"id": "t1", "status": "active"}
    assert await dialect(wire).operations.check(pending) is pending
    assert wire.requests[-1].url == "http://door.example/api/v2/task/t1"


@pytest.mark.parametrize("key", ["0-k", None])
async def test_the_idempotency_key_is_sent_where_given(key):
    wire = Wire({"id": "1"})
    await dialect(wire).jobs.submit("r", SPEC, key)
    await dialect(wire).jobs.update("r", "1", {}, key)
    assert [request.headers.get("Idempotency-Key") for request in wire.requests] == [key, key]


UPLOAD = ("upload", lambda f: f.upload("r", "/p", b""), None)


REPLAYS = [
    *((name, call, FILE_REPLAYS[name]) for name, call, _ in [*FILE_CALLS, UPLOAD]),
    ("mkdir with parents", lambda f: f.mkdir("r", "/p", parents=True), Replay.SAFE),
]


@pytest.mark.parametrize(("name", "call", "replay"), REPLAYS)
async def test_a_lost_reply_repeats_only_what_ends_in_the_same_place(name, call, replay):
    wire = Wire(lost=True)
    with pytest.raises(Unreachable if replay is Replay.SAFE else AmbiguousReply) as caught:
        await call(dialect(wire).files)
    assert len(wire.requests) == (3 if replay is Replay.SAFE else 1)
    assert caught.value.facility == "door"


@pytest.mark.parametrize(
    ("call", "sends"),
    [
        (lambda d: d.jobs.submit("r", SPEC, "k"), 1),
        (lambda d: d.jobs.submit("r", SPEC, None), 1),
        (lambda d: d.jobs.update("r", "1", {}, None), 1),
        (lambda d: d.jobs.update("r", "1", {}, "k"), 3),
        (lambda d: d.jobs.cancel("r", "1"), 3),
        (lambda d: d.jobs.status("r", "1"), 3),
        (lambda d: d.jobs.list("r", offset=0, limit=1, historical=False, names=True), 3),
    ],
)
async def test_a_job_is_never_asked_for_twice(call, sends):
    wire = Wire(lost=True)
    with pytest.raises(AmbiguousReply if sends == 1 else Unreachable):
        await call(dialect(wire))
    assert len(wire.requests) == sends


def test_every_file_operation_has_its_row():
    assert {name for name, _, _ in FILE_CALLS} | {"upload"} == set(FILE_REPLAYS)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.files.head("r", "/p"),
        lambda d: d.files.head("r", "/p", lines=1, size=1),
        lambda d: d.files.head("r", "/p", lines=0),
        lambda d: d.files.tail("r", "/p"),
        lambda d: d.files.tail("r", "/p", lines=1, size=1),
        lambda d: d.files.tail("r", "/p", size=-1),
        lambda d: d.files.view("r", "/p", size=0),
        lambda d: d.files.view("r", "/p", size=1, offset=-1),
        lambda d: d.files.chmod("r", "/p", 0o10000),
        lambda d: d.files.chmod("r", "/p", -1),
        lambda d: d.files.chown("r", "/p"),
        lambda d: d.files.rm("r", ""),
        lambda d: d.files.mv("r", "/p", ""),
        lambda d: d.files.symlink("r", "/p", ""),
        lambda d: d.files.rm("", "/p"),
        lambda d: d.jobs.status("r", ".."),
        lambda d: d.jobs.cancel("r", ""),
        lambda d: d.operations.forget(""),
        lambda d: d.operations.forget("."),
    ],
)
async def test_nonsense_is_refused_before_anything_is_sent(call):
    wire = Wire(TASK)
    with pytest.raises(UsageError):
        await call(dialect(wire))
    assert wire.requests == []
