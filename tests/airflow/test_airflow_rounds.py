"""A facility goes away while a task moves bytes: the worker is given back, and the next one goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow_connections import connection_to
from airflow_versions import needs_store

from airflow_provider_iri import IriArrayOperator, IriJobOperator, IriTransferOperator, outages
from airflow_provider_iri.ends import End
from airflow_provider_iri.outage_triggers import IriAnswerTrigger, IriWorkTrigger, look
from airflow_provider_iri.rounds import LONGEST_PAUSE, MOST_IDLE, Rounds, passes
from iri_common import (
    AmbiguousReply,
    AuthError,
    GrantExceeded,
    IriError,
    NotFound,
    RateLimited,
    ResourceDown,
    TransferError,
    Unreachable,
    UsageError,
    WaitTimeout,
)
from iri_common.policy.retry import Limits
from iri_local_facility import LocalFacility

MIB = 2**20
FILES = 6


# ------------------------------------------------------------------------------------------ decisions


@pytest.mark.parametrize(
    ("rounds", "came", "then"),
    [
        (Rounds(), (0, 0), Rounds(1, 0, 0)),
        (Rounds(), (0, 1), Rounds(0, 0, 1)),
        (Rounds(2, 1, 100), (1, 100), Rounds(3, 1, 100)),
        (Rounds(2, 1, 100), (0, 50), Rounds(3, 1, 100)),
        (Rounds(2, 1, 100), (1, 101), Rounds(0, 1, 101)),
        (Rounds(2, 1, 100), (2, 0), Rounds(0, 2, 100)),
    ],
)
def test_a_round_that_comes_no_further_is_idle(rounds: Rounds, came: tuple[int, int], then: Rounds) -> None:
    assert rounds.after(*came) == then


def test_a_few_idle_rounds_are_the_last_ones() -> None:
    rounds, pauses = Rounds(), []
    while not rounds.futile:
        rounds = rounds.after(0, 0)
        pauses.append(rounds.pause)
    assert len(pauses) == MOST_IDLE
    assert pauses == sorted(pauses)
    assert Rounds(60).pause == LONGEST_PAUSE


@pytest.mark.parametrize("error", [Unreachable, RateLimited, ResourceDown, AmbiguousReply, WaitTimeout])
def test_what_passes_is_waited_for(error: type[IriError]) -> None:
    assert passes(error("it"))


@pytest.mark.parametrize("error", [UsageError, AuthError, NotFound, TransferError, IriError])
def test_what_does_not_pass_is_not_waited_for(error: type[IriError]) -> None:
    assert not passes(error("it"))
    assert not passes(GrantExceeded("it", profile="p", asked="a", allowed="b"))


# ------------------------------------------------------------------------------------------ a facility


@pytest.fixture
def away(demo: LocalFacility, connect, tmp_path, monkeypatch) -> Iterator[Callable[..., str]]:
    """Lets the facility answer nobody any more, after so many requests; for somebody of little patience."""
    once = Limits(attempts=1)
    monkeypatch.setattr("iri_common.http.session.Limits", lambda: once)
    monkeypatch.setattr("iri_common.transfers.abreast.TRIES", once)
    monkeypatch.setattr(outages, "PATIENCE", 0.2)
    monkeypatch.setattr("airflow_provider_iri.rounds.PATIENCE", 0.05)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    connect("iri_default", connection_to(demo, password=demo.new_token()))
    yield lambda skip=0, on="*": demo.order("status", on, status=503, times=None, skip=skip)
    demo.clear_faults()


@pytest.fixture
def place(demo: LocalFacility) -> Path:
    path = demo.scratch / f"rounds-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Some files here, a MiB each."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.dat").write_bytes(os.urandom(MIB))
    return folder


def put(source: Path, place: Path, **words: Any) -> IriTransferOperator:
    words = {"options": {"parallel": 1}, "target_conn_id": "iri_default", **words}
    return IriTransferOperator(task_id="task", source=str(source), target=str(place / "in"), **words)


def deferred(task, operator: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        task.begin(operator)
    assert isinstance(raised.value.trigger, IriAnswerTrigger)
    return raised.value


def looked(task, operator: Any, waiting: TaskDeferred, demo: LocalFacility, looks: int = 3) -> Any:
    """The next round: its trigger waits while the facility is away, which is back after some looks."""
    path, words = waiting.trigger.serialize()

    async def fire() -> Any:
        fired = asyncio.create_task(anext(import_string(path)(**words).run()))
        await _asked(demo, looks)
        assert not fired.done()
        await asyncio.to_thread(demo.clear_faults)
        return (await fired).payload

    demo.reset_requests()
    event = asyncio.run(fire())
    return getattr(operator, waiting.method_name)(task.context, event=event)


def sent(demo: LocalFacility) -> int:
    """Bytes of files that the facility has taken since its log was emptied."""
    return sum(each["bytes_in"] for each in demo.requests("upload") if each["acted"])


def same(one: Path, other: Path) -> bool:
    return {each.name: each.read_bytes() for each in one.iterdir()} == {
        each.name: each.read_bytes() for each in other.iterdir()
    }


# ------------------------------------------------------------------------------------------ a transfer


def test_a_facility_that_goes_away_in_mid_transfer_is_waited_for_without_a_worker(
    demo, task, away, source, place
) -> None:
    away(skip=24)
    waiting = deferred(task, put(source, place))
    first = sent(demo)
    assert MIB < first < FILES * MIB
    told = looked(task, put(source, place), waiting, demo)
    assert same(source, place / "in")
    assert first + sent(demo) < (FILES + 1) * MIB + 64 * 1024  # at most one file was sent twice
    assert (told["files"], told["bytes"]) == (FILES, FILES * MIB)


def test_a_facility_that_is_away_from_the_start_is_waited_for(demo, task, away, source, place) -> None:
    away()
    told = looked(task, put(source, place), deferred(task, put(source, place)), demo)
    assert told["bytes"] == FILES * MIB
    assert same(source, place / "in")


def test_parts_that_have_arrived_are_not_sent_again(demo, task, away, tmp_path, place) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(os.urandom(24 * MIB))
    words = {"options": {"parallel": 1, "road": "chunks", "allow_job": True}}
    away(skip=14)
    waiting = deferred(task, put(whole, place, **words))
    first = sent(demo)
    assert 0 < first < 24 * MIB
    looked(task, put(whole, place, **words), waiting, demo)
    assert (place / "in").read_bytes() == whole.read_bytes()
    part = max(each["bytes_in"] for each in demo.requests("upload"))
    assert first + sent(demo) <= 24.1 * MIB + part


def test_it_goes_on_with_the_ends_of_its_first_round(demo, task, away, source, place) -> None:
    """Fields are rendered anew after a deferral: a time in one would be another."""
    away()
    looked(task, put(place / "nowhere", place / "other"), deferred(task, put(source, place)), demo)
    assert same(source, place / "in")


def test_downloads_go_on_too(demo, task, away, source, place, tmp_path) -> None:
    task.execute(put(source, place))
    task.forget()
    words = {"source_conn_id": "iri_default", "options": {"parallel": 1}}
    back = IriTransferOperator(
        task_id="task", source=str(place / "in"), target=str(tmp_path / "back"), **words
    )
    away(skip=14)
    looked(task, back, deferred(task, back), demo)
    assert same(source, tmp_path / "back")


def test_what_fails_each_time_at_once_ends_the_try_in_the_end(demo, task, away, source, place) -> None:
    """The facility answers whoever looks, and takes no file."""
    away(on="upload")
    waiting = deferred(task, put(source, place))
    for _ in range(MOST_IDLE - 2):
        with pytest.raises(TaskDeferred) as again:
            task.resume(put(source, place), waiting)
        waiting = again.value
    with pytest.raises(AirflowException, match="is away"):
        task.resume(put(source, place), waiting)
    assert sent(demo) == 0


def test_a_facility_that_never_comes_back_ends_with_the_time_of_the_try(task, away, source, place) -> None:
    away()
    operator = put(source, place, execution_timeout=timedelta(seconds=1))
    waiting = deferred(task, operator)
    with pytest.raises(AirflowTaskTimeout, match=r"before the facility of connection .*is away"):
        task.resume(operator, waiting)


def test_the_time_of_the_try_counts_from_its_first_worker_on(task, away, source, place) -> None:
    away()
    task.ti.start_date = datetime(2026, 1, 1, tzinfo=UTC)
    waiting = deferred(task, put(source, place, execution_timeout=timedelta(hours=1)))
    assert waiting.trigger.deadline == datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp()


def test_a_worker_that_goes_on_has_the_rest_of_the_time_only(demo, task, away, source, place) -> None:
    """Airflow gives each worker of a try all of it."""
    away()
    operator = put(source, place, execution_timeout=timedelta(seconds=90))
    waiting = deferred(task, operator)
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 3600)
    try:
        looked(task, operator, waiting, demo)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= waiting.trigger.deadline - time.time() + 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_does_not_pass_fails_as_ever(demo, task, away, source, place) -> None:
    demo.order("status", "upload", status=403, times=None)
    with pytest.raises(AirflowFailException):
        task.begin(put(source, place))


def test_an_outage_fails_a_try_that_is_not_deferrable(task, away, source, place) -> None:
    away()
    with pytest.raises(AirflowException, match="is away"):
        task.begin(put(source, place, deferrable=False))


def test_many_that_wait_look_together(demo, task, away, source, place) -> None:
    away()
    words = [deferred(task, put(source, place)).trigger.serialize()[1]] * 20
    demo.reset_requests()

    async def fire() -> list[Any]:
        waiting = [asyncio.create_task(anext(IriAnswerTrigger(**each).run())) for each in words]
        await _asked(demo, 1)
        looks = len(await asyncio.to_thread(demo.requests))
        await asyncio.to_thread(demo.clear_faults)
        await asyncio.gather(*waiting)
        return looks

    assert asyncio.run(fire()) < 10


def test_a_profile_is_looked_at_and_globus_is_not(demo, task, away, monkeypatch, place) -> None:
    monkeypatch.setenv("IRI_FACILITY_OTHER_URL", demo.base_url)
    monkeypatch.setenv("IRI_FACILITY_OTHER_TOKEN", demo.new_token())
    end = End(f"iri://other/{place}")
    assert end.whom == "the facility of profile other"
    assert asyncio.run(look(end)) is None
    away()
    found = asyncio.run(look(end))
    assert found is not None
    assert "is away" in found.why
    assert End("globus://36d521b3/x").whom is None
    assert End("s3://bucket/x", "aws").whom is None


def test_what_is_said_to_be_down_is_looked_at_seldom(demo, away, place) -> None:
    away(on=["stat", "getFile", "getTask"])
    demo.order("maintenance", "*")
    found = asyncio.run(look(End(str(place), "iri_default")))
    assert found is not None
    assert found.down


# ------------------------------------------------------------------------------------------ its own work


@pytest.fixture
def copies(demo, away, connect, monkeypatch) -> LocalFacility:
    """A facility whose copies are jobs that wait in its queue until its faults are cleared."""
    monkeypatch.setattr("airflow_provider_iri.rounds.AT_ONCE", 1.5)
    connect("iri_default", connection_to(demo, host=demo.firecrest_url, extra={"dialect": "firecrest"}))
    demo.order("hold", job="CopyFiles")
    return demo


def copied(source: Path, place: Path, **more: Any) -> IriTransferOperator:
    ends = {"source_conn_id": "iri_default", "target_conn_id": "iri_default"}
    return IriTransferOperator(task_id="task", source=str(source), target=str(place / "in"), **ends, **more)


def worked(task, operator: Any, waiting: TaskDeferred, demo: LocalFacility) -> Any:
    """The rounds after the facility was let go on with its own work; on a busy machine more than one."""
    demo.clear_faults()
    while True:
        try:
            return task.resume(operator, waiting)
        except TaskDeferred as again:
            waiting = again


def works(task, operator: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        task.begin(operator)
    assert isinstance(raised.value.trigger, IriWorkTrigger)
    return raised.value


@pytest.mark.parametrize("what", ["file", "tree"])
def test_a_copy_within_a_facility_holds_no_worker_and_is_asked_for_once(
    copies, task, place, what: str
) -> None:
    source = place / "source"
    (source / "sub").mkdir(parents=True)
    for name in "abcdefghijklmnopqrst":  # enough of them for the directory to be copied as one
        (source / "sub" / f"{name}.dat").write_bytes(b"a" * 1000)
    operator = copied(source / "sub" / "a.dat" if what == "file" else source, place)
    told = worked(task, operator, works(task, operator), copies)
    arrived = place / "in" if what == "file" else place / "in" / "sub" / "a.dat"
    assert arrived.read_bytes() == b"a" * 1000
    count = 1 if what == "file" else 20
    assert (told["road"], told["files"], told["bytes"]) == ("within", count, count * 1000)
    assert len(copies.requests("firecrestTransferCp")) == 1
    assert [each.name for each in place.iterdir() if each.name not in {"source", "in"}] == []


@needs_store
def test_a_copy_that_is_not_over_in_time_goes_on_and_so_does_the_next_try(copies, task, place) -> None:
    (place / "a").write_bytes(b"a" * 1000)
    operator = copied(place / "a", place, execution_timeout=timedelta(seconds=1))
    with pytest.raises(AirflowTaskTimeout, match="still works"):
        task.resume(operator, works(task, operator))
    operator = copied(place / "a", place)
    worked(task, operator, works(task, operator), copies)
    assert (place / "in").read_bytes() == b"a" * 1000
    assert len(copies.requests("firecrestTransferCp")) == 1


def test_a_copy_that_failed_is_asked_for_again(copies, task, place) -> None:
    (place / "a").write_bytes(b"a" * 1000)
    operator = copied(place / "a", place)
    waiting = works(task, operator)
    (place / "a").rename(place / "b")
    copies.clear_faults()
    event = asyncio.run(_fired(waiting.trigger))
    (place / "b").rename(place / "a")
    try:
        operator.go_on(task.context, event)
    except TaskDeferred as again:
        task.resume(operator, again)
    assert (place / "in").read_bytes() == b"a" * 1000
    assert len(copies.requests("firecrestTransferCp")) == 2


@needs_store
def test_an_outage_while_the_facility_copies_is_waited_out(copies, task, place, away) -> None:
    (place / "a").write_bytes(b"a" * 1000)
    operator = copied(place / "a", place)
    waiting = works(task, operator)
    away()
    path, words = waiting.trigger.serialize()

    async def fire() -> Any:
        fired = asyncio.create_task(_fired(import_string(path)(**words)))
        await _asked(copies, 3)
        assert not fired.done()
        await asyncio.to_thread(copies.clear_faults)
        return await fired

    copies.reset_requests()
    event = asyncio.run(fire())
    worked_on = TaskDeferred(trigger=waiting.trigger, method_name="go_on")
    assert "trouble" not in event
    worked(task, operator, worked_on, copies)
    assert (place / "in").read_bytes() == b"a" * 1000
    assert copies.requests("firecrestTransferCp") == []


def test_what_is_no_work_of_its_own_is_not_waited_for(demo, away, place) -> None:
    end = {"path": str(place), "conn_id": "iri_default", "storage": None}
    work = {"task": {"task_id": "1", "operation": "upload"}}
    trigger = IriWorkTrigger([end], {"idle": 1, "files": 0, "size": 0}, None, {}, work)
    assert "trouble" not in asyncio.run(_fired(trigger))


async def _asked(demo: LocalFacility, often: int) -> None:
    async with asyncio.timeout(60):
        while len(await asyncio.to_thread(demo.requests)) < often:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _fired(trigger: Any) -> Any:
    return (await anext(trigger.run())).payload


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_job_that_joins_or_splits_a_file_holds_no_worker_and_is_asked_for_once(
    demo, task, away, tmp_path, place, monkeypatch, way: str
) -> None:
    monkeypatch.setattr("airflow_provider_iri.rounds.AT_ONCE", 1.5)
    demo.order("hold")
    here, there = tmp_path / "here", place / "in"
    source, target = (here, there) if way == "up" else (there, here)
    source.write_bytes(os.urandom(12 * MIB))
    words = {f"{'target' if way == 'up' else 'source'}_conn_id": "iri_default"}
    operator = IriTransferOperator(
        task_id="task",
        source=str(source),
        target=str(target),
        options={"road": "chunks", "allow_job": True},
        **words,
    )
    told = worked(task, operator, works(task, operator), demo)
    assert target.read_bytes() == source.read_bytes()
    assert told["bytes"] == 12 * MIB
    assert created(demo) == 1
    assert sent(demo) < 12.1 * MIB


# ------------------------------------------------------------------------------------------ files of jobs


def job(place: Path, script: str, kind: Any = IriJobOperator, **words: Any) -> Any:
    asked = {"executable": "/bin/sh", "arguments": ["-c", script], "directory": str(place)}
    return kind(task_id="task", job=asked, transfer={"parallel": 1}, **words)


def created(demo: LocalFacility) -> int:
    return len(demo.requests("launchJob"))


def test_staging_in_goes_on_and_the_job_is_asked_for_once(demo, task, away, source, place) -> None:
    def operator() -> Any:
        return job(place, "cat in/* > all; echo once >> ran", stage_in=[[str(source), "in"]])

    away(skip=24)
    waiting = deferred(task, operator())
    first = sent(demo)
    assert MIB < first < FILES * MIB
    assert created(demo) == 0
    with pytest.raises(TaskDeferred) as submitted:
        looked(task, operator(), waiting, demo)
    assert task.resume(operator(), submitted.value)["state"] == "completed"
    assert created(demo) == 1
    assert (place / "ran").read_text() == "once\n"
    assert first + sent(demo) < (FILES + 1) * MIB + 64 * 1024


@needs_store
def test_a_round_is_no_new_try(demo, task, away, source, place) -> None:
    """After a clear, too: the job of before is ended once, the next one is the next generation."""

    def operator() -> Any:
        return job(place, "cat in/* > all; echo once >> ran", stage_in=[[str(source), "in"]])

    task.execute(operator())
    task.ti.max_tries += 1
    (source / "0.dat").write_bytes(os.urandom(MIB))
    demo.reset_requests()
    away(on="upload")
    waiting = deferred(task, operator())
    assert task.store["iri_job"]["generation"] == 1
    demo.clear_faults()
    with pytest.raises(TaskDeferred) as submitted:
        task.resume(operator(), waiting)
    task.resume(operator(), submitted.value)
    assert task.store["iri_job"]["generation"] == 2
    assert (place / "ran").read_text() == "once\nonce\n"


@pytest.mark.parametrize("kind", [IriJobOperator, IriArrayOperator])
def test_staging_out_goes_on_and_no_other_job_is_asked_for(
    demo, task, away, source, place, tmp_path, kind
) -> None:
    def operator() -> Any:
        words = {"inputs": ["a", "b"]} if kind is IriArrayOperator else {}
        out = [["out", str(tmp_path / "out")]]
        return job(place, "echo once >> ran", kind, stage_out=out, **words)

    (place / "out").mkdir()
    for each in source.iterdir():
        (place / "out" / each.name).write_bytes(each.read_bytes())
    with pytest.raises(TaskDeferred) as submitted:
        task.begin(operator())
    away(on="download", skip=2)
    with pytest.raises(TaskDeferred) as waiting:
        task.resume(operator(), submitted.value)
    assert isinstance(waiting.value.trigger, IriAnswerTrigger)
    assert task.noted(left=True)  # a clear meanwhile fetches the rest
    told = dict(task.ti.xcoms["iri_end"])
    demo.clear_faults()
    result = task.resume(operator(), waiting.value)
    assert same(source, tmp_path / "out")
    assert result["state"] == "completed"
    assert task.ti.xcoms["iri_end"] == told
    assert created(demo) == 1
    assert task.noted(left=False)  # and one now means all of it
    if kind is IriArrayOperator:
        assert result["exit_codes"] == [0, 0]


@needs_store
def test_results_that_never_come_end_with_the_time_of_the_try_and_come_by_the_next(
    demo, task, away, place, tmp_path
) -> None:
    def operator() -> Any:
        out = [["ran", str(tmp_path / "out")]]
        return job(place, "echo once >> ran", stage_out=out, execution_timeout=timedelta(seconds=2))

    with pytest.raises(TaskDeferred) as submitted:
        task.begin(operator())
    away(on="download")
    with pytest.raises(TaskDeferred) as waiting:
        task.resume(operator(), submitted.value)
    away()
    with pytest.raises(AirflowTaskTimeout, match="what has arrived stays"):
        task.resume(operator(), waiting.value)
    demo.clear_faults()
    assert task.execute(operator())["state"] == "completed"
    assert (tmp_path / "out").read_text() == "once\n"
    assert created(demo) == 1


def test_an_outage_of_staging_fails_a_try_that_is_not_deferrable(demo, task, away, source, place) -> None:
    away(on="upload")
    with pytest.raises(AirflowException, match="is away"):
        task.begin(job(place, "true", stage_in=[[str(source), "in"]], deferrable=False))
    assert created(demo) == 0
