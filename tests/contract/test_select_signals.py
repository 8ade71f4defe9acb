"""What each facility API tells of itself before one is chosen: every criterion at every face."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS

from iri_common import Choice, Facilities, FileLedger, JobKey, Requirements
from iri_common.apis.firecrest import systems
from iri_common.auth.static import StaticToken
from iri_local_facility import LocalFacility

NAMES = [name for name in DOORS if name != "slurm-v38"]
HOUR = Requirements(nodes=2, seconds=3600)


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.2) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(place: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(systems, "FRESH", 0.0)
    yield
    place.clear_faults()


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def chosen(
    place: LocalFacility, folder: Path, name: str, wanted: Requirements = HOUR, **words: Any
) -> Choice:
    """What is said of one door."""
    door = DOORS[name].open(place, folder, name=name, **words)
    (choice,) = Facilities(door, ledger=FileLedger(folder / "ledger")).select(wanted)
    return choice


def test_status(place: LocalFacility, tmp_path: Path, name: str) -> None:
    assert "the machine is up" in chosen(place, tmp_path, name).reasons
    place.order("maintenance", seconds=600)
    choice = chosen(place, tmp_path, name)
    assert (choice.open, choice.reasons) == (False, ("the machine is down",))


@pytest.mark.parametrize(("starts_in", "warns"), [(1800, True), (7200, False)])
def test_maintenance_before_the_work_would_be_over(
    place: LocalFacility, tmp_path: Path, name: str, starts_in: int, warns: bool
) -> None:
    place.order("maintenance", seconds=3600, starts_in=starts_in)
    choice = chosen(place, tmp_path, name)
    tells = name not in {"firecrest", "slurm"}  # the latter's administrator reserves the nodes, or does not
    assert choice.open
    assert any("announced to be away" in each for each in choice.reasons) is (warns and tells)


def test_allocation(place: LocalFacility, tmp_path: Path, name: str) -> None:
    tells = name in {"iri-v2", "iri-v1", "superfacility"}
    choice = chosen(place, tmp_path, name, account="beamline")
    assert (choice.prospect.node_hours_left is not None) is tells
    assert choice.open
    too_much = chosen(place, tmp_path, name, Requirements(nodes=10**6, seconds=3600), account="beamline")
    assert too_much.open is not tells
    assert ("node hours are left, and up to 1e+06 are asked for" in str(too_much)) is tells


def test_grant(place: LocalFacility, tmp_path: Path, name: str) -> None:
    choice = chosen(place, tmp_path, name, grant={"nodes": 1})
    assert (choice.open, choice.reasons) == (
        False,
        ("its grant does not allow 2 nodes; allowed: 1 node at once",),
    )


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        ({"node_hours": 1}, "its grant does not allow 2 node hours; allowed: 1 node hour a job"),
        ({"resources": ["elsewhere"]}, "elsewhere"),
        ({"verbs": ["look"]}, "its grant does not allow to submit"),
        ({"accounts": ["other"]}, "its grant does not allow the account 'beamline'; allowed: other"),
        ({"queues": ["other"]}, "its grant does not allow the queue 'debug'; allowed: other"),
    ],
)
def test_each_limit_of_a_grant(
    place: LocalFacility, tmp_path: Path, grant: dict[str, Any], reason: str
) -> None:
    choice = chosen(place, tmp_path, "iri-v2", grant=grant, account="beamline", queue="debug")
    assert not choice.open
    assert reason in str(choice)


def test_the_hours_of_a_day_that_are_spent(
    place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    grant = {"node_hours_a_day": 3}
    assert chosen(place, tmp_path, "iri-v2", grant=grant).open
    door = DOORS["iri-v2"].open(place, tmp_path, name="iri-v2", grant=grant)
    door.jobs.run(
        {
            "executable": "/bin/true",
            "resources": {"node_count": 2},
            "attributes": {"duration": 3600},
        }
    )
    choice = chosen(place, tmp_path, "iri-v2", grant=grant)
    assert not choice.open
    assert "its grant does not allow 2 node hours; allowed: 3 node hours a day, of which 1" in str(choice)
    assert chosen(place, tmp_path, "iri-v2", Requirements(nodes=1, seconds=3600), grant=grant).open


def test_hours_that_nobody_can_count_close_the_door(
    place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    choice = chosen(place, tmp_path, "iri-v2", grant={"node_hours_a_day": 3})
    assert not choice.open
    assert "the audit log in" in str(choice)


def test_what_is_not_known_yet_closes_no_door(place: LocalFacility, tmp_path: Path) -> None:
    limits = {"accounts": ["other"], "queues": ["other"], "node_hours": 1, "node_hours_a_day": 1}
    assert chosen(place, tmp_path, "iri-v2", Requirements(nodes=2), grant=limits).open


def test_credential(place: LocalFacility, tmp_path: Path, name: str) -> None:
    place.order("refuse_tokens")
    choice = chosen(place, tmp_path, name, token=StaticToken("spoiled"))
    assert not choice.open
    assert "token" in str(choice)


def test_queue(place: LocalFacility, tmp_path: Path, name: str) -> None:
    key = JobKey.of("signals", str(tmp_path))
    before = chosen(place, tmp_path, name).prospect.waiting
    place.order("hold", job=key.job_name("signals"))
    door = DOORS[name].open(place, tmp_path)
    door.jobs.submit({"executable": "/bin/true", "name": "signals"}, key=key)
    assert before is not None

    deadline = time.monotonic() + 60
    while (choice := chosen(place, tmp_path, name)).prospect.waiting == before:
        assert time.monotonic() < deadline, "NERSC's API keeps what squeue said for a while, but not for ever"
        time.sleep(0.05)
    assert f"{before + 1} of my jobs wait" in str(choice)
    assert any(each.startswith("of all users") for each in choice.reasons) is (name in {"slurm", "s3m"})
    door.jobs.cancel(key)
