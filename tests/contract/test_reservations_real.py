"""Nodes that are kept at slurmrestd's face: once for a key, for jobs that name them, and given back."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iri_common import (
    Facility,
    FileLedger,
    Grant,
    GrantExceeded,
    JobAttributes,
    JobKey,
    JobSpec,
    JobState,
    NodesIntent,
    NotOffered,
    Refused,
    ReservationLost,
    ReservationState,
    SpecChanged,
    UsageError,
    WaitTimeout,
)
from iri_local_facility import LocalFacility

NODES = 8
WANTED = NodesIntent(1, 3600)


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=NODES) as running:
        yield running


@pytest.fixture
def door(place: LocalFacility, tmp_path: Path) -> Iterator[Callable[..., Facility]]:
    def opened(ledger: str = "ledger", **words) -> Facility:
        told = {"dialect": "slurm", "user": place.slurm_user, "token": place.slurm_token, **words}
        told = {"directory": str(place.home), "name": "cluster", "poll_seconds": 0.03, **told}
        return Facility(told.pop("url", place.slurm_url), ledger=FileLedger(tmp_path / ledger), **told)

    yield opened
    place.clear_faults()


@pytest.fixture
def cluster(door: Callable[..., Facility]) -> Iterator[Facility]:
    cluster = door()
    yield cluster
    for ref in cluster.reservations.mine():
        cluster.reservations.release(ref, timeout=60)


@pytest.fixture
def key() -> JobKey:
    return JobKey.of("test", uuid.uuid4().hex)


def of(place: LocalFacility, key: JobKey) -> list[bool]:
    """Whether each reservation that there ever was of a key is still there."""
    return [not each["deleted"] for each in place.reservations() if key.names(each["name"])]


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def a_job(reservation_id: str, *command: str) -> JobSpec:
    attributes = JobAttributes(reservation_id=reservation_id, duration=600)
    return JobSpec(executable=command[0], arguments=list(command[1:]), attributes=attributes)


def test_a_reservation_from_its_beginning_to_its_end(place, cluster, key) -> None:
    offer = cluster.reservations.negotiate(WANTED)
    assert (offer.usable, offer.free) == (NODES, NODES)
    lease = cluster.reservations.provision(WANTED, key=key)
    assert (lease.active, lease.reservation.words[:7]) == (True, "1 node,")
    assert cluster.reservations.provision(WANTED, key=key).ref == lease.ref
    assert cluster.reservations.negotiate(WANTED).free == NODES - 1
    with pytest.raises(SpecChanged, match="give that back first"):
        cluster.reservations.provision(NodesIntent(2, 3600), key=key)
    assert cluster.reservations.wait(str(lease.ref)).reservation_id == lease.reservation_id
    assert list(cluster.reservations.mine()) == [lease.ref]
    assert [each.name for each in cluster.reservations.all()] == [lease.reservation_id]
    done = cluster.jobs.run(a_job(lease.reservation_id, "/bin/true"), timeout=60)
    (there,) = [each for each in place.reservations() if each["name"] == lease.reservation_id]
    assert [each["nodes"] for each in place.jobs() if each["id"] == done.ref.job_id] == [there["nodes"]]
    cluster.reservations.release(lease)
    assert (of(place, key), list(cluster.reservations.mine())) == ([False], [])
    assert cluster.reservations.status(lease).state is ReservationState.MISSING
    cluster.reservations.provision(WANTED, key=key)
    cluster.reservations.give_back(key)
    assert of(place, key) == [False, False]


def test_the_next_generation_takes_the_place_of_the_one_before(place, cluster, key) -> None:
    cluster.reservations.provision(WANTED, key=key)
    cluster.reservations.provision(NodesIntent(2, 3600), key=key.next())
    assert (of(place, key), of(place, key.next())) == ([False], [True])
    with pytest.raises(UsageError, match="in the past"):
        cluster.reservations.provision(WANTED, key=key)


def test_nodes_are_given_back_when_nothing_runs_there_any_more(place, cluster, key) -> None:
    with cluster.reservations.lease(WANTED, key=key) as lease:
        job = cluster.jobs.submit(a_job(lease.reservation_id, "/bin/sleep", "60"))
        until(lambda: cluster.jobs.status(job).state is JobState.ACTIVE)
        with pytest.raises(WaitTimeout, match="perhaps with jobs that run"):
            cluster.reservations.release(lease, timeout=0.2)
        assert of(place, key) == [True]
        cluster.jobs.cancel(job)
    assert of(place, key) == [False]


def test_whatever_happens_inside_they_are_given_back(place, cluster, key) -> None:
    async def used() -> None:
        async with cluster.aio.reservations.lease(WANTED, key=key.next()) as lease:
            assert lease.active
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), cluster.reservations.lease(WANTED, key=key):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        asyncio.run(used())
    assert (of(place, key), of(place, key.next())) == ([False], [False])


def test_what_is_over_or_gone_is_told(place, cluster, key) -> None:
    short = NodesIntent(1, 1)
    lease = cluster.reservations.provision(short, key=key)
    until(lambda: not cluster.reservations.status(lease).active)
    with pytest.raises(ReservationLost, match="Asked for again"):
        cluster.reservations.provision(short, key=key)
    assert list(cluster.reservations.mine()) == []
    with pytest.raises(ReservationLost):
        cluster.reservations.wait(lease)
    assert cluster.reservations.provision(WANTED, key=key).active
    assert len(of(place, key)) == 2


def test_one_that_was_asked_for_with_another_ledger(place, cluster, door, key, tmp_path) -> None:
    """It is taken up as it stands, unless it is less than what is wanted."""
    lease = cluster.reservations.provision(WANTED, key=key)
    other = door("another ledger")
    for wrong in (replace(WANTED, nodes=2), replace(WANTED, queue="debug")):
        with pytest.raises(SpecChanged, match="is another one"):
            other.reservations.provision(wrong, key=key)
    assert other.reservations.provision(WANTED, key=key).reservation_id == lease.reservation_id
    assert of(place, key) == [True]
    record = asyncio.run(FileLedger(tmp_path / "another ledger").read(key))
    assert record is not None
    assert lease.reservation.end is not None
    assert record.until == lease.reservation.end.timestamp()


def test_one_for_later(place, cluster, key) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    lease = cluster.reservations.provision(NodesIntent(NODES, 60, start=later, queue="regular"), key=key)
    assert lease.state is ReservationState.SCHEDULED
    with pytest.raises(WaitTimeout, match="has not begun"):
        cluster.reservations.wait(lease, timeout=0.1)
    assert cluster.reservations.negotiate(WANTED).free == NODES


def test_refused(place, cluster, door, key) -> None:
    for wrong in (NodesIntent(NODES + 1, 60), NodesIntent(1, 60, queue="nope")):
        with pytest.raises(Refused):
            cluster.reservations.provision(wrong, key=key)
    assert of(place, key) == []
    assert cluster.reservations.provision(WANTED, key=key).active  # nothing of it had left
    limited = door(grant=Grant(nodes=1, verbs=["lease"]))
    with pytest.raises(GrantExceeded, match="2 nodes"):
        limited.reservations.provision(NodesIntent(2, 60), key=key.next())
    assert of(place, key.next()) == []


@pytest.mark.parametrize("kind", ["iri", "s3m", "superfacility", "firecrest"])
def test_who_reserves_none_says_so(place, door, kind) -> None:
    words = {
        "iri": {"url": place.base_url, "dialect": "iri", "token": place.token},
        "s3m": {"url": place.s3m_url, "site": "s3m", "token": place.s3m_token},
        "superfacility": {"url": place.superfacility_url, "dialect": "superfacility", "token": place.token},
        "firecrest": {"url": place.firecrest_url, "dialect": "firecrest", "token": place.token},
    }
    with pytest.raises(NotOffered, match="reserves no nodes over its API"):
        door(**words[kind]).reservations.all()
