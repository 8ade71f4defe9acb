"""FirecREST against its face of the local facility: what the suite of every door does not look at."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from s3_server import BUCKET, KEYS, Store

from iri_common import (
    ClientCredentials,
    Facility,
    FileLedger,
    JobFailed,
    JobKey,
    JobReason,
    JobState,
    NotFound,
    NotOffered,
    Transfers,
)
from iri_common.apis.firecrest import RULES, FirecrestDialect
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.static import StaticToken
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.jobs.logfile import LogFile
from iri_common.jobs.operations import Patience, settled
from iri_common.model.errors import AuthError, Conflict, PermissionDenied, Refused, TooLarge
from iri_common.model.files import Compression
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(90)
MIB = 1024 * 1024
QUICK = Patience(first=0.05, longest=0.2, total=30.0)


@pytest.fixture(scope="module")
def place(store_server: Store) -> Iterator[LocalFacility]:
    words: dict[str, Any] = {
        "s3": (store_server.url, BUCKET, KEYS["AWS_DEFAULT_REGION"]),
        "firecrest_transfer_poll": 0.3,
        "firecrest_part_size": 5 * MIB,
        "firecrest_account": True,
    }
    with LocalFacility(nodes=64, kill_grace=0.2, token_lifetime=33.0, **words) as running:
        yield running


@pytest.fixture(scope="module")
def pbs_place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=2, kill_grace=0.2, firecrest_scheduler="pbs") as running:
        yield running


def opened(place: LocalFacility, folder: Path, **words: Any) -> Facility:
    told: dict[str, Any] = {"token": place.token, "poll_seconds": 0.1, "directory": str(place.home)}
    told |= {"ledger": FileLedger(folder / "ledger"), **words}
    return Facility(place.firecrest_url, dialect="firecrest", **told)


@pytest.fixture
def facility(place: LocalFacility, tmp_path: Path) -> Facility:
    return opened(place, tmp_path)


@pytest.fixture
def at_pbs(pbs_place: LocalFacility, tmp_path: Path) -> Facility:
    return opened(pbs_place, tmp_path)


@pytest.fixture
async def door(place: LocalFacility):
    wire = HttpxTransport(WireSettings())
    tokens = TokenKeeper(StaticToken(place.token), wire.send)
    session = Session(place.firecrest_url, wire, tokens, Budget(per_second=1000), rules=RULES, label="local")
    yield FirecrestDialect(session)
    await wire.close()


@pytest.fixture
def folder(place: LocalFacility, tmp_path: Path) -> Path:
    """A directory at the facility."""
    made = place.home / f"firecrest {tmp_path.name}"
    made.mkdir()
    return made


def shell(text: str, **words: Any) -> dict[str, Any]:
    return {"executable": "/bin/sh", "arguments": ["-c", text], "name": "real", **words}


# ---------------------------------------------------------------------------------------------- jobs


def test_fifty_jobs_cost_hardly_more_requests_than_there_are_jobs(
    place: LocalFacility, tmp_path: Path
) -> None:
    facility = opened(place, tmp_path, poll_seconds=2.0)
    place.reset_requests()

    async def one() -> bool:
        ref = await facility.aio.jobs.submit(shell("sleep 2"))
        return (await facility.aio.jobs.result(ref)).status.succeeded

    async def all_of_them() -> list[bool]:
        return await asyncio.gather(*(one() for _ in range(50)))

    assert all(asyncio.run(all_of_them()))
    asked = Counter(each["operation"] for each in place.requests())
    assert asked["firecrestSubmit"] == 50
    assert asked.total() <= 58, asked


def test_a_job_without_a_directory_works_in_the_home(place: LocalFacility, tmp_path: Path) -> None:
    facility = opened(place, tmp_path, directory=None)
    ref = facility.jobs.run(shell("pwd")).ref
    assert facility.jobs.tail(ref) == f"{place.home}\n"
    again = opened(place, tmp_path, directory=None)  # as another process, which did not ask for the job
    assert again.jobs.tail(ref) == f"{place.home}\n"


def test_a_name_that_breaks_lists_is_cleaned(facility: Facility) -> None:
    key = JobKey.of("names", time.time_ns())
    ref = facility.jobs.submit(shell("sleep 1") | {"name": "a|b 'c' ü"}, key=key)
    found = facility.jobs.find(key)
    assert found is not None
    assert found.job_id == ref.job_id
    assert facility.jobs.wait(ref).succeeded


def test_a_job_that_accounting_names_late_is_found_all_the_same(place: LocalFacility, tmp_path: Path) -> None:
    place.order("unregistered", seconds=2)
    try:
        key = JobKey.of("unregistered", time.time_ns())
        spec = shell("sleep 1")
        first = opened(place, tmp_path / "a").jobs.submit(spec, key=key)
        again = opened(place, tmp_path / "b").jobs.submit(spec, key=key)
        statuses = [opened(place, tmp_path / "c").jobs.wait(each) for each in (first, again)]
    finally:
        place.clear_faults()
    assert sorted(status.exit_code for status in statuses) in ([0, 0], [0, 211])


@pytest.mark.parametrize("order", ["unknown_state", "missing"])
def test_what_is_not_understood_ends_no_wait(place: LocalFacility, facility: Facility, order: str) -> None:
    ref = facility.jobs.submit(shell("sleep 1"))
    place.order(order, job=ref.job_id, lasts=0.8)
    assert facility.jobs.wait(ref).succeeded


def test_a_cancel_of_what_is_over_or_never_was(place: LocalFacility, facility: Facility) -> None:
    ref = facility.jobs.run(shell("true")).ref
    facility.jobs.cancel(ref)
    assert facility.jobs.status(ref).state is JobState.COMPLETED


async def test_what_the_api_says_of_a_cancel(place: LocalFacility, door: FirecrestDialect) -> None:
    done = (await door.jobs.submit("cluster", {"executable": "/bin/true"}, None)).value.job_id
    until = time.monotonic() + 60
    while not (await door.jobs.status("cluster", done)).value.state.terminal:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    await door.jobs.cancel("cluster", done)
    with pytest.raises(NotFound):
        await door.jobs.cancel("cluster", "7654321")
    assert (await door.jobs.status("cluster", "7654321")).value.state is JobState.MISSING


@pytest.mark.parametrize("attributes", [{"queue_name": "nosuch"}, {"account": "nobody"}])
async def test_a_job_that_the_scheduler_refuses_is_refused(
    door: FirecrestDialect, attributes: dict[str, str]
) -> None:
    with pytest.raises(Refused) as caught:
        await door.jobs.submit("cluster", {"executable": "/bin/true", "attributes": attributes}, None)
    assert caught.value.outcome == "invalid"


def test_the_profile_of_a_token_that_lives_shortly_needs_no_care(
    place: LocalFacility, tmp_path: Path
) -> None:
    """Tokens of 33 s are refused by the server 3 s after they were given."""
    source = ClientCredentials(place.token_url, place.client_id, place.client_secret)
    facility = opened(place, tmp_path, token=source)
    assert facility.accounts.whoami() == place.user
    time.sleep(3.2)
    assert facility.accounts.whoami() == place.user
    asked = [each["status"] for each in place.requests("firecrestUserinfo")][-3:]
    assert asked[-1] == 200
    with pytest.raises(AuthError, match="too soon"):
        opened(place, tmp_path, token=place.new_token(lifetime=20)).accounts.check_token()


def test_a_command_beside_a_job(facility: Facility, at_pbs: Facility, folder: Path) -> None:
    ref = facility.jobs.submit(shell("until test -e go; do sleep 0.05; done", directory=str(folder)))
    while facility.jobs.status(ref).state is not JobState.ACTIVE:
        time.sleep(0.05)
    odd = 'it\'s a "word"'
    facility.jobs.attach(ref, ["sh", "-c", 'printf %s "$1" > go', "sh", odd])
    assert facility.jobs.result(ref).status.succeeded
    assert (folder / "go").read_text() == odd
    with pytest.raises(NotFound):
        facility.jobs.attach(ref, "true")
    with pytest.raises(NotOffered, match="pbs"):
        at_pbs.jobs.attach(at_pbs.jobs.submit(shell("true")), "true")


# ----------------------------------------------------------------------------------------------- PBS


def test_pbs_says_how_jobs_ended_in_its_exit_code(at_pbs: Facility) -> None:
    ref = at_pbs.jobs.run(shell("echo said; echo wept >&2")).ref
    assert (at_pbs.jobs.tail(ref), at_pbs.jobs.tail(ref, "stderr")) == ("said\n", "wept\n")
    with pytest.raises(JobFailed) as caught:
        at_pbs.jobs.run(shell("exit 3"))
    assert caught.value.job_status.exit_code == 3


def test_what_pbs_mixes_up_is_put_right(pbs_place: LocalFacility, at_pbs: Facility, tmp_path: Path) -> None:
    ref = at_pbs.jobs.run(shell("echo said; echo wept >&2")).ref
    again = opened(pbs_place, tmp_path / "other")
    assert (again.jobs.tail(ref), again.jobs.tail(ref, "stderr")) == ("said\n", "wept\n")


def test_a_job_deleted_in_the_queue_of_pbs_is_no_success(at_pbs: Facility) -> None:
    blocking = at_pbs.jobs.submit(shell("sleep 30", resources={"node_count": 2}))
    waiting = at_pbs.jobs.submit(shell("true", resources={"node_count": 2}))
    at_pbs.jobs.cancel(waiting)
    assert at_pbs.jobs.wait(waiting, timeout=60).state is JobState.CANCELED
    at_pbs.jobs.cancel(blocking)
    assert at_pbs.jobs.wait(blocking, timeout=60).reason is not JobReason.UNKNOWN


# ---------------------------------------------------------------------------------------------- logs


async def test_a_large_log_is_read_in_exact_pieces(door: FirecrestDialect, folder: Path) -> None:
    content = "".join(f"{number} Zeile ü € 😀\n" for number in range(310_000)).encode()
    assert len(content) > 7 * MIB
    (folder / "log").write_bytes(content)
    file = LogFile(door, "cluster", str(folder / "log"), QUICK)
    assert await file.size() == len(content)
    told, at = "", 0
    while at < len(content):
        piece = await file.piece(at, len(content), last=True)
        told, at = told + piece.text, at + piece.size
    assert told.encode() == content


async def test_the_pieces_of_what_is_no_text_add_up(door: FirecrestDialect, folder: Path) -> None:
    content = ("Größe: é\n" * 3000).encode("latin-1")
    (folder / "log").write_bytes(content)
    file = LogFile(door, "cluster", str(folder / "log"), QUICK)
    told = ""
    for at in range(0, len(content), 1001):
        end = min(at + 1001, len(content))
        piece = await file.piece(at, end, last=True)
        told += piece.text
    assert told == content.decode("utf-8", "replace")


# --------------------------------------------------------------------------------------------- files


async def test_a_rename_that_fails_says_so_though_its_job_completed(
    door: FirecrestDialect, folder: Path
) -> None:
    pending = await door.files.mv("cluster", f"{folder}/nothing", f"{folder}/x")
    with pytest.raises(NotFound):
        await settled(pending, door.operations, QUICK)
    await door.operations.forget(pending.task_id)


@pytest.mark.parametrize("name", ["a b", "ü", "-x", "a&b", 'q"q', "it's", "$HOME", "a\\b", "<x>;"])
async def test_a_file_of_any_name_is_moved_and_copied(
    place: LocalFacility, door: FirecrestDialect, folder: Path, name: str
) -> None:
    (folder / "x").write_text("x")
    before = set(os.listdir(place.home))
    await settled(await door.files.mv("cluster", f"{folder}/x", f"{folder}/{name}"), door.operations, QUICK)
    await settled(await door.files.cp("cluster", f"{folder}/{name}", f"{folder}/c"), door.operations, QUICK)
    assert set(os.listdir(folder)) == {name, "c"}
    assert set(os.listdir(place.home)) == before  # no log is left


async def test_every_small_operation(door: FirecrestDialect, folder: Path) -> None:
    files, top = door.files, str(folder)
    await files.mkdir("cluster", f"{top}/a/b", parents=True)
    with pytest.raises(Conflict):
        await files.mkdir("cluster", f"{top}/a")
    await files.upload("cluster", f"{top}/a/ü x", b"content")
    await files.upload("cluster", f"{top}/a/empty", b"")
    await files.chmod("cluster", f"{top}/a/ü x", 0o640)
    await files.symlink("cluster", f"{top}/a/ü x", f"{top}/a/link")
    entries = {each.name: each for each in (await files.ls("cluster", f"{top}/a", hidden=True)).value}
    assert {name: each.type for name, each in entries.items()} == {
        "ü x": "file",
        "empty": "file",
        "link": "symlink",
        "b": "directory",
    }
    assert (entries["ü x"].size, entries["empty"].size) == (7, 0)
    assert entries["ü x"].permissions == "rw-r-----"
    assert (await files.download("cluster", f"{top}/a/link")).value == b"content"
    assert (await files.download("cluster", f"{top}/a/empty")).value == b""
    assert (await files.stat("cluster", f"{top}/a/link", dereference=True)).value.size == 7
    with pytest.raises(NotFound):
        await files.file_type("cluster", f"{top}/nothing")
    for compression in Compression:
        archive = f"{top}/{compression}.tar"
        await files.compress("cluster", f"{top}/a", archive, compression=compression)
        await files.mkdir("cluster", f"{top}/out-{compression}")
        await files.extract("cluster", archive, f"{top}/out-{compression}", compression=compression)
        assert (folder / f"out-{compression}" / "a" / "ü x").read_bytes() == b"content"
    await files.rm("cluster", f"{top}/a")
    assert not (folder / "a").exists()


async def test_limits_and_rights_in_the_words_of_the_api(door: FirecrestDialect, folder: Path) -> None:
    limits = door.grades
    assert limits.upload_limit is not None
    assert limits.download_limit is not None
    largest = os.urandom(limits.upload_limit)
    await door.files.upload("cluster", f"{folder}/up", largest)
    assert (folder / "up").read_bytes() == largest
    with pytest.raises(TooLarge):
        await door.files.upload("cluster", f"{folder}/up", largest + b"x")
    (folder / "down").write_bytes(largest[: limits.download_limit])
    assert (await door.files.download("cluster", f"{folder}/down")).value == largest[: limits.download_limit]
    (folder / "down").write_bytes(largest[: limits.download_limit + 1])
    with pytest.raises(TooLarge):
        await door.files.download("cluster", f"{folder}/down")
    with pytest.raises(Refused):
        await door.files.stat("cluster", "/etc/passwd")
    with pytest.raises(NotFound):
        await door.files.stat("cluster", f"{folder}/nothing")


async def test_another_users_file_is_not_to_be_read(door: FirecrestDialect, folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (folder / "x").write_text("x")
    (folder / "x").chmod(0)
    with pytest.raises(PermissionDenied):
        await door.files.download("cluster", f"{folder}/x")


# ---------------------------------------------------------------------------------------------- data


def test_a_small_file_takes_a_job_only_where_one_is_allowed(
    place: LocalFacility, facility: Facility, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"new")
    (folder / "y").write_bytes(b"old")
    end, before = facility.files.at(f"{folder}/y"), len(place.jobs())
    assert "before it is whole" in Transfers().plan(tmp_path / "x", end).explain()
    Transfers().copy(tmp_path / "x", end)
    assert ((folder / "y").read_bytes(), len(place.jobs())) == (b"new", before)
    (tmp_path / "x").write_bytes(b"newer")
    plan = Transfers().plan(tmp_path / "x", end, allow_job=True)
    assert (plan.chosen.jobs, plan.missing) == (1, ())
    Transfers().copy(tmp_path / "x", end, allow_job=True)
    assert ((folder / "y").read_bytes(), len(place.jobs())) == (b"newer", before + 1)
    assert os.listdir(folder) == ["y"]


def test_what_was_there_stays_when_nothing_can_be_sent(
    place: LocalFacility, facility: Facility, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"new")
    (folder / "y").write_bytes(b"old")
    place.order("status", "firecrestUpload", status=403, times=None)
    try:
        with pytest.raises(PermissionDenied):
            Transfers().copy(tmp_path / "x", facility.files.at(f"{folder}/y"))
    finally:
        place.clear_faults()
    assert (folder / "y").read_bytes() == b"old"


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 12 * MIB + 7])
def test_a_file_goes_over_the_store_and_back_whole(
    place: LocalFacility, facility: Facility, folder: Path, tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    (tmp_path / "x").write_bytes(content)
    over: dict[str, Any] = {"road": "parts", "allow_job": True}
    up = Transfers().copy(tmp_path / "x", facility.files.at(f"{folder}/y"), **over)
    down = Transfers().copy(facility.files.at(f"{folder}/y"), tmp_path / "back", **over)
    assert (tmp_path / "back").read_bytes() == (folder / "y").read_bytes() == content
    assert up.bytes == down.bytes == size
    assert [each.name for each in folder.iterdir()] == ["y"]
    assert not [each.name for each in place.home.iterdir() if each.name.startswith((".f7t", ".iri_"))]


def test_a_large_file_goes_in_parts_that_a_job_joins(
    place: LocalFacility, facility: Facility, folder: Path, tmp_path: Path
) -> None:
    content = os.urandom(11 * MIB)
    (tmp_path / "x").write_bytes(content)
    Transfers().copy(tmp_path / "x", facility.files.at(f"{folder}/y"), road="chunks", allow_job=True)
    assert (folder / "y").read_bytes() == content
