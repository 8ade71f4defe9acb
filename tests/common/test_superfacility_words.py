"""What the Superfacility's words are taken for: states, exit codes, results inside results, failures."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from superfacility_door import ACCEPTED, dialect, rows, settled, task, told
from told_wire import Wire, ok

from iri_common.apis.superfacility import API
from iri_common.model.errors import (
    AmbiguousReply,
    AuthError,
    NotFound,
    PermissionDenied,
    Refused,
    ReplyError,
    TooLarge,
    TransientError,
)
from iri_common.model.facility import Availability
from iri_common.model.job import Accepted, JobStatus
from iri_common.model.outcome import Done, Pending
from iri_common.model.ports import WireReply
from iri_common.model.reason import JobReason
from iri_common.model.state import JobState
from iri_common.policy.classify import Outcome

M = "perlmutter"
SPEC = {"executable": "/bin/true", "name": "n.0123456789abcdef-1"}


async def seen(**columns) -> JobStatus:
    return (await dialect(Wire(rows({"jobid": "12", **columns}))).jobs.status(M, "12")).value


ACTIVE, ENDED = JobState.ACTIVE, {JobState.COMPLETED, JobState.FAILED, JobState.CANCELED}
STATES = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED"), JobState.QUEUED),
    **dict.fromkeys(("REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"), JobState.HELD),
    **dict.fromkeys(("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING"), ACTIVE),
    **dict.fromkeys(("SIGNALING", "STAGE_OUT"), ACTIVE),
    **dict.fromkeys(("COMPLETED", "COMPLETED+"), JobState.COMPLETED),
    **dict.fromkeys(("FAILED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY", "OUT_OF_ME+"), JobState.FAILED),
    **dict.fromkeys(("NODE_FAIL", "BOOT_FAIL", "PREEMPTED"), JobState.FAILED),
    **dict.fromkeys(("CANCELLED", "CANCELLED by 62704", "CANCELLED+", "REVOKED"), JobState.CANCELED),
    **dict.fromkeys(("", "Running", "COMPLETED by me", "COMPLETED FAILED", "F", "CD"), JobState.UNKNOWN),
    **dict.fromkeys(("NOT_COMPLETED", "RUNNING ", "CANCELLED by", "UNKNOWN+"), JobState.UNKNOWN),
}
STATES["OUT_OF_ME+"] = JobState.UNKNOWN  # cut by a narrow column: a word of no table ends no wait


@pytest.mark.parametrize(("word", "state"), STATES.items())
async def test_states_are_exact(word: str, state: JobState) -> None:
    status = await seen(state=word)
    assert status.state is state
    assert status.raw_state == (word or None)
    assert status.state.terminal is (state in ENDED)


EXITS = [
    ("COMPLETED", "0:0", 0),
    ("FAILED", "3:0", 3),
    ("FAILED", "211:0", 211),
    ("FAILED", "0:9", 137),
    ("OUT_OF_MEMORY", "0:125", None),
    ("NODE_FAIL", "1:0", 1),
    ("TIMEOUT", "0:0", None),
    ("CANCELLED by 1", "0:0", None),
    ("CANCELLED by 1", "0:15", 143),
    ("RUNNING", "0:0", None),
    ("RUNNING", "1:0", None),
    ("PENDING", "0:0", None),
    ("FAILED", "", None),
    ("FAILED", "3", None),
    ("FAILED", "-1:0", None),
    ("FAILED", "9999999:0", None),
]


@pytest.mark.parametrize(("state", "text", "code"), EXITS)
async def test_exit_codes(state: str, text: str, code: int | None) -> None:
    status = await seen(state=state, exitcode=text)
    assert status.exit_code == code
    assert status.succeeded is (state == "COMPLETED")


REASONS = [
    ({"state": "TIMEOUT", "exitcode": "0:0"}, JobReason.TIME_LIMIT),
    ({"state": "OUT_OF_MEMORY", "exitcode": "0:125"}, JobReason.MEMORY),
    ({"state": "NODE_FAIL", "exitcode": "1:0"}, JobReason.NODE),
    ({"state": "PREEMPTED"}, JobReason.PREEMPTED),
    ({"state": "DEADLINE"}, JobReason.DEADLINE),
    ({"state": "CANCELLED by 62704"}, JobReason.CANCELED),
    ({"state": "FAILED", "exitcode": "3:0", "reason": "None"}, JobReason.EXIT_CODE),
    ({"state": "PENDING", "reason": "Dependency"}, JobReason.DEPENDENCY),
    ({"state": "PENDING", "reason": "JobHeldUser"}, JobReason.HELD),
    ({"state": "PENDING", "reason": "Priority"}, None),
]


@pytest.mark.parametrize(("columns", "reason"), REASONS)
async def test_reasons(columns: dict[str, str], reason: JobReason | None) -> None:
    status = await seen(**columns)
    assert status.reason is reason
    held = columns.get("reason") == "JobHeldUser"
    assert (status.state is JobState.HELD) is held


async def test_the_row_is_that_of_the_very_id_and_what_is_empty_is_left_out() -> None:
    steps = [{"jobid": each, "state": "FAILED"} for each in ("12.batch", "12.extern", "120", "120_1")]
    whole = {
        "jobid": "12",
        "state": "RUNNING",
        "start": "Unknown",
        "comment": "(null)",
        "nnodes": 2,
        "x": None,
    }
    status = (await dialect(Wire(rows(*steps, whole))).jobs.status(M, "12")).value
    assert status.state is JobState.ACTIVE
    assert status.meta == {"jobid": "12", "state": "RUNNING", "nnodes": "2"}
    assert status.time is None  # local times have no zone
    assert (await dialect(Wire(rows(*steps))).jobs.status(M, "12")).value.state is JobState.MISSING


@pytest.mark.parametrize("error", ["slurm_load_jobs error: Invalid job id specified", "Job 12 not found"])
async def test_a_job_that_nobody_knows(error: str) -> None:
    wire = Wire(ok({"status": "ERROR", "output": [], "error": error}))
    assert (await dialect(wire).jobs.status(M, "12")).value.state is JobState.MISSING


async def test_a_list_that_failed_is_no_empty_list() -> None:
    wire = Wire(ok({"status": "ERROR", "output": [], "error": "slurm down"}))
    with pytest.raises(TransientError, match="slurm down"):
        await dialect(wire).jobs.list(M, offset=0, limit=9, historical=False, names=True)


async def test_lists_of_both_programs() -> None:
    squeue = rows({"jobid": "1", "state": "PENDING", "reason": "Priority", "name": "a"})
    sacct = rows(
        {"jobid": "1", "state": "COMPLETED", "jobname": "a"}, {"jobid": "1.batch", "jobname": "batch"}
    )
    for reply, state in ((squeue, JobState.QUEUED), (sacct, JobState.COMPLETED)):
        answer = await dialect(Wire(reply)).jobs.list(M, offset=0, limit=9, historical=False, names=True)
        ((entry),) = answer.value
        assert (entry.job_id, entry.name, entry.status.state) == ("1", "a", state)


async def submitted(result: object, status: str = "completed") -> Accepted:
    wire = Wire(ok(ACCEPTED), task(result, status))
    door = dialect(wire)
    return await settled(door, await door.jobs.submit(M, SPEC, None))


GREETING = "### Welcome {to} the login nodes {{ ###\n"
TOLD = json.dumps({"status": "ok", "jobid": "25145969", "error": None})
ACCEPTING = {
    "as text": TOLD,
    "after login noise": GREETING + TOLD,
    "after an object that is noise": '{"news": []}' + TOLD,
    "before more noise": TOLD + "\nbye {",
    "as an object": json.loads(TOLD),
    "a number": {"status": "ok", "jobid": 25145969},
    "in capitals": {"status": "OK", "jobid": " 25145969\n"},
}


@pytest.mark.parametrize("result", ACCEPTING.values(), ids=ACCEPTING)
async def test_a_submit_ends_in_a_job_id(result: object) -> None:
    assert await submitted(result) == Accepted("25145969", JobStatus(JobState.QUEUED))


REFUSING = [
    ("sbatch: error: Batch job submission failed: Invalid account or partition", Refused, "invalid"),
    ("sbatch: error: This does not look like a batch script.", Refused, "invalid"),
    ("No architecture specified, cannot estimate job costs", Refused, "invalid"),
    ("sbatch: error: Batch job submission failed: Socket timed out on send/recv", AmbiguousReply, "away"),
    ("sbatch: error: Unable to contact slurm controller (connect failure)", AmbiguousReply, "away"),
    ("sbatch: error: Resource temporarily unavailable", AmbiguousReply, "away"),
    ("sbatch: error: Batch job submission failed: Message receive failure", AmbiguousReply, "away"),
    ("sbatch: error: Batch job submission failed: Unexpected message received", AmbiguousReply, "away"),
    ("Connection to login05.chn closed by remote host.", AmbiguousReply, "away"),
    ("client_loop: send disconnect: Broken pipe", AmbiguousReply, "away"),
    ("Timeout, server login05 not responding.", AmbiguousReply, "away"),
    ("Permission denied", PermissionDenied, "forbidden"),
    ("the service was restarted", AmbiguousReply, "broken"),
    ("", AmbiguousReply, "broken"),
]


@pytest.mark.parametrize("status", ["completed", "failed"])
@pytest.mark.parametrize(("error", "kind", "outcome"), REFUSING)
async def test_a_submit_that_failed_inside(error: str, kind: type, outcome: str, status: str) -> None:
    result = GREETING + json.dumps({"status": "error", "jobid": None, "error": error})
    with pytest.raises(kind) as caught:
        await submitted(result, status)
    assert type(caught.value) is kind
    assert error in str(caught.value)
    assert (caught.value.outcome, caught.value.operation) == (outcome, "submit_job")


@pytest.mark.parametrize(
    "result", [None, "", "ok", "noise", "{}", {"status": "ok"}, {"status": "ok", "jobid": ""}, 7]
)
async def test_a_submit_without_an_id_may_have_worked(result: object) -> None:
    with pytest.raises(AmbiguousReply) as caught:
        await submitted(result)
    assert Outcome(caught.value.outcome).may_have_worked


async def test_a_submit_whose_task_is_forgotten_is_to_be_looked_for() -> None:
    door = dialect(Wire(ok(ACCEPTED), ok({"detail": "Task 11 not found"}, 404)))
    with pytest.raises(AmbiguousReply, match="task 11") as caught:
        await settled(door, await door.jobs.submit(M, SPEC, None))
    assert (caught.value.outcome, caught.value.operation) == ("reply lost", "submit_job")
    with pytest.raises(TransientError):
        await dialect(Wire(ok({"detail": "no"}, 404))).operations.check(Pending("1", "view", str))


@pytest.mark.parametrize("status", ["new", "running", "NEW", "", "Completed"])
async def test_a_task_goes_on_until_it_says_otherwise(status: str) -> None:
    pending = Pending("11", "ls", str)
    assert await dialect(Wire(task("x", status))).operations.check(pending) is pending


@pytest.mark.parametrize("status", ["failed", "cancelled"])
@pytest.mark.parametrize(
    "result", [None, "", "killed", '{"status": "error", "error": "the service was restarted"}']
)
async def test_a_task_that_was_broken_off_may_have_done_its_work(status: str, result: object) -> None:
    with pytest.raises(AmbiguousReply) as caught:
        await submitted(result, status)
    assert (caught.value.outcome, caught.value.operation) == ("broken", "submit_job")
    with pytest.raises(TransientError):
        await dialect(Wire(task(result, status))).operations.check(Pending("11", "stat", str))


CANCELING = {
    "ok": "ok",
    "quoted": '"ok"',
    "document": '{"status": "ok"}',
    "with output": {"status": "ok", "output": "", "error": None},
    "again": {"status": "error", "error": "scancel: error: Job/step already completing or completed"},
}


@pytest.mark.parametrize("result", CANCELING.values(), ids=CANCELING)
async def test_a_cancel_in_each_of_its_words(result: object) -> None:
    door = dialect(Wire(ok(ACCEPTED), task(result)))
    assert await settled(door, await door.jobs.cancel(M, "1")) is None


async def test_a_cancel_that_failed() -> None:
    for error, kind in (
        ("scancel: error: Kill job error on job id 1: Invalid job id specified", NotFound),
        ("scancel: error: Kill job error on job id 1: Access/permission denied", PermissionDenied),
        ("scancel: error: slurm_kill_job2() failed: Socket timed out", TransientError),
    ):
        door = dialect(Wire(ok(ACCEPTED), task(json.dumps({"status": "error", "error": error}))))
        with pytest.raises(kind) as caught:
            await settled(door, await door.jobs.cancel(M, "1"))
        assert type(caught.value) is kind


INSIDE = [
    ("No such file or directory", NotFound),
    ("[Errno 2] No such file or directory: '/x'", NotFound),
    ("Permission denied", PermissionDenied),
    ("File is too large to be downloaded", TooLarge),
    ("200000 bytes are more than the limit of 100000", TooLarge),
    ("Is a directory", Refused),
    ("Argument list too long", TransientError),
    ("Disk quota exceeded", Refused),
    ("no words that we know", TransientError),
    ("", TransientError),
    (None, TransientError),
]


@pytest.mark.parametrize(("error", "kind"), INSIDE)
async def test_a_failure_inside_a_success(error: str | None, kind: type) -> None:
    reply = ok({"status": "ERROR", "error": error, "file": None, "entries": [], "is_binary": False})
    for call in (
        lambda files: files.ls(M, "/x"),
        lambda files: files.download(M, "/x"),
        lambda files: files.upload(M, "/x", b""),
    ):
        with pytest.raises(kind) as caught:
            await call(dialect(Wire(reply)).files)
        assert type(caught.value) is kind


@pytest.mark.parametrize("error", ["sacct: error: Database is busy", "squeue: error: Invalid user: u"])
async def test_a_queue_that_cannot_be_read_tells_of_no_job(error: str) -> None:
    with pytest.raises(TransientError):
        await dialect(Wire(ok({"status": "ERROR", "error": error}))).jobs.status(M, "1")


async def test_a_job_that_accounting_does_not_know_may_be_in_the_queue() -> None:
    unknown = ok({"status": "ERROR", "error": "job 1 not found"})
    wire = Wire(unknown, rows({"jobid": "1", "state": "PENDING"}))
    assert (await dialect(wire).jobs.status(M, "1")).value.state is JobState.QUEUED
    assert (await dialect(Wire(unknown)).jobs.status(M, "1")).value.state is JobState.MISSING


@pytest.mark.parametrize("detail", ["Not authenticated", "Permission denied", "token expired"])
async def test_every_403_is_one_of_the_token(detail: str) -> None:
    with pytest.raises(AuthError, match="Iris"):
        await dialect(Wire(ok({"detail": detail}, 403))).jobs.status(M, "1")


DOWNLOADS = [
    ({"file": "AP8K", "is_binary": True}, b"\x00\xff\n"),
    ({"file": "AP8K"}, b"\x00\xff\n"),
    ({"file": "", "is_binary": True}, b""),
    ({"file": "test", "is_binary": False}, b"test"),  # a text after all, and not base64
]


@pytest.mark.parametrize(("reply", "content"), DOWNLOADS)
async def test_downloads(reply: dict[str, object], content: bytes) -> None:
    assert await dialect(Wire(ok({"status": "OK", **reply}))).files.download(M, "/x") == Done(content)


async def test_a_download_that_is_no_base64() -> None:
    with pytest.raises(ReplyError, match="base64"):
        await dialect(Wire(ok({"file": "what?", "is_binary": True}))).files.download(M, "/x")


LISTED = [
    ({"name": "."}, None),
    ({"name": ".."}, None),
    ({"name": ".hid", "perms": "-rw-r--r--"}, None),
    ({"name": "f", "perms": "-rw-r--r--", "size": 4096.0}, ("f", "file", 4096, None)),
    ({"name": "d", "perms": "drwxrwx---", "size": 4e3}, ("d", "directory", 4000, None)),
    ({"name": "x -> ../y", "perms": "lrwxrwxrwx"}, ("x", "symlink", None, "../y")),
    ({"name": "x -> y -> z", "perms": "lrwxrwxrwx"}, ("x -> y -> z", "symlink", None, None)),
    ({"name": "x -> y", "perms": "-rw-r--r--"}, ("x -> y", "file", None, None)),
    ({"name": "//global/f", "perms": "-rw-r--r--"}, ("f", "file", None, None)),
    ({"name": "../../etc/passwd", "perms": "-rw-r--r--"}, ("passwd", "file", None, None)),
    ({"name": "p", "perms": "prw-r--r--"}, ("p", "other", None, None)),
    ({"name": "q"}, ("q", "unknown", None, None)),
]


@pytest.mark.parametrize(("reply", "entry"), LISTED)
async def test_entries_of_a_listing(reply: dict[str, object], entry: tuple | None) -> None:
    found = (await dialect(Wire(ok({"entries": [reply]}))).files.ls(M, "/x")).value
    assert [(each.name, each.type, each.size, each.link_target) for each in found] == (
        [entry] if entry else []
    )


OUTPUTS = [
    (
        {"admincomment": '{"stdoutPath": "/o", "stderrPath": "e"}', "workdir": "/w"},
        {"stdout": "/o", "stderr": "/w/e"},
    ),
    ({"admincomment": '{"stdoutPath": "/slurm-%j.out"}', "comment": "iri:stdout=%2Fo"}, {}),
    ({"comment": "iri:stdout=o+ut&stderr=%2Fe", "work_dir": "/w"}, {"stdout": "/w/o ut", "stderr": "/e"}),
    ({"comment": "mine", "admincomment": "{"}, {}),
    ({"admincomment": "[" * 9999}, {}),
]


@pytest.mark.parametrize(("columns", "paths"), OUTPUTS)
async def test_where_output_goes(columns: dict[str, str], paths: dict[str, str]) -> None:
    for state in ("COMPLETED", "RUNNING"):
        row = rows({"jobid": "1", "state": state, **columns})
        assert (await dialect(Wire(row)).jobs.output_paths(M, "1")).value == paths


async def test_the_queue_tells_of_output_while_accounting_does_not() -> None:
    live = rows({"jobid": "1", "state": "RUNNING", "comment": "iri:stdout=o", "work_dir": "/w"})
    for before in (rows(), rows({"jobid": "1", "state": "RUNNING"})):
        assert (await dialect(Wire(before, live)).jobs.output_paths(M, "1")).value == {"stdout": "/w/o"}
    wire = Wire(rows({"jobid": "1", "state": "FAILED"}))
    assert (await dialect(wire).jobs.output_paths(M, "1")).value == {}
    assert len(wire.requests) == 1


async def test_systems() -> None:
    told_ = [("perlmutter", "compute", "active"), ("dtns", "filesystem", "degraded")]
    told_ += [
        ("global_homes", "filesystem", "unavailable"),
        ("iris", "service", "other"),
        ("x", "storage", "new"),
    ]
    reply = ok([{"name": name, "system_type": kind, "status": word} for name, kind, word in told_])
    found = {each.id: each for each in (await dialect(Wire(reply)).status.resources()).value}
    assert [each.status for each in found.values()] == [
        Availability.UP,
        Availability.DEGRADED,
        Availability.DOWN,
        *[Availability.UNKNOWN] * 2,
    ]
    assert [name for name, each in found.items() if each.offers("compute")] == ["perlmutter"]
    assert [name for name, each in found.items() if each.offers("filesystem")] == ["perlmutter", "dtns"]


async def test_outages_come_in_lists_of_lists_and_planned_ones_once() -> None:
    planned = {"name": "perlmutter", "start_at": "2026-12-01T08:00:00-08:00", "end_at": None}
    planned |= {"description": "System Maintenance", "status": "Planned"}
    past = {"name": "dtns", "start_at": "2026-01-01T00:00:00-08:00", "end_at": "2026-01-01T01:00:00-08:00"}
    past |= {"description": "System Degraded", "notes": "slow", "status": "Completed"}
    wire = Wire(ok([[planned], []]), ok([[planned], [past], []]))
    first, second = (await dialect(wire).status.incidents()).value
    assert (first.type, first.resolution, first.status) == ("planned", "pending", Availability.DOWN)
    assert (first.resource_ids, first.end) == (("perlmutter",), None)
    assert first.start is not None
    assert first.start.utcoffset() is not None
    assert (second.type, second.resolution, second.status) == (
        "unplanned",
        "completed",
        Availability.DEGRADED,
    )
    wire = Wire(ok([planned]), ok([planned]))
    assert len((await dialect(wire).status.incidents(resource_id="perlmutter")).value) == 1


PROJECT = {
    **{"id": 1, "repo_name": "m1234", "description": "d", "hours_given": 10, "hours_used": 1.5},
    **{"project_hours_given": 100.0, "project_hours_used": 40, "gpu_project_hours_given": 0.0},
    "project_projdir_usage": [{"name": "cfs", "bytes_given": 2e12, "bytes_used": None}],
}


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ({}, {"all": ("node-hours", 60.0)}),
        ({"cpu_project_hours_given": 7, "cpu_project_hours_used": 1}, {"cpu": ("cpu-node-hours", 6.0)}),
        (
            {"cpu_project_hours_given": 7, "gpu_project_hours_given": 5.0, "gpu_project_hours_used": 9},
            {"cpu": ("cpu-node-hours", 7.0), "gpu": ("gpu-node-hours", -4.0)},
        ),
    ],
)
async def test_projects_and_what_is_left_of_them(more: dict[str, float], left: dict[str, tuple]) -> None:
    door = dialect(Wire(ok([{**PROJECT, **more}])))
    (one,) = (await door.accounts.projects()).value
    assert (one.id, one.name, one.description) == ("m1234", "m1234", "d")
    found = {each.id: each.entries[0] for each in (await door.accounts.project_allocations("m1234")).value}
    told_ = {name: (each.unit.rpartition(":")[2], each.left) for name, each in found.items()}
    assert told_ == {**left, "space": ("bytes", 2e12)}
    (mine,) = (await door.accounts.user_allocations("m1234", "all")).value
    assert mine.entries[0].left == 8.5
    with pytest.raises(NotFound):
        await door.accounts.project_allocations("m9")


EXPIRIES = [
    ("2026-12-01T00:00:00-08:00", datetime(2026, 12, 1, 8, tzinfo=UTC)),
    ("2026-12-01T00:00:00Z", datetime(2026, 12, 1, tzinfo=UTC)),
    ("2026-12-01 00:00:00", datetime(2026, 12, 1, tzinfo=UTC)),
    ("Dec 1", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "moment"), EXPIRIES)
async def test_when_a_client_dies(text: str, moment: datetime | None) -> None:
    reply = ok([{"name": "mine", "clientId": "abcdefghijklm", "expiresAt": text, "comments": None}])
    (one,) = (await dialect(Wire(reply)).accounts.clients()).value
    assert (one.id, one.name, one.expires_at) == ("abcdefghijklm", "mine", moment)


@pytest.mark.parametrize(
    ("status", "body", "whose"),
    [
        (200, b'[{"name": "perlmutter"}, {"name": "nersc_center"}]', "NERSC"),
        (200, b'[{"name": "perlmutter"}]', "a facility with the Superfacility API"),
        (200, b"[]", None),
        (200, b"[1]", None),
        (200, b'{"name": "x"}', None),
        (404, b'[{"name": "perlmutter"}]', None),
        (200, b"<html>", None),
        (200, b"[" * 100_000, None),
    ],
)
def test_whose_api_it_is(status: int, body: bytes, whose: str | None) -> None:
    assert API.recognise(status, body) == whose


async def test_what_a_command_wrote_is_exact() -> None:
    door = dialect(Wire(ok(ACCEPTED), told("ü\r\n\0:iri:".encode())))
    assert (await settled(door, await door.files.view(M, "/x", size=9))).content == "ü\r\n\0:iri:"


async def test_what_looks_like_an_answer_before_the_answer_is_noise() -> None:
    reply = told(b"right")
    noisy = WireReply(200, reply.headers, reply.body.replace(b"Welcome", b":iri:d3Jvbmc=:0::iri: Welcome"))
    door = dialect(Wire(ok(ACCEPTED), noisy))
    assert (await settled(door, await door.files.view(M, "/x", size=9))).content == "right"
