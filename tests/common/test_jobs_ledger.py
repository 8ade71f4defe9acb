"""The ledger in files: what is written stays, what is broken is not forgotten, one claim at a time."""
# ruff: noqa: ASYNC220, ASYNC240 (the disk is what is tested; no other task waits)

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from iri_common import Facility, FileLedger, IriError, JobKey
from iri_common.jobs import ledger as ledger_module
from iri_common.jobs.ledger import claim_owner, default_directory
from iri_common.model.ledger import LedgerRecord, Stage

KEY = JobKey.of("test", "a dag/with a slash", 1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger"


@pytest.fixture
def ledger(place: Path) -> FileLedger:
    return FileLedger(place)


def record(stage: Stage = Stage.SENT, key: JobKey = KEY, **others) -> LedgerRecord:
    ref = f"iri+job://facility.example/iri/machine/{'x'}.1"
    facts = {"ref": ref, "spec_digest": "0" * 64, "written_at": 12.5, "detail": "why not — because"}
    return LedgerRecord(key.identity, key.generation, stage, **{**facts, **others})


def only(place: Path, pattern: str) -> Path:
    (path,) = place.glob(pattern)
    return path


# ----------------------------------------------------------------------------------------- records


async def test_what_is_written_is_read(ledger: FileLedger) -> None:
    assert await ledger.read(KEY) is None
    for stage in Stage:
        await ledger.write(record(stage))
        assert await ledger.read(KEY) == record(stage)


async def test_the_newest_generation_is_read_for_every_generation(ledger: FileLedger) -> None:
    await ledger.write(record(key=KEY))
    await ledger.write(record(key=KEY.next()))
    for key in (KEY, KEY.next(), KEY.next().next()):
        found = await ledger.read(key)
        assert found is not None
        assert found.generation == 2


async def test_only_the_owner_may_read_it(ledger: FileLedger, place: Path) -> None:
    old = os.umask(0)
    try:
        await ledger.write(record())
        await ledger.claim(KEY, claim_owner(), 60)
    finally:
        os.umask(old)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}


async def test_it_is_on_disk_before_the_write_returns(ledger: FileLedger, place: Path, monkeypatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    await ledger.write(record())
    file, directory = synced
    assert Path(file).parent == place
    assert Path(directory) == place


async def test_nothing_is_left_beside_the_records(ledger: FileLedger, place: Path) -> None:
    owner = claim_owner()
    for _ in range(3):
        await ledger.claim(KEY, owner, 60)
        await ledger.claim(KEY, claim_owner(), 60)
        await ledger.write(record())
    await ledger.release(KEY, owner)
    assert [path.name for path in place.iterdir()] == [f"{KEY.digest}.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"stage": "sent"}',
        "\udcff",
        "swapped",
        "stage",
        "number",
    ],
)
async def test_a_broken_record_is_an_error_not_a_blank_page(ledger: FileLedger, place: Path, content) -> None:
    await ledger.write(record())
    path = only(place, "*.json")
    fields = json.loads(path.read_text())
    changed = {
        "stage": {**fields, "stage": "perhaps"},
        "number": {**fields, "generation": "first"},
    }.get(content)
    path.write_bytes(json.dumps(changed).encode() if changed else content.encode(errors="surrogateescape"))
    with pytest.raises(IriError, match="cannot be read") as caught:
        await ledger.read(KEY)
    assert str(path) in str(caught.value)


async def test_what_a_newer_version_wrote_is_read_as_far_as_it_is_known(
    ledger: FileLedger, place: Path
) -> None:
    await ledger.write(record())
    path = only(place, "*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "blue"}))
    assert await ledger.read(KEY) == record()


async def test_a_record_of_another_identity_is_refused(ledger: FileLedger, place: Path) -> None:
    await ledger.write(record())
    path = only(place, "*.json")
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "identity": "somebody/else"}))
    with pytest.raises(IriError, match="belongs to somebody/else"):
        await ledger.read(KEY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
async def test_a_directory_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(IriError, match="cannot be used"):
        await FileLedger(tmp_path / "ledger").write(record())


async def test_a_file_in_the_place_of_the_directory_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("")
    ledger = FileLedger(tmp_path / "ledger")
    with pytest.raises(IriError, match="cannot be used"):
        await ledger.write(record())
    with pytest.raises(IriError, match="cannot be used"):
        await ledger.claim(KEY, claim_owner(), 60)


async def test_a_full_disk_leaves_nothing_and_keeps_the_old_record(ledger, place, monkeypatch) -> None:
    await ledger.write(record(Stage.INTENT))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(IriError, match="No space left"):
            await ledger.write(record(Stage.SENT))
    assert [path.name for path in place.iterdir()] == [f"{KEY.digest}.json"]
    assert (await ledger.read(KEY)).stage is Stage.INTENT


def test_where_it_lies(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "iri" / "ledger"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/alice")
    assert default_directory() == Path("/home/alice/.local/state/iri/ledger")


def test_a_facility_needs_no_writable_home_to_be_made(monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    Facility("https://facility.example/api/v2")


# ----------------------------------------------------------------------------------------- claims


async def test_one_holds_it_until_it_is_given_back(ledger: FileLedger) -> None:
    first, second = claim_owner(), claim_owner()
    assert await ledger.claim(KEY, first, 60)
    assert not await ledger.claim(KEY, second, 60)
    await ledger.release(KEY, second)
    assert not await ledger.claim(KEY, second, 60), "only the owner's release counts"
    await ledger.release(KEY, first)
    assert await ledger.claim(KEY, second, 60)


async def test_other_identities_are_free_and_other_generations_are_not(ledger: FileLedger) -> None:
    assert await ledger.claim(KEY, claim_owner(), 60)
    assert await ledger.claim(JobKey.of("another"), claim_owner(), 60)
    assert not await ledger.claim(KEY.next(), claim_owner(), 60)


async def test_a_claim_runs_out(place: Path) -> None:
    now = 1000.0
    ledger = FileLedger(place, clock=lambda: now)
    elsewhere = "another-host:1:abcd"
    assert await ledger.claim(KEY, elsewhere, 60)
    now += 59
    assert not await ledger.claim(KEY, claim_owner(), 60)
    now += 2
    assert await ledger.claim(KEY, claim_owner(), 60)
    await ledger.release(KEY, elsewhere)
    assert not await ledger.claim(KEY, claim_owner(), 60), "too late to give it back"


async def test_its_owner_keeps_it_for_longer(place: Path) -> None:
    now = 1000.0
    ledger = FileLedger(place, clock=lambda: now)
    owner = "another-host:1:abcd"
    for _ in range(5):
        assert await ledger.claim(KEY, owner, 60)
        now += 50
    assert not await ledger.claim(KEY, claim_owner(), 60)


async def test_an_owner_that_overslept_does_not_get_it_back_from_another(place: Path) -> None:
    now = 1000.0
    ledger = FileLedger(place, clock=lambda: now)
    assert await ledger.claim(KEY, "a:1:1", 60)
    now += 61
    assert await ledger.claim(KEY, "b:1:1", 60)
    assert not await ledger.claim(KEY, "a:1:1", 60)


async def test_the_claim_of_a_process_that_died_here_is_broken_at_once(ledger: FileLedger) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    here = claim_owner().split(":")[0]
    assert await ledger.claim(KEY, f"{here}:{child.pid}:dead", 3600)
    assert await ledger.claim(KEY, claim_owner(), 60)


@pytest.mark.parametrize("pid", ["1", "nonsense", "9" * 40])
async def test_the_claim_of_whoever_may_live_is_not_broken(ledger: FileLedger, pid: str) -> None:
    here = claim_owner().split(":")[0]
    assert await ledger.claim(KEY, f"{here}:{pid}:x", 3600)
    assert not await ledger.claim(KEY, claim_owner(), 60)


async def test_a_pid_of_another_machine_or_container_says_nothing(ledger: FileLedger) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert await ledger.claim(KEY, f"{socket.gethostname()}/1:{child.pid}:x", 3600)
    assert not await ledger.claim(KEY, claim_owner(), 60)


async def test_where_pids_cannot_be_told_apart_the_host_is_what_counts(monkeypatch) -> None:
    def nothing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(ledger_module.os, "stat", nothing)
    assert ledger_module._machine() == socket.gethostname()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"owner": "a", "until": "soon"}'])
async def test_a_claim_that_says_nothing_holds_nobody_up(ledger: FileLedger, place: Path, content) -> None:
    await ledger.claim(KEY, claim_owner(), 60)
    only(place, "*.claim").write_text(content)
    assert await ledger.claim(KEY, claim_owner(), 60)


async def test_a_claim_taken_in_the_moment_of_breaking_is_put_back(place: Path, monkeypatch) -> None:
    ledger = FileLedger(place)
    assert await ledger.claim(KEY, "a:1:old", -1)
    rename = os.rename

    def late(source, target):
        monkeypatch.setattr(os, "rename", rename)
        assert ledger._claim(KEY, "b:1:quick", 60)
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    assert not await ledger.claim(KEY, "c:1:slow", 60)
    assert json.loads(only(place, "*.claim").read_text())["owner"] == "b:1:quick"
    assert len(list(place.iterdir())) == 1


async def test_if_a_third_is_quicker_still_the_second_learns_it(place: Path, monkeypatch) -> None:
    ledger = FileLedger(place)
    assert await ledger.claim(KEY, "a:1:old", -1)
    rename, load = os.rename, ledger_module._load_claim

    def late(source, target):
        monkeypatch.setattr(os, "rename", rename)
        assert ledger._claim(KEY, "b:1:second", 60)
        rename(source, target)

        def third(path):
            monkeypatch.setattr(ledger_module, "_load_claim", load)
            assert ledger._claim(KEY, "c:1:third", 60)
            return load(path)

        monkeypatch.setattr(ledger_module, "_load_claim", third)

    monkeypatch.setattr(os, "rename", late)
    assert not await ledger.claim(KEY, "d:1:first", 60)
    assert await ledger.claim(KEY, "c:1:third", 60)
    assert not await ledger.claim(KEY, "b:1:second", 60)


async def test_a_cancelled_claim_can_be_given_back(place: Path, monkeypatch) -> None:
    ledger, owner = FileLedger(place), claim_owner()
    entered, go = threading.Event(), threading.Event()
    link = os.link

    def slow(source, target):
        entered.set()
        go.wait(5)
        link(source, target)

    monkeypatch.setattr(os, "link", slow)
    claiming = asyncio.create_task(ledger.claim(KEY, owner, 60))
    await asyncio.to_thread(entered.wait, 5)
    claiming.cancel()
    asyncio.get_running_loop().call_later(0.05, go.set)
    with pytest.raises(asyncio.CancelledError):
        await claiming
    assert list(place.glob("*.claim")), "the thread was waited for"
    await ledger.release(KEY, owner)
    assert not list(place.iterdir())


def _grab(directory: str, ready, go, results) -> None:
    ledger = FileLedger(Path(directory))
    ready.release()
    go.wait(30)
    for round_ in range(5):
        key, owner = JobKey.of("race", round_), claim_owner()
        got = asyncio.run(ledger.claim(key, owner, 60))
        results.put((round_, got))
    time.sleep(0.5)  # alive while the others try: a claim of the dead is free


@pytest.mark.parametrize("before", ["nothing", "a dead claim"])
def test_of_twenty_processes_one_gets_it(place: Path, before: str) -> None:
    if before == "a dead claim":
        ledger = FileLedger(place, clock=lambda: 0.0)
        for round_ in range(5):
            assert asyncio.run(ledger.claim(JobKey.of("race", round_), "another-host:1:old", 1))
    context = multiprocessing.get_context("fork")
    ready, go, results = context.Semaphore(0), context.Event(), context.Queue()
    words = (str(place), ready, go, results)
    children = [context.Process(target=_grab, args=words, daemon=True) for _ in range(20)]
    for child in children:
        child.start()
    for _ in children:
        assert ready.acquire(timeout=30)
    go.set()
    told = [results.get(timeout=60) for _ in range(100)]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    winners = sorted(round_ for round_, got in told if got)
    assert winners == [0, 1, 2, 3, 4]
    assert sorted(path.suffix for path in place.iterdir()) == [".claim"] * 5


# ------------------------------------------------------------- written under a claim, told and dropped


async def test_with_an_owner_it_writes_only_under_that_ones_claim(tmp_path) -> None:
    now = [1000.0]
    ledger = FileLedger(tmp_path, clock=lambda: now[0])
    assert not await ledger.write(record(), "me")
    assert await ledger.claim(KEY, "me", 10.0)
    assert await ledger.write(record(), "me")
    assert not await ledger.write(record(stage=Stage.REFUSED), "somebody")
    now[0] += 11.0  # slept too long
    assert not await ledger.write(record(stage=Stage.REFUSED), "me")
    assert (await ledger.read(KEY)).stage is Stage.SENT
    assert len(list(tmp_path.iterdir())) == 2, "a record and a claim, and no litter"


async def test_all_records_are_told_and_a_broken_one_is_named(tmp_path, caplog) -> None:
    ledger = FileLedger(tmp_path)
    assert await ledger.records() == []
    for word in ("a", "b"):
        await ledger.write(record(key=JobKey(word)))
    (tmp_path / f"{JobKey('c').digest}.json").write_text("{")
    assert {each.identity for each in await ledger.records()} == {"a", "b"}
    assert "cannot be read" in caplog.text


async def test_ids_that_were_there_before_are_kept_as_they_were(tmp_path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.write(record(before=("1", "2")))
    assert (await ledger.read(KEY)).before == ("1", "2")


async def test_what_is_forgotten_is_gone_with_its_litter_but_not_with_a_claim(tmp_path) -> None:
    ledger = FileLedger(tmp_path)
    await ledger.write(record())
    await ledger.claim(KEY, "me", 60.0)
    old, young = (tmp_path / f"{KEY.digest}.{word}" for word in ("deadbeef", "cafecafe"))
    old.write_text("of a crash")
    young.write_text("of a process that is about to claim")
    os.utime(old, (0, 0))
    await ledger.forget(KEY)
    assert await ledger.read(KEY) is None
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".cafecafe", ".claim"]
    await ledger.forget(KEY)  # as good
