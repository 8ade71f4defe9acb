"""Clusters of message brokers at S3M's face: one for each key, reached by whoever asked, gone at the end."""

from __future__ import annotations

import asyncio
import pickle
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from misbehaving_relay import Relay, lose, page, told, unseen

from iri_common import (
    Conflict,
    Facility,
    FileLedger,
    GrantExceeded,
    JobKey,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    SpecChanged,
    Stage,
    StreamIntent,
    StreamLost,
    StreamState,
    SubmitUncertain,
    UsageError,
    WaitTimeout,
)
from iri_local_facility import LocalFacility

SETUP = 0.3
PROVISION, LOOK, RELEASE = "^POST .*/provision_cluster", "^GET .*/cluster/", "^DELETE .*/cluster/"
WANTED = StreamIntent("rabbitmq", settings={"cpus": 1}, name="scan")


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(stream_setup=SETUP) as running:
        yield running


@pytest.fixture
def relay(place: LocalFacility) -> Iterator[Relay]:
    place.reset_requests()
    with Relay(place.s3m_url) as between:
        yield between
    place.clear_faults()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "iri" / "streams"


@pytest.fixture
def door(place: LocalFacility, relay: Relay, tmp_path: Path) -> Callable[..., Facility]:
    def opened(ledger: str = "ledger", **words) -> Facility:
        told = {"dialect": "slurm", "site": "s3m", "token": place.new_s3m_token("demo"), **words}
        return Facility(
            relay.base_url, name="mesh", poll_seconds=0.03, ledger=FileLedger(tmp_path / ledger), **told
        )

    return opened


@pytest.fixture
def mesh(door: Callable[..., Facility]) -> Facility:
    return door()


@pytest.fixture
def key() -> JobKey:
    return JobKey.of("test", uuid.uuid4().hex)


def of(place: LocalFacility, key: JobKey) -> list[bool]:
    """Whether each cluster that there ever was of a key is still there."""
    name = WANTED.cluster_name(key)
    return [not each["released"] for each in place.clusters() if each["name"] == name]


def test_a_lease_from_its_beginning_to_its_end(place, mesh, key, state) -> None:
    words: list[str] = []
    lease = mesh.streams.provision(WANTED, key=key)
    assert not lease.up
    up = mesh.streams.wait(str(lease.ref), on_change=lambda cluster: words.append(cluster.words))
    assert (up.up, up.cluster.settings["cpus"]) == (True, 1)
    assert words == ["OutOfSync, Progressing", "Synced, Healthy"]
    access = mesh.streams.access(up)
    assert access.urls["amqps"].startswith(f"amqps://{access.user}:")
    assert mesh.streams.provision(WANTED, key=key).ref == lease.ref
    with pytest.raises(SpecChanged, match="give that back first"):
        mesh.streams.provision(StreamIntent("redis"), key=key)
    assert [each.ref for each in [up]] == list(mesh.streams.mine())
    assert up.name in [each.name for each in mesh.streams.clusters()]
    assert mesh.streams.extend(up).cluster.seconds_left == pytest.approx(7 * 86400, abs=60)
    assert [stat.S_IMODE(each.stat().st_mode) for each in state.iterdir()] == [0o600]
    mesh.streams.release(up)
    assert (of(place, key), list(state.iterdir())) == ([False], [])
    assert mesh.streams.status(up).cluster.state is StreamState.MISSING
    with pytest.raises(NotFound):
        mesh.streams.access(up)
    mesh.streams.provision(WANTED, key=key)
    mesh.streams.give_back(key)
    assert of(place, key) == [False, False]


def test_the_secret_is_shown_to_nobody(place, mesh, key, caplog) -> None:
    with mesh.streams.lease(WANTED, key=key) as access:
        (record,) = asyncio.run(mesh.streams._service.ledger.records())
        lease = mesh.streams.status(record.ref)
        for shown in (repr(access), repr(lease), str(record), caplog.text):
            assert access.password not in shown
        with pytest.raises(TypeError, match="secrets are kept"):
            pickle.dumps(access)
    assert of(place, key) == [False]


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt])
def test_a_lease_is_given_back_whatever_happens(place, mesh, key, ending) -> None:
    with pytest.raises(ending, match="mine"), mesh.streams.lease(WANTED, key=key):
        raise ending("mine")
    assert of(place, key) == [False]


async def test_a_task_that_is_cancelled_gives_its_lease_back(place, mesh, key) -> None:
    up = asyncio.Event()

    async def use() -> None:
        async with mesh.aio.streams.lease(WANTED, key=key):
            up.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(use())
    await asyncio.wait_for(up.wait(), 30)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert of(place, key) == [False]


async def test_a_crowd_with_one_key_has_one_cluster(place, mesh, key) -> None:
    leases = await asyncio.gather(*(mesh.aio.streams.provision(WANTED, key=key) for _ in range(8)))
    accesses = await asyncio.gather(*(mesh.aio.streams.access(each) for each in leases))
    assert len({each.password for each in accesses}) == 1
    assert of(place, key) == [True]
    await mesh.aio.streams.give_back(key)


# ------------------------------------------------------------------------------------------ lost replies


@pytest.mark.parametrize(
    ("faults", "clusters"),
    [
        ([lose(PROVISION)], 2),
        ([unseen(PROVISION)], 1),
        ([page(PROVISION, 504)], 2),
        ([lose(PROVISION), page(LOOK, 502), lose(RELEASE)], 2),
        ([told(PROVISION, {"username": "u"})], 2),
        ([unseen(PROVISION, times=2)], 1),
    ],
    ids=["lost", "unseen", "gateway", "lost and away", "half an answer", "unseen twice"],
)
def test_one_that_nobody_can_reach_is_replaced(place, mesh, relay, key, faults, clusters) -> None:
    relay.faults += faults
    lease = mesh.streams.wait(mesh.streams.provision(WANTED, key=key))
    assert of(place, key) == [False] * (clusters - 1) + [True]
    assert mesh.streams.access(lease).password
    mesh.streams.give_back(key)


def test_a_facility_that_tells_them_again_is_believed(place, mesh, relay, key) -> None:
    name = WANTED.cluster_name(key)
    secrets = {"username": "u", "password": "told again", "redisUrl": "rediss://u:told@there"}
    cluster = {"name": name, "kind": "general", "syncStatus": "Synced", "healthStatus": "Healthy"}
    relay.faults.append(lose(PROVISION))
    seen = told(LOOK, {"cluster": cluster | secrets}, times=3)
    relay.on_request = lambda line: relay.faults.append(seen) if re.match(PROVISION, line) else None
    lease = mesh.streams.provision(WANTED, key=key)
    assert mesh.streams.access(lease).urls == {"redis": "rediss://u:told@there"}
    assert of(place, key) == [True], "it is good: nobody has to set up another"
    mesh.streams.give_back(key)


def test_one_that_never_comes_is_uncertain_and_settled_later(place, mesh, relay, key) -> None:
    relay.faults.append(unseen(PROVISION, times=6))
    with pytest.raises(SubmitUncertain, match="nothing comes of it") as caught:
        mesh.streams.provision(WANTED, key=key)
    assert caught.value.candidates == (WANTED.cluster_name(key),)
    mesh.streams.provision(WANTED, key=key)
    assert of(place, key) == [True]
    mesh.streams.give_back(key)


def test_what_another_ledger_asked_for_is_not_taken_away(place, door, mesh, key) -> None:
    theirs = mesh.streams.provision(WANTED, key=key)
    with pytest.raises(Conflict, match="told to whoever asked for it") as caught:
        door("another ledger").streams.provision(WANTED, key=key)
    assert str(theirs.ref) in str(caught.value).replace("&profile=mesh", "")
    assert of(place, key) == [True]
    door("another ledger").streams.release(theirs)
    with pytest.raises(StreamLost, match="Asked for again"):
        mesh.streams.provision(WANTED, key=key)
    mesh.streams.provision(WANTED, key=key)
    assert of(place, key) == [False, True]
    mesh.streams.give_back(key)


def test_what_is_refused_leaves_its_key_free(place, mesh, door, key) -> None:
    with pytest.raises(Refused, match="cpus"):
        mesh.streams.provision(StreamIntent("rabbitmq", settings={"cpus": 99}, name="scan"), key=key)
    with pytest.raises(NotOffered, match="engines: rabbitmq, redis"):
        mesh.streams.provision(StreamIntent("kafka"), key=key)
    weak = door(token=place.new_s3m_token("demo", ["compute-ace"]))
    with pytest.raises(PermissionDenied, match="data-streaming"):
        weak.streams.provision(WANTED, key=key)
    mesh.streams.provision(WANTED, key=key)
    mesh.streams.give_back(key)
    assert of(place, key) == [False]


def test_a_wait_ends_with_the_cluster_or_its_limit(place, mesh, relay, key) -> None:
    lease = mesh.streams.provision(WANTED, key=key)
    with pytest.raises(WaitTimeout, match="OutOfSync, Progressing"):
        mesh.streams.wait(lease, timeout=0.05)
    pondering = {"name": lease.name, "syncStatus": "Pondering", "healthStatus": "Healthy"}
    relay.faults.append(told(LOOK, {"cluster": pondering}, times=3))
    assert mesh.streams.wait(lease).up
    mesh.streams.release(lease)
    with pytest.raises(StreamLost, match="not there any more"):
        mesh.streams.wait(lease)


def test_the_next_generation_releases_the_one_before(place, mesh, key) -> None:
    mesh.streams.provision(WANTED, key=key)
    later = mesh.streams.provision(WANTED, key=key.next())
    assert of(place, key) == [False]
    with pytest.raises(UsageError, match="in the past"):
        mesh.streams.provision(WANTED, key=key)
    mesh.streams.give_back(later.ref.key)


def test_what_has_no_brokers_says_where_they_are(place, mesh, key) -> None:
    with pytest.raises(NotOffered, match='site = "s3m"'):
        Facility(place.base_url, token=place.token).streams.backends()
    with pytest.raises(UsageError, match="20 lower-case letters"):
        StreamIntent("redis", name="Not A Name")
    with pytest.raises(UsageError, match="names no cluster"):
        mesh.streams.status(f"iri+job://{mesh.url.removeprefix('http://')}/slurm/cluster/a.1?job=4")
    assert mesh.grades.settle == "lookup"


def test_a_record_that_has_left_for_the_facility_tells_no_secret(mesh, key, tmp_path) -> None:
    mesh.streams.provision(WANTED, key=key)
    password = mesh.streams.access(next(iter(mesh.streams.mine()))).password
    (kept,) = (tmp_path / "ledger").glob("*.json")
    assert Stage.ACCEPTED in kept.read_text()
    assert password not in kept.read_text()
    mesh.streams.give_back(key)


def test_a_grant_limits_what_a_cluster_is_made_of(door: Callable[..., Facility], key: JobKey, place) -> None:
    streams = door(grant={"stream_settings": ["cpus=2"]}).streams
    for wanted in (StreamIntent("rabbitmq", settings={"cpus": 3}), StreamIntent("rabbitmq")):
        with pytest.raises(GrantExceeded, match="allowed: cpus up to 2"):
            streams.provision(wanted, key=key)
    assert place.requests("s3mProvision") == []
    streams.provision(WANTED, key=key)
    streams.give_back(key)
    assert len(place.requests("s3mProvision")) == 1
