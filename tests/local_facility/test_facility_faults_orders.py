from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from iri_local_facility.exchange import Exchange, current
from iri_local_facility.faults import Faults
from iri_local_facility.jobs import JobRequest, JobTable
from iri_local_facility.orders import JOB_KINDS, REPLY_KINDS, SIGHT_KINDS, Options, Order
from iri_local_facility.sight import Sight
from iri_local_facility.store import Store


def strokes(faults: Faults, order: Order, chances: int) -> list[int]:
    fault = faults.place(order)
    return [number for number in range(chances) if faults.take(fault)]


@pytest.fixture
def faults(tmp_path):
    store = Store(tmp_path / "db")
    yield Faults(store)
    store.close()


def test_what_python_offers_is_what_the_facility_takes() -> None:
    assert set(Options.__annotations__) == {field.name for field in fields(Order)} - {"kind", "operations"}
    assert not REPLY_KINDS & SIGHT_KINDS
    assert not JOB_KINDS & (REPLY_KINDS | SIGHT_KINDS)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, [0]),
        ({"times": 2}, [0, 1]),
        ({"times": None}, list(range(8))),
        ({"times": 0}, []),
        ({"skip": 3}, [3]),
        ({"skip": 2, "times": 3}, [2, 3, 4]),
        ({"chance": 0.0, "times": None}, []),
        ({"lasts": 0.0}, []),
    ],
)
def test_when_an_order_strikes(faults: Faults, facts: dict[str, Any], expected: list[int]) -> None:
    assert strokes(faults, Order("reset", **facts), 8) == expected


def test_chances_are_those_of_the_seed(faults: Faults) -> None:
    def drawn(seed: int) -> list[int]:
        return strokes(faults, Order("reset", times=None, chance=0.5, seed=seed), 400)

    assert drawn(1) == drawn(1) != drawn(2)
    assert 140 < len(drawn(3)) < 260


@pytest.mark.parametrize(
    ("operations", "user", "strikes"),
    [
        ("*", None, True),
        ("launchJob", None, True),
        (["getJob", "launchJob"], "alice", True),
        ("getJob", None, False),
        ("launch", None, False),
        ("*", "bob", False),
    ],
)
def test_whom_an_order_strikes(operations: str | list[str], user: str | None, strikes: bool) -> None:
    assert Order("reset", operations, user=user).is_for("launchJob", "alice") is strikes


@pytest.mark.parametrize(
    "facts",
    [
        {"kind": "delay"},
        {"kind": "late"},
        {"kind": "skew"},
        {"kind": "stale"},
        {"kind": "status"},
        {"kind": "status", "status": 99},
        {"kind": "status", "status": 500, "body": "truncated"},
        {"kind": "hang", "seconds": 121},
        {"kind": "delay", "seconds": -1},
        {"kind": "preempt", "command": "ln"},
        {"kind": "node_death", "command": "/bin/ln"},
        {"kind": "node_death", "command": "ln", "nth": 0},
        {"kind": "maintenance", "lasts": 3},
        {"kind": "reset", "chance": 2},
        {"kind": "reset", "skip": -1},
    ],
)
def test_orders_that_make_no_sense(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Order(**facts)


def test_only_descriptions_of_a_time_go_on_until_cleared() -> None:
    lasting = SIGHT_KINDS | {"refuse_tokens", "maintenance"}
    assert all(Order(kind, seconds=1).limit is None for kind in lasting)
    assert all(Order(kind, seconds=1, status=500).limit == 1 for kind in REPLY_KINDS | JOB_KINDS)


def test_one_request_is_one_chance(faults: Faults) -> None:
    fault, exchange = faults.place(Order("missing", times=1)), Exchange("getJobs", "alice")
    assert [faults.strikes_request(fault, exchange) for _ in range(3)] == [True] * 3
    assert not faults.strikes_request(fault, Exchange("getJobs", "alice"))
    assert (fault.seen, fault.struck, fault.live) == (2, 1, False)


def test_the_last_stroke_lasts_to_the_end_of_its_request(faults: Faults, tmp_path) -> None:
    store = Store(tmp_path / "jobs")
    facts = {"user": "alice", "account": "a", "queue": "q", "name": "n", "node_count": 1, "duration": 1}
    job = JobTable(store).add(
        request=JobRequest("x"), document={}, resource_id="r", state="active", message=None, **facts
    )
    faults.place(Order("missing", job="n", times=1))
    sight = Sight(faults)
    for shown in ([], [job]):
        token = current.set(Exchange("getJob", "alice"))
        assert [sight.of([job]) for _ in range(2)] == [shown, shown]
        current.reset(token)
    assert sight.of([job]) == [job]
    store.close()


def test_orders_and_counts_outlive_the_server(tmp_path) -> None:
    store = Store(tmp_path / "db")
    first = Faults(store)
    gone, kept = first.place(Order("reset")), first.place(Order("reset", times=2, skip=1))
    first.clear(gone.id)
    assert [first.take(kept) for _ in range(2)] == [False, True]
    first.strike(kept)
    assert [fault.describe() for fault in Faults(store)] == [kept.describe()]
    assert [fault.seen for fault in Faults(store)] == [2]
    store.close()


def test_a_store_from_before_gets_what_is_new(tmp_path) -> None:
    store = Store(tmp_path / "db")
    store.run("ALTER TABLE jobs DROP COLUMN nodes")
    store.run("ALTER TABLE requests DROP COLUMN faults")
    store.close()
    for _ in range(2):
        store = Store(tmp_path / "db")
        assert store.rows("SELECT nodes FROM jobs") == store.rows("SELECT faults FROM requests") == []
        store.close()
