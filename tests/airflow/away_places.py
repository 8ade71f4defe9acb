"""A facility that goes away while a task of Airflow moves bytes, and how such a task goes on."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow_connections import connection_to

from airflow_provider_iri import IriTransferOperator, outages
from airflow_provider_iri.outage_triggers import IriAnswerTrigger
from iri_common.policy.retry import Limits
from iri_local_facility import LocalFacility

MIB = 2**20
FILES = 6


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
        await asked(demo, looks)
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


async def asked(demo: LocalFacility, often: int) -> None:
    async with asyncio.timeout(60):
        while len(await asyncio.to_thread(demo.requests)) < often:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def created(demo: LocalFacility) -> int:
    return len(demo.requests("launchJob"))
