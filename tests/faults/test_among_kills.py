"""A process that asks among facilities is killed between two of them: the next one goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from among_world import NAMES, Among
from asking_client import Plan, Strike
from real_clients import Clients

from iri_common import JobKey
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(150)

# Where the first door refuses, and where the key is worked in the end: what was noted there as sent, and by
# nobody as refused, may be there.
STRIKES = {
    Strike("after", "write sent"): 0,
    Strike("after", "submit"): 0,
    Strike("before", "write refused"): 0,
    Strike("after", "write refused"): 1,
    Strike("before", "write intent", 2): 1,
    Strike("after", "write sent", 2): 1,
    Strike("before", "write accepted"): 1,
}
PAIRS = [(NAMES[number % len(NAMES)], NAMES[(number + 2) % len(NAMES)]) for number in range(len(STRIKES))]


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[LocalFacility, LocalFacility]]:
    with LocalFacility(nodes=8, kill_grace=0.2) as one, LocalFacility(nodes=8, kill_grace=0.2) as two:
        yield one, two


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with Clients(tmp_path_factory.mktemp("stories")) as clients:
        yield clients


@pytest.mark.parametrize(("strike", "names"), list(zip(STRIKES, PAIRS, strict=True)), ids=str)
def test_a_process_that_dies_between_two_doors(
    places, clients: Clients, tmp_path: Path, strike: Strike, names: tuple[str, str]
) -> None:
    both, key = Among(names, places, tmp_path), JobKey.of("among kills", str(tmp_path))
    plan = Plan(
        clients.new_story(),
        "",
        "",
        str(tmp_path / "ledger"),
        str(key),
        both.spec(key),
        strike=strike,
        profile=both.profiles(),
        among=("door0", "door1"),
    )
    places[0].order("status", both.submit(0), status=429, times=None)
    dead = clients.start(plan).wait()
    assert dead.told("ended") is None
    worked = STRIKES[strike]
    if worked == 0:
        places[0].clear_faults()
    told = clients.start(replace(plan, story=clients.new_story(), strike=None)).wait()
    places[0].clear_faults()
    assert (told.told("ended") or {}).get("state") == "completed", told.story()
    assert told.told("asked")["at"] == f"door{worked}"
    assert both.worked(key) == [worked]
    assert not both.taken(1 - worked, key)
