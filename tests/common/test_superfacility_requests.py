"""What the Superfacility dialect puts on the wire, and how often."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import httpx
import pytest
from superfacility_door import ACCEPTED, dialect, rows, task, told
from told_wire import Wire, ok

from iri_common.model.errors import AmbiguousReply, NotOffered, Unreachable, UsageError
from iri_common.model.files import Compression
from iri_common.model.outcome import Done, Pending

M = "perlmutter"
SPEC = {
    "executable": "/bin/echo",
    "arguments": ["a b", "$HOME"],
    "name": "my | run.0123456789abcdef-1",
    "environment": {"TOKEN": "hunter2 "},
    "stdout_path": "/p/o ut",
    "stderr_path": "e.txt",
    "attributes": {"queue_name": "debug", "account": "m1234", "duration": 60},
}
LIVE = (("sacct", "false"), ("cached", "true"), ("kwargs", "user=u"))
NAMED = (("sacct", "false"), ("cached", "false"), ("kwargs", "user=u"))
SQUEUE, SACCT = [(("sacct", word), ("cached", "false")) for word in ("false", "true")]

# (id, call, method, path, params, reply)
CALLS = [
    ("live", lambda d: listed(d, historical=False, names=False), "GET", f"/compute/jobs/{M}", LIVE, rows()),
    ("named", lambda d: listed(d, historical=False, names=True), "GET", f"/compute/jobs/{M}", NAMED, rows()),
    (
        "status",
        lambda d: d.jobs.status(M, "12"),
        "GET",
        f"/compute/jobs/{M}/12",
        SACCT,
        rows({"jobid": "12", "state": "RUNNING"}),
    ),
    ("cancel", lambda d: d.jobs.cancel(M, "1/2"), "DELETE", f"/compute/jobs/{M}/1%2F2", (), ok(ACCEPTED)),
    (
        "ls",
        lambda d: d.files.ls(M, "/a b/ü"),
        "GET",
        f"/utilities/ls/{M}//a%20b/%C3%BC",
        (),
        ok({"status": "OK", "entries": []}),
    ),
    (
        "download",
        lambda d: d.files.download(M, "/a#b?c%20"),
        "GET",
        f"/utilities/download/{M}//a%23b%3Fc%2520",
        (("binary", "true"),),
        ok({"file": "eA=="}),
    ),
    ("relative", lambda d: d.files.upload(M, "a/b", b"x"), "PUT", f"/utilities/upload/{M}/a/b", (), ok({})),
    ("resources", lambda d: d.status.resources(), "GET", "/status/", (), ok([])),
    ("resource", lambda d: d.status.resource(M), "GET", f"/status/{M}", (), ok({"name": M})),
    ("whoami", lambda d: d.accounts.whoami(), "GET", "/account/", (), ok({"name": "u"})),
    ("projects", lambda d: d.accounts.projects(), "GET", "/account/projects", (), ok([])),
    ("check", lambda d: d.operations.check(Pending("1 1", "ls", str)), "GET", "/tasks/1%201", (), task("x")),
]


def listed(door, **words):
    return door.jobs.list(M, offset=0, limit=1000, **words)


@pytest.mark.parametrize(
    ("call", "method", "path", "params", "reply"),
    [each[1:] for each in CALLS],
    ids=[each[0] for each in CALLS],
)
async def test_one_request_each(call, method, path, params, reply):
    wire = Wire(reply)
    await call(dialect(wire))
    (sent,) = wire.requests
    assert (sent.method, sent.url) == (method, f"http://door.example/api/v1.2{path}")
    assert tuple(sent.params) == params
    assert sent.json is None
    # httpx leaves the path as it is, double slash and all.
    assert httpx.Request(method, sent.url).url.raw_path.decode().partition("?")[0] == f"/api/v1.2{path}"


async def test_a_submit_is_a_form_with_the_whole_script():
    wire = Wire(ok(ACCEPTED))
    door = dialect(wire)
    answer = await door.jobs.submit(M, SPEC, "some key")
    assert isinstance(answer, Pending)
    (sent,) = wire.requests
    assert sent == door.jobs.submit_request(M, SPEC, "some key")
    assert (sent.method, sent.url) == ("POST", f"http://door.example/api/v1.2/compute/jobs/{M}")
    assert sent.form["isPath"] == "false"
    assert set(sent.form) == {"job", "isPath"}
    lines = sent.form["job"].split("\n")
    assert lines[0] == "#!/bin/sh"  # at column 0 of the first line, or nothing is estimated
    options = [shlex.split(line)[1] for line in lines if line.startswith("#SBATCH ")]
    assert "--job-name=my___run.0123456789abcdef-1" in options  # the tag is whole
    assert "--qos=debug" in options
    assert not [each for each in options if each.startswith("--partition")]
    (comment,) = [each for each in options if each.startswith("--comment=")]
    assert parse_qs(comment.removeprefix("--comment=iri:")) == {"stdout": ["/p/o ut"], "stderr": ["e.txt"]}
    assert "hunter2" not in repr(sent)


async def test_a_comment_of_the_users_stays():
    wire = Wire(ok(ACCEPTED))
    custom = {"custom_attributes": {"comment": "mine", "constraint": "gpu"}}
    await dialect(wire).jobs.submit(M, {**SPEC, "attributes": custom}, None)
    script = wire.requests[0].form["job"]
    assert "#SBATCH --comment=mine\n" in script
    assert "#SBATCH --constraint=gpu\n" in script


async def test_ended_jobs_are_asked_for_since_some_days():
    wire = Wire(rows())
    await listed(dialect(wire), historical=True, names=False)
    params = list(wire.requests[0].params)
    since = params.pop()[1].removeprefix("starttime=")
    assert params == [("sacct", "true"), ("cached", "false"), ("kwargs", "user=u")]
    age = datetime.now(UTC) - datetime.fromisoformat(f"{since}T00:00:00+00:00")
    assert timedelta(days=7) <= age < timedelta(days=9)


async def test_whose_jobs_they_are_is_asked_once():
    wire = Wire(ok({"name": "someone"}), rows())
    door = dialect(wire, user=None)
    for _ in range(2):
        await listed(door, historical=False, names=True)
    assert [request.url.rpartition("v1.2")[2] for request in wire.requests] == [
        "/account/",
        *["/compute/jobs/perlmutter"] * 2,
    ]
    assert ("kwargs", "user=someone") in wire.requests[-1].params


async def test_there_is_one_page():
    wire = Wire(rows())
    answer = await dialect(wire).jobs.list(M, offset=1, limit=1000, historical=True, names=True)
    assert (answer, wire.requests) == (Done([]), [])


async def test_a_job_that_accounting_has_not_heard_of_is_asked_of_the_queue():
    wire = Wire(rows(), rows({"jobid": "5", "state": "PENDING", "reason": "Priority"}))
    assert (await dialect(wire).jobs.status(M, "5")).value.raw_state == "PENDING"
    assert [tuple(request.params) for request in wire.requests] == [SACCT, SQUEUE]


async def test_forgetting_a_result_asks_nothing():
    wire = Wire(ok({}))
    assert await dialect(wire).operations.forget("11") == Done(None)
    assert not wire.requests  # to delete a task may be to cancel it


# By the command's name: who asks for it, and what bash is to do.
COMMANDS = {
    "ls": (lambda f: f.ls(M, "/p", recursive=True), "find -H /p -printf"),
    "head": (lambda f: f.head(M, "/p", lines=3), "head -n 3 /p"),
    "tail": (lambda f: f.tail(M, "/p", size=9), "tail -c 9 /p"),
    "view": (lambda f: f.view(M, "/p", size=9, offset=5), "dd if=/p bs=64K"),
    "checksum": (lambda f: f.checksum(M, "/p"), "sha256sum < /p"),
    "file": (lambda f: f.file_type(M, "/p"), "file -b /p"),
    "stat": (lambda f: f.stat(M, "/p", dereference=True), "stat -L -c '%s %f %u %g %.6Y' /p"),
    "rm": (lambda f: f.rm(M, "/p"), "rm -r /p"),
    "chmod": (lambda f: f.chmod(M, "/p", 0o750), "chmod 0750 /p"),
    "chown": (lambda f: f.chown(M, "/p", owner="o", group="g"), "chown -- o:g /p"),
    "mkdir": (lambda f: f.mkdir(M, "/p"), "mkdir /p"),
    "mkdir -p": (lambda f: f.mkdir(M, "/p", parents=True), "mkdir -p /p"),
    "symlink": (lambda f: f.symlink(M, "t", "/p"), "ln -sT -- t /p"),
    "cp": (lambda f: f.cp(M, "/p", "/q"), "cp -R -P --preserve=mode,timestamps /p /q"),
    "mv": (lambda f: f.mv(M, "/p", "/q"), "mv /p /q"),
    "compress": (lambda f: f.compress(M, "/a/p", "/q", compression=Compression.XZ), "tar -cJf /q -C /a -- p"),
    "extract": (lambda f: f.extract(M, "/p", "/q"), "mkdir -p /q && tar -xzf /p -C /q"),
}


def command_of(request):
    """What bash gets: the line is a word of a shell, and its last word a script."""
    assert set(request.form) == {"executable"}
    program, option, script = shlex.split(request.form["executable"])
    assert (program, option) == ("bash", "-c")
    return script


@pytest.mark.parametrize(("name", "call", "command"), [(name, *each) for name, each in COMMANDS.items()])
async def test_what_has_no_operation_is_a_command(name, call, command):
    wire = Wire(ok(ACCEPTED))
    answer = await call(dialect(wire).files)
    assert (answer.task_id, answer.operation) == ("11", name)
    (sent,) = wire.requests
    assert (sent.method, sent.url) == ("POST", f"http://door.example/api/v1.2/utilities/command/{M}")
    assert command in command_of(sent)


# A second one of these fails, or does something else than the first.
ONCE = {"rm", "mkdir", "symlink", "cp", "mv", "compress", "extract"}


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_with_a_lost_reply_goes_again_only_where_two_are_one(name):
    wire = Wire(None, ok(ACCEPTED))
    call = COMMANDS[name][0]
    if name not in ONCE:
        assert isinstance(await call(dialect(wire, attempts=3).files), Pending)
        assert len(wire.requests) == 2
    else:
        with pytest.raises(AmbiguousReply):
            await call(dialect(wire, attempts=3).files)
        assert len(wire.requests) == 1


async def test_a_submit_goes_out_once_whatever_comes_back():
    for reply in (
        None,
        ok({}, 500),
        ok({}, 502),
        ok({"status": "OK"}),
        ok({"status": "ERROR", "error": "?"}),
    ):
        wire = Wire(reply)
        with pytest.raises(AmbiguousReply):
            await dialect(wire, attempts=5).jobs.submit(M, SPEC, None)
        assert len(wire.requests) == 1


async def test_a_cancel_may_go_again():
    wire = Wire(None)
    with pytest.raises(Unreachable):
        await dialect(wire, attempts=3).jobs.cancel(M, "1")
    assert len(wire.requests) == 3


NOT_SENT = {
    "no path": lambda d: d.files.ls(M, ""),
    "no path for a command": lambda d: d.files.rm(M, ""),
    "nothing to pack": lambda d: d.files.compress(M, "", "/q"),
    "no link": lambda d: d.files.symlink(M, "", "/q"),
    "up and away": lambda d: d.files.download(M, "/a/../b"),
    "here": lambda d: d.files.upload(M, "./b", b""),
    "half a letter in a path": lambda d: d.files.ls(M, "/\udc80"),
    "half a letter for a command": lambda d: d.files.rm(M, "/\udc80"),
    "NUL": lambda d: d.files.rm(M, "/a\0b"),
    "no machine": lambda d: d.jobs.status("..", "1"),
    "no job": lambda d: d.jobs.status(M, ""),
    "a mode": lambda d: d.files.chmod(M, "/p", 0o17777),
    "nobody": lambda d: d.files.chown(M, "/p"),
    "no piece": lambda d: d.files.view(M, "/p", size=0),
    "lines and bytes": lambda d: d.files.tail(M, "/p", lines=1, size=1),
    "a container": lambda d: d.jobs.submit(M, {**SPEC, "container": {"image": "x"}}, None),
    "an odd option": lambda d: d.jobs.submit(
        M, {**SPEC, "attributes": {"custom_attributes": {"a b": "c"}}}, None
    ),
}


@pytest.mark.parametrize("call", NOT_SENT.values(), ids=NOT_SENT)
async def test_what_makes_no_sense_is_not_sent(call):
    wire = Wire(ok({}))
    with pytest.raises(UsageError):
        await call(dialect(wire))
    assert not wire.requests


NOT_OFFERED = {
    "facility": lambda d: d.status.facility(),
    "sites": lambda d: d.status.sites(),
    "events": lambda d: d.status.events(),
    "capabilities": lambda d: d.accounts.capabilities(),
    "access points": lambda d: d.storage.access_endpoints(M),
    "update": lambda d: d.jobs.update(M, "1", {}, None),
    "a pattern": lambda d: d.files.compress(M, "/p", "/q", pattern="x"),
}


@pytest.mark.parametrize("call", NOT_OFFERED.values(), ids=NOT_OFFERED)
async def test_what_the_api_lacks_is_said_without_asking(call):
    wire = Wire(ok({}))
    with pytest.raises(NotOffered) as caught:
        await call(dialect(wire))
    assert caught.value.facility == "door"
    assert not wire.requests


async def test_where_home_is_a_login_shell_tells():
    wire = Wire(ok(ACCEPTED), told(b"/global/homes/u\0/pscratch/u\0"))
    door = dialect(wire)
    answer = await door.storage.locations(M)
    found = (await door.operations.check(answer)).value
    assert [(each.logical_name, each.path) for each in found] == [
        ("home", "/global/homes/u"),
        ("scratch", "/pscratch/u"),
    ]
    wire.replies = [ok(ACCEPTED), told(b"/global/homes/u\0\0")]
    answer = await door.storage.locations(M, logical_name="scratch")
    assert (await door.operations.check(answer)).value == []
