"""A path and nodes together, at SENSE's and slurmrestd's faces: both or neither, and nothing is left."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from iri_common import (
    Conflict,
    Facility,
    FileLedger,
    GrantExceeded,
    JobAttributes,
    JobKey,
    JobRef,
    JobSpec,
    NodesIntent,
    PathAndNodes,
    PathAndNodesIntent,
    PathEnd,
    PathFailed,
    PathIntent,
    Refused,
    SpecChanged,
    UsageError,
    WaitTimeout,
)
from iri_common.jobs.ledger import claim_owner
from iri_common.model.pathandnodes import nodes_key, path_key
from iri_local_facility import LocalFacility

NODES = 4


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=NODES, sense_step=0.02) as running:
        yield running


@pytest.fixture
def doors(place: LocalFacility, tmp_path: Path) -> Callable[[], tuple[Facility, Facility]]:
    def opened() -> tuple[Facility, Facility]:
        words = {"ledger": FileLedger(tmp_path), "poll_seconds": 0.03}
        net = Facility(place.sense_url, dialect="sense", name="net", token=place.token, **words)
        slurm = {"dialect": "slurm", "user": place.slurm_user, "token": place.slurm_token}
        return net, Facility(place.slurm_url, name="cluster", directory=str(place.home), **slurm, **words)

    return opened


@pytest.fixture
def both(place: LocalFacility, doors, tmp_path: Path) -> Iterator[PathAndNodes]:
    both = PathAndNodes(*doors(), ledger=FileLedger(tmp_path))
    yield both
    place.clear_faults()
    for key in both.mine():
        both.release(key, timeout=60)


@pytest.fixture
def key() -> JobKey:
    return JobKey.of("test", uuid.uuid4().hex)


@pytest.fixture
def path(place: LocalFacility) -> PathIntent:
    return PathIntent([PathEnd(each) for each in place.sense_ports[:2]], mbps=100)


@pytest.fixture
def wanted(path: PathIntent) -> PathAndNodesIntent:
    return PathAndNodesIntent(path, NodesIntent(2, 3600))


def paths(place: LocalFacility, key: JobKey) -> list[bool]:
    """Whether each path that there ever was of a key is still there."""
    return [not each["deleted"] for each in place.paths() if path_key(key).names(each["alias"])]


def nodes(place: LocalFacility, key: JobKey) -> list[bool]:
    """Likewise of its reservations."""
    return [not each["deleted"] for each in place.reservations() if nodes_key(key).names(each["name"])]


def test_no_nodes_for_a_path_that_its_grant_does_not_allow(place, doors, wanted, key, tmp_path) -> None:
    _, cluster = doors()
    words = {"dialect": "sense", "token": place.token, "grant": {"mbps": 99}}
    both = PathAndNodes(Facility(place.sense_url, **words), cluster, ledger=FileLedger(tmp_path))
    with pytest.raises(GrantExceeded, match="100 Mbit/s"):
        both.set_up(wanted, key=key)
    assert (paths(place, key), nodes(place, key)) == ([], [])


def test_both_from_their_beginning_to_their_end(place, both, doors, wanted, key) -> None:
    offer = both.negotiate(wanted)
    assert (offer.path.mbps is not None, offer.nodes.free) == (True, NODES)
    assert both.status(key).state == "none"
    seen: list[str] = []
    ready = both.set_up(wanted, key=key, on_change=lambda status: seen.append(status.words))
    assert (ready.ready, ready.state, seen[-1]) == (True, "ready", "CREATE - READY, STABLE")
    assert both.set_up(wanted, key=key).reservation_id == ready.reservation_id
    there = JobAttributes(duration=60, reservation_id=ready.reservation_id)
    done = doors()[1].jobs.run(JobSpec(executable="/bin/true", attributes=there), timeout=60)
    kept = next(each["nodes"] for each in place.reservations() if each["name"] == ready.reservation_id)
    assert next(each["nodes"][0] for each in place.jobs() if each["id"] == done.ref.job_id) in kept
    assert (both.mine(), both.status(key).ready) == ([key], True)
    both.release(key)
    assert (paths(place, key), nodes(place, key), both.mine()) == ([False], [False], [])
    both.release(key)  # there is nothing of it, which is fine


def test_a_path_that_fails_gives_the_nodes_back(place, both, wanted, key) -> None:
    place.order("path_fails", "senseProvision")
    with pytest.raises(PathFailed):
        both.set_up(wanted, key=key)
    assert (nodes(place, key), both.mine()) == ([False], [])


def test_a_path_that_cannot_be_gives_the_nodes_back(place, both, path, key) -> None:
    wide = PathIntent(path.ends, mbps=900_000)
    with pytest.raises(Refused, match="feasible path"):
        both.set_up(PathAndNodesIntent(wide, NodesIntent(1, 60)), key=key)
    with pytest.raises(UsageError, match="needs mbps"):
        both.set_up(PathAndNodesIntent(PathIntent(path.ends), NodesIntent(1, 60)), key=key)
    assert (nodes(place, key), both.mine()) == ([False, False], [])


def test_nodes_that_are_not_there_leave_the_network_alone(place, both, path, key) -> None:
    place.reset_requests()
    with pytest.raises(Refused, match="not available"):
        both.set_up(PathAndNodesIntent(path, NodesIntent(NODES + 1, 60)), key=key)
    assert [each["operation"] for each in place.requests() if each["operation"].startswith("sense")] == []
    assert (nodes(place, key), both.mine()) == ([], [])


def test_a_conflict_that_the_network_tells_gives_the_nodes_back(place, both, wanted, key) -> None:
    place.order("status", "senseCompute", status=409)
    with pytest.raises(Conflict):
        both.set_up(wanted, key=key)
    assert (nodes(place, key), both.mine()) == ([False], [])


def test_no_nodes_are_kept_for_a_path_that_cannot_be_had(place, both, wanted, key) -> None:
    """The end of the one before failed, and the key stands for what it may hold."""
    both.set_up(wanted, key=key)
    place.order("path_fails", "senseCancel")
    with pytest.raises(PathFailed):
        both.release(key)
    wider = PathAndNodesIntent(replace(wanted.path, mbps=200), wanted.nodes)
    with pytest.raises(SpecChanged):
        both.set_up(wider, key=key)
    assert (paths(place, key), nodes(place, key)) == ([True], [False])
    asyncio.run(both._service._ledger.forget(path_key(key)))  # a person has freed it


def test_what_another_process_is_setting_up_is_left_to_it(place, both, doors, wanted, key, tmp_path) -> None:
    ledger, other = FileLedger(tmp_path), claim_owner()
    doors()[1].reservations.provision(wanted.nodes, key=nodes_key(key))
    assert asyncio.run(ledger.claim(path_key(key), other, 600))
    with pytest.MonkeyPatch.context() as patience:
        patience.setattr("iri_common.jobs.claim.CLAIM_SECONDS", 0.2)
        with pytest.raises(WaitTimeout, match="another process"):
            both.set_up(wanted, key=key)
    asyncio.run(ledger.release(path_key(key), other))
    assert nodes(place, key) == [True]
    assert both.set_up(wanted, key=key).ready
    assert nodes(place, key) == [True]


def test_one_that_is_late_is_given_back(place, both, wanted, key) -> None:
    place.order("path_slow", "senseProvision", seconds=0.5)
    with pytest.raises(WaitTimeout, match="is not up"):
        both.set_up(wanted, key=key, timeout=0.5)
    assert nodes(place, key) == [False]
    both.release(key)  # its end is slow as well
    assert (paths(place, key), both.mine()) == ([False], [])


def test_what_stands_under_the_key_is_not_touched_by_another_wish(place, both, wanted, key) -> None:
    both.set_up(wanted, key=key)
    wider = PathAndNodesIntent(PathIntent(wanted.path.ends, mbps=200), wanted.nodes)
    more = PathAndNodesIntent(wanted.path, NodesIntent(3, 3600))
    for other in (wider, more):
        with pytest.raises(SpecChanged):
            both.set_up(other, key=key)
        with pytest.raises(SpecChanged), both.lease(other, key=key):
            raise AssertionError("it was given")
    assert both.status(key).ready
    assert (paths(place, key), nodes(place, key)) == ([True], [True])


def test_nodes_of_another_cluster_keep_their_path(place, both, wanted, key, tmp_path) -> None:
    """Whoever names the wrong cluster would take the path from under the jobs at the right one."""
    both.set_up(wanted, key=key)
    ledger = FileLedger(tmp_path)
    here = asyncio.run(ledger.read(nodes_key(key)))
    assert here is not None
    there = replace(here, ref=str(replace(JobRef.parse(here.ref), origin="elsewhere.example")))
    asyncio.run(ledger.write(there))
    for again in (lambda: both.set_up(wanted, key=key), lambda: both.release(key)):
        with pytest.raises(SpecChanged, match=r"elsewhere\.example"):
            again()
    assert both.mine() == []  # neither of two doors is enough to give it back
    assert (paths(place, key), nodes(place, key)) == ([True], [True])
    asyncio.run(ledger.write(here))
    both.release(key)
    assert (paths(place, key), nodes(place, key)) == ([False], [False])


def test_a_lease_is_given_back_whatever_happens(place, both, wanted, key) -> None:
    async def used() -> None:
        async with both.aio.lease(wanted, key=key.next()) as lease:
            assert lease.ready
            raise SpecChanged("of a job")

    with both.lease(wanted, key=key) as lease:
        assert lease.reservation_id
    with pytest.raises(SpecChanged, match="of a job"):
        asyncio.run(used())
    for each in (key, key.next()):
        assert (paths(place, each), nodes(place, each)) == ([False], [False])


def test_a_lease_whose_time_is_over_is_given_back_by_whoever_looks(
    place, both, wanted, key, tmp_path
) -> None:
    both.set_up(wanted, key=key)
    ledger, name = FileLedger(tmp_path), both.status(key).reservation_id
    kept = httpx.delete(
        f"{place.slurm_url}/slurm/v0.0.44/reservation/{name}",
        headers={"X-SLURM-USER-NAME": place.slurm_user, "X-SLURM-USER-TOKEN": place.slurm_token},
        trust_env=False,
    )
    assert kept.status_code == 200
    assert (both.status(key).state, paths(place, key)) == ("pending", [True])  # somebody else's doing
    record = asyncio.run(ledger.read(nodes_key(key)))
    assert record is not None
    assert record.until == pytest.approx(record.written_at + 3600, abs=60)
    asyncio.run(ledger.write(replace(record, until=1.0)))
    found = both.status(key)
    assert (found.state, found.ready) == ("over", False)
    assert (paths(place, key), both.mine(), both.status(key).state) == ([False], [], "none")


def test_the_path_ends_by_itself_when_the_nodes_do(path: PathIntent) -> None:
    assert PathAndNodesIntent(path, NodesIntent(1, 3601)).bounded_path.end == "+2h"
    own = PathIntent(path.ends, mbps=1, end="+5h")
    assert PathAndNodesIntent(own, NodesIntent(1, 60)).bounded_path is own
    described = PathIntent(profile="coast-to-coast")
    assert PathAndNodesIntent(described, NodesIntent(1, 60)).bounded_path is described
    tomorrow = NodesIntent(1, 60, start=datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(UsageError, match="a path for later"):
        PathAndNodesIntent(path, tomorrow)
    later = PathIntent(path.ends, mbps=1, start="+1d", end="+2d")
    assert PathAndNodesIntent(later, tomorrow).bounded_path is later
