"""Every way in which a reply can go astray, at each kind of request: the job works once and is told truly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from astray_world import REPLIES, order, persisting, struck, truly
from real_world import Work, new_key

from iri_common import Facility, FileLedger
from iri_common.policy import vanished
from iri_local_facility import LocalFacility

TIMES = pytest.mark.parametrize("times", [1, 3])
EACH = pytest.mark.parametrize("fault", REPLIES)


@pytest.fixture(autouse=True)
def in_a_greater_hurry(in_a_hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vanished, "GRACE", 0.3)
    monkeypatch.setattr(vanished, "GRACE_UNSEEN", 0.4)


@pytest.fixture
def work(place: LocalFacility, tmp_path: Path) -> Iterator[Work]:
    yield Work(place, place.base_url, tmp_path, new_key(tmp_path.name), seconds=0.2)
    place.clear_faults()


@pytest.fixture
def facility(work: Work, place: LocalFacility) -> Facility:
    token = place.new_token()  # a door of its own
    return Facility(
        work.url, token=token, poll_seconds=0.05, ledger=FileLedger(work.ledger), outage_limit=20.0
    )


@EACH
@TIMES
def test_at_the_submit(place, facility, work, fault, times) -> None:
    stroke = order(place, fault, "launchJob", times, job=work.key.job_name("marks"))
    ref = persisting(lambda: facility.jobs.submit(work.spec, key=work.key))
    assert struck(place, stroke)
    assert facility.jobs.submit(work.spec, key=work.key) == ref
    truly(work, facility, ref)


@EACH
@TIMES
def test_at_the_list_that_settles_a_lost_reply(place, facility, work, fault, times) -> None:
    place.order("lose_reply", "launchJob", job=work.key.job_name("marks"))
    stroke = order(place, fault, "getJobs", times)
    ref = persisting(lambda: facility.jobs.submit(work.spec, key=work.key))
    assert struck(place, stroke)
    truly(work, facility, ref)


@EACH
def test_at_the_list_from_which_an_ask_learns_its_generation(place, facility, work, fault) -> None:
    first = facility.jobs.ask(work.spec, key=work.key)
    work.lose_ledger()
    stroke = order(place, fault, "getJobs", 3)
    again = persisting(lambda: facility.jobs.ask(work.spec, key=work.key))
    assert struck(place, stroke)
    assert again.ref == first.ref
    truly(work, facility, again.ref)


@EACH
@TIMES
def test_in_mid_wait(place, facility, work, fault, times) -> None:
    ref = facility.jobs.submit(work.spec, key=work.key)
    stroke = order(place, fault, "getJob", times, skip=1)
    truly(work, facility, ref)
    assert struck(place, stroke)


@EACH
def test_at_the_list_of_many_waits(place, facility, work, fault) -> None:
    refs = [facility.jobs.submit(work.spec, key=work.key)]
    others = [facility.jobs.submit({"executable": "/bin/sleep", "arguments": ["0.5"]}) for _ in range(4)]
    stroke = order(place, fault, "getJobs", 3, skip=1)
    ends = []
    threads = [
        threading.Thread(target=lambda ref=ref: ends.append(facility.jobs.wait(ref, timeout=60)))
        for ref in others
    ]
    for thread in threads:
        thread.start()
    truly(work, facility, refs[0])
    for thread in threads:
        thread.join()
    assert [end.succeeded for end in ends] == [True] * 4
    assert struck(place, stroke)


@EACH
@TIMES
def test_at_the_cancel(place, facility, work, fault, times) -> None:
    work.seconds = 60.0
    ref = facility.jobs.submit(work.spec, key=work.key)
    while not work.worked():
        time.sleep(0.01)
    stroke = order(place, fault, "cancelJob", times)
    persisting(lambda: facility.jobs.cancel(ref))
    assert struck(place, stroke)
    truly(work, facility, ref, "canceled")


@EACH
def test_at_the_journal_of_a_job_that_is_gone(place, facility, work, fault) -> None:
    ref = facility.jobs.submit(work.spec, key=work.key)
    place.order("missing", ["getJob", "getJobs"], job=ref.job_id)
    stroke = order(place, fault, ["view", "getTask"], 3)
    truly(work, facility, ref)
    assert struck(place, stroke)
