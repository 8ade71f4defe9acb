"""What is put on the wire for every port method, and how often."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest
from firecrest_world import (
    TRANSFER_JOB,
    Wire,
    dialect,
    error,
    job,
    jobs,
    ok,
    raw,
    system,
)

from iri_common.apis.firecrest.ownjobs import OwnJob
from iri_common.apis.firecrest.rules import DOWNLOAD_LIMIT, FILE_REPLAYS, SAYS_DONE, UPLOAD_LIMIT
from iri_common.apis.firecrest.wire import SystemReply
from iri_common.model.errors import AmbiguousReply, IriError, NotOffered, TransientError, UsageError
from iri_common.model.files import Compression
from iri_common.model.outcome import Pending
from iri_common.policy.classify import ReplyLost
from iri_common.policy.retry import Replay

ODD = '/a b/ü&"?#%$(x)'
SPEC = {"executable": "/bin/true", "name": "n.00ff00ff00ff00ff-1", "directory": "/d"}
OUTPUT = {"content": "c", "contentType": "bytes", "startPosition": 0, "endPosition": 1}
STAT = {"mode": 33188, "size": 5, "uid": 1, "gid": 1, "mtime": 9, "atime": 9, "ctime": 9}
FILE = {"name": "x", "type": "-", "user": "u", "group": "g", "permissions": "rw-r--r--", "size": "5"}

# (call, method, path, params, json, output)
CALLS = [
    (lambda d: d.jobs.status("alps", "7"), "GET", "/compute/alps/jobs/7", (), None, None),
    (
        lambda d: d.jobs.list("alps", offset=0, limit=9, historical=False, names=True),
        "GET",
        "/compute/alps/jobs",
        (("time_window", "1h"),),
        None,
        None,
    ),
    (
        lambda d: d.jobs.list("alps", offset=0, limit=9, historical=True, names=False),
        "GET",
        "/compute/alps/jobs",
        (("time_window", "7d"),),
        None,
        None,
    ),
    (lambda d: d.jobs.cancel("alps", "7"), "DELETE", "/compute/alps/jobs/7", (), None, None),
    (lambda d: d.status.resources(), "GET", "/status/systems", (), None, None),
    (lambda d: d.accounts.check_token(), "GET", "/status/systems", (), None, None),
    (
        lambda d: d.files.ls("alps", ODD, hidden=True),
        "GET",
        "/filesystem/alps/ops/ls",
        (("path", ODD), ("showHidden", "true"), ("recursive", "false"), ("dereference", "false")),
        None,
        [FILE],
    ),
    (
        lambda d: d.files.head("alps", ODD, lines=3),
        "GET",
        "/filesystem/alps/ops/head",
        (("path", ODD), ("lines", "3")),
        None,
        OUTPUT,
    ),
    (
        lambda d: d.files.tail("alps", ODD, size=9),
        "GET",
        "/filesystem/alps/ops/tail",
        (("path", ODD), ("bytes", "9")),
        None,
        OUTPUT,
    ),
    (
        lambda d: d.files.view("alps", ODD, size=4),
        "GET",
        "/filesystem/alps/ops/view",
        (("path", ODD), ("size", "4"), ("offset", "0")),
        None,
        "text",
    ),
    (
        lambda d: d.files.checksum("alps", ODD),
        "GET",
        "/filesystem/alps/ops/checksum",
        (("path", ODD),),
        None,
        {"checksum": "AB", "algorithm": "SHA256"},
    ),
    (
        lambda d: d.files.file_type("alps", ODD),
        "GET",
        "/filesystem/alps/ops/file",
        (("path", ODD),),
        None,
        "directory",
    ),
    (
        lambda d: d.files.stat("alps", ODD, dereference=True),
        "GET",
        "/filesystem/alps/ops/stat",
        (("path", ODD), ("dereference", "true")),
        None,
        STAT,
    ),
    (lambda d: d.files.rm("alps", ODD), "DELETE", "/filesystem/alps/ops/rm", (("path", ODD),), None, None),
    (
        lambda d: d.files.chmod("alps", ODD, 0o7),
        "PUT",
        "/filesystem/alps/ops/chmod",
        (),
        {"path": ODD, "mode": "007"},
        FILE,
    ),
    (
        lambda d: d.files.chown("alps", ODD, group="g"),
        "PUT",
        "/filesystem/alps/ops/chown",
        (),
        {"path": ODD, "owner": "", "group": "g"},
        FILE,
    ),
    (
        lambda d: d.files.mkdir("alps", ODD, parents=True),
        "POST",
        "/filesystem/alps/ops/mkdir",
        (),
        {"path": ODD, "parent": True},
        FILE,
    ),
    (
        lambda d: d.files.symlink("alps", "/t", ODD),
        "POST",
        "/filesystem/alps/ops/symlink",
        (),
        {"path": "/t", "linkPath": ODD},
        FILE,
    ),
    (
        lambda d: d.files.compress("alps", "/s", ODD, pattern=r".*\.txt"),
        "POST",
        "/filesystem/alps/ops/compress",
        (),
        {
            "path": "/s",
            "targetPath": ODD,
            "dereference": False,
            "compression": "gzip",
            "matchPattern": r".*\.txt",
        },
        None,
    ),
    (
        lambda d: d.files.extract("alps", "/s", ODD, compression=Compression.XZ),
        "POST",
        "/filesystem/alps/ops/extract",
        (),
        {"path": "/s", "targetPath": ODD, "compression": "xz"},
        None,
    ),
]


@pytest.mark.parametrize(("call", "method", "path", "params", "body", "output"), CALLS)
async def test_every_call_is_one_request(call, method, path, params, body, output):
    wire = Wire({"/jobs": jobs(), "/jobs/7": jobs(), "": ok({"output": output})})
    await call(dialect(wire))
    (request,) = wire.requests
    assert request.url == f"http://door.example/f7t{path}"
    assert (request.method, tuple(request.params), request.json) == (method, params, body)


async def test_a_list_has_one_page():
    wire = Wire({"/jobs": jobs()})
    assert (
        await dialect(wire).jobs.list("alps", offset=1000, limit=1000, historical=True, names=True)
    ).value == []
    assert not wire.requests


async def test_a_job_is_asked_for_once_after_what_it_takes_to_describe_it():
    wire = Wire({"/jobs": ok({"jobId": "7"}, 201)})
    door = dialect(wire)
    await door.jobs.submit("alps", SPEC, "key")
    assert [each.url.rpartition("f7t")[2] for each in wire.requests] == [
        "/status/systems",
        "/compute/alps/jobs",
    ]
    (request,) = wire.asked("/jobs")
    assert request.json["job"]["workingDirectory"] == "/d"
    assert "idempotency-key" not in {name.lower() for name in request.headers}
    shown = door.jobs.submit_request("alps", SPEC, None)
    assert (shown.method, shown.url, shown.json) == (request.method, request.url, request.json)


async def test_fifty_submits_at_once_ask_for_a_home_once():
    wire = Wire({"/jobs": ok({"jobId": "7"}, 201)})
    door = dialect(wire)
    spec = {"executable": "/bin/true"}
    await asyncio.gather(*(door.jobs.submit("alps", spec, None) for _ in range(50)))
    assert len(wire.requests) == 52
    assert {each.json["job"]["workingDirectory"] for each in wire.asked("/jobs")} == {"/users/ana"}


async def test_what_was_read_a_moment_ago_is_not_read_again_but_to_judge_a_token():
    wire = Wire()
    door = dialect(wire)
    await door.status.resources()
    await door.status.incidents()
    await door.storage.locations("alps")
    assert len(wire.asked("/status/systems")) == 1
    await door.accounts.check_token()
    assert len(wire.asked("/status/systems")) == 2
    await door.accounts.whoami()
    await door.accounts.projects()
    assert len(wire.asked("/userinfo")) == 3


async def test_the_profile_may_tell_the_name_of_the_user():
    wire = Wire({"/jobs": ok({"jobId": "7"}, 201)})
    await dialect(wire, user="bob").jobs.submit("alps", {"executable": "/bin/true"}, None)
    assert not wire.asked("/userinfo")
    assert wire.asked("/jobs")[0].json["job"]["workingDirectory"] == "/users/bob"


async def test_a_home_is_where_the_systems_jobs_work_if_there_is_no_place_for_homes():
    about = system(fileSystems=[{"path": "/scratch", "dataType": "scratch", "defaultWorkDir": True}])
    wire = Wire({"/jobs": ok({"jobId": "7"}, 201)}, about)
    (home,) = (await dialect(wire).storage.locations("alps", logical_name="home")).value
    assert (home.logical_name, home.path) == ("home", "/scratch/ana")
    door = dialect(Wire({}, system(fileSystems=[])))
    assert (await door.storage.locations("alps")).value == []
    with pytest.raises(NotOffered, match="directory"):
        await door.jobs.submit("alps", {"executable": "/bin/true"}, None)


async def test_locations_are_the_file_systems_by_what_they_are_for():
    found = (await dialect(Wire()).storage.locations("ALPS")).value
    assert {each.logical_name: each.path for each in found} == {
        "home": "/users/ana",
        "scratch": "/scratch/ana",
    }
    (scratch,) = (await dialect(Wire()).storage.locations("alps", logical_name="scratch")).value
    assert scratch.path == "/scratch/ana"


def test_what_a_second_arrival_would_do_twice():
    once = {operation for operation, replay in FILE_REPLAYS.items() if replay is Replay.ONCE}
    assert {each for each in FILE_REPLAYS if each.startswith("transfer/")} <= once
    assert {each for each in once if each.startswith("ops/")} == {
        "ops/mkdir",
        "ops/symlink",
        "ops/rm",
        "ops/compress",
    }


@pytest.mark.parametrize("operation", FILE_REPLAYS)
async def test_what_may_not_come_twice_is_not_sent_twice(operation):
    wire = Wire({f"/{operation}": ReplyLost("cut")})
    once = FILE_REPLAYS[operation] is Replay.ONCE
    with pytest.raises(IriError) as caught:
        await _call(operation)(dialect(wire))
    assert len(wire.asked(f"/{operation}")) == (1 if once else 2)
    assert isinstance(caught.value, AmbiguousReply) is once


def _call(operation):
    name = operation.partition("/")[2]
    if operation in {"transfer/upload", "transfer/download"}:
        begin = operation.endswith("upload")
        return lambda d: d.parts.begin("alps", "/p", 5) if begin else d.parts.link("alps", "/p")
    return {
        "head": lambda d: d.files.head("alps", "/p", lines=1),
        "tail": lambda d: d.files.tail("alps", "/p", lines=1),
        "view": lambda d: d.files.view("alps", "/p", size=1),
        "file": lambda d: d.files.file_type("alps", "/p"),
        "upload": lambda d: d.files.upload("alps", "/p", b"x"),
        "chmod": lambda d: d.files.chmod("alps", "/p", 0o600),
        "chown": lambda d: d.files.chown("alps", "/p", owner="o"),
        **{
            each: lambda d, each=each: getattr(d.files, each)("alps", "/p", "/q")
            for each in ("symlink", "cp", "mv", "compress", "extract")
        },
    }.get(name, lambda d: getattr(d.files, name)("alps", "/p"))


@pytest.mark.parametrize("call", [_call(each) for each in FILE_REPLAYS if each.startswith("ops/")])
async def test_a_path_that_would_end_the_servers_quotes_is_not_sent(call):
    for path in ("/it's", "relative", "/a\nb"):
        wire = Wire()
        with pytest.raises(UsageError):
            await call(_Renamed(dialect(wire), path))
        assert not wire.requests


class _Renamed:
    """The door, where every path is another."""

    def __init__(self, door, path):
        self._files, self._path, self.files = door.files, path, self

    def __getattr__(self, name):
        method = getattr(self._files, name)
        return lambda *args, **words: method(
            *(self._path if str(each) in {"/p"} else each for each in args), **words
        )


def test_the_largest_download_is_the_largest_whose_base64_is_below_the_limit():
    assert 4 * -(-DOWNLOAD_LIMIT // 3) < UPLOAD_LIMIT <= 4 * -(-(DOWNLOAD_LIMIT + 1) // 3)


async def test_an_upload_names_its_directory_and_its_file_apart():
    wire = Wire({"/ops/upload": raw(b"", status=204)})
    await dialect(wire).files.upload("alps", "/d/ü b", b"content")
    (request,) = wire.requests
    assert (request.params, request.files) == ((("path", "/d"),), {"file": ("ü b", b"content")})


@pytest.mark.parametrize("name", ['a"b', "a\\b", ""])
async def test_a_name_that_no_multipart_header_carries_is_not_sent(name):
    wire = Wire()
    with pytest.raises(UsageError):
        await dialect(wire).files.upload("alps", f"/d/{name}", b"x")
    assert not wire.requests


async def test_an_empty_upload_is_believed_when_the_file_is_there():
    timed_out = error(408, "Command execution timeout limit exceeded.")
    wire = Wire({"/ops/upload": timed_out, "/ops/stat": ok({"output": {**STAT, "size": 0}})})
    await dialect(wire, attempts=5).files.upload("alps", "/d/x", b"")
    assert len(wire.requests) == 2


async def test_no_other_failure_of_an_empty_upload_is_believed():
    for reply, size in (
        (error(503, "The requested filesystem (/d on alps) is unhealthy."), 0),
        (error(408, "Command execution timeout limit exceeded."), 5),
    ):
        wire = Wire({"/ops/upload": reply, "/ops/stat": ok({"output": {**STAT, "size": size}})})
        with pytest.raises(TransientError):
            await dialect(wire).files.upload("alps", "/d/x", b"")


async def test_a_transfer_within_is_charged_where_the_system_wants_that():
    wire = Wire({"/transfer/mv": ok({"transferJob": TRANSFER_JOB}, 201)})
    pending = await dialect(wire).files.mv("alps", "/a b", "/c")
    assert isinstance(pending, Pending)
    (request,) = wire.asked("/transfer/mv")
    assert request.json == {"path": "/a b", "targetPath": "/c", "account": "csc02"}
    free = system(dataOperation={"datatransfer_jobs_directives": []})
    wire = Wire({"/transfer/cp": ok({"transferJob": TRANSFER_JOB}, 201)}, free)
    await dialect(wire).files.cp("alps", "/a", "/c", dereference=True)
    (request,) = wire.asked("/transfer/cp")
    assert request.json == {"path": "/a", "targetPath": "/c", "dereference": True}
    assert not wire.asked("/userinfo")


@pytest.mark.parametrize("name", ["a&b", "a<b", "it's", 'a"b', "a\nb"])
async def test_names_that_the_servers_script_would_spoil_go_with_a_script_of_ours(name):
    wire = Wire({"/jobs": ok({"jobId": "70"}, 201), "/jobs/70": jobs(job("70"))})
    door = dialect(wire)
    pending = await door.files.mv("alps", f"/d/{name}", "/d/x")
    (request,) = wire.asked("/jobs")
    script = request.json["job"]["script"]
    assert script.startswith("#!/bin/sh\n#SBATCH --partition=xfer\n#SBATCH --account=csc02\nmv -- ")
    assert (request.json["job"]["name"], request.json["job"]["workingDirectory"]) == (
        "MoveFiles",
        "/scratch/ana",
    )
    assert request.json["job"]["env"]["PATH"]
    assert await door.operations.check(pending) is pending


def test_a_script_of_ours_says_that_it_is_done_only_if_it_is(tmp_path):
    name = "a&b <c> 'd' \"e\" $HOME `f`\n"
    about = SystemReply.model_validate(system(dataOperation={"datatransfer_jobs_directives": []}))
    (tmp_path / "x").write_text("x")
    for operation in ("transfer/cp", "transfer/mv", "transfer/mv"):
        own = OwnJob.of(operation, f"{tmp_path}/x", f"{tmp_path}/{name}", dereference=False)
        script = own.described(about, "/w", None)["script"]
        ran = subprocess.run(["/bin/sh"], input=script, capture_output=True, text=True, check=False)
        assert (SAYS_DONE[operation] in ran.stdout) is (ran.returncode == 0)
    assert (ran.returncode, os.listdir(tmp_path)) == (1, [name])
