"""Paths through the SENSE face: asked for once each is there once, and nothing is left of it at the end."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sense_world
from misbehaving_relay import Fault, Relay, http, lose, page, unseen
from sense_world import intent

from iri_common import (
    Facility,
    Grant,
    GrantExceeded,
    JobKey,
    LeaseState,
    NotFound,
    NotOffered,
    PathFailed,
    PathIntent,
    Quality,
    Refused,
    SpecChanged,
    SubmitUncertain,
    UsageError,
    WaitTimeout,
)
from iri_common.auth.password import PasswordGrant
from iri_common.model.errors import AuthError, Conflict
from iri_local_facility import LocalFacility

STEP = 0.04
PROVISION, CANCEL, DELETE = "^PUT .*/provision", "^PUT .*/cancel", "^PUT .*/delete"
MODIFY = "^POST .*/modify"


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(sense_step=STEP) as running:
        yield running


@pytest.fixture
def relay(place: LocalFacility) -> Iterator[Relay]:
    place.reset_requests()
    with Relay(place.sense_url) as between:
        yield between
    place.clear_faults()


@pytest.fixture
def net(place: LocalFacility, relay: Relay, tmp_path: Path) -> Facility:
    return sense_world.door(relay.base_url, place.new_token(), str(tmp_path))


@pytest.fixture
def key() -> JobKey:
    return JobKey.of("test", uuid.uuid4().hex)


@pytest.fixture
def wanted(place: LocalFacility) -> PathIntent:
    return intent(place.sense_ports)


def of(place: LocalFacility, key: JobKey, name: str = "flow") -> list[dict]:
    """What there ever was of a key at the facility."""
    return [each for each in place.paths() if each["alias"] == key.job_name(name)]


def the_only(place: LocalFacility, key: JobKey) -> dict:
    """The one path of a key, which was provisioned once."""
    [path] = of(place, key)
    assert path["asked"]["provision"] == 1, path
    return path


def nothing_left(place: LocalFacility, key: JobKey) -> bool:
    return all(each["deleted"] and each["clean"] and not each["left"] for each in of(place, key))


def test_negotiating_reserves_nothing_and_leaves_nothing(place, net) -> None:
    before, ports = len(place.paths()), place.sense_ports[2:]  # which nobody else here uses
    offer = net.networks.negotiate(intent(ports, mbps=0))
    assert offer.mbps == 10_000
    with pytest.raises(Refused, match="feasible path"):
        net.networks.negotiate(intent(ports, mbps=10_001))
    computed = place.paths()[before:]
    assert len(computed) == 2
    assert all(each["deleted"] and not each["asked"] for each in computed)


def test_a_lease_from_its_beginning_to_its_end(place, net, relay, wanted, key) -> None:
    states: list[LeaseState] = []
    path = net.networks.provision(wanted, key=key)
    path = net.networks.wait(str(path.ref), on_change=lambda status: states.append(status.state))
    assert path.up
    assert states[-1] is LeaseState.UP
    assert set(states[:-1]) <= {LeaseState.PENDING}
    assert net.networks.verify(path).whole
    assert net.networks.provision(wanted, key=key).ref == path.ref
    with pytest.raises(SpecChanged, match="used for something else"):
        net.networks.provision(intent(place.sense_ports, mbps=7), key=key)
    with pytest.raises(Conflict, match="cancel it"):
        net.networks.delete(path)
    assert relay.asked(DELETE) == 0
    assert net.networks.cancel(path).status.state is LeaseState.ENDED
    net.networks.delete(path)
    assert net.networks.status(path).status.state is LeaseState.MISSING
    assert the_only(place, key)["clean"]
    again = net.networks.provision(wanted, key=key)
    assert again.id != path.id, "what was given back can be asked for again"
    net.networks.give_back(key)
    assert nothing_left(place, key)


def test_a_path_that_is_refused_leaves_nothing_and_its_key_free(place, net, wanted, key) -> None:
    with pytest.raises(Refused, match="feasible path"):
        net.networks.provision(intent(place.sense_ports, mbps=200_000), key=key)
    assert [each["deleted"] for each in of(place, key)] == [True]
    assert net.networks.wait(net.networks.provision(wanted, key=key)).up
    net.networks.give_back(key)


def test_ready_alone_is_no_success(place, net, wanted, key) -> None:
    place.order("path_unstable", "senseProvision", job=key.job_name("flow"))
    path = net.networks.provision(wanted, key=key)
    with pytest.raises(WaitTimeout, match="READY, UNSTABLE"):
        net.networks.wait(path, timeout=8 * STEP)
    assert not net.networks.verify(path).whole
    assert the_only(place, key)["state"] == "CREATE - READY", "a limit of a wait leaves it alone"
    net.networks.give_back(key)
    assert nothing_left(place, key)


def test_a_failure_is_told_apart_and_given_back_by_force(place, net, relay, wanted, key) -> None:
    place.order("path_fails", "senseProvision", job=key.job_name("flow"))
    path = net.networks.provision(wanted, key=key)
    with pytest.raises(PathFailed, match="CREATE - FAILED") as caught:
        net.networks.wait(path)
    assert caught.value.path.id == path.id
    net.networks.give_back(key)
    assert relay.asked(f"{CANCEL}.*force=true") == 1
    assert nothing_left(place, key)


def test_an_end_that_failed_needs_a_person(place, net, relay, wanted, key) -> None:
    path = net.networks.wait(net.networks.provision(wanted, key=key))
    place.order("path_fails", "senseCancel")
    with pytest.raises(PathFailed, match="ask those who run"):
        net.networks.cancel(path)
    assert relay.asked(CANCEL) == 1
    assert not the_only(place, key)["deleted"]


def test_an_early_cancel_ready_is_waited_out(place, net, wanted, key) -> None:
    place.order("path_unclean", "senseCancel", seconds=5 * STEP)
    with net.networks.lease(wanted, key=key):
        pass
    assert nothing_left(place, key), "deleted before the sites were clean"


def test_slow_phases_and_a_limit(place, net, wanted, key) -> None:
    place.order("path_slow", "senseProvision", seconds=30)
    path = net.networks.provision(wanted, key=key)
    with pytest.raises(WaitTimeout, match="PROPAGATED"):
        net.networks.wait(path, timeout=3 * STEP)
    net.networks.give_back(key)
    assert nothing_left(place, key)


@pytest.mark.parametrize(
    "faults",
    [
        [lose(PROVISION)],
        [unseen(PROVISION)],
        [lose(PROVISION), page("^GET .*/instance/", 502)],
        [page(PROVISION, 504)],
        [unseen(PROVISION), unseen(PROVISION)],
        [lose("^POST .*/instance/")],
        [lose("^GET .*/instance$")],
        [lose("^GET .*/instance/", times=2)],
    ],
    ids=["lost", "unseen", "lost and away", "gateway", "unseen twice", "compute", "new", "looks"],
)
def test_lost_replies(place, net, relay, wanted, key, faults) -> None:
    relay.faults += faults
    assert net.networks.wait(net.networks.provision(wanted, key=key)).up
    the_only(place, key)
    net.networks.give_back(key)


def test_one_that_never_takes_is_uncertain_and_settled_later(place, net, relay, wanted, key) -> None:
    relay.faults.append(unseen(PROVISION, times=4))
    with pytest.raises(SubmitUncertain, match="asked for 4 times") as caught:
        net.networks.provision(wanted, key=key)
    assert [each["id"] for each in of(place, key)] == list(caught.value.candidates)
    assert net.networks.wait(net.networks.provision(wanted, key=key)).up
    the_only(place, key)
    net.networks.give_back(key)


@pytest.mark.parametrize("fault", [lose(CANCEL), unseen(CANCEL), lose(DELETE), page(CANCEL, 502)])
def test_giving_back_over_lost_replies(place, net, relay, wanted, key, fault) -> None:
    relay.faults.append(fault)
    with net.networks.lease(wanted, key=key) as path:
        assert path.up
    assert the_only(place, key)["asked"]["cancel"] == 1
    assert nothing_left(place, key)


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_lease_is_given_back_whatever_happens(place, net, wanted, key, ending) -> None:
    with pytest.raises(ending, match="mine"), net.networks.lease(wanted, key=key):
        raise ending("mine")
    assert nothing_left(place, key)


def test_what_goes_wrong_at_the_end_does_not_hide_why(place, net, wanted, key, caplog) -> None:
    place.order("path_fails", "senseCancel")
    with pytest.raises(ValueError, match="mine"), net.networks.lease(wanted, key=key):
        raise ValueError("mine")
    assert "could not be given back" in caplog.text


def test_a_lease_that_does_not_come_up_is_given_back(place, net, wanted, key) -> None:
    place.order("path_fails", "senseProvision", job=key.job_name("flow"))
    with pytest.raises(PathFailed), net.networks.lease(wanted, key=key):
        pytest.fail("it never came up")
    assert nothing_left(place, key)


async def test_a_task_that_is_cancelled_gives_its_lease_back(place, net, wanted, key) -> None:
    up = asyncio.Event()

    async def use() -> None:
        async with net.aio.networks.lease(wanted, key=key):
            up.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(use())
    await asyncio.wait_for(up.wait(), 30)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert nothing_left(place, key)


async def test_a_crowd_with_one_key_has_one_path(place, net, wanted, key) -> None:
    paths = await asyncio.gather(*(net.aio.networks.provision(wanted, key=key) for _ in range(8)))
    assert len({path.id for path in paths}) == 1
    the_only(place, key)
    await net.aio.networks.give_back(key)


def test_the_next_generation_gives_the_one_before_back(place, net, wanted, key) -> None:
    net.networks.provision(wanted, key=key)
    later = net.networks.provision(wanted, key=key.next())
    assert nothing_left(place, key)
    with pytest.raises(UsageError, match="in the past"):
        net.networks.provision(wanted, key=key)
    net.networks.give_back(later.ref.key)


def test_a_path_becomes_another_one(place, net, relay, wanted, key) -> None:
    path = net.networks.wait(net.networks.provision(wanted, key=key))
    more = intent(place.sense_ports, mbps=200)
    changed = net.networks.wait(net.networks.modify(path, more))
    assert (changed.id, changed.status.words) == (path.id, "MODIFY - READY, STABLE")
    assert net.networks.provision(more, key=key).ref == path.ref, "the key is for what it is now"
    net.networks.modify(path, more)
    with pytest.raises(SpecChanged):
        net.networks.provision(wanted, key=key)
    with pytest.raises(Refused, match="feasible path"):
        net.networks.modify(path, intent(place.sense_ports, mbps=200_000))
    assert net.networks.wait(path).up, "what cannot be has changed nothing"
    assert the_only(place, key)["asked"]["modify"] == 1
    assert list(net.networks.mine()) == [path.ref]
    net.networks.give_back(key)
    with pytest.raises(PathFailed):
        net.networks.modify(path, more)


@pytest.mark.parametrize(
    "faults",
    [
        [lose(MODIFY)],
        [unseen(MODIFY)],
        [page(MODIFY, 504), page("^GET .*/instance/", 502)],
        [Fault(MODIFY, reply=http(200, b'{"serv', "application/json"))],
    ],
    ids=["lost", "unseen", "gateway", "cut"],
)
def test_a_change_whose_answer_is_lost_is_made_once(place, net, relay, wanted, key, faults) -> None:
    path = net.networks.wait(net.networks.provision(wanted, key=key))
    relay.faults += faults
    assert net.networks.wait(net.networks.modify(path, intent(place.sense_ports, mbps=200))).up
    assert the_only(place, key)["asked"]["modify"] == 1
    net.networks.give_back(key)


def test_a_manifest_tells_ports_and_vlans(place, net, wanted, key) -> None:
    path = net.networks.provision(wanted, key=key)
    ports = net.networks.manifest(net.networks.wait(path))
    assert [each.uri for each in ports] == place.sense_ports[:2]
    assert all(3600 <= int(each.vlan) < 3700 for each in ports)
    assert [(each.node, each.ipv4) for each in ports] == [("ESnet", "")] * 2
    net.networks.give_back(key)
    with pytest.raises(NotFound):
        net.networks.manifest(path)


def test_a_path_that_somebody_deleted_is_told(place, net, wanted, key) -> None:
    path = net.networks.wait(net.networks.provision(wanted, key=key))
    place.order("missing", "senseInstance", job=path.id)
    with pytest.raises(PathFailed, match="not there any more"):
        net.networks.wait(path)
    with pytest.raises(PathFailed, match="Asked for again"):
        net.networks.provision(wanted, key=key)


def test_a_path_that_shows_late_is_waited_for(place, net, wanted, key) -> None:
    place.order("missing", "senseInstance", job=key.job_name("flow"), times=2)
    assert net.networks.wait(net.networks.provision(wanted, key=key)).up
    the_only(place, key)
    net.networks.give_back(key)


def test_a_word_that_is_not_known_never_ends_a_wait(place, net, wanted, key) -> None:
    path = net.networks.provision(wanted, key=key)
    place.order("unknown_state", "senseInstance", job=path.id, word="PONDERING", times=3)
    assert net.networks.wait(path).up
    net.networks.give_back(key)


def test_a_password_is_all_that_is_needed(place, tmp_path, wanted) -> None:
    def door(password: str, user: str) -> Facility:
        grant = PasswordGrant(
            place.sense_token_url,
            place.sense_client,
            place.sense_user,
            lambda: password,
            lambda: place.client_secret,
        )
        return Facility(place.sense_url, token=grant, dialect="sense", user=user)

    assert door(place.sense_password, "alice").accounts.whoami() == "alice"
    with pytest.raises(AuthError):
        door("guess", "nobody").networks.negotiate(wanted)


def test_a_token_that_is_refused_is_renewed_before_an_act_is_sent_again(place, tmp_path, wanted, key) -> None:
    grant = PasswordGrant(
        place.sense_token_url,
        place.sense_client,
        place.sense_user,
        lambda: place.sense_password,
        lambda: place.client_secret,
    )
    net = sense_world.door(place.sense_url, grant, str(tmp_path))
    place.order("refuse_tokens", "senseProvision", times=1)
    net.networks.provision(wanted, key=key)
    the_only(place, key)
    net.networks.give_back(key)


def test_what_is_no_network_says_where_one_is(place, net) -> None:
    other = Facility(place.base_url, token=place.token)
    with pytest.raises(NotOffered, match='dialect = "sense"'):
        other.networks.profiles()
    with pytest.raises(NotOffered, match=r"facility\.networks"):
        net.jobs.mine()
    with pytest.raises(NotOffered, match=r"facility\.networks"):
        net.files.ls("/")
    assert [each.name for each in net.networks.profiles()] == ["coast-to-coast"]


def test_an_answer_that_is_broken_is_asked_for_again(place, net, relay, wanted, key) -> None:
    path = net.networks.provision(wanted, key=key)
    relay.faults.append(Fault("^GET .*/instance/", reply=http(200, b'{"sta', "application/json")))
    assert net.networks.wait(path).up
    net.networks.give_back(key)


def test_a_path_outside_of_a_grant_leaves_its_key_to_one_that_is_in(
    place: LocalFacility, relay: Relay, tmp_path: Path, key: JobKey
) -> None:
    first, second, third = place.sense_ports[:3]
    grant = Grant(ends={first, second}, mbps=100, path_hours=2)
    net = sense_world.door(relay.base_url, place.new_token(), str(tmp_path), grant=grant)
    fits = replace(intent([first, second]), end="+2h")
    for each in (
        replace(fits, ends=intent([first, third]).ends),
        replace(fits, mbps=101),
        replace(fits, quality=Quality.AVAILABLE),
        replace(fits, end="+3h"),
        replace(fits, end=None),
        PathIntent(profile="anything"),
    ):
        with pytest.raises(GrantExceeded):
            net.networks.provision(each, key=key)
        with pytest.raises(GrantExceeded):
            net.networks.negotiate(each)
    assert not place.requests(), "not even an id was asked for"
    path = net.networks.wait(net.networks.provision(fits, key=key))
    with pytest.raises(GrantExceeded, match="200 Mbit/s"):
        net.networks.modify(path, replace(fits, mbps=200))
    net.networks.give_back(key)
    the_only(place, key)
