"""What replies are taken for, the ones that facilities were seen to send among them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from iri_common.apis.iri import RULES, IriDialect
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.errors import (
    AmbiguousReply,
    Conflict,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    ReplyError,
    TooLarge,
    TransientError,
)
from iri_common.model.facility import Availability
from iri_common.model.job import Accepted, JobEntry, JobStatus
from iri_common.model.outcome import Done, Pending
from iri_common.model.ports import WireReply
from iri_common.model.reason import JobReason
from iri_common.model.state import JobState
from iri_common.policy.retry import Limits

JSON = {"content-type": "application/json"}
PROBLEM = {"content-type": "application/problem+json"}


class Wire:
    """Gives prepared replies in turn; the last one again and again."""

    def __init__(self, *replies):
        self.replies, self.sends = list(replies), 0

    async def send(self, request):
        self.sends += 1
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    async def close(self): ...


def ok(value, **headers):
    return WireReply(200, {**JSON, **headers}, json.dumps(value).encode())


def problem(status, detail):
    return WireReply(status, PROBLEM, json.dumps({"title": "Error", "detail": detail}).encode())


def dialect(*replies):
    session = Session(
        "http://door.example/api/v2",
        Wire(*replies),
        None,
        Budget(),
        rules=RULES,
        label="door",
        limits=Limits(attempts=2, first_delay=0.0),
    )
    return IriDialect(session)


async def settled(pending, task):
    return await dialect(ok(task)).operations.check(pending)


async def file_result(call, result):
    pending = await call(dialect(ok({"task_id": "t", "task_uri": "u"})).files)
    done = await settled(pending, {"id": "t", "status": "completed", "result": result})
    at_once = await call(dialect(ok(result)).files) if isinstance(result, dict) else done
    assert at_once == done
    return done.value


@pytest.mark.parametrize(("word", "replayed"), [("hit", True), ("miss", False), ("Hit", True), ("?", None)])
async def test_a_replayed_submit_is_told_by_its_header(word, replayed):
    answer = await dialect(ok({"id": "7"}, **{"idempotency-key-reply": word})).jobs.submit("r", {}, "k")
    assert answer.value.replayed is replayed


async def test_a_submit_whose_key_nobody_looked_at():
    answer = await dialect(ok({"id": 7, "status": {"state": "new", "exit_code": 0}})).jobs.submit(
        "r", {}, "k"
    )
    assert answer == Done(Accepted("7", JobStatus(JobState.NEW, raw_state="new"), None))


@pytest.mark.parametrize(
    "value", [None, {}, [], {"id": None}, {"id": ""}, {"status": {"state": "new"}}, "ok", 5]
)
async def test_a_success_without_a_job_may_have_worked(value):
    with pytest.raises(AmbiguousReply) as caught:
        await dialect(ok(value)).jobs.submit("r", {}, None)
    assert (caught.value.facility, caught.value.operation) == ("door", "launchJob")
    assert caught.value.outcome == "unreadable"


async def test_an_unreadable_status_does_not_cost_the_job_id():
    answer = await dialect(ok({"id": "7", "status": [1]})).jobs.submit("r", {}, None)
    assert answer == Done(Accepted("7", JobStatus(JobState.UNKNOWN), None))


async def test_a_submit_that_the_facility_queues():
    pending = await dialect(WireReply(202, JSON, b'{"task_id": "t", "task_uri": "u"}')).jobs.submit(
        "r", {}, "k"
    )
    assert isinstance(pending, Pending)
    task = {
        "id": "t",
        "status": "completed",
        "result": {"output": {"id": "7", "status": {"state": "queued"}}},
    }
    assert (await settled(pending, task)).value.job_id == "7"
    with pytest.raises(AmbiguousReply):
        await settled(pending, {"id": "t", "status": "completed", "result": None})


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (409, Conflict), (422, Conflict), (501, NotOffered), (500, AmbiguousReply)],
)
async def test_refused_submits(status, kind):
    with pytest.raises(kind, match="Queue debug not found") as caught:
        await dialect(problem(status, "Queue debug not found")).jobs.submit("r", {}, "k")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "reply",
    [
        problem(404, "Job 42 not found"),
        problem(400, "Job 42 not found"),
        problem(400, "job 42.polaris was Not Found"),
        ok(None),
    ],
)
async def test_a_job_that_is_not_there_is_missing_however_it_is_said(reply):
    answer = await dialect(reply).jobs.status("r", "42")
    assert answer.value.state is JobState.MISSING


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/json", ""])
async def test_a_gateway_that_finds_no_way_does_not_make_a_job_missing(kind):
    lost = WireReply(404, {"content-type": kind}, b'{"message": "no route for job 42, not found"}')
    with pytest.raises(TransientError, match="base URL"):
        await dialect(lost).jobs.status("r", "42")
    if "json" not in kind:
        with pytest.raises(Refused) as caught:
            await dialect(WireReply(400, lost.headers, lost.body)).jobs.status("r", "42")
        assert type(caught.value) is Refused
    with pytest.raises(AmbiguousReply):
        await dialect(lost).jobs.submit("r", {}, None)


async def test_only_under_a_key_a_422_says_that_the_key_was_used():
    words = problem(422, "another body")
    for keyed in (dialect(words).jobs.submit("r", {}, "k"), dialect(words).jobs.update("r", "1", {}, "k")):
        with pytest.raises(Conflict, match="idempotency key with another request") as caught:
            await keyed
        assert caught.value.outcome == "key used"
    for bare in (dialect(words).jobs.submit("r", {}, None), dialect(words).jobs.update("r", "1", {}, "")):
        with pytest.raises(Refused) as refused:
            await bare
        assert refused.value.outcome == "invalid"


async def test_another_400_is_not_a_missing_job():
    with pytest.raises(Refused):
        await dialect(problem(400, "resource abc not found")).jobs.status("abc", "42")
    with pytest.raises(Refused):
        await dialect(problem(422, "the filter of job 42 was not found")).jobs.status("abc", "42")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, JobStatus(JobState.UNKNOWN)),
        ({"state": "queued", "exit_code": 0}, JobStatus(JobState.QUEUED, raw_state="queued")),
        ({"state": "PREEMPTED"}, JobStatus(JobState.UNKNOWN, raw_state="PREEMPTED")),
        (
            {
                "state": "completed",
                "exit_code": 3,
                "time": 1.5,
                "message": None,
                "meta_data": {"k": [1]},
                "_links": {},
            },
            JobStatus(JobState.COMPLETED, 3, None, 1.5, "completed", {"k": [1]}, JobReason.EXIT_CODE),
        ),
        (
            {"state": "failed", "meta_data": None},
            JobStatus(JobState.FAILED, raw_state="failed", reason=JobReason.UNKNOWN),
        ),
    ],
)
async def test_status(status, expected):
    answer = await dialect(ok({"id": "1", "status": status})).jobs.status("r", "1")
    assert answer == Done(expected)


async def test_completed_with_another_exit_code_is_no_success():
    answer = await dialect(ok({"id": "1", "status": {"state": "completed", "exit_code": 3}})).jobs.status(
        "r", "1"
    )
    assert answer.value.state is JobState.COMPLETED
    assert not answer.value.succeeded


async def test_a_list_tells_names_where_it_carries_specifications():
    rows = [{"id": "1", "status": {"state": "active"}, "job_spec": {"name": "n"}}, {"id": "2"}]
    answer = await dialect(ok(rows)).jobs.list("r", offset=0, limit=2, historical=False, names=True)
    assert answer.value == [
        JobEntry("1", JobStatus(JobState.ACTIVE, raw_state="active"), "n"),
        JobEntry("2", JobStatus(JobState.UNKNOWN), None),
    ]


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({"directory": "/d", "stdout_path": "o", "stderr_path": "/e"}, {"stdout": "/d/o", "stderr": "/e"}),
        ({"stdout_path": "o", "stderr_path": None}, {"stdout": "o"}),
        (None, {}),
    ],
)
async def test_output_paths(spec, paths):
    assert await dialect(ok({"id": "1", "job_spec": spec})).jobs.output_paths("r", "1") == Done(paths)


@pytest.mark.parametrize(
    ("meta", "paths"),
    [
        ({"stdout_path": "/home/a/slurm-1.out"}, {"stdout": "/home/a/slurm-1.out", "stderr": "/d/e"}),
        ({"standard_output": "s", "StdErr": "/x"}, {"stdout": "/d/s", "stderr": "/x"}),
        ({"StdOut": "/home/a/slurm-%j.out", "standard_error": ""}, {"stdout": "/d/o", "stderr": "/d/e"}),
        ({"stdout_path": 5, "stderr_path": None}, {"stdout": "/d/o", "stderr": "/d/e"}),
    ],
)
async def test_output_is_where_the_status_says_whatever_was_asked_for(meta, paths):
    spec = {"directory": "/d", "stdout_path": "o", "stderr_path": "e"}
    job = {"id": "1", "status": {"state": "active", "meta_data": meta}, "job_spec": spec}
    assert await dialect(ok(job)).jobs.output_paths("r", "1") == Done(paths)


@pytest.mark.parametrize("content", [b"", b"test", bytes(range(256))])
async def test_a_download_is_the_bytes(content):
    text = base64.b64encode(content).decode()
    assert await file_result(lambda f: f.download("r", "/p"), {"output": text}) == content
    assert await file_result(lambda f: f.download("r", "/p"), {"output": repr({"output": text})}) == content
    assert await file_result(lambda f: f.download("r", "/p"), text) == content


@pytest.mark.parametrize("output", ["plain text", "YQ", "YQ==YQ==", "YQ==\n", "ü", None, 1234, ["YQ=="]])
async def test_a_download_that_is_not_base64_is_an_error(output):
    with pytest.raises(ReplyError) as caught:
        await file_result(lambda f: f.download("r", "/p"), {"output": output})
    assert (caught.value.facility, caught.value.operation) == ("door", "download")


async def test_a_listing_in_every_spelling():
    row = {"name": "a b", "type": "file", "size": "12", "user": "u", "link_target": "", "last_modified": 5}
    for result in (
        {"output": [row]},
        {"output": json.dumps([row])},
        {"output": str({"output": [row]})},
        [row],
    ):
        (entry,) = await file_result(lambda f: f.ls("r", "/p"), result)
        assert (entry.name, entry.type, entry.size, entry.link_target) == ("a b", "file", 12, None)
        assert entry.last_modified == "5"


@pytest.mark.parametrize(
    ("size", "number"), [("", None), (None, None), ("4.0K", None), ("-1", None), (7, 7), (" 7 ", 7)]
)
async def test_a_size_that_is_no_number_is_none(size, number):
    (entry,) = await file_result(lambda f: f.ls("r", "/p"), {"output": [{"name": "a", "size": size}]})
    assert entry.size == number


async def test_pieces_and_numbers():
    piece = await file_result(
        lambda f: f.head("r", "/p", lines=1),
        {"output": {"content": "[1]\n", "start_position": 0, "end_position": 4}},
    )
    assert (piece.content, piece.start, piece.end) == ("[1]\n", 0, 4)
    digest = await file_result(lambda f: f.checksum("r", "/p"), {"output": {"checksum": "AB"}})
    assert (digest.algorithm, digest.value) == ("SHA-256", "ab")
    assert (await file_result(lambda f: f.stat("r", "/p"), {"output": {"size": "9", "mode": 420}})).size == 9
    assert await file_result(lambda f: f.file_type("r", "/p"), {"output": '{"a": 1}'}) == '{"a": 1}'


@pytest.mark.parametrize(
    "result", [None, {"output": None}, {"output": "removed"}, {"output": {"status": "ok"}}]
)
async def test_a_change_is_made_whatever_is_told_of_it(result):
    pending = await dialect(ok({"task_id": "t"})).files.mv("r", "/a", "/b")
    assert await settled(pending, {"status": "completed", "result": result}) == Done(None)


@pytest.mark.parametrize("value", [None, {}, {"task_id": None}, {"error": "no"}, 5])
async def test_an_accepted_operation_without_a_task(value):
    with pytest.raises(ReplyError):
        await dialect(ok(value)).files.ls("r", "/p")
    with pytest.raises(AmbiguousReply):
        await dialect(ok(value)).files.rm("r", "/p")


FAILURES = [
    ("Error: /x/permission/not found.txt: No such file or directory", NotFound),
    ("[Errno 2] No such file or directory: '/x/permission'", NotFound),
    ("[Errno 13] Permission denied: '/x/not found'", PermissionDenied),
    ("chown: changing group of '/x': Operation not permitted", PermissionDenied),
    ("File size 9 exceeds limit of 5 bytes", TooLarge),
    ("/x/a b: 9 bytes are more than the limit of 5", TooLarge),
    ("file too large to download", TooLarge),
    ("Disk quota exceeded", Refused),
    ("File exists", Refused),
    ("", Refused),
]


@pytest.mark.parametrize(("text", "kind"), FAILURES)
@pytest.mark.parametrize(
    "shape", [lambda t: {"output": t}, lambda t: {"error": t}, lambda t: {"output": {"error": t}}]
)
async def test_a_failed_task_is_the_error_that_it_names(text, kind, shape):
    pending = Pending("t", "stat", str)
    with pytest.raises(Refused if kind is not PermissionDenied else kind) as caught:
        await settled(pending, {"id": "t", "status": "failed", "result": shape(text)})
    assert type(caught.value) is kind
    assert (caught.value.facility, caught.value.operation) == ("door", "stat")
    assert text.removeprefix("Error: ") in caught.value.message


async def test_a_canceled_task_is_a_refusal():
    with pytest.raises(Refused, match="canceled"):
        await settled(Pending("t", "stat", str), {"id": "t", "status": "canceled"})


async def test_failure_words_in_a_finished_task_are_content():
    result = {"output": {"content": "Error: no such file"}}
    assert (
        await file_result(lambda f: f.tail("r", "/log", lines=1), result)
    ).content == "Error: no such file"


@pytest.mark.parametrize("word", ["pending", "active", "resting", None])
async def test_a_task_that_goes_on(word):
    pending = Pending("t", "stat", str)
    assert await settled(pending, {"id": "t", "status": word}) is pending


@pytest.mark.parametrize(
    ("operation", "kind"), [("stat", TransientError), ("rm", AmbiguousReply), ("launchJob", AmbiguousReply)]
)
async def test_a_forgotten_task_says_nothing_of_the_file(operation, kind):
    with pytest.raises(kind, match="no longer knows task t"):
        await dialect(problem(404, "Task t not found")).operations.check(Pending("t", operation, str))


async def test_forgetting_twice():
    assert await dialect(problem(404, "Task t not found")).operations.forget("t") == Done(None)
    with pytest.raises(NotOffered):
        await dialect(problem(501, "not here")).operations.forget("t")


async def test_empty_lists_are_said_with_404():
    gone = dialect(problem(404, "none"))
    assert (await gone.status.incidents()).value == []
    assert (await gone.status.events()).value == []
    assert (await gone.status.sites()).value == []
    assert (await gone.storage.locations("r", logical_name="scratch")).value == []
    for asked in (gone.status.resources(), gone.storage.locations("r"), gone.accounts.projects()):
        with pytest.raises(NotFound):
            await asked


def resources(first, count):
    return ok([{"id": str(each)} for each in range(first, first + count)])


@pytest.mark.parametrize(
    ("replies", "rows"),
    [
        ([resources(0, 1000), resources(1000, 3)], 1003),
        ([resources(0, 1000), problem(404, "past the end")], 1000),
        ([resources(0, 1000), ok([])], 1000),
        ([resources(0, 1000)], 1000),  # a server that does not know offset
    ],
)
async def test_pages_end(replies, rows):
    assert len((await dialect(*replies).status.resources()).value) == rows


async def test_capabilities_stop_at_the_largest_offset():
    pages = [resources(start, 1000) for start in (0, 1000, 2000)]
    assert len((await dialect(*pages).accounts.capabilities()).value) == 2000


async def test_times_and_links_of_incidents():
    row = {
        "id": "i",
        "status": "down",
        "start": "2026-01-02T03:04:05Z",
        "end": None,
        "type": "planned",
        "resolution": "cancelled",
        "resource_uris": ["https://proxy.example/x/api/v2/status/resources/a%2Fb", "https://h/r/c/?x=1#y"],
    }
    (incident,) = (await dialect(ok([row])).status.incidents()).value
    assert incident.start == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert incident.resource_ids == ("a/b", "c")
    assert incident.status is Availability.DOWN
    (event,) = (await dialect(ok([{"id": "e", "occurred_at": "2026-01-02T03:04:05"}])).status.events()).value
    assert event.occurred_at == incident.start


async def test_access_endpoints_keep_what_is_their_own():
    row = {"id": "g", "protocol": "globus", "endpoint_id": "u", "bucket": None, "resource_id": "r"}
    (endpoint,) = (await dialect(ok([row])).storage.access_endpoints("r")).value
    assert endpoint.details == {"endpoint_id": "u"}
