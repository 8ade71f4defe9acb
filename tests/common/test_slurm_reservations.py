"""Reservations in Slurm's words, and what is decided about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from slurm_wire import PING, Wire, dialect, errors

from iri_common import Conflict, JobKey, NodesIntent, NotOffered, PermissionDenied, Refused, UsageError
from iri_common.model.ledger import Stage
from iri_common.model.reservation import ClusterNode, NodeReservation, ReservationState
from iri_common.policy.reservations import Step, fits, offered, step

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Keeping(Wire):
    """Keeps the bodies as well."""

    def __init__(self, answers):
        super().__init__(answers)
        self.bodies = []

    async def send(self, request):
        self.bodies.append(request.json)
        return await super().send(request)


def made(answers, version="v0.0.44"):
    api, wire = dialect(answers, version)
    return api.reservations, wire


async def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slurm_wire.Wire", Keeping)
    api, wire = made({"/reservation": {"reservations": [], "errors": []}})
    intent = NodesIntent(4, 5400, queue="gpu", users=["alice"], accounts=["m1"], flags=["REPLACE_DOWN"])
    await api.create("cluster", "n.1", intent, NOW + timedelta(microseconds=9))
    assert wire.seen == ["POST /slurm/v0.0.44/reservation"]
    assert wire.bodies[-1] == {
        "name": "n.1",
        "start_time": {"set": True, "infinite": False, "number": int(NOW.timestamp())},
        "end_time": {"set": True, "infinite": False, "number": int(NOW.timestamp()) + 5400},
        "node_count": {"set": True, "infinite": False, "number": 4},
        "partition": "gpu",
        "users": ["alice"],
        "accounts": ["m1"],
        "flags": ["REPLACE_DOWN"],
    }
    await api.delete("cluster", "n.1")
    assert wire.seen[-1] == "DELETE /slurm/v0.0.44/reservation/n.1"


@pytest.mark.parametrize("version", ["v0.0.38", "v0.0.42"])
async def test_older_versions_only_show(version: str) -> None:
    api, wire = made({}, version)
    for asked in (api.create("cluster", "n", NodesIntent(1, 60), NOW), api.delete("cluster", "n")):
        with pytest.raises(NotOffered, match=r"Slurm 25.05.*reservation_id"):
            await asked
    assert wire.seen == []


async def test_s3m_has_none() -> None:
    assert dialect({"/ping": PING}, "v0.0.43", site="s3m")[0].reservations is None


@pytest.mark.parametrize(
    ("number", "error"), [(2002, PermissionDenied), (2082, Conflict), (2104, Conflict), (2016, Refused)]
)
@pytest.mark.parametrize("status", [200, 500])
async def test_refused(number: int, error: type[Exception], status: int) -> None:
    api, _ = made({"/reservation": (status, errors(number))})
    with pytest.raises(error) as raised:
        await api.create("cluster", "n", NodesIntent(1, 60), NOW)
    assert raised.type is error


async def test_the_end_of_one_that_is_gone_or_in_use() -> None:
    gone, _ = made({"/reservation": (500, errors(2053))})
    await gone.delete("cluster", "n")
    busy, _ = made({"/reservation": (500, errors(2055))})
    with pytest.raises(Conflict):
        await busy.delete("cluster", "n")


NEW = {
    "name": "n",
    "node_count": 2,
    "node_list": "node[1-2]",
    "partition": "gpu",
    "start_time": {"set": True, "infinite": False, "number": 1795435200},
    "end_time": {"set": True, "infinite": False, "number": 1795438800},
}
OLD = {**NEW, "start_time": 1795435200, "end_time": 1795438800}


@pytest.mark.parametrize(("version", "row"), [("v0.0.44", NEW), ("v0.0.38", OLD)])
async def test_what_is_shown(version: str, row: dict) -> None:
    api, _ = made({"/reservations": {"reservations": [row]}}, version)
    (found,) = (await api.reservations("cluster")).value
    assert found == NodeReservation("n", 2, NOW, NOW + HOUR, "node[1-2]", "gpu")


@pytest.mark.parametrize(
    ("row", "usable", "idle"),
    [
        ({"state": ["IDLE"]}, True, True),
        ({"state": ["MIXED"]}, True, False),
        ({"state": ["IDLE", "DRAIN"]}, False, True),
        ({"state": ["DOWN", "NOT_RESPONDING"]}, False, False),
        ({"state": "idle", "state_flags": []}, True, True),
        ({"state": "idle", "state_flags": ["DRAIN"]}, False, True),
        ({"state": "down*"}, False, False),
        ({}, False, False),
    ],
)
async def test_which_nodes_could_be_had(row: dict, usable: bool, idle: bool) -> None:
    api, _ = made({"/nodes": {"nodes": [{"name": "n", "partitions": ["p"], **row}]}})
    assert (await api.nodes("cluster")).value == [ClusterNode("n", usable, idle, ("p",))]


# ---------------------------------------------------------------------------------------- what is decided


def test_what_a_look_says_of_nodes_that_are_wanted() -> None:
    nodes = [ClusterNode(f"n{n}", n > 0, n > 2, ("gpu",) if n < 5 else ("cpu",)) for n in range(8)]
    reserved = [
        NodeReservation("now", 1, NOW - HOUR, NOW + HOUR, queue="gpu"),
        NodeReservation("before", 9, NOW - HOUR, NOW, queue="gpu"),
        NodeReservation("after", 9, NOW + HOUR, NOW + 2 * HOUR, queue="gpu"),
        NodeReservation("elsewhere", 9, NOW, NOW + HOUR, queue="cpu"),
        NodeReservation("somewhere", 1, NOW),
    ]
    offer = offered(NodesIntent(2, 3600, queue="gpu"), nodes, reserved, NOW)
    assert (offer.usable, offer.reserved, offer.idle, offer.free) == (4, 2, 2, 2)
    whole = offered(NodesIntent(2, 3600), nodes, reserved, NOW)
    assert (whole.usable, whole.free) == (7, 0)


@pytest.mark.parametrize(
    ("found", "may_be"),
    [
        (NodeReservation("n", 4, queue="gpu"), True),
        (NodeReservation("n", 5), True),
        (NodeReservation("n"), True),
        (NodeReservation("n", 3), False),
        (NodeReservation("n", 4, queue="cpu"), False),
    ],
)
def test_what_was_found_may_be_what_is_wanted(found: NodeReservation, may_be: bool) -> None:
    assert fits(NodesIntent(4, 60, queue="gpu"), found) is may_be
    assert fits(NodesIntent(4, 60), found) is (may_be or found.queue == "cpu")


@pytest.mark.parametrize(
    ("stage", "state", "then"),
    [
        (Stage.INTENT, ReservationState.MISSING, Step.ASK),
        (Stage.SENT, ReservationState.MISSING, Step.ASK),
        (Stage.ACCEPTED, ReservationState.MISSING, Step.GONE),
        (Stage.SENT, ReservationState.ACTIVE, Step.TAKE),
        (Stage.INTENT, ReservationState.SCHEDULED, Step.TAKE),
        (Stage.ACCEPTED, ReservationState.OVER, Step.GONE),
        (Stage.SENT, ReservationState.OVER, Step.GONE),
    ],
)
def test_what_comes_next(stage: Stage, state: ReservationState, then: Step) -> None:
    assert step(stage, state) is then


def test_how_it_stands_at_a_moment() -> None:
    there = NodeReservation("n", 1, NOW, NOW + HOUR)
    states = [there.state_at(NOW + each * HOUR / 2) for each in (-1, 0, 1, 2)]
    assert states == ["scheduled", "active", "active", "over"]
    assert NodeReservation("n", gone=True).state_at(NOW) is ReservationState.MISSING
    assert NodeReservation("n").state_at(NOW) is ReservationState.ACTIVE


def test_wishes() -> None:
    strange = [{"name": name} for name in ("a/b", "a,b", "a b", "é", "a\n")]
    for words in ({"nodes": 0}, {"seconds": 0}, {"start": datetime(2026, 1, 1)}, *strange):
        with pytest.raises(UsageError):
            NodesIntent(**{"nodes": 1, "seconds": 60, **words})
    elsewhere = NOW.astimezone(tz=None)
    assert NodesIntent(1, 60, start=NOW).digest == NodesIntent(1, 60, start=elsewhere).digest
    assert NodesIntent(1, 60).digest != NodesIntent(1, 61).digest
    assert NodesIntent(1, 60).reservation_name(JobKey("a")) == JobKey("a").job_name("nodes")
