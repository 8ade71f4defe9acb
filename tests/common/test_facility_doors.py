"""Which resource is meant: by name, by id, or because there is only one; and the pollers of a door."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from iri_common import FileLedger, JobKey, JobRef, NotOffered, Resource, Unreachable, UsageError
from iri_common.facility import doors, services
from iri_common.facility.doors import Door
from iri_common.facility.jobs import JobService
from iri_common.facility.settings import make_settings
from iri_common.model.job import JobEntry, JobStatus
from iri_common.model.outcome import Done
from iri_common.model.state import JobState

CPU = Resource("id-1", "Cpu", endpoints=frozenset({"compute", "filesystem"}))
GPU = Resource("id-2", "gpu", endpoints=frozenset({"compute"}))
SCRATCH = Resource("id-3", "scratch", endpoints=frozenset({"filesystem"}))
HOME = Resource("id-4", None, endpoints=frozenset({"filesystem"}))
WEB = Resource("id-5", "website", type="urn:doe-iri:resource:service:web")


class Offers:
    """A status API that counts how often it is read."""

    def __init__(self, *resources: Resource) -> None:
        self.told, self.reads = resources, 0

    async def resources(self):
        self.reads += 1
        await asyncio.sleep(0)
        return Done(self.told)


def door(*resources: Resource) -> Door:
    return Door(SimpleNamespace(status=Offers(*resources), jobs=None), "lab")


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        (None, [CPU, SCRATCH, WEB], CPU),
        ("Cpu", [CPU, GPU], CPU),
        ("CPU", [CPU, GPU], CPU),
        ("id-2", [CPU, GPU], GPU),
        ("scratch", [CPU, SCRATCH], SCRATCH),  # named is named: the facility has the last word
    ],
)
async def test_the_resource_that_is_meant(wanted, offered, expected) -> None:
    assert await door(*offered).resource(wanted, "compute") == expected


@pytest.mark.parametrize(
    ("wanted", "offered", "told"),
    [
        (None, [CPU, GPU], "several resources for compute; name one of: Cpu, gpu"),
        (None, [SCRATCH, WEB], "offers no resource for compute"),
        ("tpu", [CPU, GPU], "no resource 'tpu'; for compute it has: Cpu, gpu"),
        ("tpu", [], "offers no resource for compute"),
    ],
)
async def test_what_cannot_be_meant_names_what_could(wanted, offered, told) -> None:
    with pytest.raises(UsageError, match=told):
        await door(*offered).resource(wanted, "compute")


@pytest.mark.parametrize(
    ("storage", "near", "offered", "expected"),
    [
        ("scratch", "Cpu", [CPU, GPU, SCRATCH], SCRATCH),
        (None, "Cpu", [CPU, GPU, SCRATCH], CPU),
        (None, "gpu", [CPU, GPU, SCRATCH], None),
        (None, "gpu", [GPU, SCRATCH], SCRATCH),
        (None, None, [CPU, SCRATCH, HOME], CPU),
        (None, None, [GPU, SCRATCH], SCRATCH),
        (None, None, [CPU, GPU, SCRATCH], None),
        (None, None, [GPU, SCRATCH, HOME], None),
    ],
)
async def test_the_file_system_that_is_meant(storage, near, offered, expected) -> None:
    looking = door(*offered).file_system(storage, near)
    if expected is None:
        with pytest.raises(UsageError, match="several resources for filesystem"):
            await looking
    else:
        assert await looking == expected


async def test_the_resources_are_read_once_for_all_and_again_after_a_while(monkeypatch) -> None:
    lab = door(CPU)
    await asyncio.gather(*(lab.resource(None, "compute") for _ in range(50)))
    assert lab.dialect.status.reads == 1
    monkeypatch.setattr(doors, "RESOURCES_STAY_FRESH", -1.0)
    await lab.resources()
    assert lab.dialect.status.reads == 2


async def test_a_reading_that_failed_is_not_remembered() -> None:
    lab = door(CPU)

    async def away():
        raise Unreachable("no answer")

    real, lab.dialect.status.resources = lab.dialect.status.resources, away
    with pytest.raises(Unreachable):
        await lab.resources()
    lab.dialect.status.resources = real
    assert await lab.resources() == (CPU,)


async def test_one_poller_for_a_resource() -> None:
    lab = door(CPU)
    assert lab.poller("a") is lab.poller("a")
    assert lab.poller("a") is not lab.poller("b")


# ------------------------------------------------------------------------- what the services make of it


def job_service(lab: Door, monkeypatch, tmp_path) -> JobService:
    monkeypatch.setattr(services, "open_door", lambda settings: lab)
    settings = make_settings("https://facility.example/api/v2", name="lab")
    return JobService(settings, FileLedger(tmp_path))


@pytest.mark.parametrize("look", [JobService.find, JobService.newest])
async def test_a_list_without_names_finds_nothing_and_says_so(monkeypatch, tmp_path, look) -> None:
    lab = door(CPU)

    async def unnamed(*args, **kwargs):
        return Done([JobEntry("1", JobStatus(JobState.ACTIVE))])

    lab.dialect.name, lab.dialect.jobs = "iri", SimpleNamespace(list=unnamed)
    lab.dialect.grades = SimpleNamespace(readable_files=False)
    with pytest.raises(NotOffered, match="by name"):
        await look(job_service(lab, monkeypatch, tmp_path), JobKey.of("a"))


async def test_output_without_a_file_system_to_read_it_from_is_no_text(monkeypatch, tmp_path) -> None:
    ref = JobRef("facility.example", "iri", "id-2", JobKey.of("a"), "1")
    service = job_service(door(GPU, SCRATCH, HOME), monkeypatch, tmp_path)
    assert await service.tail(ref) == ""
