"""The whole core at a facility that speaks v1: no keys, and still one job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from misbehaving_relay import Relay, lose

from iri_common import Facility, JobKey, NotOffered
from iri_local_facility import LocalFacility

SUBMIT = "POST .*/compute/job/"


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as facility:
        yield facility


@pytest.fixture
def relay(place: LocalFacility) -> Iterator[Relay]:
    with Relay(f"{place.url}/api/v1") as relay:
        yield relay


def test_a_job_and_its_files(facility: Facility, place: LocalFacility, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\x00one\n")
    facility.files.put(tmp_path / "in", str(place.home / "in"))
    spec = {"executable": "/bin/sh", "arguments": ["-c", "cat in in > out; echo said"], "stdout_path": "said"}
    job = facility.jobs.submit({**spec, "directory": str(place.home)}, key=JobKey.of("v1", time.time_ns()))
    status = facility.jobs.wait(job)
    assert status.succeeded
    assert job.dialect == "iri"
    assert facility.jobs.tail(job, lines=1) == "said\n"
    facility.files.get(str(place.home / "out"), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"\x00one\n" * 2


def test_a_lost_reply_is_settled_by_the_name(facility: Facility, place: LocalFacility, relay: Relay) -> None:
    key, spec = JobKey.of("v1", "lost", time.time_ns()), {"executable": "/bin/true"}
    relay.faults.append(lose(SUBMIT))
    first = facility.jobs.submit(spec, key=key)
    assert facility.jobs.submit(spec, key=key) == first
    assert [job["id"] for job in place.jobs() if key.digest in job["name"]] == [first.job_id]
    assert relay.asked(SUBMIT) == 1


def test_what_v1_does_not_have(facility: Facility, place: LocalFacility) -> None:
    assert {project.name for project in facility.accounts.projects()} == {"demo", "beamline"}
    with pytest.raises(NotOffered, match="v1 of this facility has no whoami"):
        facility.accounts.whoami()
    with pytest.raises(NotOffered, match="v1 of this facility has no storage service"):
        facility.storage.locations()
