"""Watchers of assets: what happened is told, and told once, whenever a triggerer ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import BaseEventTrigger
from airflow_connections import connection_to
from airflow_versions import needs_shared_looks

from airflow_provider_iri import (
    IriFileWatcher,
    IriHook,
    IriJobWatcher,
    IriMaintenanceWatcher,
    IriResourceWatcher,
)
from airflow_provider_iri.happenings import FileArrived, MaintenanceOver
from airflow_provider_iri.watchers import IriWatcher, Look
from iri_common import Availability, FileEntry, Incident, Resource

OFTEN = 0.05  # seconds between two looks
START = datetime(2026, 7, 1, tzinfo=UTC)
RAW = {"3 raw.h5": {"path": "/raw"}}  # what a look shows


class Store:
    """The state store of one asset, as a watcher sees it."""

    def __init__(self, *, assets: int = 1) -> None:
        self.content: dict[str, str] = {}
        self.assets = assets
        self.failing = 0
        self.writes = 0

    async def aget(self, key: str) -> Any:
        if self.assets != 1:
            raise ValueError(f"Task has {self.assets} concrete inlets and outlets")
        return json.loads(self.content.get(key, "null"))

    async def aset(self, key: str, value: Any) -> None:
        if self.failing:
            self.failing -= 1
            raise ConnectionError("the API server is away")
        self.content[key] = json.dumps(value)
        self.writes += 1


class Triggerer:
    """Runs watchers as Airflow's triggerer does; events are stored in its database when a test says so."""

    def __init__(self) -> None:
        self.streams = _streams()
        self.fired: list[tuple[int | None, Any]] = []
        self.safe = True
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def told(self) -> list[Any]:
        return [payload for _, payload in self.fired]

    def watch(self, trigger: BaseEventTrigger, store: Any) -> None:
        path, words = trigger.serialize()
        again = import_string(path)(**json.loads(json.dumps(words)))
        if self.streams is not None:
            again.asset_state_store = store
        self._tasks.append(asyncio.create_task(self._run(len(self._tasks), again)))

    async def _run(self, number: int, trigger: BaseEventTrigger) -> None:
        key = trigger.shared_stream_key()
        if self.streams is None:
            assert key is None
            async for event in trigger.run():
                self.fired.append((None, event.payload))
        stream = self.streams.subscribe(trigger_id=number, trigger=trigger, key=key)
        async for event in trigger.filter_shared_stream(stream):
            seq = self.streams.bind_pending_event(trigger_id=number, key=key)
            self.fired.append((seq, event.payload))
            self.confirm()

    def confirm(self) -> None:
        if self.safe:
            self.streams.confirm_persisted([seq for seq, _ in self.fired if seq is not None])

    async def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.streams is not None:
            await self.streams.stop_all()


def _streams() -> Any:
    """By which Airflow has one look serve all, where it does."""
    try:
        from airflow.triggers.shared_stream import SharedStreamManager
    except ImportError:
        return None
    return SharedStreamManager()


@contextlib.asynccontextmanager
async def triggerer(*watched: BaseEventTrigger, store: Any) -> AsyncIterator[Triggerer]:
    """One that runs these watchers, until it is killed."""
    one = Triggerer()
    for each in watched:
        one.watch(each, store)
    try:
        yield one
    finally:
        await one.kill()


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.02)


async def looked(facility: Any, times: int = 3) -> None:
    """Wait until a facility was looked at so many times more."""
    begun = len(facility.requests())
    await until(lambda: len(facility.requests()) >= begun + times)


def arrive(path: Path, text: str) -> None:
    """As who writes a file for others should: it is there as a whole or not at all."""
    aside = path.parent.with_name(uuid.uuid4().hex)
    aside.write_text(text)
    aside.rename(path)


@pytest.fixture
def place(demo):
    own = demo.scratch / uuid.uuid4().hex
    own.mkdir()
    return own


@pytest.fixture
def orders(demo):
    yield demo
    demo.clear_faults()


# -- files ----------------------------------------------------------------------------------------------


async def test_a_file_is_told_once_and_again_when_it_has_changed(demo, place) -> None:
    raw = place / "raw.h5"
    watcher = IriFileWatcher(path=str(raw), every=OFTEN)
    async with triggerer(watcher, store=Store()) as one:
        await looked(demo)
        assert one.told == []
        arrive(raw, "123")
        await until(lambda: one.told)
        await looked(demo)
        assert [(each["path"], each["size"]) for each in one.told] == [(str(raw), 3)]
        arrive(raw, "12345")
        await until(lambda: len(one.told) == 2)
        raw.unlink()
        await looked(demo, 4)
        arrive(raw, "12345")
        await until(lambda: len(one.told) == 3)


async def test_files_that_match_are_told_one_by_one(demo, place) -> None:
    (place / "other.txt").write_text("")
    (place / "deep.h5").mkdir()
    watcher = IriFileWatcher(path=f"{place}/*.h5", every=OFTEN)
    async with triggerer(watcher, store=Store()) as one:
        for name in ("b.h5", "a.h5"):
            arrive(place / name, "123")
            await until(lambda name=name: any(each["path"].endswith(name) for each in one.told))
        await looked(demo)
        assert sorted(one.told, key=str) == [{"path": f"{place}/{name}.h5", "size": 3} for name in "ab"]


async def test_files_of_any_directory_are_told(demo, place) -> None:
    watcher = IriFileWatcher(path=f"{place}/**/*.h5", every=OFTEN)
    async with triggerer(watcher, store=Store()) as one:
        for name in ("a", "deep/a"):
            (place / name).mkdir(parents=True)
            arrive(place / name / "raw.h5", "123")
            await until(lambda name=name: {"path": f"{place}/{name}/raw.h5", "size": 3} in one.told)
        await looked(demo)
        assert len(one.told) == 2


def test_what_was_told_by_an_older_version_is_not_told_again() -> None:
    """It remembers the files of a pattern by size and name."""
    listed = [FileEntry("/raw/a.h5", "file", 3), FileEntry("/raw/b/c.h5", "file", 4)]
    facility: Any = SimpleNamespace(files=SimpleNamespace(glob=lambda path, storage: listed))
    assert list(FileArrived("/raw/*.h5").look(facility)) == ["3 a.h5", "4 b/c.h5"]


@needs_shared_looks
async def test_what_happens_while_no_triggerer_runs_is_told_and_what_was_told_is_not(demo, place) -> None:
    store, watcher = Store(), IriFileWatcher(path=f"{place}/*", every=OFTEN)
    (place / "before").write_text("")
    async with triggerer(watcher, store=store) as one:
        await until(lambda: one.told)
        await until(lambda: "before" in str(store.content))
        await looked(demo, 6)
    assert store.writes == 1  # what stays as it is, is not written again
    (place / "meanwhile").write_text("")
    async with triggerer(watcher, store=store) as one:
        await until(lambda: one.told)
        await looked(demo)
        assert one.told == [{"path": f"{place}/meanwhile", "size": 0}]


@needs_shared_looks
async def test_nothing_is_lost_by_a_triggerer_that_is_killed_before_its_events_are_safe(demo, place) -> None:
    store, watcher = Store(), IriFileWatcher(path=f"{place}/*", every=OFTEN)
    (place / "raw").write_text("")
    for _ in range(2):
        async with triggerer(watcher, store=store) as one:
            one.safe = False
            await until(lambda one=one: one.told)
            await looked(demo, 6)
            assert len(one.told) == 1  # told once by the one, and by the next again
    async with triggerer(watcher, store=store) as one:
        await until(lambda: one.told)
        await until(lambda: "raw" in str(store.content))
    async with triggerer(watcher, store=store) as one:
        await looked(demo, 6)
        assert one.told == []


async def test_a_triggerer_that_slept_tells_nothing_that_another_has_told() -> None:
    """It goes on for a moment, before it learns that its triggers were taken over."""
    store, look = Store(), Look(RAW, 0.0)

    async def waking() -> AsyncIterator[Look]:
        yield Look({}, 1.0)
        await look.settle()
        yield Look(RAW, 3.0)

    assert await told_of(_shown(look), store) == [{"path": "/raw"}]
    assert await told_of(waking(), store) == []


async def test_one_asset_of_two_facilities_is_told_of_both() -> None:
    """The same file may be at each, and what was told of the one says nothing of the other."""
    store = Store()
    for conn_id in ("nersc", "olcf"):
        look = Look(RAW, 0.0)
        assert await told_of(_shown(look), store, iri_conn_id=conn_id) == [{"path": "/raw"}]
        await look.settle()


async def _shown(look: Look) -> AsyncIterator[Look]:
    yield look


async def told_of(looks: AsyncIterator[Look], store: Store, **words: Any) -> list[Any]:
    """What a watcher tells of these looks."""
    watcher = IriFileWatcher(path="/raw", **words)
    watcher.asset_state_store = store
    return [event.payload async for event in watcher.filter_shared_stream(looks)]


@needs_shared_looks
async def test_a_look_that_one_watcher_has_failed_is_told_again() -> None:
    from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

    from airflow_provider_iri.lookout import Lookout

    kept: list[AdvanceOutcome] = []
    for outcome in (AdvanceOutcome(acked=1, failed=1), AdvanceOutcome(acked=2, failed=0)):
        look = Look(RAW, 1.0)
        look.afterwards(partial(asyncio.to_thread, kept.append, outcome))
        await Lookout(None).advance([AdvanceItem(look, outcome)])
    assert kept == [AdvanceOutcome(acked=2, failed=0)]


@needs_shared_looks
async def test_a_store_that_is_away_is_asked_again(demo, place) -> None:
    store, watcher = Store(), IriFileWatcher(path=f"{place}/*", every=OFTEN)
    store.failing = 2
    (place / "raw").write_text("")
    async with triggerer(watcher, store=store) as one:
        await until(lambda: "raw" in str(store.content))
        assert len(one.told) == 1


@needs_shared_looks
async def test_two_assets_with_equal_triggers_have_no_memory_and_are_told_of_it(demo, place, caplog) -> None:
    (place / "raw").write_text("")
    watcher = IriFileWatcher(path=f"{place}/*", every=OFTEN)
    async with triggerer(watcher, store=Store(assets=2)) as one:
        await until(lambda: one.told)
        await looked(demo)
        assert len(one.told) == 1
    assert "give each trigger a name" in caplog.text


@needs_shared_looks
async def test_a_hundred_watchers_of_one_file_look_like_one(demo, place) -> None:
    watchers = [IriFileWatcher(path=f"{place}/raw", every=5.0, name=f"asset {n}") for n in range(100)]
    one = Triggerer()
    for each in watchers:
        one.watch(each, Store())
    try:
        (place / "raw").write_text("")
        await until(lambda: len(one.told) == 100)
    finally:
        await one.kill()
    assert len(demo.requests()) < 100


# -- resources, maintenance, jobs -----------------------------------------------------------------------


@needs_shared_looks
async def test_a_resource_is_told_when_it_is_up_again(orders) -> None:
    store, watcher = Store(), IriResourceWatcher(every=OFTEN)
    async with triggerer(watcher, store=store) as one:
        await looked(orders)
        assert one.told == []  # it was up all the time
        orders.order("maintenance")
        await until(lambda: store.content and set(store.content.values()) == {"{}"})
    orders.clear_faults()
    async with triggerer(watcher, store=store) as one:
        await until(lambda: one.told)
        await looked(orders)
        assert one.told == [{"resource": "cluster", "status": "up"}]


@needs_shared_looks
async def test_a_maintenance_that_ends_while_no_triggerer_runs_is_told(orders) -> None:
    store, watcher = Store(), IriMaintenanceWatcher(every=OFTEN)
    orders.order("maintenance", starts_in=1.0, seconds=1.0)
    async with triggerer(watcher, store=store) as one:
        await until(lambda: "cluster" in str(store.content))
        assert one.told == []
    door = IriHook().facility
    await until(lambda: not door.status.maintenance(within=3600))
    async with triggerer(watcher, store=store) as one:
        await until(lambda: one.told)
        await looked(orders)
        assert [each["resource"] for each in one.told] == ["cluster"]
        assert one.told[0]["start"] < one.told[0]["end"]


def test_a_maintenance_is_not_over_while_the_resource_is_down() -> None:
    happening, status = MaintenanceOver(), Availability.DOWN
    planned = Incident("1", "summer", Availability.DOWN, "planned", "", START, START + timedelta(hours=1))
    later = replace(planned, id="2", start=START + timedelta(days=9))
    announced = [planned, later]
    facility = SimpleNamespace(
        status=SimpleNamespace(
            maintenance=lambda resource, within: announced,
            resource=lambda resource: Resource("id", "cluster", status=status),
        )
    )

    def look(before: Any, hours: float) -> tuple[list[str], Any]:
        now, seen = (START + timedelta(hours=hours)).timestamp(), happening.look(facility)
        told = [each["start"] for each in happening.news(before, seen, now)]
        return told, json.loads(json.dumps(happening.kept(before, seen, now)))

    told, kept = look(None, -1)
    assert (told, set(kept)) == ([], {"1", "2"})
    announced = [later]
    told, kept = look(kept, 2)
    assert (told, set(kept)) == ([], {"1", "2"})
    status = Availability.UP
    told, kept = look(kept, 3)
    assert (told, set(kept)) == ([START.isoformat()], {"2"})
    announced = []  # the other one is called off
    assert look(kept, 4) == ([], {})


@needs_shared_looks
async def test_jobs_of_a_name_are_told_as_they_end(demo) -> None:
    name, jobs = f"t{uuid.uuid4().hex[:8]}", IriHook().facility.aio.jobs

    async def run(script: str, name: str = name) -> str:
        spec = {"executable": "/bin/sh", "arguments": ["-c", script], "name": name}
        ref = await jobs.submit(spec)
        await jobs.wait(ref)
        return str(ref.job_id)

    await run("true")
    store, watcher = Store(), IriJobWatcher(job_name=name, every=OFTEN)
    async with triggerer(watcher, store=store) as one:
        await until(lambda: store.content)
        await run("true", f"{name}.x")
        failed = await run("exit 3")
        await until(lambda: one.told)
        await until(lambda: failed in str(store.content))
        assert [(each["job_id"], each["state"], each["exit_code"]) for each in one.told] == [
            (failed, "failed", 3)
        ]
    ended = await run("true")
    async with triggerer(watcher, store=store) as one:
        await until(lambda: one.told)
        assert [(each["job_id"], each["state"]) for each in one.told] == [(ended, "completed")]


# -- trouble --------------------------------------------------------------------------------------------


async def test_a_refused_token_is_waited_out_with_a_word(demo, place, connect, monkeypatch) -> None:
    said: list[str] = []
    log = SimpleNamespace(warning=lambda words, *facts: said.append(words % facts))
    monkeypatch.setattr(IriWatcher, "log", log)
    connect("iri_test", connection_to(demo, password="nobody"))
    (place / "raw").write_text("")
    watcher = IriFileWatcher(path=f"{place}/*", iri_conn_id="iri_test", every=OFTEN)
    async with triggerer(watcher, store=Store()) as one:
        await looked(demo)
        connect("iri_test", connection_to(demo))
        await until(lambda: one.told)
    (word,) = said
    assert "refused the token" in word
    assert "nobody" not in word


async def test_without_shared_looks_a_watcher_looks_alone(demo, place, monkeypatch) -> None:
    monkeypatch.delattr(BaseEventTrigger, "create_shared_stream_producer", raising=False)
    (place / "raw").write_text("")
    watcher = IriFileWatcher(path=f"{place}/*", every=OFTEN)
    assert watcher.shared_stream_key() is None
    watcher.asset_state_store = store = Store()
    events = watcher.run()
    assert (await anext(events)).payload["path"] == f"{place}/raw"
    (place / "second").write_text("")
    assert (await anext(events)).payload["path"] == f"{place}/second"
    assert "raw" in str(store.content)
    await events.aclose()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"path": "raw/*.h5"}, "absolute path.*'raw/"),
        ({"path": "/scratch/[a/raw.h5"}, "has no ]"),
        ({"path": "/raw", "every": 0}, "some time, not 0"),
        ({"path": "/raw", "every": timedelta(seconds=-1)}, "some time"),
    ],
)
def test_what_could_never_be_told_is_refused_when_its_dag_is_read(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        IriFileWatcher(**words)


def test_a_watcher_is_made_again_from_its_words_and_holds_no_secret(demo) -> None:
    words = {"every": timedelta(minutes=5), "name": "mine"}
    for trigger in (
        IriFileWatcher(path="/raw", storage="scratch", **words),
        IriResourceWatcher(resource="cluster", ahead=timedelta(hours=1), **words),
        IriMaintenanceWatcher(**words),
        IriJobWatcher(job_name="nightly", **words),
    ):
        Asset("raw", watchers=[AssetWatcher("watched", trigger)])
        path, kwargs = trigger.serialize()
        assert import_string(path)(**json.loads(json.dumps(kwargs))).serialize() == (path, kwargs)
        assert demo.token not in json.dumps(kwargs)
        assert trigger.happening
        alike = type(trigger)(**{**kwargs, "name": "other"})
        assert alike.shared_stream_key() == trigger.shared_stream_key()
        assert BaseEventTrigger.hash(*alike.serialize()) != BaseEventTrigger.hash(path, kwargs)
