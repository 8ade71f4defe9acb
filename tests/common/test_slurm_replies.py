"""What slurmrestd and S3M answer, and what is asked for then; a wire that says what it is told to."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from slurm_wire import NO_URL, PING, SPEC, dialect, errors, s3m

from iri_common.apis.kind import ApiWords
from iri_common.apis.slurm import API
from iri_common.model.errors import (
    AmbiguousReply,
    AuthError,
    NotFound,
    NotOffered,
    PermissionDenied,
    RateLimited,
    Refused,
    TransientError,
    Unreachable,
)
from iri_common.model.outcome import Done
from iri_common.model.ports import Token
from iri_common.model.state import JobState

# ------------------------------------------------------------------------------------------ versions


async def test_the_newest_version_is_asked_for_once():
    door, wire = dialect({"v0.0.41/ping": PING, "/jobs": {"jobs": []}, "v0.0.40/ping": PING}, version=None)
    for _ in range(2):
        assert await door.jobs.list("cluster", offset=0, limit=9, historical=False, names=True) == Done([])
    assert [line.rpartition("/slurm/")[2] for line in wire.seen] == [
        *(f"v0.0.{number}/ping" for number in (44, 43, 42, 41)),
        *["v0.0.41/jobs"] * 2,
    ]


async def test_resources_of_s3m_have_versions_of_their_own():
    answers = {"v0.0.44/odo/ping": PING, "v0.0.42/wombat/ping": PING, "/jobs": {"jobs": []}}
    answers["/slurm/open/"] = (404, {"code": 5, "message": "Not Found"})
    door, wire = s3m(answers, version=None)
    for resource in ("odo", "wombat", "odo"):
        await door.jobs.list(resource, offset=0, limit=9, historical=False, names=True)
    assert [line for line in wire.seen if line.endswith("/jobs")] == [
        f"GET /slurm/open/v0.0.{number}/{name}/jobs"
        for number, name in ((44, "odo"), (42, "wombat"), (44, "odo"))
    ]
    with pytest.raises(NotOffered, match=r"none of Slurm's API versions .* frontier"):
        await door.jobs.status("frontier", "1")


async def test_another_slurm_may_take_its_place():
    answers = {
        "v0.0.40/ping": [PING, NO_URL],
        "v0.0.40/jobs": [{"jobs": []}, NO_URL],
        "v0.0.39": {"jobs": []},
    }
    door, wire = dialect(answers, version=None)
    for _ in range(3):
        await door.jobs.list("cluster", offset=0, limit=9, historical=False, names=True)
    assert [line[-12:] for line in wire.seen if line.endswith("/jobs")] == [
        f"v0.0.{number}/jobs"[-12:] for number in (40, 40, 39, 39)
    ]


async def test_a_slurmrestd_is_one_resource():
    door, wire = dialect({})
    with pytest.raises(NotFound, match="'cluster'"):
        await door.jobs.status("perlmutter", "1")
    assert not wire.seen


async def test_nothing_is_asked_for_past_the_only_page():
    door, wire = dialect({})
    assert await door.jobs.list("cluster", offset=1000, limit=1000, historical=True, names=True) == Done([])
    assert not wire.seen


# ----------------------------------------------------------------------------------- who is to blame

MUTE = (500, errors(-1, "Unspecified error"))


@pytest.mark.parametrize(
    ("probe", "error"),
    [
        ((500, errors(5005, "Zero Bytes were transmitted or received")), AuthError),
        ((500, errors(1800, "Unable to contact slurm controller (connect failure)")), Unreachable),
    ],
)
async def test_a_bad_token_and_a_missing_slurmctld_are_told_apart(probe, error):
    door, wire = dialect({"DELETE": probe, "GET": MUTE})
    with pytest.raises(error):
        await door.jobs.status("cluster", "7")
    assert wire.seen == ["GET /slurm/v0.0.38/job/7", "DELETE /slurm/v0.0.38/job/0"]


async def test_what_has_passed_meanwhile_is_asked_for_again():
    door, wire = dialect({"DELETE": (500, errors(2017)), "GET": [MUTE, {"partitions": []}]})
    assert [each.id for each in (await door.status.resources()).value] == ["cluster"]
    assert len(wire.seen) == 3


async def test_a_look_that_stays_without_a_reason_tells_of_no_job():
    for probe in ((500, errors(2017)), (400, errors(9000))):
        door, wire = dialect({"DELETE": probe, "GET": MUTE})
        with pytest.raises(TransientError):
            await door.jobs.status("cluster", "7")
        assert len(wire.seen) <= 3


AWAY = {"code": 5, "message": "rpc error: Unable to contact slurm controller (receive failure)"}


@pytest.mark.parametrize(
    "answer",
    [
        *((200, errors(9001)), (500, errors(9000)), (500, errors(2036)), (404, AWAY), (200, errors(1802))),
        *((400, errors(9000)), (422, errors(9000)), (400, {"code": 9, "message": "not now"})),
        (400, "Unable to parse query."),
    ],
)
async def test_a_look_that_fails_tells_of_no_job(answer):
    for make in (dialect, s3m):
        for first in (answer, (404, errors(2017))):
            door, wire = make({"/slurmdb/": answer, "/jobs": answer, "/job/7": first})
            with pytest.raises(TransientError):
                await door.jobs.status("cluster", "7")
            assert len(wire.seen) <= 2


async def test_a_submit_is_never_repeated_for_want_of_a_reason():
    door, wire = dialect({"POST": (400, errors(-1)), "DELETE": (500, errors(2017))})
    with pytest.raises(Refused):
        await door.jobs.submit("cluster", SPEC, "k")
    assert wire.seen == ["POST /slurm/v0.0.38/job/submit"]


@pytest.mark.parametrize("body", [errors(1007), errors(6000)])
@pytest.mark.parametrize("status", [401, 511])
async def test_later_versions_say_what_is_wrong_with_a_token(status, body):
    door, _ = dialect({"GET": (status, body)}, "v0.0.44")
    with pytest.raises(AuthError):
        await door.accounts.check_token()


# --------------------------------------------------------------------------------------------- jobs


@pytest.mark.parametrize(
    ("answer", "error", "outcome"),
    [
        ((500, errors(2000, "Invalid partition name specified", "error_code")), Refused, "invalid"),
        ((500, errors(2002)), PermissionDenied, "forbidden"),
        ((400, errors(9001)), Refused, "invalid"),
        ((500, errors(9001)), AmbiguousReply, "broken"),
        ((429, errors(9000)), RateLimited, "rate limited"),
        ((429, errors(2014)), RateLimited, "rate limited"),
        ((200, errors(9001)), AmbiguousReply, "broken"),
        ((500, errors(1800)), Unreachable, "not sent"),
        ((500, errors(5005)), AmbiguousReply, "broken"),
        ((500, errors(1802)), AmbiguousReply, "broken"),
        ((500, errors(2090)), AmbiguousReply, "broken"),
        ((200, errors(2014)), Refused, "invalid"),
        ((200, errors(4242)), AmbiguousReply, "broken"),
        ((200, {"errors": []}), AmbiguousReply, "unreadable"),
        ((200, {"errors": [], "job_id": 0}), AmbiguousReply, "unreadable"),
        ((200, {"errors": [], "job_id": "x"}), AmbiguousReply, "unreadable"),
        ((401, "Authentication failure"), AuthError, "bad token"),
        ((400, {"code": 3, "message": "unknown field array"}), Refused, "invalid"),
        ((499, {"code": 1, "message": "context canceled"}), AmbiguousReply, "away"),  # gRPC's CANCELLED
    ],
)
async def test_what_a_submit_may_be_told(answer, error, outcome):
    door, wire = dialect({"POST": answer})
    with pytest.raises(error) as caught:
        await door.jobs.submit("cluster", SPEC, "k")
    assert (type(caught.value), caught.value.outcome) == (error, outcome)
    assert len(wire.seen) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"job_id": 7, "errors": []},
        {"job_id": "7"},
        {"result": {"job_id": 7}},
        # It is held, or cannot start yet: the job is there all the same.
        {"job_id": 7, **errors(2042, "Job is in held state", "error_code")},
    ],
)
async def test_a_job_that_was_taken(body):
    door, _ = dialect({"POST": body})
    assert (await door.jobs.submit("cluster", SPEC, None)).value.job_id == "7"


async def test_a_version_that_cannot_be_learned_leaves_nothing_in_doubt():
    door, _ = dialect({"ping": (503, "away")}, None)
    with pytest.raises(TransientError) as caught:
        await door.jobs.submit("cluster", SPEC, None)
    assert caught.value.outcome == "not sent"


async def test_nor_does_one_that_cannot_be_learned_again():
    answers = {"ping": [PING, (503, "away")], "/job/submit": NO_URL}
    door, wire = dialect(answers, None)
    with pytest.raises(TransientError) as caught:
        await door.jobs.submit("cluster", SPEC, None)
    assert (caught.value.outcome, len(wire.seen)) == ("not sent", 3)


RECORD = {"jobs": [{"job_id": 7, "state": {"current": "TIMEOUT"}}]}


@pytest.mark.parametrize("gone", [(500, errors(2017)), (404, errors(2017)), (200, {"jobs": []})])
async def test_a_job_that_slurmctld_forgot_is_looked_for_on_record(gone):
    door, wire = dialect({"/slurm/": gone, "/slurmdb/v0.0.38/job/7": RECORD})
    assert (await door.jobs.status("cluster", "7")).value.raw_state == "TIMEOUT"
    assert wire.seen[-1] == "GET /slurmdb/v0.0.38/job/7"


@pytest.mark.parametrize("record", [(200, errors(9003)), (200, {"jobs": []}), (500, errors(2002))])
async def test_a_job_that_is_nowhere_is_missing(record):
    door, _ = dialect({"/slurm/": (500, errors(2017)), "/slurmdb/": record})
    with contextlib.suppress(PermissionDenied):
        assert (await door.jobs.status("cluster", "7")).value.state is JobState.MISSING


async def test_a_slurm_without_records_is_asked_for_them_once():
    door, wire = dialect({"/slurm/": (500, errors(2017))})
    for _ in range(3):
        assert (await door.jobs.status("cluster", "7")).value.state is JobState.MISSING
    assert [line for line in wire.seen if "slurmdb" in line] == ["GET /slurmdb/v0.0.38/job/7"]


async def test_the_newest_record_of_a_job_that_was_requeued_counts():
    rows = [{"job_id": 7, "state": {"current": word}} for word in ("NODE_FAIL", "COMPLETED")]
    door, _ = dialect({"/slurm/": (500, errors(2017)), "/slurmdb/": {"jobs": rows}})
    assert (await door.jobs.status("cluster", "7")).value.succeeded


async def test_a_list_shows_the_jobs_of_the_user():
    rows = [
        {"job_id": 1, "job_state": ["RUNNING"], "name": "a", "user_name": "me"},
        {"job_id": 2, "job_state": ["COMPLETED"], "name": "b", "user_name": "me"},
        {"job_id": 3, "job_state": ["RUNNING"], "name": "c", "user_name": "you"},
    ]
    old = [
        {"job_id": 4, "state": {"current": ["FAILED"]}, "name": "d", "user": "me"},
        {**rows[1], "state": {}},
    ]
    door, wire = dialect({"/slurm/": {"jobs": rows}, "/slurmdb/": {"jobs": old}}, "v0.0.44", user="me")
    live = (await door.jobs.list("cluster", offset=0, limit=9, historical=False, names=False)).value
    assert [(each.job_id, each.name) for each in live] == [("1", None)]
    every = (await door.jobs.list("cluster", offset=0, limit=9, historical=True, names=True)).value
    assert {each.job_id: each.name for each in every} == {"1": "a", "2": "b", "4": "d"}
    assert "?users=me?start_time=" in wire.seen[1]


@pytest.mark.parametrize(
    "answer", [(200, PING), (500, errors(2021)), (200, {"status": [{"error": {"code": 2021}}]})]
)
async def test_a_cancel_of_what_is_over_is_fine(answer):
    door, _ = dialect({"DELETE": answer})
    assert await door.jobs.cancel("cluster", "7") == Done(None)


async def test_a_cancel_that_fails_in_a_success():
    door, _ = s3m({"DELETE": {"status": [{"error": {"code": 2002, "message": "no", "string": "no"}}]}})
    with pytest.raises(PermissionDenied, match=r"no \(Slurm error 2002\)"):
        await door.jobs.cancel("odo", "7")


@pytest.mark.parametrize("job", ["", "0", "x", "../1", "7?signal=9", "1_x", "1" * 10, "\u0667"])
async def test_what_is_no_job_id_is_not_asked_for(job):
    door, wire = s3m({})
    assert (await door.jobs.status("odo", job)).value.state is JobState.MISSING
    with pytest.raises(NotFound):
        await door.jobs.cancel("odo", job)
    assert not wire.seen


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"standard_output": "o-%j", "standard_error": "/e/%x.%A"}, ("/d/o-7", "/e/n.7")),
        ({"standard_output": ""}, ("/d/slurm-7.out", "/d/slurm-7.out")),
        ({"stdout": "/p/%j", "stdout_expanded": "/p/7"}, ("/p/7", "/p/7")),
        ({"standard_output": "100%%", "standard_error": "e"}, ("/d/100%", "/d/e")),
    ],
)
async def test_where_output_goes(fields, paths):
    door, _ = dialect(
        {"GET": {"jobs": [{"job_id": 7, "name": "n", "current_working_directory": "/d", **fields}]}}
    )
    assert tuple((await door.jobs.output_paths("cluster", "7")).value.values()) == paths


# ---------------------------------------------------------------------------------------------- S3M


async def test_a_job_that_the_database_has_not_heard_of_is_in_the_queue():
    row = {"job_id": 7, "job_state": ["PENDING"], "submit_time": {"set": True, "number": "1741827600"}}
    for unknown in ((404, {"code": 5, "message": "no"}), {"jobs": []}, errors(2017)):
        door, _ = s3m({"/job/7": unknown, "/jobs": {"jobs": [{"job_id": 8}, row]}})
        status = (await door.jobs.status("odo", "7")).value
        assert (status.state, status.time) == (JobState.QUEUED, 1741827600.0)
    door, _ = s3m({"/job/7": {"jobs": []}, "/jobs": {"jobs": []}})
    assert (await door.jobs.status("odo", "7")).value.state is JobState.MISSING


async def test_a_cancel_at_s3m_names_the_signal_that_ends_every_job():
    door, wire = s3m({"DELETE": {}})
    await door.jobs.cancel("odo", "7")
    assert wire.seen == ["DELETE /slurm/open/v0.0.43/odo/job/7?signal=SIGKILL"]


async def test_a_one_time_token_is_asked_about_once():
    told = {"token": {"username": "p_auser", "project": "P", "oneTimeToken": True}}
    door, wire = s3m({"introspect": told})
    assert (await door.accounts.check_token()).value == "p_auser"
    assert [each.id for each in (await door.accounts.projects()).value] == ["P"]
    assert len(wire.seen) == 1


DOWNTIME = {
    "resourceName": "odo",
    "status": "UNAVAILABLE",
    "start": "2026-01-01T00:00:00Z",
    "attributes": {"scheduled": True},
}


async def test_resources_and_downtimes():
    answers = {
        "downtimes/upcoming": {"downtimes": [DOWNTIME]},
        "downtimes": {},
        "status": {"resources": [{"name": "odo", "status": "OPERATIONAL"}, {"name": "x", "status": "?"}]},
    }
    door, _ = s3m(answers)
    resources = (await door.status.resources()).value
    assert [(each.id, str(each.status)) for each in resources] == [("odo", "up"), ("x", "unknown")]
    (incident,) = (await door.status.incidents(resource_id="odo")).value
    assert (incident.type, str(incident.status), incident.resource_ids) == ("planned", "down", ("odo",))
    assert (await door.status.incidents(resource_id="x")).value == []


async def test_a_federation_counts_its_jobs_with_ten_digits():
    door, _ = dialect({"GET": {"jobs": [{"job_id": 1006632961, "job_state": "RUNNING"}]}})
    assert (await door.jobs.status("cluster", "1006632961")).value.state is JobState.ACTIVE


@pytest.mark.parametrize("user", ["", "älice", "al\nice", " alice", "alice\r\nX-Y: z"])
def test_a_user_that_no_header_carries_is_refused(user):
    assert "user" in (API.problem(ApiWords(user=user)) or "")
    assert API.problem(ApiWords(user="alice")) is None
    claims = base64.urlsafe_b64encode(json.dumps({"sun": user}).encode()).decode()
    assert list(API.credential(ApiWords())(Token(f"h.{claims}.s"))) == ["x-slurm-user-token"]
