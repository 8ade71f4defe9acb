"""Files over the API's limit: parts that arrive once, jobs that join or split, and what breaks between."""

from __future__ import annotations

import asyncio
import contextlib
import filecmp
import os
import tracemalloc
from pathlib import Path

import pytest
from roads_world import KIB, MIB, STRANGE, Roads, Told, move_of, sha256

from iri_common import JobFailed, TransferError, UsageError
from iri_common.jobside.joining import part_name
from iri_common.model.errors import IriError
from iri_common.model.transfer import Move
from iri_common.transfers.chunks import ChunksRoad
from iri_local_facility import LocalFacility

PART = 64 * KIB
CONTENT = os.urandom(7 * PART + 123)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def there(place: LocalFacility, tmp_path: Path) -> Path:
    """A directory of this test at the facility."""
    path = place.scratch / tmp_path.name
    path.mkdir()
    return path


def up(roads: Roads, move: Move, told: Told, **words) -> None:
    roads.carry(
        lambda dialect, fs: ChunksRoad(dialect, fs, roads.run_script, up=True, part_size=PART, **words),
        [move],
        told,
    )


def down(roads: Roads, move: Move, told: Told, parallel: int = 4, **words) -> None:
    roads.carry(
        lambda dialect, fs: ChunksRoad(dialect, fs, roads.run_script, up=False, part_size=PART, **words),
        [move],
        told,
        parallel,
    )


# ------------------------------------------------------------------------------------------------- up


def test_a_large_file_goes_up_in_parts_and_one_job(roads: Roads, source: Path, there: Path) -> None:
    told = Told()
    up(roads, move_of(source, there / "data"), told)
    assert (there / "data").read_bytes() == CONTENT
    assert os.listdir(there) == ["data"]
    assert told.landings == {str(there / "data"): sha256(CONTENT)}
    assert (told.bytes_moved, told.bytes_kept, told.spent) == (len(CONTENT), 0, len(CONTENT))
    assert told.notes == {}
    seen = roads.counted()
    assert (seen["upload"], seen["launchJob"]) == (8, 1)


@pytest.mark.parametrize("name", STRANGE)
def test_any_name_goes_up(roads: Roads, tmp_path: Path, there: Path, name: str) -> None:
    source = tmp_path / name
    source.write_bytes(CONTENT[: PART + 1])
    up(roads, move_of(source, there / name), Told())
    assert (there / name).read_bytes() == CONTENT[: PART + 1]
    assert os.listdir(there) == [name]


def test_parts_that_have_arrived_are_not_sent_again(roads: Roads, source: Path, there: Path) -> None:
    told, move = Told(), move_of(source, there / "data")
    roads.place.order("status", "upload", status=413, skip=5, times=None)
    with pytest.raises(IriError):
        up(roads, move, told)
    assert not (there / "data").exists()
    roads.place.clear_faults()
    (parts,) = there.glob("*.parts/pieces")
    arrived = len(list(parts.iterdir()))
    assert arrived >= 5
    roads.place.reset_requests()
    up(roads, move, told)
    assert (there / "data").read_bytes() == CONTENT
    assert roads.counted()["upload"] == 8 - arrived
    assert told.bytes_kept == arrived * PART


def test_parts_of_what_the_file_was_are_taken_away(roads: Roads, source: Path, there: Path) -> None:
    told = Told()
    roads.place.order("status", "upload", status=413, skip=5, times=None)
    with pytest.raises(IriError):
        up(roads, move_of(source, there / "data"), told)
    roads.place.clear_faults()
    changed = CONTENT[:PART] + os.urandom(3 * PART)
    source.write_bytes(changed)
    told.notes.clear()  # other sources: nothing that was noted of them holds
    up(roads, move_of(source, there / "data"), told)
    assert (there / "data").read_bytes() == changed
    assert os.listdir(there) == ["data"]


@pytest.mark.parametrize("fault", ["lose_reply", "cut", "garble", "status", "reset"])
def test_a_part_that_fails_is_sent_again(roads: Roads, source: Path, there: Path, fault: str) -> None:
    words = {"status": 503} if fault == "status" else {}
    roads.place.order(fault, "upload", skip=2, times=2, **words)
    told = Told()
    up(roads, move_of(source, there / "data"), told)
    assert (there / "data").read_bytes() == CONTENT
    assert told.bytes_moved == len(CONTENT)


@pytest.mark.parametrize(("left", "jobs"), [(b"x" * PART, 2), (b"cut", 1)], ids=["damaged", "cut"])
def test_a_part_that_is_not_what_its_name_says_is_sent_again(
    roads: Roads, source: Path, there: Path, left: bytes, jobs: int
) -> None:
    told, move = Told(), move_of(source, there / "data")
    parts = there / f"data.{told.transfer}.parts" / "pieces"
    parts.mkdir(parents=True)
    (parts / part_name(1, CONTENT[PART : 2 * PART])).write_bytes(left)
    up(roads, move, told)
    assert (there / "data").read_bytes() == CONTENT
    assert (roads.counted()["upload"], roads.counted()["launchJob"]) == (8, jobs)
    assert told.bytes_moved + told.bytes_kept == len(CONTENT)


def test_a_join_that_ran_while_nobody_looked_is_found_done(roads: Roads, source: Path, there: Path) -> None:
    told, move = Told(), move_of(source, there / "data")

    class Killed(BaseException):
        """The process ends after its job has."""

    true_run = roads.run_script

    async def run_and_die(script, key, output):
        await true_run(script, key, output)
        raise Killed

    roads.run_script = run_and_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        up(roads, move, told)
    assert (there / "data").read_bytes() == CONTENT
    roads.run_script = true_run  # type: ignore[method-assign]
    roads.place.reset_requests()
    up(roads, move, told)
    seen = roads.counted()
    assert (seen["upload"], seen["launchJob"]) == (0, 0), "the job of before is adopted"
    assert told.landings == {str(there / "data"): sha256(CONTENT)}


def test_a_file_that_changes_meanwhile_is_not_joined(roads: Roads, source: Path, there: Path) -> None:
    told, move = Told(), move_of(source, there / "data")

    def change() -> None:
        with source.open("r+b") as file:
            file.write(b"!")

    async def spend(count: int) -> None:
        await asyncio.to_thread(change)

    told.spend = spend  # type: ignore[method-assign]
    with pytest.raises(TransferError, match=r"source.* changed while it was read"):
        up(roads, move, told)
    assert not roads.place.requests("launchJob")
    assert not (there / "data").exists()


def test_a_job_that_fails_tells_its_last_words_and_keeps_the_parts(
    roads: Roads, source: Path, there: Path
) -> None:
    async def full(script, key, output):
        return await Roads.run_script(roads, f"ulimit -f 100\n{script}", key, output)

    true_run, roads.run_script = roads.run_script, full  # type: ignore[method-assign]
    told, move = Told(), move_of(source, there / "data")
    with pytest.raises(TransferError, match=r"(?s)source: the job that was to join .* kept: mend the cause"):
        up(roads, move, told)
    (parts,) = there.glob("*.parts/pieces")
    assert len(list(parts.iterdir())) == 8
    roads.run_script = true_run  # type: ignore[method-assign]
    roads.place.reset_requests()
    up(roads, move, told)
    assert roads.counted()["upload"] == 0
    assert (there / "data").read_bytes() == CONTENT


def test_a_job_that_sees_other_files_is_not_believed(roads: Roads, source: Path, there: Path) -> None:
    async def elsewhere(script, key, output):
        return await Roads.run_script(roads, "true", key, output)

    true_run, roads.run_script = roads.run_script, elsewhere  # type: ignore[method-assign]
    told, move = Told(), move_of(source, there / "data")
    with pytest.raises(TransferError, match=r"nothing of its .* does the job see the same file system"):
        up(roads, move, told)
    assert not told.landings
    (there / "data").write_text("another's")
    roads.run_script = true_run  # type: ignore[method-assign]
    up(roads, move, told)
    assert (there / "data").read_bytes() == CONTENT


def test_what_a_job_would_take_for_something_else_sends_nothing(roads: Roads, source: Path, there) -> None:
    (there / "folder").mkdir()
    for target, said in ((str(there / "folder"), "is a directory"), ("data", "whole path")):
        with pytest.raises(UsageError, match=said):
            up(roads, Move(str(source), target, len(CONTENT)), Told())
    assert not roads.place.requests("upload")


# ----------------------------------------------------------------------------------------------- down


def test_a_large_file_comes_down_in_parts_and_one_job(roads: Roads, there: Path, tmp_path: Path) -> None:
    (there / "data").write_bytes(CONTENT)
    told, target = Told(), tmp_path / "back" / "data"
    target.parent.mkdir()
    down(roads, move_of(there / "data", target), told)
    assert target.read_bytes() == CONTENT
    assert os.listdir(target.parent) == ["data"]
    assert os.listdir(there) == ["data"]
    assert told.landings == {str(target): sha256(CONTENT)}
    assert (told.bytes_moved, told.spent, told.notes) == (len(CONTENT), len(CONTENT), {})
    seen = roads.counted()
    assert (seen["download"], seen["launchJob"]) == (8, 1)


@pytest.mark.parametrize("name", STRANGE)
def test_any_name_comes_down(roads: Roads, there: Path, tmp_path: Path, name: str) -> None:
    (there / name).write_bytes(CONTENT[: PART + 1])
    down(roads, move_of(there / name, tmp_path / name), Told(), stage=str(there / "stage"))
    assert (tmp_path / name).read_bytes() == CONTENT[: PART + 1]
    assert not list((there / "stage").iterdir())


def test_parts_that_are_here_are_not_fetched_again(roads: Roads, there: Path, tmp_path: Path) -> None:
    (there / "data").write_bytes(CONTENT)
    told, target = Told(), tmp_path / "data"
    move = move_of(there / "data", target)
    roads.place.order("status", "download", status=413, skip=5, times=None)
    with pytest.raises(IriError):
        down(roads, move, told, parallel=1)
    assert not target.exists()
    roads.place.clear_faults()
    roads.place.reset_requests()
    down(roads, move, told)
    assert target.read_bytes() == CONTENT
    seen = roads.counted()
    assert (seen["launchJob"], seen["download"], told.bytes_kept) == (0, 3, 5 * PART)


def test_a_file_that_is_another_by_now_is_split_again(roads: Roads, there: Path, tmp_path: Path) -> None:
    (there / "data").write_bytes(CONTENT)
    told, target = Told(), tmp_path / "data"
    roads.place.order("status", "download", status=413, skip=5, times=None)
    with pytest.raises(IriError):
        down(roads, move_of(there / "data", target), told)
    roads.place.clear_faults()
    changed = bytes(2 * PART) + os.urandom(2 * PART)
    (there / "data").write_bytes(changed)
    told.notes.clear()
    down(roads, move_of(there / "data", target), told)
    assert target.read_bytes() == changed
    assert os.listdir(there) == ["data"]


@pytest.mark.parametrize("changed", [False, True], ids=["same", "changed"])
def test_a_split_of_a_file_without_a_time_is_believed_for_its_digest(
    roads: Roads, there: Path, tmp_path: Path, changed: bool
) -> None:
    (there / "data").write_bytes(CONTENT)
    told, target = Told(), tmp_path / "data"
    move = Move(str(there / "data"), str(target), len(CONTENT))
    roads.place.order("status", "download", status=413, skip=5, times=None)
    with pytest.raises(IriError):
        down(roads, move, told, parallel=1)
    roads.place.clear_faults()
    roads.place.reset_requests()
    content = CONTENT[: 6 * PART] + os.urandom(len(CONTENT) - 6 * PART) if changed else CONTENT
    (there / "data").write_bytes(content)
    down(roads, move, told)
    assert target.read_bytes() == content
    assert told.landings == {str(target): sha256(content)}
    seen = roads.counted()
    assert (seen["launchJob"], seen["download"], told.bytes_kept) == (int(changed), 3, 5 * PART)


def test_a_split_that_runs_is_waited_for_by_the_next_try(roads: Roads, there: Path, tmp_path: Path) -> None:
    (there / "data").write_bytes(CONTENT)
    told, move = Told(), move_of(there / "data", tmp_path / "data")

    class Killed(BaseException):
        """The process ends while its job is at work."""

    true_run = roads.run_script

    async def slow(script, key, output):
        return await true_run(f"sleep 1\n{script}", key, output)

    async def ask_and_die(script, key, output):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(slow(script, key, output), 0.5)
        raise Killed

    roads.run_script = ask_and_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        down(roads, move, told)
    roads.run_script = slow  # type: ignore[method-assign]
    down(roads, move, told)
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert roads.counted()["launchJob"] == 1


def test_a_file_that_was_in_place_is_not_fetched_again(roads: Roads, there: Path, tmp_path: Path) -> None:
    (there / "data").write_bytes(CONTENT)
    told, move = Told(), move_of(there / "data", tmp_path / "data")
    roads.place.order("status", "download", status=413, times=None)
    with pytest.raises(IriError):
        down(roads, move, told)
    for aside in tmp_path.glob("data.*"):
        aside.unlink()
    (tmp_path / "data").write_bytes(CONTENT)
    roads.place.reset_requests()
    down(roads, move, told)
    assert (roads.counted()["download"], told.bytes_kept) == (0, len(CONTENT))
    assert told.landings == {str(tmp_path / "data"): sha256(CONTENT)}
    assert os.listdir(there) == ["data"]


@pytest.mark.parametrize("changed", [False, True], ids=["same", "changed"])
def test_a_file_that_was_put_in_place_costs_no_further_job(
    roads: Roads, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    (there / "data").write_bytes(CONTENT)
    told, target = Told(), tmp_path / "data"

    class Killed(BaseException):
        """The process ends when all is done, and nothing is told."""

    def die(*_: object) -> None:
        raise Killed

    put = told.put
    with monkeypatch.context() as patch:
        patch.setattr(told, "put", lambda name, value: die() if value is None else put(name, value))
        with pytest.raises(Killed):
            down(roads, move_of(there / "data", target), told)
    content = os.urandom(len(CONTENT)) if changed else CONTENT
    if changed:
        (there / "data").write_bytes(content)
    roads.place.reset_requests()
    down(roads, move_of(there / "data", target), told)
    assert target.read_bytes() == content
    assert told.landings == {str(target): sha256(content)}
    assert (roads.counted()["launchJob"], told.notes) == (int(changed), {})
    assert os.listdir(there) == ["data"]


@pytest.mark.parametrize("fault", ["lose_reply", "cut", "garble", "slow_body"])
def test_a_part_that_comes_badly_is_fetched_again(roads: Roads, there: Path, tmp_path: Path, fault) -> None:
    (there / "data").write_bytes(CONTENT)
    roads.place.order(
        fault, ["download", "getTask"], skip=6, times=3, **{"seconds": 0.3} if "slow" in fault else {}
    )
    down(roads, move_of(there / "data", tmp_path / "data"), Told())
    assert (tmp_path / "data").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("damaged", "said"),
    [("whole-*", "data changed while it was split; ask again"), ("000003-*", "did not arrive whole")],
)
def test_what_does_not_fit_its_digest_keeps_the_old_file(roads, there, tmp_path, damaged, said) -> None:
    (there / "data").write_bytes(CONTENT)
    told, target = Told(), tmp_path / "data"
    target.write_text("old")

    def damage() -> None:
        (path,) = there.glob(f"data.*.parts/pieces/{damaged}")
        if damaged.startswith("whole"):
            path.rename(path.with_name(f"whole-{'0' * 64}-{len(CONTENT)}"))
        else:
            path.write_bytes(bytes(PART))

    async def run_and_damage(script, key, output):
        result = await true_run(script, key, output)
        await asyncio.to_thread(damage)
        return result

    true_run, roads.run_script = roads.run_script, run_and_damage
    with pytest.raises(TransferError, match=said):
        down(roads, move_of(there / "data", target), told)
    assert target.read_text() == "old"
    assert os.listdir(there) == ["data"]
    roads.run_script = true_run
    down(roads, move_of(there / "data", target), told)
    assert target.read_bytes() == CONTENT


def test_a_full_disk_here_keeps_the_old_file(roads, there: Path, tmp_path: Path, monkeypatch) -> None:
    (there / "data").write_bytes(CONTENT)
    target = tmp_path / "data"
    target.write_text("old")

    def full(descriptor, content, offset):
        raise OSError(28, "No space left on device")

    told = Told()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(TransferError, match="No space left on device; make room there, then ask again"):
            down(roads, move_of(there / "data", target), told)
    assert target.read_text() == "old"
    down(roads, move_of(there / "data", target), told)
    assert target.read_bytes() == CONTENT
    assert len(roads.place.requests("launchJob")) == 1


def test_a_file_that_is_not_there_is_no_parts(roads: Roads, there: Path, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="missing is no file") as told:
        down(roads, Move(str(there / "missing"), str(tmp_path / "x"), 5), Told())
    assert isinstance(told.value.__context__, JobFailed | None)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_memory_does_not_grow_with_the_file(
    roads: Roads, there: Path, tmp_path: Path, direction: str
) -> None:
    source, target = (tmp_path / "x", there / "x") if direction == "up" else (there / "x", tmp_path / "x")
    with source.open("wb") as file:
        file.truncate(40 * MIB)
    tracemalloc.start()
    try:
        roads.carry(
            lambda dialect, fs: ChunksRoad(dialect, fs, roads.run_script, up=direction == "up"),
            [move_of(source, target)],
            Told(),
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 45 * MIB
    assert filecmp.cmp(source, target, shallow=False)
