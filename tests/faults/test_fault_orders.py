"""Every way in which a reply can go astray, at each kind of request: the job works once and is told truly."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from real_world import Work, broken, new_key, settle, story_of

from iri_common import Facility, FileLedger, IriError, JobRef
from iri_common.policy import vanished
from iri_local_facility import LocalFacility

T = TypeVar("T")
ASKS = 6  # as an engine with retries asks

REPLIES: dict[str, tuple[str, dict]] = {
    "reply lost": ("lose_reply", {}),
    "connection reset": ("reset", {}),
    "reply cut short": ("cut", {}),
    "slow body": ("slow_body", {"seconds": 0.3}),
    "late reply": ("delay", {"seconds": 0.3, "when": "after"}),
    "late to act": ("delay", {"seconds": 0.3, "when": "before"}),
    "hangs before, then closes": ("hang", {"seconds": 0.2, "when": "before"}),
    "hangs after, then closes": ("hang", {"seconds": 0.2, "when": "after"}),
    "200, an HTML page": ("garble", {"body": "html"}),
    "200, half of the JSON": ("garble", {"body": "truncated"}),
    "200, nothing": ("garble", {"body": "empty"}),
    "401": ("status", {"status": 401}),
    "good tokens refused": ("refuse_tokens", {}),
    "403": ("status", {"status": 403}),
    "403, an HTML page": ("status", {"status": 403, "body": "html"}),
    "429": ("status", {"status": 429}),
    "429, Retry-After": ("status", {"status": 429, "retry_after": "1"}),
    **{
        f"{status} {when}": ("status", {"status": status, "when": when, "body": body})
        for status, body in ((500, "problem"), (502, "html"), (503, "plain"), (504, "html"))
        for when in ("before", "after")
    },
}
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


def order(place: LocalFacility, fault: str, operations: str | list[str], times: int, **words) -> str:
    kind, options = REPLIES[fault]
    return place.order(kind, operations, times=times, **options, **words)


def struck(place: LocalFacility, fault_id: str) -> int:
    return next(each["struck"] for each in place.faults() if each["id"] == fault_id)


def persisting(act: Callable[[], T]) -> T:
    """As an engine does it again that failed."""
    for _ in range(ASKS - 1):
        with contextlib.suppress(IriError):
            return act()
    return act()


def truly(work: Work, facility: Facility, ref: JobRef, state: str = "completed", *, jobs: int = 1) -> None:
    """The job worked once, and its end was told as it was."""
    status = facility.jobs.wait(ref, timeout=20.0)
    work.told.append({"what": "ended", "job": ref.job_id, "state": str(status.reported)})
    listed = settle(work.place)
    assert not broken(work, listed), f"{broken(work, listed)}\n  {story_of(work, listed)}"
    assert str(status.reported) == state
    assert len(set(work.worked())) == 1
    assert len(work.jobs(listed)) == jobs


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
        threading.Thread(target=lambda ref=ref: ends.append(facility.jobs.wait(ref, timeout=20)))
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
