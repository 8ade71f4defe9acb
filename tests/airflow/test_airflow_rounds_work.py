"""What a facility does by itself for a transfer is waited for in the triggerer."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow_connections import connection_to
from airflow_versions import needs_store
from away_places import MIB, asked, created, sent

from airflow_provider_iri import IriTransferOperator
from airflow_provider_iri.outage_triggers import IriWorkTrigger
from iri_local_facility import LocalFacility


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
        await asked(copies, 3)
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
