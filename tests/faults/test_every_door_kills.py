"""Clients of the APIs other than IRI's that are killed at every step: what they asked for is worked once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking_client import IN_THE_DARK, STEPS
from doors import DOORS
from real_clients import Clients, until
from real_world import Work, held, new_key

from iri_local_facility import LocalFacility

# The oldest Slurm differs in the form of its fields only, which the contract tests go through.
OTHERS = [name for name in DOORS if not name.startswith("iri") and name != "slurm-v38"]
GUARDS = pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])
pytestmark = pytest.mark.parametrize("name", OTHERS)


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=24, kill_grace=0.2) as facility:
        yield facility


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with Clients(tmp_path_factory.mktemp("stories")) as clients:
        yield clients


def works(place: LocalFacility, name: str, folder: Path, guard: bool, names: object) -> dict:
    """Something to ask for under each name, through the door."""
    profile = DOORS[name].variables(place, folder)
    return {each: Work(place, "", folder, new_key(str(each)), guard, profile=profile) for each in names}


@GUARDS
@pytest.mark.parametrize("lost", [False, True], ids=["ledger kept", "ledger lost"])
def test_killed_at_each_step_and_asked_again(place, clients, name, tmp_path, guard, lost) -> None:
    asked = works(place, name, tmp_path, guard, STEPS)
    dead = [work.start(clients, step) for step, work in asked.items()]
    for client, work in zip(dead, asked.values(), strict=True):
        work.heard(client)
        if lost:
            work.lose_ledger()
    again = [work.start(clients) for work in asked.values()]
    for client, work in zip(again, asked.values(), strict=True):
        work.heard(client)
    held(asked, uncertain=() if guard or lost else IN_THE_DARK)
    assert all(len(work.jobs()) == len(set(work.worked())) for work in asked.values()), "no job too many"


@GUARDS
def test_killed_while_the_reply_is_on_its_way(place, clients, name, tmp_path, guard) -> None:
    (work,) = works(place, name, tmp_path, guard, ["in flight"]).values()
    submit, *_ = DOORS[name].operations
    place.order("delay", submit, job=work.key.job_name("marks"), when="after", seconds=3.0)
    first = work.start(clients)
    until(work.jobs, "the job")
    first.kill()
    work.heard(first)
    work.heard(work.start(clients))
    held({"in flight": work})
    assert len(work.jobs()) == 1
