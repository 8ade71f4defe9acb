"""Reservations of nodes at slurmrestd's face: whose jobs name one run there, and no others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from slurm_kit import Daemon

from iri_local_facility import LocalFacility

NODES = 4


@pytest.fixture(scope="module")
def facility() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=NODES) as running:
        yield running


@pytest.fixture
def daemon(facility: LocalFacility) -> Iterator[Daemon]:
    with Daemon(facility, 44).http as http:
        daemon = Daemon(facility, 44)
        daemon.http = http
        yield daemon
        for job in http.get(f"{daemon.ctld}/jobs").json()["jobs"]:
            daemon.cancel(job["job_id"])
            daemon.wait(job["job_id"])
        for each in shown(daemon):
            assert http.delete(f"{daemon.ctld}/reservation/{each['name']}").status_code == 200


def number(value: float) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": int(value)}


def ask(
    daemon: Daemon, called: str, nodes: int = 2, starts: float = 0, lasts: float = 3600, **words: Any
) -> Any:
    now = time.time()
    body = {
        "name": called,
        "node_count": number(nodes),
        "start_time": number(now + starts),
        "end_time": number(now + starts + lasts),
        "users": [daemon.facility.slurm_user],
        **words,
    }
    return daemon.http.post(f"{daemon.ctld}/reservation", json=body)


def shown(daemon: Daemon) -> list[dict[str, Any]]:
    return daemon.http.get(f"{daemon.ctld}/reservations").json()["reservations"]


def nodes_of(daemon: Daemon, job: int) -> list[str]:
    return next(each["nodes"] for each in daemon.facility.jobs() if each["id"] == str(job))


def test_only_jobs_that_name_it_run_there(daemon: Daemon) -> None:
    assert ask(daemon, "mine").status_code == 200
    (there,) = shown(daemon)
    assert (there["name"], there["node_count"], there["node_list"]) == ("mine", 2, "node[1-2]")
    plain = [daemon.submit("exec sleep 60", time_limit=number(5)) for _ in range(3)]
    named = [daemon.submit("exec sleep 60", time_limit=number(5), reservation="mine") for _ in range(3)]
    for job in (*plain[:2], *named[:2]):
        daemon.wait(job, "RUNNING")
    assert sorted(node for job in plain[:2] for node in nodes_of(daemon, job)) == ["node3", "node4"]
    assert sorted(node for job in named[:2] for node in nodes_of(daemon, job)) == ["node1", "node2"]
    assert [daemon.state(job) for job in (plain[2], named[2])] == ["PENDING", "PENDING"]
    busy = daemon.http.delete(f"{daemon.ctld}/reservation/mine")
    assert (busy.status_code, daemon.errors(busy)) == (500, [2055])
    for job in named[:2]:
        daemon.cancel(job)
    daemon.wait(named[2], "RUNNING")
    daemon.cancel(named[2])
    daemon.wait(named[2])


def test_what_waits_is_held_when_it_is_deleted(daemon: Daemon) -> None:
    ask(daemon, "later", starts=3000)
    job = daemon.submit("true", time_limit=number(5), reservation="later")
    daemon.wait(job, "PENDING")
    assert daemon.job(job)["state_reason"] == "Reservation"
    daemon.wait(daemon.submit("true", nodes="4", time_limit=number(5)))  # it ends before
    long = daemon.submit("exec sleep 60", nodes="3", time_limit=number(59))
    daemon.wait(long, "PENDING")
    assert daemon.http.delete(f"{daemon.ctld}/reservation/later").status_code == 200
    daemon.wait(long, "RUNNING")
    assert (daemon.job(job)["hold"], daemon.job(job)["state_reason"]) == (True, "ReservationDeleted")


def test_it_begins_and_ends_by_itself(daemon: Daemon) -> None:
    ask(daemon, "short", lasts=4)
    lasts_longer = daemon.submit("true", time_limit=number(1), reservation="short")
    ask(daemon, "soon", starts=1, lasts=3600)
    fits = daemon.submit("true", time_limit=number(1), reservation="soon")
    daemon.wait(fits)
    deadline = time.monotonic() + 60
    while daemon.job(lasts_longer)["state_reason"] != "ReservationDeleted":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [each["name"] for each in shown(daemon)] == ["soon"]
    assert [each["over"] for each in daemon.facility.reservations() if each["name"] == "short"] == [True]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"users": []}, 2080),
        ({"partition": "nope"}, 2000),
        ({"node_count": number(NODES + 1)}, 2014),
        ({"node_count": {"set": False}}, 2006),
        ({"start_time": number(1)}, 2054),
        ({"name": ""}, 2053),
    ],
)
def test_refused_in_slurms_numbers(daemon: Daemon, words: dict[str, Any], error: int) -> None:
    answer = ask(daemon, "odd", **words)
    assert (answer.status_code, daemon.errors(answer)) == (500, [error])
    assert shown(daemon) == []


def test_what_there_is_already_and_what_there_is_not(daemon: Daemon) -> None:
    assert ask(daemon, "first", 3).status_code == 200
    again, second = ask(daemon, "first", 3), ask(daemon, "second", 2)
    assert (daemon.errors(again), daemon.errors(second)) == ([2104], [2016])
    assert ask(daemon, "after", 3, starts=3700, lasts=60).status_code == 200
    found = daemon.http.get(f"{daemon.ctld}/reservation/first").json()["reservations"]
    assert [each["name"] for each in found] == ["first"]
    assert daemon.errors(daemon.http.get(f"{daemon.ctld}/reservation/nope")) == [9000]
    assert daemon.errors(daemon.http.delete(f"{daemon.ctld}/reservation/nope")) == [2053]
    assert daemon.errors(daemon.send("true", reservation="nope")) == [2053]
    bob = Daemon(daemon.facility, 44, daemon.facility.new_slurm_token("bob"))
    home = str(daemon.facility.root / "home" / "bob")
    bob.http.headers["X-SLURM-USER-NAME"] = "bob"
    assert bob.errors(bob.send("true", reservation="first", current_working_directory=home)) == [2052]
    bob.http.close()


@pytest.mark.parametrize("version", [38, 42])
def test_older_versions_only_show_them(facility: LocalFacility, daemon: Daemon, version: int) -> None:
    ask(daemon, "shown")
    older = Daemon(facility, version)
    (there,) = shown(older)
    assert (there["name"], isinstance(there["start_time"], int)) == ("shown", version == 38)
    assert ask(older, "more").status_code == 404
    assert older.http.delete(f"{older.ctld}/reservation/shown").status_code == 405
    older.http.close()
