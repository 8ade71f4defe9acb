"""Clients that are killed at every step and started again: what they ask for is worked once, and told truly.

The facility, the jobs, the ledger and the clients' processes are real. A client strikes itself at a step that
is named, so that nothing here depends on luck.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from asking_client import IN_THE_DARK, STEPS, Strike
from doors import DOORS, SUBMITS
from real_clients import Clients, until
from real_world import KeylessRelay, Work, broken, held, new_key, settle, story_of

from iri_local_facility import LocalFacility

FACES = ("v2", "v1", "v2, keys ignored")
# The oldest Slurm differs in the form of its fields only, which the contract tests go through.
OTHERS = tuple(name for name in DOORS if not name.startswith("iri") and name != "slurm-v38")
EVERYWHERE = pytest.mark.parametrize("way", [*FACES, *OTHERS], indirect=True)
GUARDS = pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=24, kill_grace=0.2) as facility:
        yield facility


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with Clients(tmp_path_factory.mktemp("stories")) as clients:
        yield clients


@pytest.fixture(scope="module")
def urls(place: LocalFacility) -> Iterator[dict[str, str]]:
    with KeylessRelay(place.base_url) as relay:
        yield {"v2": place.base_url, "v1": f"{place.url}/api/v1", "v2, keys ignored": relay.base_url}


Way = Mapping[str, Any]
"""How a :class:`Work` reaches the facility."""


@pytest.fixture(params=FACES)
def way(place: LocalFacility, urls: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> Way:
    name = request.param
    if name in FACES:
        return {"url": urls[name]}
    return {"url": "", "profile": DOORS[name].variables(place, tmp_path)}


def works(place: LocalFacility, way: Way, folder: Path, guard: bool, names: object, **words: object) -> dict:
    """Something to ask for under each name."""
    return {
        name: Work(place, folder=folder, key=new_key(str(name)), guard=guard, **way, **words)
        for name in names
    }


# ------------------------------------------------------------------------------------- killed and restarted


@EVERYWHERE
@GUARDS
@pytest.mark.parametrize("lost", [False, True], ids=["ledger kept", "ledger lost"])
def test_killed_at_each_step_and_asked_again(place, clients, way, tmp_path, guard, lost) -> None:
    asked = works(place, way, tmp_path, guard, STEPS)
    dead = [work.start(clients, step) for step, work in asked.items()]
    for client, work in zip(dead, asked.values(), strict=True):
        work.heard(client)
        if lost:
            work.lose_ledger()
    again = [work.start(clients) for work in asked.values()]
    for client, work in zip(again, asked.values(), strict=True):
        work.heard(client)
    # Where the record says that a request may have left, nothing but the guard allows another one.
    held(asked, uncertain=() if guard or lost else IN_THE_DARK)
    assert all(len(work.jobs()) == len(set(work.worked())) for work in asked.values()), "no job too many"


@pytest.mark.parametrize(
    ("way", "lost"),
    [(name, lost) for name in (*FACES, *OTHERS) for lost in (False, True) if name in FACES or not lost],
    indirect=["way"],
)
@GUARDS
def test_killed_while_the_reply_is_on_its_way(place, clients, way, tmp_path, guard, lost) -> None:
    (work,) = works(place, way, tmp_path, guard, ["in flight"]).values()
    place.order("delay", SUBMITS, job=work.key.job_name("marks"), when="after", seconds=3.0)
    first = work.start(clients)
    until(work.jobs, "the job")
    first.kill()
    work.heard(first)
    if lost:
        work.lose_ledger()
    work.heard(work.start(clients))
    held({"in flight": work})
    assert len(work.jobs()) == 1


@GUARDS
def test_killed_before_a_slow_facility_has_taken_the_request(place, clients, way, tmp_path, guard) -> None:
    """The request lies at the facility; its job comes after the next client has begun to look."""
    (work,) = works(place, way, tmp_path, guard, ["slow"]).values()
    name = work.key.job_name("marks")
    fault = place.order("delay", "launchJob", job=name, when="before", seconds=1.5)
    first = work.start(clients)
    until(lambda: any(each["struck"] for each in place.faults() if each["id"] == fault), "the request")
    first.kill()
    work.heard(first)
    work.heard(work.start(clients))
    until(work.jobs, "the job")
    uncertain = work.uncertain
    if uncertain:  # it said so, and says what is true when it is asked again
        work.heard(work.start(clients))
    assert not (uncertain and guard)
    held({"slow": work})


def test_told_the_double_it_follows_the_job_that_works(place, clients, urls, tmp_path) -> None:
    """The reply is lost and no list shows the job; the request is sent again, and answered for a double."""
    (work,) = works(place, {"url": urls["v1"]}, tmp_path, True, ["double"], seconds=3.0).values()
    name = work.key.job_name("marks")
    place.order("late", job=name, seconds=1.0)
    place.order("lose_reply", "launchJob", job=name)
    client = work.start(clients)
    work.heard(client)
    held({"double": work})
    worker, double = (job["id"] for job in work.jobs())
    assert client.told("asked")["job"] == double
    assert client.told("ended")["job"] == worker


# ------------------------------------------------------------------------------------- two at once


PAIRS = {
    f"{first}, {second}": (first, second)
    for first, second in [
        (Strike("after", "claim"), None),
        (Strike("after", "write intent"), None),
        (Strike("after", "submit"), None),
        (Strike("before", "write accepted"), Strike("before", "write accepted")),
        (Strike("after", "write accepted"), Strike("before", "status")),
        (Strike("before", "write sent"), Strike("after", "submit")),
        (Strike("after", "status"), Strike("after", "status")),
    ]
}


@GUARDS
@pytest.mark.parametrize("lost", [False, True], ids=["ledger kept", "ledger lost"])
def test_two_at_once_of_whom_one_or_both_are_killed(place, clients, way, tmp_path, guard, lost) -> None:
    asked = works(place, way, tmp_path, guard, PAIRS)
    both = {name: [work.start(clients, strike) for strike in PAIRS[name]] for name, work in asked.items()}
    for name, work in asked.items():
        work.heard(*both[name])
        if lost:
            work.lose_ledger()
    again = {name: work.start(clients) for name, work in asked.items()}
    for name, work in asked.items():
        work.heard(again[name])
    held(asked)


# ------------------------------------------------------------------------------------- long asleep

# Asleep between "sent" on record and the request itself: no ledger can tell who wakes up. A guard can.
SLEEPS = tuple(Strike(each.when, each.step, signal="STOP") for each in STEPS[1:])
UNSEEN = {Strike(each.when, each.step, signal="STOP") for each in IN_THE_DARK}


@GUARDS
def test_one_that_sleeps_beyond_its_claim_wakes_up_to_another_ones_work(
    place, clients, way, tmp_path, guard
) -> None:
    asked = works(place, way, tmp_path, guard, SLEEPS)
    asleep = {step: work.start(clients, step, claim_seconds=1.0) for step, work in asked.items()}
    for client in asleep.values():
        until(lambda client=client: client.stopped or client.ended, "its sleep")
    second = {step: work.start(clients, claim_seconds=1.0) for step, work in asked.items()}
    for step, work in asked.items():
        work.heard(second[step])
        assert guard or work.uncertain == (step in UNSEEN), work.told
    for client in asleep.values():
        client.go_on()
    for step, work in asked.items():
        work.heard(asleep[step])
    held(asked)


# ------------------------------------------------------------------------------------- on another host


def test_a_claim_made_on_another_host_must_run_out(place, clients, urls, tmp_path) -> None:
    steps = [Strike("after", "claim"), Strike("after", "write intent"), Strike("after", "submit")]
    asked = works(place, {"url": urls["v2"]}, tmp_path, True, steps)
    for step, work in asked.items():
        work.heard(work.start(clients, step, machine="elsewhere", claim_seconds=1.5))
    began = time.monotonic()
    again = {step: work.start(clients, claim_seconds=20.0) for step, work in asked.items()}
    for step, work in asked.items():
        work.heard(again[step])
    held(asked)
    assert time.monotonic() - began > 0.5, "nobody there can say whether that process lives"


def test_a_claim_of_this_host_is_known_to_be_dead(place, clients, urls, tmp_path) -> None:
    (work,) = works(place, {"url": urls["v2"]}, tmp_path, True, ["here"]).values()
    work.heard(work.start(clients, Strike("after", "claim"), claim_seconds=600.0))
    work.heard(work.start(clients, claim_seconds=600.0))
    held({"here": work})


# ------------------------------------------------------------------------------------- canceling

CANCELS = (
    Strike("before", "mkdir"),
    Strike("after", "mkdir"),
    Strike("after", "mkdir", 2),
    Strike("before", "cancel"),
    Strike("after", "cancel"),
)


@GUARDS
def test_killed_while_canceling_and_canceled_again(place, clients, way, tmp_path, guard) -> None:
    asked = works(place, way, tmp_path, guard, CANCELS if guard else CANCELS[3:], seconds=60.0)
    waiting = {step: work.start(clients) for step, work in asked.items()}
    for work in asked.values():
        until(work.worked, "the job")
    for dies in (True, False):
        canceling = {
            step: work.start(clients, step if dies else None, verb="cancel") for step, work in asked.items()
        }
        for step, work in asked.items():
            work.heard(canceling[step])
    for step, work in asked.items():
        work.heard(waiting[step])
    listed = settle(place)
    for step, work in asked.items():
        assert not broken(work, listed), (step, story_of(work, listed))
        assert [each["state"] for each in work.jobs(listed)] == ["canceled"]
        assert [each["state"] for each in work.ends()] == ["canceled"], step
        assert len(work.worked()) == 1
