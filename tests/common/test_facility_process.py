"""One I/O loop per process: threads, loops, forks, and a loop that never blocks."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from blockbuster import blockbuster_ctx

from iri_common import Facility, FileLedger, JobKey, JobState, UsageError
from iri_common.facility.loop import io_loop
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16) as facility:
        yield facility


@pytest.fixture
def facility(place: LocalFacility, tmp_path: Path) -> Facility:
    place.reset_requests()
    return Facility(
        place.base_url,
        token=place.token,
        poll_seconds=0.1,
        directory=str(place.home),
        ledger=FileLedger(tmp_path / "ledger"),
    )


@pytest.fixture
def fork() -> Iterator[Callable[..., multiprocessing.Process]]:
    """Start a forked child; whatever it does, it is gone after the test."""
    children: list[multiprocessing.Process] = []

    def start(target: Callable[..., None], *args: object) -> multiprocessing.Process:
        children.append(multiprocessing.get_context("fork").Process(target=target, args=args))
        children[-1].start()
        return children[-1]

    yield start
    for child in children:
        if child.is_alive():
            for each in psutil.Process(child.pid).children(recursive=True):
                each.kill()
            child.kill()
        child.join(60)


def shell(text: str) -> dict:
    return {"executable": "/bin/sh", "arguments": ["-c", text]}


def test_threads_share_one_loop(facility: Facility) -> None:
    ends: list[bool] = []

    def work() -> None:
        ends.append(facility.jobs.run(shell("true")).status.succeeded)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ends == [True] * 8
    assert [thread.name for thread in threading.enumerate()].count("iri-io") == 1


def test_any_event_loop_may_await_it_at_the_same_time(facility: Facility) -> None:
    ends: list[bool] = []

    async def work() -> None:
        results = await asyncio.gather(*(facility.aio.jobs.run(shell("sleep 0.2")) for _ in range(3)))
        ends.extend(result.status.succeeded for result in results)

    threads = [threading.Thread(target=asyncio.run, args=(work(),), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ends == [True] * 9
    asyncio.run(work())
    assert len(ends) == 12, "a new loop after others have ended"


async def test_it_can_be_awaited_on_the_io_loop_itself(facility: Facility) -> None:
    future = io_loop().start(facility.aio.jobs.run(shell("true")))
    assert (await asyncio.wrap_future(future)).status.succeeded


def test_a_loop_that_was_closed_in_the_middle_takes_nobody_along(facility: Facility) -> None:
    ref = facility.jobs.submit(shell("sleep 1"))
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(facility.aio.jobs.wait(ref, on_change=lambda status: None))
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()
    assert facility.jobs.wait(ref, timeout=60).succeeded
    waiting._log_destroy_pending = False  # what the test did on purpose is no news


def _use(facility: Facility, text: str, results) -> None:
    result = facility.jobs.run(shell(text), timeout=60)
    results.put((os.getpid(), result.status.state, result.ref.job_id))


def test_a_fork_in_the_middle_of_a_wait_disturbs_neither(facility: Facility, fork) -> None:
    """What Airflow does: the parent has a loop, connections and a wait, and forks."""
    ref = facility.jobs.submit(shell("sleep 2.5"))
    ends: list[JobState] = []
    waiting = threading.Thread(target=lambda: ends.append(facility.jobs.wait(ref).state), daemon=True)
    waiting.start()
    time.sleep(0.3)
    results = multiprocessing.get_context("fork").Queue()
    children = [fork(_use, facility, "sleep 0.2", results) for _ in range(4)]
    told = [results.get(timeout=60) for _ in children]
    assert {state for _, state, _ in told} == {JobState.COMPLETED}
    assert len({job_id for _, _, job_id in told}) == 4
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert facility.jobs.run(shell("true")).status.succeeded, "the parent's loop works on"
    waiting.join(60)
    assert ends == [JobState.COMPLETED]


def test_a_child_waits_anew_for_what_its_parent_waits_for(facility: Facility, fork) -> None:
    """The parent's poller, its waiters and its loop are in the child's memory too, and of no use there."""
    refs = [facility.jobs.submit(shell("sleep 2")) for _ in range(4)]
    ends: list[JobState] = []

    def wait(ref) -> None:
        ends.append(facility.jobs.wait(ref, timeout=60).state)

    waiting = [threading.Thread(target=wait, args=(ref,), daemon=True) for ref in refs]
    for thread in waiting:
        thread.start()
    time.sleep(0.5)
    results = multiprocessing.get_context("fork").Queue()

    def child() -> None:
        told: list[str] = []
        end = facility.jobs.wait(refs[0], timeout=20, on_change=lambda status: told.append(status.state))
        results.put((end.state, told))

    processes = [fork(child) for _ in range(2)]
    for _ in processes:
        state, told = results.get(timeout=60)
        assert state is JobState.COMPLETED
        assert told[-1] is JobState.COMPLETED
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for thread in waiting:
        thread.join(60)
    assert ends == [JobState.COMPLETED] * 4


def test_a_child_may_collect_what_its_parent_left_without_closing_it(facility: Facility, fork) -> None:
    facility.status.resources()

    def child() -> None:
        import gc

        facility.status.resources()
        gc.collect()
        facility.status.resources()

    process = fork(child)
    process.join(60)
    assert process.exitcode == 0
    began = time.monotonic()
    facility.status.resources()
    assert time.monotonic() - began < 20


def test_a_fork_of_a_fork_works_too(facility: Facility, fork) -> None:
    facility.status.resources()
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def child() -> None:
        facility.status.resources()
        grandchild = context.Process(target=_use, args=(facility, "true", results))
        grandchild.start()
        grandchild.join(60)

    process = fork(child)
    assert results.get(timeout=60)[1] is JobState.COMPLETED
    process.join(60)
    assert process.exitcode == 0


def test_the_io_loop_never_blocks(place: LocalFacility, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_CALM_URL", place.base_url)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_000))

    async def everything(round_: int) -> None:
        monkeypatch.setenv("IRI_FACILITY_CALM_TOKEN_FILE", str(tmp_path / f"token {round_}"))
        facility = Facility.from_profile(
            "calm", poll_seconds=0.1, directory=str(place.home), ledger=FileLedger(tmp_path / "ledger")
        )
        aio = facility.aio
        assert await aio.accounts.whoami() == place.user
        result = await aio.jobs.run(shell("echo out"), key=JobKey.of("calm", round_))
        assert await aio.jobs.submit(shell("echo out"), key=JobKey.of("calm", round_)) == result.ref
        assert await aio.jobs.tail(result.ref) == "out\n"
        await aio.files.put(source, str(place.home / "calm"))
        await aio.files.get(str(place.home / "calm"), tmp_path / "back")

    for round_ in (1, 2):
        secret = tmp_path / f"token {round_}"  # another one is another door
        secret.write_text(place.new_token())
        secret.chmod(0o600)
    asyncio.run(everything(1))  # what is imported on the way is read from the disk
    with blockbuster_ctx("iri_common"):
        asyncio.run(everything(2))


def test_nothing_is_left_running(facility: Facility) -> None:
    facility.jobs.run(shell("true"))
    others = [
        child
        for child in psutil.Process().children()
        if "iri_local_facility" not in " ".join(child.cmdline())
    ]
    assert [child for child in others if "sleep" in child.name()] == []
    assert len([thread for thread in threading.enumerate() if thread.name == "iri-io"]) == 1


def test_a_child_lets_go_of_what_its_parent_follows(facility: Facility, fork) -> None:
    """Its loop is nobody's here: to wait for it would hold the child for ever."""
    chunks = facility.jobs.follow(facility.jobs.submit(shell("echo one; sleep 1; echo two")))
    assert next(chunks).text == "one\n"

    def child(act: Callable[[], object]) -> None:
        try:
            act()
        except UsageError:
            os._exit(3)
        os._exit(0)

    children = [fork(child, chunks.close), fork(child, lambda: next(chunks))]
    for each in children:
        each.join(60)
    assert [each.exitcode for each in children] == [0, 3]
    assert [chunk.text for chunk in chunks] == ["two\n"]


def test_an_iterator_in_a_cycle_does_not_keep_the_process() -> None:
    """It is collected when everything is, after the last word of the loop's thread."""
    code = """
        import asyncio
        from iri_common.facility.facing import blocking_stream
        async def endless(_):
            while True:
                yield await asyncio.sleep(0.01, "item")
        class Face: _service = None
        items = blocking_stream(endless)(Face())
        print(next(items))
        cycle = [items]
        cycle.append(cycle)
        del items, cycle
    """
    assert subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)], timeout=20) == b"item\n"
