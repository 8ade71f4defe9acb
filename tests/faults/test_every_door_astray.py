"""Replies that go astray at the APIs other than IRI's: the job works once and is told truly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from astray_world import REPLIES, order, persisting, struck, truly
from doors import DOORS, Door
from real_world import Work, new_key

from iri_common import Facility, FileLedger
from iri_common.policy import vanished
from iri_local_facility import LocalFacility

# The oldest Slurm differs in the form of its fields only, which the contract tests go through.
OTHERS = [name for name in DOORS if not name.startswith("iri") and name != "slurm-v38"]
# What a gateway does looks the same to every API; of each kind one.
SOME = [
    "reply lost",
    "connection reset",
    "reply cut short",
    "200, an HTML page",
    "200, half of the JSON",
    "good tokens refused",
    "403, an HTML page",
    "429, Retry-After",
    "500 after",
    "502 after",
    "503 before",
    "504 after",
]
pytestmark = pytest.mark.parametrize("name", OTHERS)


@pytest.fixture(autouse=True)
def in_a_greater_hurry(in_a_hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vanished, "GRACE", 0.3)
    monkeypatch.setattr(vanished, "GRACE_UNSEEN", 0.4)


@pytest.fixture
def door(name: str) -> Door:
    return DOORS[name]


@pytest.fixture
def work(place: LocalFacility, tmp_path: Path) -> Iterator[Work]:
    yield Work(place, "", tmp_path, new_key(tmp_path.name), seconds=0.2)
    place.clear_faults()


@pytest.fixture
def facility(work: Work, place: LocalFacility, door: Door, tmp_path: Path) -> Facility:
    words = {"poll_seconds": 0.05, "outage_limit": 20.0, "ledger": FileLedger(work.ledger)}
    return door.open(place, tmp_path, **words)


@pytest.fixture(autouse=True)
def patience_without_journals(
    in_a_greater_hurry: None, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody else can be asked about a job, one that is hidden for half a second is not lost yet."""
    if not facility.grades.readable_files:
        monkeypatch.setattr(vanished, "GRACE", 1.5)
        monkeypatch.setattr(vanished, "GRACE_UNSEEN", 1.5)


@pytest.mark.parametrize("fault", REPLIES)
def test_at_the_submit(place: LocalFacility, door: Door, facility: Facility, work: Work, fault: str) -> None:
    submit, *_ = door.operations
    stroke = order(place, fault, submit, 1, job=work.key.job_name("marks"))
    ref = persisting(lambda: facility.jobs.submit(work.spec, key=work.key))
    assert struck(place, stroke)
    assert facility.jobs.submit(work.spec, key=work.key) == ref
    truly(work, facility, ref)


@pytest.mark.parametrize("fault", SOME)
def test_at_the_list_that_settles_a_lost_reply(
    place: LocalFacility, door: Door, facility: Facility, work: Work, fault: str
) -> None:
    submit, listing, *_ = door.operations
    place.order("lose_reply", submit, job=work.key.job_name("marks"))
    stroke = order(place, fault, listing, 2)
    ref = persisting(lambda: facility.jobs.submit(work.spec, key=work.key))
    assert struck(place, stroke)
    truly(work, facility, ref)


@pytest.mark.parametrize("fault", SOME)
def test_in_mid_wait(place: LocalFacility, door: Door, facility: Facility, work: Work, fault: str) -> None:
    _, listing, look, _ = door.operations
    work.seconds = 0.6
    ref = facility.jobs.submit(work.spec, key=work.key)
    stroke = order(place, fault, [listing, look], 3, skip=1)
    truly(work, facility, ref)
    assert struck(place, stroke)


@pytest.mark.parametrize("fault", SOME)
def test_at_the_cancel(place: LocalFacility, door: Door, facility: Facility, work: Work, fault: str) -> None:
    *_, cancel = door.operations
    work.seconds = 60.0
    ref = facility.jobs.submit(work.spec, key=work.key)
    until = time.monotonic() + 60
    while not work.worked() and time.monotonic() < until:
        time.sleep(0.01)
    stroke = order(place, fault, cancel, 1)
    persisting(lambda: facility.jobs.cancel(ref))
    assert struck(place, stroke)
    truly(work, facility, ref, "canceled")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", {"lasts": 0.5}),
        ("late", {"seconds": 0.5}),
        ("unknown_state", {"lasts": 0.5}),
        ("stale", {"seconds": 0.3, "lasts": 1.0}),
        ("hold", {"lasts": 0.5}),
        ("node_death", {"requeue": True, "command": "ln", "when": "after"}),
    ],
)
def test_what_befalls_the_job_itself(
    place: LocalFacility, facility: Facility, work: Work, kind: str, words: dict
) -> None:
    place.order(kind, job=work.key.job_name("marks"), **words)
    truly(work, facility, facility.jobs.submit(work.spec, key=work.key))
