"""Clients that are killed while they ask for an array: started again, each of its tasks is worked once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking_client import IN_THE_DARK, Strike
from doors import DOORS
from real_clients import Clients
from real_world import Work, new_key, settle

from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(120)

# Where an array could become two: while nobody knows whether it left, and before its id is kept.
STRIKES = (
    *IN_THE_DARK,
    Strike("after", "submit"),
    Strike("before", "write accepted"),
    Strike("before", "status"),
    Strike("before", "write settled"),
)


class ArrayWork(Work):
    """Something to ask for whose tasks leave their indices."""

    @property
    def spec(self) -> dict[str, Any]:
        script = f'echo "$SLURM_ARRAY_TASK_ID" >>{self.marks}; sleep 0.1'
        return {
            "executable": "/bin/sh",
            "arguments": ["-c", script],
            "name": "marks",
            "attributes": {"array": "0-2%2"},
        }


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16, kill_grace=0.2) as facility:
        yield facility


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with Clients(tmp_path_factory.mktemp("stories")) as clients:
        yield clients


@pytest.mark.parametrize(
    ("door", "lost"), [("firecrest", False), ("slurm", True)], ids=["ledger kept", "ledger lost"]
)
def test_killed_and_asked_again(
    place: LocalFacility, clients: Clients, tmp_path: Path, door: str, lost: bool
) -> None:
    profile = DOORS[door].variables(place, tmp_path)
    asked = {
        strike: ArrayWork(place, "", tmp_path, new_key(str(strike)), profile=profile) for strike in STRIKES
    }
    dead = [work.start(clients, strike) for strike, work in asked.items()]
    for client, work in zip(dead, asked.values(), strict=True):
        work.heard(client)
        if lost:
            work.lose_ledger()
    again = [work.start(clients) for work in asked.values()]
    for client, work in zip(again, asked.values(), strict=True):
        work.heard(client)
    settle(place)
    worked = {str(strike): sorted(work.worked()) for strike, work in asked.items()}
    assert worked == {str(strike): ["0", "1", "2"] for strike in STRIKES}
    assert {len(work.jobs()) for work in asked.values()} == {3}
    assert {work.ends()[-1]["state"] for work in asked.values()} == {"completed"}
