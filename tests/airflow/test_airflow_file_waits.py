"""What takes a facility long with its files: asked for once, and waited for in the triggerer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow_connections import connection_to
from airflow_versions import needs_store

from airflow_provider_iri import IriFileOperator, files, outages
from airflow_provider_iri.file_triggers import IriFileTrigger
from iri_common import FacilityTask, WaitTimeout
from iri_common.policy.retry import Limits
from iri_local_facility import LocalFacility

WORDS = b"first\nlast\n"
COPY = "firecrestTransferCp"


@dataclass
class Site:
    """A facility whose copies are jobs, and wait in its queue."""

    facility: LocalFacility
    own: Path

    def copy(self, source: str = "in", **more: Any) -> IriFileOperator:
        where = {"path": str(self.own / source), "target": str(self.own / "out")}
        return IriFileOperator(task_id="task", operation="cp", **where, **more)

    @property
    def asked(self) -> int:
        """How often a copy was asked for."""
        return len(self.facility.requests(COPY))

    def let_go(self) -> None:
        self.facility.clear_faults()

    def let_go_and_wait(self) -> None:
        self.let_go()
        deadline = time.monotonic() + 60
        while not self.arrived:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @property
    def arrived(self) -> bool:
        copy = self.own / "out"
        return copy.exists() and copy.read_bytes() == WORDS


@pytest.fixture
def own(demo: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own, at a facility that no worker waits for."""
    own = demo.scratch / uuid.uuid4().hex
    own.mkdir()
    (own / "in").write_bytes(WORDS)
    monkeypatch.setattr(files, "AT_ONCE", 0.0)
    yield own
    demo.clear_faults()


@pytest.fixture
def site(demo: LocalFacility, own: Path, connect) -> Site:
    connect("iri_default", connection_to(demo, host=demo.firecrest_url, extra={"dialect": "firecrest"}))
    demo.order("hold", job="CopyFiles")
    return Site(demo, own)


@pytest.fixture
def pipe(own: Path) -> Callable[[], None]:
    """Whoever reads the file "pipe" waits until this gives him what is in it."""
    path = own / "pipe"
    os.mkfifo(path)

    def give() -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                end = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # there is no reader
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                os.write(end, WORDS)
                os.close(end)
                return

    yield give
    end = os.open(path, os.O_RDWR)  # for a reader of whom no test let go
    path.unlink()
    os.close(end)


def checksum(own: Path, **more: Any) -> IriFileOperator:
    return IriFileOperator(task_id="task", operation="checksum", path=str(own / "pipe"), **more)


DIGEST = {"algorithm": "SHA-256", "value": hashlib.sha256(WORDS).hexdigest()}


def deferred(task, operator: IriFileOperator) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.begin(operator)
    return caught.value


def again(trigger: IriFileTrigger) -> IriFileTrigger:
    """As another triggerer makes it from what Airflow keeps."""
    path, words = trigger.serialize()
    assert path == f"{IriFileTrigger.__module__}.{IriFileTrigger.__qualname__}"
    return IriFileTrigger(**json.loads(json.dumps(words)))


def test_a_copy_that_takes_long_holds_no_worker(site: Site, task) -> None:
    waiting = deferred(task, site.copy())
    assert not site.arrived
    site.let_go()
    assert task.resume(site.copy(), waiting) is None
    assert site.arrived
    assert site.asked == 1


def test_an_end_is_looked_for_through_the_connection_that_was_asked_through(
    demo, own: Path, pipe, task
) -> None:
    """The author has named another one meanwhile."""
    waiting = deferred(task, checksum(own))
    pipe()
    event = asyncio.run(anext(again(waiting.trigger).run())).payload
    late = {**event, "trouble": "WaitTimeout", "message": "not over"}
    assert checksum(own, iri_conn_id="iri_nowhere").execute_complete(task.context, event=late) == DIGEST


def test_what_is_told_after_a_deferral_is_the_tasks(demo, own: Path, pipe, task) -> None:
    waiting = deferred(task, checksum(own))
    pipe()
    assert task.resume(checksum(own), waiting) == DIGEST
    assert len(demo.requests("checksum")) == 1


def test_a_worker_waits_for_a_moment_itself(site: Site, task, monkeypatch) -> None:
    monkeypatch.setattr(files, "AT_ONCE", 60.0)
    site.let_go()
    assert task.begin(site.copy()) is None
    assert site.arrived
    assert site.asked == 1


def test_a_worker_waits_to_the_end_where_it_is_told_to(demo, own: Path, pipe, task) -> None:
    giver = threading.Thread(target=pipe)
    giver.start()
    assert task.begin(checksum(own, deferrable=False)) == DIGEST
    giver.join()
    assert len(demo.requests("checksum")) == 1


AGAIN = pytest.mark.parametrize("cleared", [False, True], ids=["retry", "clear"])


@needs_store
@AGAIN
@pytest.mark.parametrize("killed", [False, True], ids=["deferred", "waiting"])
def test_another_try_goes_on_with_what_was_asked_for(
    site: Site, task, monkeypatch, killed: bool, cleared: bool
) -> None:
    """The worker was killed while it waited, or the trigger came to nothing."""
    with monkeypatch.context() as patch:
        if killed:
            patch.setattr(IriFileOperator, "_awaited", _die)
        with pytest.raises(KeyboardInterrupt if killed else TaskDeferred):
            task.begin(site.copy())
    for _ in range(2):
        task.ti.max_tries += cleared
        waiting = deferred(task, site.copy())
    site.let_go()
    assert task.resume(site.copy(), waiting) is None
    assert site.arrived
    assert site.asked == 1


@needs_store
@pytest.mark.parametrize("waits", [0.0, 60.0], ids=["triggerer", "worker"])
def test_a_clear_after_the_end_does_all_again(demo, own: Path, pipe, task, monkeypatch, waits: float) -> None:
    monkeypatch.setattr(files, "AT_ONCE", waits)
    for number in (1, 2):
        giver = threading.Thread(target=pipe)
        if waits:
            giver.start()
            assert task.begin(checksum(own)) == DIGEST
            giver.join()
        else:
            waiting = deferred(task, checksum(own))
            pipe()
            assert task.resume(checksum(own), waiting) == DIGEST
        assert len(demo.requests("checksum")) == number
        task.ti.max_tries += 1


async def test_another_triggerer_goes_on(demo, own: Path, pipe, task) -> None:
    waiting = await asyncio.to_thread(deferred, task, checksum(own))
    demo.reset_requests()
    first = asyncio.create_task(anext(again(waiting.trigger).run()))
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(demo.requests, "getTask"):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    second = asyncio.create_task(anext(again(waiting.trigger).run()))
    await asyncio.to_thread(pipe)
    event = (await second).payload
    assert checksum(own).execute_complete(task.context, event=event) == DIGEST
    assert demo.requests("checksum") == []


@needs_store
def test_a_copy_that_failed_is_asked_for_again_by_a_retry(site: Site, task) -> None:
    waiting = deferred(task, site.copy("nothing"))
    site.let_go()
    with pytest.raises(AirflowFailException, match="No such file"):
        task.resume(site.copy("nothing"), waiting)
    (site.own / "nothing").write_bytes(WORDS)
    assert task.execute(site.copy("nothing")) is None
    assert site.arrived
    assert site.asked == 2


def forget(task, operation: str) -> TaskDeferred:
    """The facility knows nothing of what is remembered; gives the wait for that."""
    words = asdict(FacilityTask("987654", operation))
    kept = {**task.store["iri_file"], "ref": json.dumps(words), "left": True}
    dict.__setitem__(task.store, "iri_file", kept)
    trigger = IriFileTrigger("iri_default", words)
    return TaskDeferred(trigger=trigger, method_name="execute_complete")


BY = pytest.mark.parametrize("by", ["triggerer", "worker"])


@needs_store
@BY
def test_a_copy_that_the_facility_has_forgotten_is_looked_for(demo, own: Path, task, by: str) -> None:
    (own / "run").mkdir()
    (own / "run" / "a").write_text("a")
    where = {"path": str(own / "run"), "target": str(own / "out")}
    copy = IriFileOperator(task_id="task", operation="cp", **where)
    task.execute(copy)
    waiting = forget(task, "cp")
    (own / "out" / "half").write_text("")
    if by == "triggerer":
        with pytest.raises(AirflowException, match="no longer knows task 987654"):
            task.resume(copy, waiting)
    task.execute(copy)
    assert [each.name for each in (own / "out").iterdir()] == ["a"]
    assert len(demo.requests("cp")) == 2


@needs_store
@BY
def test_a_digest_that_the_facility_has_forgotten_is_asked_for_again(
    demo, own: Path, task, monkeypatch, by: str
) -> None:
    monkeypatch.setattr(files, "AT_ONCE", 60.0)
    digest = IriFileOperator(task_id="task", operation="checksum", path=str(own / "in"))
    assert task.begin(digest) == DIGEST
    waiting = forget(task, "checksum")
    if by == "triggerer":
        with pytest.raises(AirflowException, match="ask for the operation again"):
            task.resume(digest, waiting)
    assert task.begin(digest) == DIGEST
    assert len(demo.requests("checksum")) == 2


@needs_store
@BY
def test_a_task_that_may_not_be_looked_at_is_not_asked_for_again(
    demo, own: Path, pipe, task, by: str
) -> None:
    waiting = deferred(task, checksum(own))
    refused = demo.order("status", "getTask", status=403, times=None)
    with pytest.raises(AirflowFailException, match="'iri_default'"):
        task.resume(checksum(own), waiting) if by == "triggerer" else task.begin(checksum(own))
    demo.clear_faults(refused)
    task.ti.max_tries += 1
    waiting = deferred(task, checksum(own))
    pipe()
    assert task.resume(checksum(own), waiting) == DIGEST
    assert len(demo.requests("checksum")) == 1


@needs_store
def test_what_is_not_over_in_time_goes_on_and_so_does_the_next_try(site: Site, task) -> None:
    with pytest.raises(AirflowTaskTimeout, match="may still finish there"):
        task.execute(site.copy(execution_timeout=timedelta(seconds=0.5)))
    site.let_go_and_wait()
    assert task.execute(site.copy()) is None
    assert site.asked == 1


def test_what_is_over_counts_though_nobody_looked_in_time(demo, own: Path, pipe, task) -> None:
    """Its triggerer looked for the last time right before the end."""
    waiting = deferred(task, checksum(own))
    pipe()
    trigger = waiting.trigger
    asyncio.run(trigger.come_about())
    event = {**trigger.about, "trouble": "WaitTimeout", "message": "not over"}
    assert checksum(own).execute_complete(task.context, event=event) == DIGEST


@pytest.fixture
def outage(demo, connect, monkeypatch) -> Callable[[], str]:
    """Begins one, for somebody of whom every request is sent once."""
    monkeypatch.setattr("iri_common.http.session.Limits", lambda: Limits(attempts=1))
    monkeypatch.setattr(outages, "PATIENCE", 0.05)
    connect("iri_default", connection_to(demo, password=demo.new_token()))
    return lambda: demo.order("status", "getTask", status=503, times=None)


async def test_an_outage_is_waited_out(demo, own: Path, pipe, task, outage) -> None:
    waiting = await asyncio.to_thread(deferred, task, checksum(own))
    away = outage()
    demo.reset_requests()
    fired = asyncio.create_task(anext(again(waiting.trigger).run()))
    async with asyncio.timeout(60):
        while len(await asyncio.to_thread(demo.requests, "getTask")) < 3:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
    demo.clear_faults(away)
    await asyncio.to_thread(pipe)
    assert checksum(own).execute_complete(task.context, event=(await fired).payload) == DIGEST


@needs_store
def test_an_outage_at_a_retry_is_waited_out_by_the_triggerer(demo, own: Path, pipe, task, outage) -> None:
    deferred(task, checksum(own))
    away = outage()
    waiting = deferred(task, checksum(own))
    demo.clear_faults(away)
    pipe()
    assert task.resume(checksum(own), waiting) == DIGEST
    assert len(demo.requests("checksum")) == 1


def test_an_outage_is_waited_out_until_the_deadline(own: Path, pipe, task, outage) -> None:
    trigger = again(deferred(task, checksum(own)).trigger)
    trigger.deadline = time.time()
    outage()
    with pytest.raises(WaitTimeout, match="the operation was not over in time, and cannot be seen"):
        asyncio.run(trigger.come_about())


def test_an_airflow_without_a_store_waits_all_the_same(site: Site, task) -> None:
    task.store = None
    waiting = deferred(task, site.copy())
    site.let_go()
    assert task.resume(site.copy(), waiting) is None
    assert site.arrived


async def test_nothing_is_ended_with_the_task(site: Site, task, monkeypatch) -> None:
    from airflow_provider_iri import triggers

    waiting = await asyncio.to_thread(deferred, task, site.copy())
    monkeypatch.setattr(triggers, "task_state", lambda ti: "failed")
    waiting.trigger.task_instance = task.ti
    await waiting.trigger.on_kill()
    site.let_go_and_wait()


def _die(*_: Any) -> None:
    raise KeyboardInterrupt
