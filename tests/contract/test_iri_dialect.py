"""The dialect against both faces of a facility that answers: every port method, and names that need care."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
import uuid

import pytest

from iri_common.apis.iri import RULES, V1, V2, IriDialect, version_of
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.static import StaticToken
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.errors import (
    AuthError,
    Conflict,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    TooLarge,
)
from iri_common.model.facility import Availability
from iri_common.model.files import Compression
from iri_common.model.outcome import Done, Pending
from iri_common.model.state import JobState
from iri_local_facility import LocalFacility

ODD_NAMES = ["a b", "ü-ß-日本", "quote'\"s", "a&b=c?d#e%20f+g", "*[x]$HOME", "back\\slash", "-rf", "{output}"]
LIMIT = 64 * 1024
only_v1 = pytest.mark.parametrize("version", [V1], ids=["v1"])
only_v2 = pytest.mark.parametrize("version", [V2], ids=["v2"])


@pytest.fixture(scope="module")
def facility():
    with LocalFacility(size_limit=LIMIT, kill_grace=0.2) as running:
        yield running


def _dialect(facility, version, transport, token):
    tokens = TokenKeeper(StaticToken(token), transport.send)
    url = f"{facility.url}/api/{version.name}"
    session = Session(url, transport, tokens, Budget(per_second=1000), rules=RULES, label="local")
    return IriDialect(session, version_of(url))


@pytest.fixture(params=[V1, V2], ids=["v1", "v2"])
def version(request):
    return request.param


@pytest.fixture
async def transport():
    wire = HttpxTransport(WireSettings())
    yield wire
    await wire.close()


@pytest.fixture
def door(facility, version, transport):
    return _dialect(facility, version, transport, facility.token)


@pytest.fixture
async def cluster(door):
    return next(r.id for r in (await door.status.resources()).value if r.offers("compute"))


@pytest.fixture
def place(facility):
    """A fresh directory of the user."""
    path = facility.home / uuid.uuid4().hex
    path.mkdir()
    return path


async def end(door, answer):
    """The value, once the facility has it."""
    assert isinstance(answer, Pending)
    deadline = time.monotonic() + 60
    while isinstance(answer, Pending):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
        answer = await door.operations.check(answer)
    return answer.value


async def seen(door, cluster, job_id, *states):
    """The status, once it is one of these."""
    deadline = time.monotonic() + 60
    while True:
        status = (await door.jobs.status(cluster, job_id)).value
        if status.state in states:
            return status
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.05)


def spec(*command, **fields):
    return {"executable": "/bin/sh", "arguments": ["-c", *command], "name": f"n.{uuid.uuid4().hex}", **fields}


# -- jobs


async def test_a_job_from_submit_to_its_output(door, cluster, place):
    asked = spec(
        "echo out; echo err >&2", directory=str(place), stdout_path="o ü", stderr_path=str(place / "e")
    )
    accepted = (await door.jobs.submit(cluster, asked, None)).value
    assert accepted.replayed is None
    status = await seen(door, cluster, accepted.job_id, JobState.COMPLETED)
    assert status.succeeded
    assert status.raw_state == "completed"
    assert status.time is not None
    paths = (await door.jobs.output_paths(cluster, accepted.job_id)).value
    assert paths == {"stdout": str(place / "o ü"), "stderr": str(place / "e")}
    tail = await end(door, await door.files.tail(cluster, paths["stdout"], lines=5))
    assert tail.content == "out\n"


@only_v2
async def test_the_same_key_is_the_same_job(door, cluster, facility):
    asked, key = spec("exit 0"), str(uuid.uuid4())
    first = (await door.jobs.submit(cluster, asked, key)).value
    await seen(door, cluster, first.job_id, JobState.COMPLETED)
    again = (await door.jobs.submit(cluster, asked, key)).value
    assert (first.replayed, again.replayed) == (False, True)
    assert again.job_id == first.job_id
    assert not again.status.state.terminal  # the answer of long ago
    assert [job["name"] for job in facility.jobs()].count(asked["name"]) == 1
    with pytest.raises(Conflict) as caught:
        await door.jobs.submit(cluster, spec("exit 1"), key)
    assert (caught.value.status, caught.value.outcome) == (422, "key used")


@only_v1
async def test_v1_knows_no_key(door, cluster, facility):
    asked, key = spec("exit 0"), str(uuid.uuid4())
    answers = [(await door.jobs.submit(cluster, asked, key)).value for _ in range(2)]
    assert [answer.replayed for answer in answers] == [None, None]
    assert len({answer.job_id for answer in answers}) == 2
    assert door.grades.settle == "lookup"
    page = (await door.jobs.list(cluster, offset=0, limit=1000, historical=True, names=True)).value
    assert {row.job_id for row in page if row.name == asked["name"]} == {each.job_id for each in answers}


@pytest.mark.parametrize("code", [1, 3, 127])
async def test_exit_codes(door, cluster, code):
    accepted = (await door.jobs.submit(cluster, spec(f"exit {code}"), None)).value
    status = await seen(door, cluster, accepted.job_id, JobState.COMPLETED, JobState.FAILED)
    assert status.exit_code == code
    assert not status.succeeded


async def test_a_held_job_is_let_go_and_then_canceled(door, cluster):
    asked = spec("sleep 60", attributes={"custom_attributes": {"hold": "true"}})
    job = (await door.jobs.submit(cluster, asked, None)).value.job_id
    held = (await door.jobs.status(cluster, job)).value
    assert (held.state, held.exit_code) == (JobState.HELD, None)
    changes = {"attributes": {"custom_attributes": {"hold": "false"}}}
    changed = (await door.jobs.update(cluster, job, changes, str(uuid.uuid4()))).value
    assert changed.state is not JobState.HELD
    await seen(door, cluster, job, JobState.ACTIVE)
    assert await door.jobs.cancel(cluster, job) == Done(None)
    await seen(door, cluster, job, JobState.CANCELED)


async def test_pages_of_a_list(door, cluster):
    hold = {"attributes": {"custom_attributes": {"hold": "true"}}}
    asked = [spec("exit 0", **hold) for _ in range(5)]
    ids = [(await door.jobs.submit(cluster, each, None)).value.job_id for each in asked]
    rows, offset = [], 0
    while page := (await door.jobs.list(cluster, offset=offset, limit=2, historical=False, names=True)).value:
        assert len(page) <= 2
        rows += page
        offset += len(page)
    names = {row.job_id: row.name for row in rows if row.job_id in ids}
    assert names == dict(zip(ids, [each["name"] for each in asked], strict=True))
    await door.jobs.cancel(cluster, ids[0])
    await seen(door, cluster, ids[0], JobState.CANCELED)
    live = (await door.jobs.list(cluster, offset=0, limit=1000, historical=False, names=False)).value
    ended = (await door.jobs.list(cluster, offset=0, limit=1000, historical=True, names=False)).value
    assert ids[0] not in {row.job_id for row in live}
    assert ids[0] in {row.job_id for row in ended}
    assert all(row.name is None for row in live)
    for each in ids[1:]:
        await door.jobs.cancel(cluster, each)


@pytest.mark.parametrize("job", ["999999999", "no such job", "a/b", "ü", "%2e%2e", "1?historical=false"])
async def test_a_job_that_nobody_knows(door, cluster, job):
    assert (await door.jobs.status(cluster, job)).value.state is JobState.MISSING
    with pytest.raises(NotFound):
        await door.jobs.cancel(cluster, job)


async def test_a_refused_submit_says_why(door, cluster):
    with pytest.raises(Refused, match="invalid queue") as caught:
        await door.jobs.submit(cluster, spec("exit 0", attributes={"queue_name": "nope"}), str(uuid.uuid4()))
    assert (caught.value.facility, caught.value.operation, caught.value.status) == ("local", "launchJob", 400)
    with pytest.raises(NotFound):
        await door.jobs.submit("no such résource", spec("exit 0"), None)


async def test_a_bad_token(facility, version, transport, cluster):
    stranger = _dialect(facility, version, transport, "nonsense")
    with pytest.raises(AuthError):
        await stranger.jobs.status(cluster, "1")
    with pytest.raises(AuthError):
        await stranger.accounts.check_token()
    assert (await stranger.status.resources()).value  # public all the same


# -- files


@pytest.mark.parametrize(
    "content", [b"", b"test", b"\r\n", bytes(range(256)) * 16], ids=["empty", "b64", "crlf", "all"]
)
async def test_bytes_come_back_as_they_went(door, cluster, place, content):
    target = place / "f"
    assert await end(door, await door.files.upload(cluster, str(target), content)) is None
    assert target.read_bytes() == content
    assert await end(door, await door.files.download(cluster, str(target))) == content
    assert (await end(door, await door.files.stat(cluster, str(target)))).size == len(content)
    digest = await end(door, await door.files.checksum(cluster, str(target)))
    assert (digest.algorithm, digest.value) == ("SHA-256", hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_any_name(door, cluster, place, name):
    target = str(place / name)
    await end(door, await door.files.upload(cluster, target, b"x"))
    assert os.listdir(place) == [name]
    (entry,) = await end(door, await door.files.ls(cluster, str(place)))
    assert (entry.name, entry.type, entry.size) == (name, "file", 1)
    assert await end(door, await door.files.download(cluster, target)) == b"x"
    await end(door, await door.files.mv(cluster, target, target + "2"))
    await end(door, await door.files.rm(cluster, target + "2"))
    assert os.listdir(place) == []


async def test_too_large_is_said_before_and_after(door, cluster, place):
    with pytest.raises(TooLarge):
        await door.files.upload(cluster, str(place / "big"), b"x" * (LIMIT + 1))
    (place / "big").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(TooLarge):
        await end(door, await door.files.download(cluster, str(place / "big")))


@pytest.mark.parametrize(
    "call",
    [
        lambda f, r, p: f.ls(r, p),
        lambda f, r, p: f.head(r, p, lines=1),
        lambda f, r, p: f.tail(r, p, size=1),
        lambda f, r, p: f.view(r, p, size=1),
        lambda f, r, p: f.stat(r, p),
        lambda f, r, p: f.checksum(r, p),
        lambda f, r, p: f.download(r, p),
        lambda f, r, p: f.rm(r, p),
        lambda f, r, p: f.mv(r, p, p + "2"),
        lambda f, r, p: f.chmod(r, p, 0o600),
        lambda f, r, p: f.upload(r, p + "/child", b""),
    ],
)
async def test_what_is_not_there(door, cluster, place, call):
    with pytest.raises(NotFound) as caught:
        await end(door, await call(door.files, cluster, str(place / "permission denied")))
    assert caught.value.facility == "local"


async def test_what_is_not_mine(door, cluster, facility):
    other = facility.root / "home" / "bob" / "not found"
    with pytest.raises(PermissionDenied):
        await end(door, await door.files.download(cluster, str(other)))


async def test_pieces_of_a_text(door, cluster, place):
    path = str(place / "t")
    (place / "t").write_text("one\ntwo\nthree\n")
    head = await end(door, await door.files.head(cluster, path, lines=1))
    tail = await end(door, await door.files.tail(cluster, path, size=6))
    view = await end(door, await door.files.view(cluster, path, size=3, offset=4))
    assert (head.content, tail.content, view.content) == ("one\n", "three\n", "two")
    assert await end(door, await door.files.file_type(cluster, path))


async def test_content_that_looks_like_a_wrapper_is_content(door, cluster, place):
    path, content = str(place / "t"), '{"output": "[1]"}\n'
    (place / "t").write_text(content)
    assert (await end(door, await door.files.head(cluster, path, lines=1))).content == content
    assert await end(door, await door.files.download(cluster, path)) == content.encode()


async def test_directories_links_and_modes(door, cluster, place):
    deep, link = str(place / "a" / "b"), str(place / "l")
    await end(door, await door.files.mkdir(cluster, deep, parents=True))
    await end(door, await door.files.mkdir(cluster, deep, parents=True))  # SAFE means this
    with pytest.raises(Refused):
        await end(door, await door.files.mkdir(cluster, deep))
    await end(door, await door.files.upload(cluster, deep + "/f", b"12"))
    await end(door, await door.files.symlink(cluster, deep, link))
    assert os.readlink(link) == deep
    entry = await end(door, await door.files.chmod(cluster, deep + "/f", 0o640))
    assert entry is not None
    assert os.stat(deep + "/f").st_mode & 0o7777 == 0o640
    group = (await end(door, await door.files.ls(cluster, deep)))[0].group
    await end(door, await door.files.chown(cluster, deep + "/f", group=group))
    await end(door, await door.files.cp(cluster, deep, str(place / "c")))
    assert (place / "c" / "f").read_bytes() == b"12"
    rows = await end(door, await door.files.ls(cluster, str(place), recursive=True))
    assert {row.name: row.type for row in rows}["a/b/f"] == "file"
    (hidden := place / "a" / ".h").touch()
    assert not [
        row for row in await end(door, await door.files.ls(cluster, str(place / "a"))) if row.name == ".h"
    ]
    assert [
        r
        for r in await end(door, await door.files.ls(cluster, str(place / "a"), hidden=True))
        if r.name == ".h"
    ]
    await end(door, await door.files.rm(cluster, str(place / "a")))
    assert not hidden.exists()


@pytest.mark.parametrize("compression", list(Compression))
async def test_an_archive_there_and_back(door, cluster, place, compression):
    (place / "d").mkdir()
    (place / "d" / "f").write_bytes(b"\x00\xff")
    (place / "out").mkdir()
    archive, out = str(place / "x"), str(place / "out")
    await end(door, await door.files.compress(cluster, str(place / "d"), archive, compression=compression))
    await end(door, await door.files.extract(cluster, archive, out, compression=compression))
    assert [path.read_bytes() for path in (place / "out").rglob("f")] == [b"\x00\xff"]


async def test_a_result_is_forgotten(door, cluster, place):
    pending = await door.files.ls(cluster, str(place))
    await end(door, pending)
    assert await door.operations.forget(pending.task_id) == Done(None)
    assert await door.operations.forget(pending.task_id) == Done(None)


# -- what the facility tells


async def test_status(door, facility, cluster):
    assert (await door.status.facility()).value.id
    assert [site.id for site in (await door.status.sites()).value]
    resource = (await door.status.resource(cluster)).value
    assert resource in (await door.status.resources()).value
    assert resource.answers_to("Cluster")
    assert "compute" in resource.endpoints
    with pytest.raises(NotFound):
        await door.status.resource("no/such")


async def test_incidents_and_events(version, transport):
    with LocalFacility() as fresh:
        door = _dialect(fresh, version, transport, fresh.token)
        assert (await door.status.incidents()).value == []
        assert (await door.status.events()).value == []
        declared = fresh.incident(resource="cluster", status="degraded", name="Ü & co")
        (incident,) = (await door.status.incidents()).value
        cluster = next(r for r in (await door.status.resources()).value if r.offers("compute"))
        assert (incident.id, incident.name, incident.end) == (declared["id"], "Ü & co", None)
        assert incident.resource_ids == (cluster.id,)
        assert incident.start is not None
        assert cluster.status is Availability.DEGRADED
        fresh.resolve_incident(incident.id)
        events = (await door.status.events(incident_id=incident.id, resource_id=cluster.id)).value
        assert [event.status for event in events] == [Availability.DEGRADED, Availability.UP]
        assert {(event.incident_id, event.resource_id) for event in events} == {(incident.id, cluster.id)}
        assert (await door.status.incidents(resource_id="another")).value == []


async def test_who_the_token_speaks_for(door, version, facility):
    told = facility.user if version is V2 else None
    facility.reset_requests()
    assert (await door.accounts.check_token()).value == told
    assert len(facility.requests()) == 1
    if version is V2:
        assert (await door.accounts.whoami()).value == told
    else:
        with pytest.raises(NotOffered, match="/account/projects"):
            await door.accounts.whoami()


async def test_accounts(door):
    capabilities = {each.id: each for each in (await door.accounts.capabilities()).value}
    projects = (await door.accounts.projects()).value
    assert {project.name for project in projects} == {"demo", "beamline"}
    allocations = (await door.accounts.project_allocations(projects[0].id)).value
    assert {each.capability_id for each in allocations} == set(capabilities)
    (mine,) = (await door.accounts.user_allocations(projects[0].id, allocations[0].id)).value
    assert mine.user_id
    assert mine.entries[0].left <= mine.entries[0].allocation
    with pytest.raises(NotFound):
        await door.accounts.project_allocations("no/such")


@only_v2
async def test_storage(door, facility, cluster):
    places = {each.logical_name: each for each in (await door.storage.locations(cluster)).value}
    assert places["home"].path == str(facility.home)
    assert places["home"].writable
    (scratch,) = (await door.storage.locations(cluster, logical_name="scratch")).value
    assert scratch.path == str(facility.scratch)
    assert (await door.storage.locations(cluster, logical_name="archive")).value == []
    assert (await door.storage.access_endpoints(cluster)).value == []
    with pytest.raises(NotFound):
        await door.storage.locations("no/such")


@only_v1
async def test_v1_has_no_storage_service(door, facility, cluster):
    with pytest.raises(NotOffered):
        await door.storage.locations(cluster)
    with pytest.raises(NotOffered):
        await door.storage.access_endpoints(cluster)


async def test_a_version_that_is_not_served(facility, transport):
    wrong = Session(f"{facility.url}/api/v3", transport, None, Budget(), rules=RULES, label="local")
    with pytest.raises(NotFound):
        await IriDialect(wrong, V2).status.facility()
