"""What a door tells before a submit: a machine that is down, maintenance to come; and where guards are."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from jobs_world import MemoryLedger, ScriptedJobs, seconds, timeless

from iri_common import (
    Availability,
    Incident,
    JobKey,
    NotFound,
    Resource,
    ResourceDown,
    TransientError,
    UsageError,
)
from iri_common.facility import doors, services
from iri_common.facility.doors import Door
from iri_common.facility.jobs import JobService
from iri_common.facility.settings import make_settings
from iri_common.jobs.guards import Place
from iri_common.model.facility import StorageLocation
from iri_common.model.grades import Grades
from iri_common.model.outcome import Done

CPU = Resource("id-1", "cpu", endpoints=frozenset({"compute", "filesystem"}), status=Availability.UP)
BARE = replace(CPU, id="id-2", name="bare", endpoints=frozenset({"compute"}))
HOMES = Resource("id-3", "homes", endpoints=frozenset({"filesystem"}))
SCRATCH = Resource("id-4", "scratch", endpoints=frozenset({"filesystem"}))


class Status:
    def __init__(self, *resources: Resource) -> None:
        self.told, self.now = resources, {each.id: each for each in resources}
        self.incidents_told: list[Incident] | Exception = []
        self.asked: list[str] = []

    async def resources(self):
        self.asked.append("resources")
        return Done(self.told)

    async def resource(self, resource_id):
        self.asked.append(resource_id)
        return Done(self.now[resource_id])

    async def incidents(self):
        self.asked.append("incidents")
        if isinstance(self.incidents_told, Exception):
            raise self.incidents_told
        return Done(self.incidents_told)


class Storage:
    def __init__(self, *homes: str) -> None:
        self.homes = homes
        self.error: Exception | None = None

    async def locations(self, resource_id, *, logical_name):
        if self.error:
            raise self.error
        return Done([StorageLocation(logical_name, path) for path in self.homes])


def door(*resources: Resource, homes=("/home/alice",), files="direct") -> Door:
    status, storage = Status(*resources), Storage(*homes)
    dialect = SimpleNamespace(
        status=status, storage=storage, grades=Grades(files=files), jobs=None, operations=None
    )
    return Door(dialect, "lab")


async def test_a_machine_that_is_up_is_not_asked_for_again() -> None:
    lab = door(CPU)
    for _ in range(3):
        assert await lab.resource_now(None, "compute") == CPU
    assert lab.dialect.status.asked == ["resources"]


async def test_a_machine_that_was_down_is_looked_at_each_time() -> None:
    lab = door(replace(CPU, status=Availability.DOWN))
    assert (await lab.resource_now("cpu", "compute")).status is Availability.DOWN
    lab.dialect.status.now["id-1"] = replace(CPU, status=Availability.UP, name=None, endpoints=frozenset())
    assert await lab.resource_now("cpu", "compute") == CPU  # what it offers is as it was told at first
    assert lab.dialect.status.asked == ["resources", "id-1", "id-1"]


def maintenance(starts: float, ends: float | None = 4.0, **words) -> Incident:
    now = datetime.now(UTC)
    end = None if ends is None else now + timedelta(hours=ends)
    plain = {"status": Availability.DOWN, "type": "planned", "resolution": "pending", "name": "service day"}
    return Incident(id=f"at {starts}", start=now + timedelta(hours=starts), end=end, **{**plain, **words})


@pytest.mark.parametrize(
    ("planned", "seconds", "told"),
    [
        (maintenance(1), 2 * 3600.0, True),
        (maintenance(1), 60.0, False),
        (maintenance(1), None, False),
        (maintenance(-1), None, True),
        (maintenance(-1, None), 60.0, True),
        (maintenance(1, resource_ids=("id-9",)), 2 * 3600.0, False),
    ],
)
async def test_maintenance_that_meets_the_job_is_told_once(planned, seconds, told, caplog) -> None:
    lab = door(CPU)
    lab.dialect.status.incidents_told = [planned]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await lab.warn_of_maintenance(CPU, seconds)
    assert len(caplog.messages) == told
    assert ("service day" in caplog.text) is told
    assert lab.dialect.status.asked == ["incidents"]


async def test_incidents_that_cannot_be_read_stop_nobody_and_are_asked_for_later(monkeypatch, caplog) -> None:
    lab = door(CPU)
    lab.dialect.status.incidents_told = TransientError("away")
    await lab.warn_of_maintenance(CPU, 60.0)
    await lab.warn_of_maintenance(CPU, 60.0)
    assert lab.dialect.status.asked == ["incidents"]
    monkeypatch.setattr(doors, "RESOURCES_STAY_FRESH", -1.0)
    lab.dialect.status.incidents_told = [maintenance(-1)]
    with caplog.at_level(logging.WARNING):
        await lab.warn_of_maintenance(CPU, 60.0)
    assert "service day" in caplog.text


@pytest.mark.parametrize(
    ("resources", "storage", "place"),
    [
        ([CPU], None, Place("id-1", "/home/alice")),
        ([CPU, SCRATCH], "scratch", Place("id-1", "/home/alice")),  # what the machine shows, its jobs see
        ([BARE, HOMES], None, Place("id-3", "/home/alice")),
        ([BARE, HOMES, SCRATCH], "homes", Place("id-3", "/home/alice")),
        ([BARE, HOMES, SCRATCH], None, None),
        ([BARE], None, None),
    ],
)
async def test_where_guards_are_read(resources, storage, place) -> None:
    lab = door(*resources)
    assert await lab.guards(resources[0].id, None, storage).locate() == place


async def test_where_guards_are_not_read() -> None:
    assert await door(CPU, files="none").guards("id-1", None, None).locate() is None
    assert await door(CPU, homes=()).guards("id-1", None, None).locate() is None
    assert await door(CPU, homes=("/home/a", "/home/b")).guards("id-1", None, None).locate() is None
    lab = door(CPU, homes=())
    assert await lab.guards("id-1", "/guards", None).locate() == Place("id-1")
    lab.dialect.storage.error = NotFound("no such thing")
    assert await lab.guards("id-1", None, None).locate() is None
    lab.dialect.storage.error = TransientError("away")
    with pytest.raises(TransientError):
        await lab.guards("id-1", None, None).locate()


async def test_guards_of_one_place_are_shared() -> None:
    lab = door(CPU)
    assert lab.guards("id-1", None, None) is lab.guards("id-1", None, None)
    assert lab.guards("id-1", "/guards", None) is not lab.guards("id-1", None, None)
    with pytest.raises(UsageError):
        await lab.file_system("nowhere", None)


def test_an_ask_waits_no_longer_than_a_submit(monkeypatch, tmp_path) -> None:
    """Up for one look in the middle: what it waited before that counts."""
    lab = door(replace(BARE, status=Availability.DOWN), files="none")
    lab.dialect.name, lab.dialect.jobs = "iri", ScriptedJobs()
    looks = []

    async def resource(resource_id):
        looks.append(seconds())
        up = len(looks) == 5
        return Done(replace(BARE, status=Availability.UP if up else Availability.DOWN))

    lab.dialect.status.resource = resource
    monkeypatch.setattr(services, "open_door", lambda settings: lab)
    settings = make_settings("https://facility.example/api/v2", outage_limit=120)

    async def asked():
        with pytest.raises(ResourceDown):
            await JobService(settings, MemoryLedger()).ask({"executable": "x"}, key=JobKey.of("a"))
        return seconds()

    assert timeless(asked) == 120
    assert looks[4] == 110
