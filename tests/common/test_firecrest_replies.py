"""What replies are taken for: those that a FirecREST was seen to send, and those in its words."""

from __future__ import annotations

import pytest
from firecrest_world import SYSTEM, USERINFO, Wire, dialect, door, error, job, jobs, ok, raw, system

from iri_common.apis.firecrest import API
from iri_common.apis.kind import ApiWords
from iri_common.model.errors import (
    AmbiguousReply,
    AuthError,
    Conflict,
    NotFound,
    NotOffered,
    PermissionDenied,
    RateLimited,
    Refused,
    ReplyError,
    TooLarge,
    TransientError,
    Unreachable,
)
from iri_common.model.facility import Availability, Project
from iri_common.model.files import Checksum, FileEntry
from iri_common.model.job import JobStatus
from iri_common.model.reason import JobReason
from iri_common.model.state import JobState

SBATCH = "Unexpected Slurm command response. exit_status:1 std_err:sbatch: error: "
FAILED = SBATCH + "Batch job submission failed: "
QSUB = "Unexpected PBS command response. exit_status:170 std_err:qsub: "
SCANCEL = (
    "Unexpected Slurm command response. exit_status:0 std_err:scancel: error: Kill job error on job id 7: "
)


async def submit(reply):
    await door({"/jobs": reply}).jobs.submit("alps", {"executable": "x", "directory": "/d"}, None)


# ------------------------------------------------------------------------------------------- submits


@pytest.mark.parametrize(
    "words",
    [
        FAILED + "Invalid account or account/partition combination specified",
        SBATCH + "invalid partition specified: nosuch\n" + FAILED + "Invalid partition name specified",
        FAILED + "Requested reservation is invalid",
        FAILED + "Invalid feature specification",
        FAILED + "Requested node configuration is not available",
        FAILED + "Requested time limit is invalid (missing or exceeds some limit)",
        FAILED + "Invalid qos specification",
        FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        SBATCH + "This does not look like a batch script. The first\nsbatch: error: line must start with #!",
        SBATCH + "Batch script contains DOS line breaks (\\r\\n)",
        SBATCH + "Unable to open file /nowhere",
        QSUB + "Unknown queue\n stdout:",
        QSUB + "Illegal attribute or resource value\n stdout:",
        QSUB + "Job exceeds queue and/or server resource limits\n stdout:",
    ],
)
async def test_a_500_in_the_words_of_a_refusal_is_one(words):
    with pytest.raises(Refused) as caught:
        await submit(error(500, words))
    assert (type(caught.value), caught.value.outcome) == (Refused, "invalid")


async def test_a_quota_is_a_refusal_too():
    words = "Job submission rejected: accounting/QOS policy limit exceeded. sbatch: AssocMaxSubmitJobLimit"
    with pytest.raises(Refused, match="AssocMaxSubmitJobLimit") as caught:
        await submit(error(403, words))
    assert not isinstance(caught.value, PermissionDenied)


@pytest.mark.parametrize(
    "reply",
    [
        error(500, "('Channel not open for sending',)"),
        error(500, FAILED + "Socket timed out on send/recv operation"),
        error(500, FAILED + "Unable to contact slurm controller (connect failure)"),
        error(500, SBATCH + "lua: unknown option 'x'\n" + FAILED + "Socket timed out on send/recv operation"),
        error(
            500, SBATCH + "no such file or directory\n" + FAILED + "Zero Bytes were transmitted or received"
        ),
        error(500, QSUB + "cannot connect to server pbs (errno=111)"),
        error(408, "Command execution timeout limit exceeded."),
        error(424, "Unable to establish SSH connection."),
        error(424, "SSH connection Reset."),
        raw(b"<html>Bad gateway</html>", "text/html", 502),
        raw(b"<html>sbatch: Invalid account</html>", "text/html", 500),
        raw(b"upstream timed out", "text/plain", 504),
    ],
)
async def test_any_other_failure_may_have_worked(reply):
    with pytest.raises(AmbiguousReply):
        await submit(reply)


async def test_what_certainly_was_not_run_is_asked_for_again():
    for refusal, kind in (
        (error(424, "Unable to open a new SSH channel."), RateLimited),
        (error(503, "The scheduler service for the requested system (alps) is unhealthy."), Unreachable),
    ):
        wire = Wire({"/jobs": [refusal, ok({"jobId": "7"}, 201)]})
        answer = await dialect(wire).jobs.submit("alps", {"executable": "x", "directory": "/d"}, None)
        assert (answer.value.job_id, len(wire.asked("/jobs"))) == ("7", 2)
        with pytest.raises(kind):
            await submit(refusal)


async def test_a_validation_is_told_by_its_fields():
    fields = {"fields": [{"location": "body", "name": "job", "message": "Field required"}]}
    with pytest.raises(Refused, match="job: Field required") as caught:
        await submit(error(400, "[{'type': ... file /usr/lib/python3}]", errorType="validation", data=fields))
    assert "python3" not in str(caught.value)


async def test_what_an_error_was_caused_by_is_told():
    reply = error(500, "Error executing Slurm command.", causedBy=["sacct: slurmdbd is down"])
    with pytest.raises(TransientError, match="slurmdbd is down"):
        await door({"/jobs/7": reply}).jobs.status("alps", "7")


# ------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Access token expires too soon (less than 30s remaining).", AuthError),
        ("Access token expired", AuthError),
        ("Unable to verify system access authorization", PermissionDenied),
    ],
)
async def test_a_401_is_about_the_token_or_about_the_system(message, kind):
    with pytest.raises(kind):
        await door({"/jobs/7": error(401, message)}).jobs.status("alps", "7")


# --------------------------------------------------------------------------------------------- looks


async def seen(*rows, job_id="7"):
    return (await door({"/jobs/7": jobs(*rows)}).jobs.status("alps", job_id)).value


async def test_a_job_is_told_by_its_exact_id():
    rows = job("71", "FAILED"), job("7", "COMPLETED", time={"end": 2000}), job("71_1", "RUNNING")
    status = await seen(*rows)
    assert status == JobStatus(JobState.COMPLETED, 0, None, 2000, "COMPLETED")
    assert status.succeeded


@pytest.mark.parametrize("rows", [(), (job("71"),), (job("77_1"),)])
async def test_another_job_is_not_this_one(rows):
    assert (await seen(*rows)).state is JobState.MISSING


async def test_an_id_with_more_than_letters_is_asked_for_by_its_beginning():
    rows = job("7_0", "COMPLETED"), job("7_1", "FAILED", status={"exitCode": 2})
    assert (await seen(*rows, job_id="7_1")).exit_code == 2
    assert (await seen(job("7"), job_id="7.server")).state is JobState.MISSING


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("COMPLETED", "RUNNING", "FAILED"), JobState.ACTIVE),
        (("COMPLETED", "FAILED", "COMPLETED"), JobState.FAILED),
        (("CANCELLED by 7", "COMPLETED"), JobState.CANCELED),
        (("COMPLETED", "COMPLETED"), JobState.COMPLETED),
    ],
)
async def test_an_array_is_over_when_all_its_tasks_are(states, expected):
    rows = [job(f"7_{number}", state) for number, state in enumerate(states)]
    assert (await seen(*rows)).state is expected
    assert (await seen(job("7_[2-9]", "PENDING"), *rows)).state in {JobState.QUEUED, JobState.ACTIVE}


@pytest.mark.parametrize(
    "reply",
    [
        error(404, "Job not found."),
        error(500, "Unexpected Slurm API response. status:500 message:Invalid job id specified"),
        error(500, "Unexpected PBS qstat response. exit_status:153 std_err:qstat: Unknown Job Id 7"),
        ok({"jobs": None}),
        ok({"jobs": []}),
    ],
)
async def test_each_way_to_say_that_a_job_is_not_there(reply):
    found = (await door({"/jobs/7": reply}).jobs.status("alps", "7")).value
    assert found.state is JobState.MISSING


async def test_a_404_of_a_gateway_says_nothing_of_the_job():
    with pytest.raises(TransientError):
        await door({"/jobs/7": raw(b"<html>", "text/html", 404)}).jobs.status("alps", "7")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (job(state="TIMEOUT"), JobReason.TIME_LIMIT),
        (job(state="OUT_OF_MEMORY"), JobReason.MEMORY),
        (job(state="NODE_FAIL"), JobReason.NODE),
        (job(state="CANCELLED by 1001"), JobReason.CANCELED),
        (job(state="PENDING", status={"stateReason": "Dependency"}), JobReason.DEPENDENCY),
        (job(state="PENDING", status={"stateReason": "JobHeldUser"}), JobReason.HELD),
        (job(state="FAILED", status={"exitCode": 3}), JobReason.EXIT_CODE),
        (job(state="F", status={"exitCode": -29}), JobReason.TIME_LIMIT),
    ],
)
async def test_why_a_job_waits_or_failed(row, reason):
    assert (await seen(row)).reason is reason


async def test_no_end_but_completed_is_a_success():
    for state in ("TIMEOUT", "CANCELLED by 7", "FAILED", "NODE_FAIL", "PREEMPTED", "F00", "COMPLETING"):
        assert not (await seen(job(state=state))).succeeded


async def test_a_list_tells_names_but_for_the_one_that_is_none():
    rows = job("7", name="run.0123456789abcdef-1"), job("8", name="allocation"), job(9, "PENDING", name=None)
    listed = (
        await door({"/jobs": jobs(*rows)}).jobs.list("alps", offset=0, limit=5, historical=True, names=True)
    ).value
    assert [(each.job_id, each.name) for each in listed] == [
        ("7", "run.0123456789abcdef-1"),
        ("8", None),
        ("9", None),
    ]


async def test_a_row_that_cannot_be_read_costs_no_other_row():
    rows = (
        job("7", "COMPLETED"),
        {"jobId": "8", "status": [1]},
        {"job_id": 9, "status": {"state": ["RUNNING"]}},
    )
    listed = (
        await door({"/jobs": jobs(*rows)}).jobs.list("alps", offset=0, limit=5, historical=True, names=True)
    ).value
    assert [each.status.state for each in listed] == [JobState.COMPLETED, JobState.UNKNOWN, JobState.ACTIVE]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(500, SCANCEL + "Invalid job id specified"), NotFound),
        (error(500, SCANCEL + "Access/permission denied"), PermissionDenied),
        (error(404, "Job not found"), NotFound),
        (error(408, "Command execution timeout limit exceeded."), TransientError),
    ],
)
async def test_a_cancel_is_refused_in_words(reply, kind):
    with pytest.raises(kind):
        await door({"/jobs/7": reply}).jobs.cancel("alps", "7")


@pytest.mark.parametrize(
    "reply",
    [
        raw(b"", status=204),
        error(500, SCANCEL + "Job/step already completing or completed"),
        error(500, "Unexpected PBS qdel response. exit_status:35 std_err:qdel: Job has finished 7"),
    ],
)
async def test_what_is_over_needs_no_cancel(reply):
    await door({"/jobs/7": reply}).jobs.cancel("alps", "7")


@pytest.mark.parametrize("job_id", ["7_2", "7_[1-3]", "7[2].server"])
async def test_a_task_is_not_ended_with_all_of_its_array(job_id):
    wire = Wire({"/jobs/7": raw(b"", status=204)})
    with pytest.raises(NotOffered, match="all tasks"):
        await dialect(wire).jobs.cancel("alps", job_id)
    assert not wire.requests


# --------------------------------------------------------------------------------------------- files


def remote(status, stderr, code=1):
    return error(status, f"Remote process failed with exit status:{code} and error message:{stderr}")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (remote(404, "stat: cannot stat '/p': No such file or directory"), NotFound),
        (remote(403, "ls: cannot open directory '/p': Permission denied"), PermissionDenied),
        (remote(400, "mkdir: cannot create directory '/p': File exists"), Conflict),
        (remote(500, "stat: cannot stat '/p/x': Not a directory"), Refused),
        (remote(500, "", 124), TransientError),
        (error(400, "The provided path (/p) does not match any of the defined filesystem paths."), Refused),
        (error(413, "Command output exceeded buffer limit."), TooLarge),
        (error(424, "Unable to establish SSH connection."), TransientError),
        (error(503, "The requested filesystem (/p on alps) is unhealthy."), TransientError),
    ],
)
async def test_what_became_of_a_command_is_in_its_words(reply, kind):
    with pytest.raises(kind):
        await door({"/ops/stat": reply}).files.stat("alps", "/p")


async def test_file_says_of_what_is_missing_so_in_a_200():
    said = "cannot open `/p' (No such file or directory)"
    with pytest.raises(NotFound):
        await door({"/ops/file": ok({"output": said})}).files.file_type("alps", "/p")
    found = await door({"/ops/file": ok({"output": "ASCII text"})}).files.file_type("alps", "/p")
    assert found.value == "ASCII text"


@pytest.mark.parametrize(
    "reply",
    [
        error(408, "Command execution timeout limit exceeded."),
        error(500, "Invalid output: 12ab  /a b\n "),
        remote(500, "", 124),
    ],
)
async def test_a_digest_that_is_not_to_be_had_is_not_offered(reply):
    with pytest.raises(NotOffered):
        await door({"/ops/checksum": reply}).files.checksum("alps", "/p")


async def test_a_digest():
    told = {"algorithm": "SHA256", "checksum": "AB12"}
    found = await door({"/ops/checksum": ok({"output": told})}).files.checksum("alps", "/p")
    assert found.value == Checksum("SHA256", "ab12")


async def test_a_listing_has_names_as_they_are():
    row = {"user": "u", "group": "g", "permissions": "rwx", "lastModified": "2026-11-22T15:11:46"}
    rows = [
        {**row, "name": r"uml-\303\251.txt", "type": "-", "size": "4096"},
        {**row, "name": r"l", "type": "l", "linkTarget": r"\342\202\254", "size": "1"},
        {**row, "name": r"a\b", "type": "d", "size": "4.0K"},
    ]
    found = (await door({"/ops/ls": ok({"output": rows})}).files.ls("alps", "/p")).value
    assert found[0] == FileEntry("uml-é.txt", "file", 4096, "u", "g", "rwx", "2026-11-22T15:11:46")
    assert (found[1].type, found[1].link_target, found[2].name) == ("symlink", "€", r"a\b")
    assert found[2].size is None
    assert (await door({"/ops/ls": ok({"output": None})}).files.ls("alps", "/p")).value == []


async def test_a_download_is_its_bytes_whatever_they_look_like():
    for content in (b"", b'{"a": 1}', b"\x00\xff"):
        found = await door({"/ops/download": raw(content)}).files.download("alps", "/p")
        assert found.value == content


# -------------------------------------------------------------------------------------------- systems


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (SYSTEM, Availability.UP),
        (system(servicesHealth=None), Availability.UNKNOWN),
        (system(servicesHealth=[{"serviceType": "scheduler", "healthy": False}]), Availability.DOWN),
    ],
)
async def test_a_system_is_a_resource_for_jobs_and_files(about, expected):
    (found,) = (await door(about=about).status.resources()).value
    assert (found.id, found.status, found.description) == ("alps", expected, "slurm 24.05.4")
    assert found.offers("compute")
    assert found.offers("filesystem")
    assert (await door(about=about).status.resource("ALPS")).value == found
    with pytest.raises(NotFound):
        await door(about=about).status.resource("eiger")


async def test_a_service_that_is_not_well_is_an_incident():
    sick = {"serviceType": "filesystem", "healthy": False, "path": "/scratch", "message": "no answer"}
    about = system(servicesHealth=[sick, {"serviceType": "exception", "healthy": False}])
    (found,) = (await door(about=about).status.incidents()).value
    assert (found.status, found.resource_ids, found.description) == (
        Availability.DEGRADED,
        ("alps",),
        "no answer",
    )
    assert (await door(about=about).status.incidents(resource_id="eiger")).value == []


async def test_accounts_are_what_can_be_charged():
    assert (await door().accounts.projects()).value == [
        Project("csc01", "csc01"),
        Project("csc02", "csc02", "the default at alps"),
    ]
    assert (await door().accounts.whoami()).value == "ana"
    without = {"/userinfo": ok({**USERINFO, "accounts": None})}
    assert (await door(without).accounts.projects()).value == []


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.status.facility(),
        lambda d: d.status.sites(),
        lambda d: d.status.events(),
        lambda d: d.accounts.capabilities(),
        lambda d: d.accounts.project_allocations("p"),
        lambda d: d.accounts.user_allocations("p", "a"),
        lambda d: d.storage.access_endpoints("alps"),
    ],
)
async def test_what_the_api_does_not_have_is_not_asked_for(call):
    wire = Wire()
    with pytest.raises(NotOffered):
        await call(dialect(wire))
    assert not wire.requests


@pytest.mark.parametrize(
    "facts",
    [b'"size": -1', b'"size": 1, "mode": -1', b'"size": 1, "mode": 4294967296', b'"size": 1, "mtime": NaN',
     b'"size": 1, "mtime": 1e400', b'"size": 1, "mtime": 1e300'],
)  # fmt: skip
async def test_numbers_that_no_file_has_are_not_handed_on(facts):
    reply = raw(b'{"output": {' + facts + b"}}", "application/json", 200)
    with pytest.raises(ReplyError):
        await door({"/ops/stat": reply}).files.stat("alps", "/f")


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (200, b'{"healthcheckRuns": {}, "lastUpdate": 3}', "FirecREST"),
        (404, b'{"errorType": "error", "message": "Not Found", "causedBy": null}', "FirecREST"),
        (200, b'{"name": "NERSC"}', None),
        (404, b'{"detail": "Not Found"}', None),
        (200, b"[1]", None),
        (200, b"<html>", None),
    ],
)
def test_a_firecrest_is_recognised(status, body, name):
    assert API.recognise(status, body) == name


def test_only_v2_is_spoken():
    assert API.problem(ApiWords(version="v2")) is None
    assert "v1 is retired" in (API.problem(ApiWords(version="v1")) or "")
