"""Transfers: jobs of the facility that only their log tells the end of, and uploads over S3."""

from __future__ import annotations

import re

import pytest
from firecrest_world import TRANSFER_JOB, Wire, dialect, error, job, jobs, ok, system

from iri_common.apis.firecrest.operations import TransferJob
from iri_common.model.errors import (
    AmbiguousReply,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    ReplyError,
    TooLarge,
    TransientError,
    UsageError,
)
from iri_common.model.outcome import Done, Pending
from iri_common.model.ports import WireReply
from iri_common.model.transfer import PartsUpload
from iri_common.policy.classify import ReplyLost

LOG, ERRORS = "/scratch/ana/.job.log", "/scratch/ana/.job_error.log"
DIRECTIVES = {
    "transferMethod": "s3",
    "partsUploadUrls": ["http://s/1?X-Amz-Signature=a", "http://s/2?X-Amz-Signature=b"],
    "completeUploadUrl": "http://s/done?X-Amz-Signature=c",
    "maxPartSize": 4,
}
UPLOAD = ok({"transferJob": TRANSFER_JOB, "transferDirectives": DIRECTIVES}, 201)
SAID = "Mon Nov 22 UTC 2026 File was successfully downloaded (size: 0.001MB)\n"


class Place(Wire):
    """A facility with one transfer, the state of its job and what is in its logs."""

    def __init__(self, state, said="", complaint="", replies=None):
        status = error(404, "Job not found.") if state is None else jobs(job("70", state))
        moved = ok({"transferJob": TRANSFER_JOB}, 201)
        super().__init__({"/transfer/mv": moved, "/jobs/70": status, **(replies or {})})
        self.logs = {LOG: said, ERRORS: complaint}

    async def send(self, request):
        if request.url.endswith("/ops/tail"):
            self.requests.append(request)
            text = self.logs[dict(request.params)["path"]]
            if text is None:
                return error(404, "Remote process failed with exit status:1: No such file or directory")
            return ok({"output": {"content": text}})
        return await super().send(request)


async def moved(place):
    door = dialect(place)
    pending = await door.files.mv("alps", "/a", "/b")
    return pending, await door.operations.check(pending)


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "A NEW WORD"])
async def test_a_transfer_whose_job_lives_goes_on(state):
    place = Place(state)
    pending, answer = await moved(place)
    assert answer is pending
    assert not place.asked("/ops/tail")


@pytest.mark.parametrize("state", ["COMPLETED", None])
@pytest.mark.parametrize("cleared", [ok(None, 204), error(404, "No such file"), error(500, "no")])
async def test_a_transfer_is_done_when_its_log_says_so(state, cleared):
    place = Place(state, "Files were successfully moved.\n", replies={"/ops/rm": cleared})
    _, answer = await moved(place)
    assert answer == Done(None)
    assert {dict(each.params)["path"] for each in place.asked("/ops/rm")} >= {LOG}


async def test_a_transfer_whose_job_is_not_listed_yet_goes_on():
    pending, answer = await moved(Place(None, None))
    assert answer is pending


@pytest.mark.parametrize(
    ("state", "said", "complaint", "kind"),
    [
        ("COMPLETED", "Move Files Job", "mv: cannot stat '/a': No such file or directory", NotFound),
        ("COMPLETED", "", "mv: cannot move '/a' to '/b': Permission denied", PermissionDenied),
        ("COMPLETED", "", "mv: cannot move '/a' to '/No such file': Device busy", Refused),
        ("COMPLETED", "", "Unable to move files exit code:0 error:", Refused),
        ("COMPLETED", "", "", AmbiguousReply),  # nobody says what came of it
        ("COMPLETED", None, None, AmbiguousReply),
        ("CANCELLED by 1", None, None, Refused),
        ("FAILED", "", "error_max_part_size", TooLarge),
        ("TIMEOUT", "Move Files Job", "", Refused),
    ],
)
async def test_a_job_that_completed_is_no_transfer_that_did(state, said, complaint, kind):
    with pytest.raises(kind) as caught:
        await moved(Place(state, said, complaint))
    assert (type(caught.value), caught.value.operation) == (kind, "transfer/mv")


@pytest.mark.parametrize(
    "path", ["/scratch/ana", "/scratch/ana/", "/scratch/ana/data.log", "/", "/scratch/.log/x"]
)
async def test_nothing_but_a_log_is_cleared_away_whatever_a_reply_calls_one(path):
    wire = Wire({"/ops/rm": ok(None, 204)})
    for named in (TransferJob("alps", "70", path, path), TransferJob("alps", "70", LOG, "", path)):
        await dialect(wire).operations.forget(str(named))
    assert [dict(each.params)["path"] for each in wire.asked("/ops/rm")] == [LOG]


async def test_the_logs_are_cleared_away_by_who_forgets_the_transfer():
    gone = error(404, "No such file or directory")
    place = Place("RUNNING", replies={"/ops/rm": [gone, ok(None, 204)]})
    pending, _ = await moved(place)
    await dialect(place).operations.forget(pending.task_id)
    assert [dict(each.params)["path"] for each in place.asked("/ops/rm")] == [LOG, ERRORS]


@pytest.mark.parametrize("path", ["/a b", "/ü?x=1&y", "/100%"])
def test_the_name_of_a_transfer_is_read_again(path):
    named = TransferJob("alps", "70", path, "")
    assert TransferJob.parse(str(named)) == named


@pytest.mark.parametrize("text", ["", "alps", "alps/7", "a/b/c?output=x&errors=y", "alps/7?errors=/o"])
def test_what_names_no_transfer_is_said_so(text):
    with pytest.raises(UsageError):
        TransferJob.parse(text)


@pytest.mark.parametrize("told", [None, {}, {"transferJob": {"jobId": None}}, [], "x"])
async def test_a_transfer_without_a_job_may_have_begun(told):
    with pytest.raises(AmbiguousReply):
        await dialect(Wire({"/transfer/mv": ok(told, 201)})).files.mv("alps", "/a", "/b")


# ------------------------------------------------------------------------------------------------ S3


class Store:
    """The wire to the store."""

    def __init__(self, *replies):
        self.replies, self.posts = list(replies), []

    async def post(self, url, content, headers=None):
        self.posts.append((url, content))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def stored(status=200, body=b"<CompleteMultipartUploadResult/>"):
    return WireReply(status, {}, body)


async def begun(place, store=None, size=7):
    door = dialect(place, links=store)
    return door, (await door.parts.begin("alps", "/scratch/ana/x y", size)).value


async def test_an_upload_is_signed_and_its_handle_tells_no_secret():
    place = Place("RUNNING", replies={"/transfer/upload": UPLOAD})
    _, upload = await begun(place)
    (request,) = place.asked("/transfer/upload")
    assert request.json == {
        "path": "/scratch/ana/x y",
        "account": "csc02",
        "transferDirectives": {"transferMethod": "s3", "fileSize": 7},
    }
    assert (upload.links, upload.part_size, upload.parts) == (tuple(DIRECTIVES["partsUploadUrls"]), 4, 2)
    assert upload.expires_at is not None
    assert "Signature" not in repr(upload)
    assert "Signature" not in repr(dict(upload.handle))


@pytest.mark.parametrize(
    "told",
    [
        {
            "transferJob": TRANSFER_JOB,
            "partsUploadUrls": ["u", "v"],
            "completeUploadUrl": "w",
            "maxPartSize": 4,
        },
        {
            "transferJob": TRANSFER_JOB,
            "transferDirectives": {
                "parts_upload_urls": ["u", "v"],
                "complete_upload_url": "w",
                "max_part_size": 4,
            },
        },
    ],
)
async def test_earlier_releases_spell_the_links_otherwise(told):
    _, upload = await begun(Place("RUNNING", replies={"/transfer/upload": ok(told, 201)}))
    assert (upload.links, upload.part_size) == (("u", "v"), 4)


@pytest.mark.parametrize(
    "change",
    [{"maxPartSize": 0}, {"maxPartSize": None}, {"partsUploadUrls": ["u"]}, {"completeUploadUrl": None}],
)
async def test_links_that_do_not_fit_the_file_are_not_used(change):
    told = {"transferJob": TRANSFER_JOB, "transferDirectives": {**DIRECTIVES, **change}}
    with pytest.raises(ReplyError):
        await begun(Place("RUNNING", replies={"/transfer/upload": ok(told, 201)}))


async def test_a_finished_upload_is_there_when_the_job_has_fetched_it():
    place, store = Place("RUNNING", replies={"/transfer/upload": UPLOAD}), Store(stored())
    door, upload = await begun(place, store)
    answer = await door.parts.finish("alps", upload, ['"e1"', "<e2>"])
    assert isinstance(answer, Pending)
    ((url, document),) = store.posts
    assert url == DIRECTIVES["completeUploadUrl"]
    assert b"<PartNumber>2</PartNumber><ETag>&lt;e2&gt;</ETag>" in document
    assert await door.operations.check(answer) is answer
    place.replies |= {"/jobs/70": jobs(job("70", "COMPLETED")), "/ops/rm": ok(None, 204)}
    place.logs[LOG] = SAID
    assert await door.operations.check(answer) == Done(None)


async def test_a_job_that_gave_up_after_a_day_completed_without_a_file():
    waiting = "Waiting till file to tranfer is available...\n"
    place = Place("COMPLETED", waiting, replies={"/transfer/upload": UPLOAD})
    door, upload = await begun(place, Store(stored()))
    with pytest.raises(AmbiguousReply):
        await door.operations.check(await door.parts.finish("alps", upload, ["a", "b"]))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (stored(200, b"<Error><Code>InternalError</Code></Error>"), TransientError),
        (ReplyLost("cut"), TransientError),
        (stored(503, b"<Error><Code>SlowDown</Code></Error>"), TransientError),
        (stored(400, b"<Error><Code>InvalidPart</Code></Error>"), Refused),
    ],
)
async def test_a_store_that_does_not_finish_it(reply, kind):
    door, upload = await begun(Place("RUNNING", replies={"/transfer/upload": UPLOAD}), Store(reply, stored()))
    with pytest.raises(kind) as caught:
        await door.parts.finish("alps", upload, ["a", "b"])
    assert "Signature" not in str(caught.value)
    assert isinstance(await door.parts.finish("alps", upload, ["a", "b"]), Pending)


async def test_what_was_finished_by_a_lost_request_is_finished():
    gone = stored(404, b"<Error><Code>NoSuchUpload</Code></Error>")
    door, upload = await begun(Place("RUNNING", replies={"/transfer/upload": UPLOAD}), Store(gone))
    assert isinstance(await door.parts.finish("alps", upload, ["a", "b"]), Pending)


HANDLE = {"job": str(TransferJob("alps", "70", LOG, ERRORS))}
OLD = PartsUpload("/scratch/ana/x", 7, 4, (), None, HANDLE)


async def test_another_process_finds_what_is_finished_and_gives_up_what_is_not():
    place = Place("COMPLETED", SAID, replies={"/ops/rm": ok(None, 204)})
    assert await dialect(place).parts.finish("alps", OLD, ["a", "b"]) == Done(None)
    place = Place("RUNNING", replies={"/jobs/70": [jobs(job("70")), ok(None, 204)], "/ops/rm": ok(None, 204)})
    with pytest.raises(NotFound):
        await dialect(place).parts.finish("alps", OLD, ["a", "b"])
    assert [each.method for each in place.asked("/jobs/70")] == ["GET", "DELETE"]


async def test_an_upload_that_is_given_up_has_its_job_canceled():
    over = "scancel: error: Kill job error on job id 70: Job/step already completing or completed"
    gone = error(404, "scancel: error: Invalid job id specified")
    place = Wire({"/jobs/70": [ok(None, 204), error(500, over), gone], "/ops/rm": error(500, "no")})
    for _ in range(3):
        await dialect(place).parts.abandon("alps", OLD)
    assert [each.method for each in place.asked("/jobs/70")] == ["DELETE"] * 3
    assert {dict(each.params)["path"] for each in place.asked("/ops/rm")} == {LOG}


async def test_uploads_of_a_path_whose_handles_are_lost_are_found_by_their_scripts():
    rows = [job(str(number), name="IngressFileTransfer") for number in (1, 2)]
    rows += [job("3", "COMPLETED", name="IngressFileTransfer"), job("4", name="run")]
    scripts = {"1": 'target_file="/other"', "2": 'target_file="/scratch/ana/x y"'}
    place = Wire(
        {"/jobs": jobs(*rows), "/jobs/2": ok(None, 204)}
        | {f"/{each}/metadata": ok({"jobs": [{"jobId": each, "script": scripts[each]}]}) for each in scripts}
    )
    await dialect(place).parts.clear("alps", "/scratch/ana/x y", 0)
    assert [each.method for each in place.asked("/jobs/2")] == ["DELETE"]
    assert len(place.requests) == 4


async def test_what_nobody_can_tell_of_an_upload():
    door = dialect(Wire())
    for call in (door.parts.again("alps", OLD), door.parts.arrived("alps", OLD)):
        with pytest.raises(NotOffered):
            await call
    with pytest.raises(NotOffered):
        await door.parts.begin("alps", "/x", 0)


async def test_a_link_is_good_when_its_job_has_put_the_file_there():
    told = {
        "transferJob": TRANSFER_JOB,
        "transferDirectives": {"downloadUrl": "http://s/x?X-Amz-Signature=d"},
    }
    place = Place("RUNNING", replies={"/transfer/download": ok(told, 201)})
    door = dialect(place)
    pending = await door.parts.link("alps", "/scratch/ana/x")
    assert await door.operations.check(pending) is pending
    place.replies |= {"/jobs/70": jobs(job("70", "COMPLETED")), "/ops/rm": ok(None, 204)}
    place.logs[LOG] = "[INFO] Multipart file upload successfully completed\n"
    link = (await door.operations.check(pending)).value
    assert link.url == "http://s/x?X-Amz-Signature=d"
    assert "Signature" not in repr(link)


@pytest.mark.parametrize(
    ("call", "path"),
    [
        *((lambda d, path: d.parts.begin("alps", path, 5), f"/a{letter}b") for letter in "&<>\"'$`\\"),
        (lambda d, path: d.parts.link("alps", path), "/a'b"),
    ],
)
async def test_a_path_that_the_transfers_script_would_spoil_is_not_sent(call, path):
    wire = Wire()
    with pytest.raises(UsageError):
        await call(dialect(wire), path)
    assert {each.method for each in wire.requests} <= {"GET"}


@pytest.mark.parametrize("letter", ' &<>"$`\\*;(~#')
async def test_a_file_whose_path_needs_quotes_is_fetched_through_a_link(letter):
    told = {"transferJob": TRANSFER_JOB, "transferDirectives": {"downloadUrl": "http://s/x"}}
    place = Place("RUNNING", replies={"/transfer/download": ok(told, 201), "/ops/symlink": ok({}, 201)})
    door, path = dialect(place), f"/a{letter}b"
    pending = await door.parts.link("alps", path)
    (linked,), (asked,) = place.asked("/ops/symlink"), place.asked("/transfer/download")
    alias = asked.json["path"]
    assert alias.startswith("/scratch/ana/.iri_link_")
    assert linked.json == {"path": path, "linkPath": alias}
    place.replies |= {"/jobs/70": jobs(job("70", "FAILED")), "/ops/rm": ok(None, 204)}
    with pytest.raises(Refused):
        await door.operations.check(pending)
    assert [dict(each.params)["path"] for each in place.asked("/ops/rm")] == [alias]
    place.logs[LOG] = "Multipart file upload successfully completed"
    assert isinstance(await door.operations.check(pending), Done)
    assert [dict(each.params)["path"] for each in place.asked("/ops/rm")][1:] == [alias, LOG, ERRORS]


async def test_a_system_without_large_transfers_has_no_parts():
    door = dialect(Wire({}, system(dataOperation={"data_transfer": None})))
    parts = door.parts
    assert parts is not None  # nobody has asked yet
    for call in (parts.begin("alps", "/x", 5), parts.link("alps", "/x"), parts.link("alps", "/x y")):
        with pytest.raises(NotOffered, match="no transfers over S3; allow a job"):
            await call
    assert door.parts is None


@pytest.mark.parametrize(
    ("method", "why"),
    [("streamer", "streamer.*unencrypted"), ("wormhole", "wormhole.*relay"), ("x", "'x' alone.*not spoken")],
)
async def test_why_a_method_is_not_taken_is_said(method, why):
    wire = Wire({}, system(dataOperation={"data_transfer": {"serviceType": method}}))
    door = dialect(wire)
    assert door.parts is not None
    assert door.parts.why_not == ""  # nobody has asked yet
    for call in (door.parts.begin("alps", "/x", 5), door.parts.link("alps", "/x")):
        with pytest.raises(NotOffered, match=f"{why}.*; allow a job"):
            await call
    assert re.search(why, door.parts.why_not)
    assert not [each for each in wire.requests if "transfer/" in each.url]
