"""The Superfacility dialect against the face: names in URLs, both lists of jobs, and profiles with a key."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Iterator

import pytest

from iri_common import Facility, FileLedger
from iri_common.apis.superfacility import RULES, SuperfacilityDialect
from iri_common.auth.client_key import key_from_file
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.errors import AmbiguousReply, NotFound, Refused, TooLarge, TransferError
from iri_common.model.facility import Availability
from iri_common.model.outcome import Done, Pending
from iri_common.model.state import JobState
from iri_local_facility import LocalFacility

M = "perlmutter"
ODD = [
    "a b",
    "ü-ß-日本",
    "quote'\"s",
    "a&b=c?d#e%20f+g",
    "*[x]$HOME",
    "back\\slash",
    "-rf",
    "a;b",
    "%2e%2e",
    "//x",
]
LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(
        size_limit=LIMIT, kill_grace=0.2, superfacility_delay=0.02, superfacility_cache=60.0
    ) as running:
        yield running


@pytest.fixture
async def door(place):
    wire = HttpxTransport(WireSettings())
    key = key_from_file(place.superfacility_key)
    tokens = TokenKeeper(PrivateKeyJwt(place.superfacility_token_url, key), wire.send)
    session = Session(
        place.superfacility_url, wire, tokens, Budget(per_second=1000), rules=RULES, label="local"
    )
    yield SuperfacilityDialect(session)
    await wire.close()


@pytest.fixture
def folder(place):
    made = place.home / uuid.uuid4().hex
    made.mkdir()
    return made


async def end(door, answer):
    """The value, once the facility has it."""
    deadline = time.monotonic() + 60
    while isinstance(answer, Pending):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
        answer = await door.operations.check(answer)
    return answer.value


def spec(text, **fields):
    return {"executable": "/bin/sh", "arguments": ["-c", text], "name": f"n.{uuid.uuid4().hex}", **fields}


async def seen(door, job_id, *states):
    deadline = time.monotonic() + 60
    while (status := (await door.jobs.status(M, job_id)).value).state not in states:
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.05)
    return status


@pytest.mark.parametrize("name", ODD)
async def test_any_name_in_a_url(door, folder, name):
    content = bytes(range(256))
    path = f"{folder}/{name}"
    assert await door.files.upload(M, path, content) == Done(None)
    assert await door.files.download(M, path) == Done(content)
    (entry,) = (await door.files.ls(M, str(folder))).value
    assert (entry.name, entry.type, entry.size) == (name.strip("/"), "file", 256)
    (same,) = (await door.files.ls(M, path)).value
    assert same.name == name.strip("/")
    assert (await end(door, await door.files.stat(M, path))).size == 256


async def test_what_is_in_the_way_is_told_by_its_kind(door, folder):
    with pytest.raises(NotFound):
        await door.files.ls(M, f"{folder}/no")
    with pytest.raises(NotFound):
        await door.files.download(M, f"{folder}/no")
    with pytest.raises(NotFound):
        await door.files.upload(M, f"{folder}/no/x", b"")
    with pytest.raises(Refused):
        await door.files.download(M, str(folder))
    with pytest.raises(TooLarge):
        await door.files.upload(M, f"{folder}/x", bytes(LIMIT + 1))
    assert not os.listdir(folder)


async def test_hidden_files_and_links(door, folder):
    (folder / ".hid").touch()
    (folder / "to").symlink_to(".hid")
    (folder / "d").mkdir()
    plain = {each.name: (each.type, each.link_target) for each in (await door.files.ls(M, str(folder))).value}
    assert plain == {"to": ("symlink", ".hid"), "d": ("directory", None)}
    every = (await door.files.ls(M, str(folder), hidden=True)).value
    assert {each.name for each in every} == {".hid", "to", "d"}


async def test_a_fresh_job_is_found_by_its_name_though_the_list_is_an_old_one(door, place):
    await door.jobs.list(M, offset=0, limit=9, historical=False, names=False)  # this picture is kept
    asked = spec("sleep 30", attributes={"queue_name": "debug"})
    job = (await end(door, await door.jobs.submit(M, asked, None))).job_id
    old = (await door.jobs.list(M, offset=0, limit=9, historical=False, names=False)).value
    assert job not in {each.job_id for each in old}
    live = {
        each.job_id: each.name
        for each in (await door.jobs.list(M, offset=0, limit=9, historical=False, names=True)).value
    }
    assert live[job] == asked["name"]
    assert next(each for each in place.jobs() if each["id"] == job)["queue"] == "debug"
    await end(door, await door.jobs.cancel(M, job))
    status = await seen(door, job, JobState.CANCELED)
    assert status.raw_state is not None
    assert status.raw_state.startswith("CANCELLED by ")
    ended = (await door.jobs.list(M, offset=0, limit=9, historical=True, names=True)).value
    assert [each.status.state for each in ended if each.job_id == job] == [JobState.CANCELED]
    await end(door, await door.jobs.cancel(M, job))  # it has ended, which is what was asked for


@pytest.mark.parametrize(("text", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
async def test_exit_codes_and_where_output_went(door, folder, text, code):
    asked = spec(text, directory=str(folder), stdout_path="o ü", stderr_path=f"{folder}/e")
    job = (await end(door, await door.jobs.submit(M, asked, None))).job_id
    status = await seen(door, job, JobState.COMPLETED, JobState.FAILED)
    assert (status.exit_code, status.succeeded) == (code, code == 0)
    paths = (await door.jobs.output_paths(M, job)).value
    assert paths == {"stdout": f"{folder}/o ü", "stderr": f"{folder}/e"}


@pytest.mark.parametrize("job", ["999999999", "no such job", "a/b", "1?sacct=false", "%2e%2e"])
async def test_a_job_that_nobody_knows(door, job):
    assert (await door.jobs.status(M, job)).value.state is JobState.MISSING
    with pytest.raises(NotFound):
        await end(door, await door.jobs.cancel(M, job))


async def test_a_refused_submit_says_why(door):
    asked = spec("true", attributes={"account": "nobody"})
    with pytest.raises(Refused, match="account") as caught:
        await end(door, await door.jobs.submit(M, asked, None))
    assert (caught.value.operation, caught.value.facility) == ("submit_job", "local")


async def test_systems_and_their_outages(door, place):
    order = place.order("maintenance", resource="cluster", seconds=600, starts_in=300)
    try:
        (planned,) = (await door.status.incidents(resource_id=M)).value
        assert (planned.type, planned.resolution, planned.resource_ids) == ("planned", "pending", (M,))
        assert planned.status is Availability.DOWN
        assert len((await door.status.incidents()).value) == 1
    finally:
        place.clear_faults(order)
    assert (await door.status.resource(M)).value.status is Availability.UP
    with pytest.raises(NotFound):
        await door.status.resource("no such system")


async def test_the_clients_of_the_user(door, place):
    place.new_superfacility_key(lifetime=7200.0)
    ends = [each.expires_at for each in (await door.accounts.clients()).value]
    assert all(each is not None for each in ends)
    assert min(each.timestamp() for each in ends if each) < time.time() + 7300


def test_a_profile_names_the_key(place, tmp_path, monkeypatch):
    config = tmp_path / "facilities.toml"
    config.write_text(
        f'[sf]\nurl = "{place.superfacility_url}"\ndialect = "superfacility"\n'
        f'[sf.client]\ntoken_url = "{place.superfacility_token_url}"\n'
        f'key = {{ file = "{place.superfacility_key}" }}\n'
    )
    monkeypatch.setenv("IRI_CONFIG", str(config))
    facility = Facility.from_profile("sf", ledger=FileLedger(tmp_path / "ledger"))
    assert facility.accounts.whoami() == place.user
    assert facility.grades.settle == "lookup"


@pytest.fixture
def facility(place, tmp_path):
    return Facility(
        place.superfacility_url,
        dialect="superfacility",
        token=PrivateKeyJwt(place.superfacility_token_url, key_from_file(place.superfacility_key)),
        ledger=FileLedger(tmp_path / "ledger"),
        poll_seconds=0.05,
    )


def test_nersc_moves_data_between_collections_by_itself(facility, folder):
    (folder / "data").mkdir()
    (folder / "data" / "x").write_bytes(b"x" * 1000)
    storage, here = facility.storage, f"globus://perlmutter{folder}"
    task = storage.begin_transfer(f"globus://dtn{folder}/data", f"{here}/copy")
    assert storage.wait_for_transfer(task, timeout=20).bytes_done == 1000
    assert (folder / "copy" / "x").stat().st_size == 1000
    with pytest.raises(NotFound):
        storage.begin_transfer(f"globus://{uuid.uuid4()}/x", f"{here}/more")
    with pytest.raises(NotFound):
        storage.transfer(str(uuid.uuid4()))


def test_a_transfer_whose_answer_is_lost_is_not_asked_for_again(place, facility, folder):
    (folder / "x").write_text("x")
    place.order("lose_reply", "sfStartTransfer", times=1)
    place.reset_requests()
    with pytest.raises(AmbiguousReply, match="unknown"):
        facility.storage.begin_transfer(f"globus://dtn{folder}/x", f"globus://dtn{folder}/there")
    assert len(place.requests("sfStartTransfer")) == 1
    (folder / "y").write_text("y")
    place.order("transfer_fails", job="doomed", code="NO_APPEND_FILESYSTEM", times=1)
    task = facility.storage.begin_transfer(
        f"globus://dtn{folder}/y", f"globus://dtn{folder}/here", label="doomed"
    )
    with pytest.raises(TransferError, match=task):
        facility.storage.wait_for_transfer(task, timeout=20)
