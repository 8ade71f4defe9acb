"""Jobs that are shown wrongly or not at all, die, are queued again, and facilities that are down."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from real_world import Work, broken, new_key, settle, story_of

from iri_common import Facility, FileLedger, JobLost, JobReason, JobRef, ResourceDown
from iri_common.facility import doors
from iri_common.policy import vanished
from iri_common.policy.generation import GenerationStep
from iri_local_facility import LocalFacility

NAME = "marks"


@pytest.fixture(autouse=True)
def in_a_greater_hurry(in_a_hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "RESOURCES_STAY_FRESH", 0.0)


@pytest.fixture
def work(place: LocalFacility, tmp_path: Path) -> Iterator[Work]:
    yield Work(place, place.base_url, tmp_path, new_key(tmp_path.name), seconds=0.3)
    place.clear_faults()


@pytest.fixture
def facility(work: Work, place: LocalFacility) -> Facility:
    token = place.new_token()  # a door of its own
    return Facility(work.url, token=token, poll_seconds=0.05, ledger=FileLedger(work.ledger))


@pytest.fixture
def mark(work: Work) -> str:
    """The job's name, by which orders find it."""
    return work.key.job_name(NAME)


def end_of(work: Work, facility: Facility, ref: JobRef, *, worked: int = 1) -> str:
    """What is told of the end, which is the truth; the job worked so many times, always as the same job."""
    status = facility.jobs.wait(ref, timeout=60)
    work.told.append({"what": "ended", "job": ref.job_id, "state": str(status.reported)})
    listed = settle(work.place)
    assert not broken(work, listed), f"{broken(work, listed)}\n  {story_of(work, listed)}"
    assert work.worked() == [ref.job_id] * worked
    assert [job["id"] for job in work.jobs(listed)] == [ref.job_id]
    return str(status.reported)


# ------------------------------------------------------------------------------------- shown wrongly

SIGHTS = {
    "an unknown state": ("unknown_state", {"word": "SUSPENDED", "lasts": 0.6}),
    "late by a moment": ("late", {"seconds": 0.5}),
    "not there for a moment": ("missing", {"lasts": 0.6}),
    "stale": ("stale", {"seconds": 0.4}),
    "a clock ahead": ("skew", {"seconds": 3600.0}),
    "a clock behind": ("skew", {"seconds": -3600.0}),
    "the list is empty": ("empty_list", {"times": 5, "operations": "getJobs"}),
    "the list never comes": ("hang", {"times": 2, "operations": "getJobs", "seconds": 3.0}),
}


@pytest.mark.parametrize("guard", [True, False])
@pytest.mark.parametrize("sight", SIGHTS)
def test_shown_wrongly(place, facility, work, mark, sight, guard) -> None:
    kind, options = SIGHTS[sight]
    words = {"job": mark} if kind in ("unknown_state", "late", "missing", "stale", "skew") else {}
    place.order(kind, **{"operations": "*", **options, **words})
    others = [facility.jobs.submit({"executable": "/bin/sleep", "arguments": ["0.3"]}) for _ in range(3)]
    ends = []
    threads = [
        threading.Thread(target=lambda ref=ref: ends.append(facility.jobs.wait(ref, timeout=60)))
        for ref in others
    ]
    for thread in threads:  # enough of them that the list is read
        thread.start()
    ref = facility.jobs.submit(work.spec, key=work.key, guard=guard)
    assert end_of(work, facility, ref) == "completed"
    for thread in threads:
        thread.join()
    assert [end.succeeded for end in ends] == [True] * 3


@pytest.mark.parametrize(
    "sight", ["late by a moment", "not there for a moment", "stale", "the list is empty"]
)
def test_a_lost_reply_of_a_job_that_is_shown_wrongly(place, facility, work, mark, sight) -> None:
    kind, options = SIGHTS[sight]
    words = {"job": mark} if kind != "empty_list" else {}
    place.order(kind, **{"operations": "*", **options, **words})
    place.order("lose_reply", "launchJob", job=mark)
    ref = facility.jobs.submit(work.spec, key=work.key)
    assert end_of(work, facility, ref) == "completed"


@pytest.mark.parametrize(("fails", "state"), [(0, "completed"), (1, "failed")])
def test_a_job_that_is_gone_for_ever_is_judged_by_its_journal(place, facility, work, fails, state) -> None:
    work.fails = fails
    ref = facility.jobs.submit(work.spec, key=work.key)
    place.order("missing", job=ref.job_id)
    assert end_of(work, facility, ref) == state


def test_of_a_double_that_is_gone_for_ever_the_worker_is_told(place, facility, work) -> None:
    ref = facility.jobs.submit(work.spec, key=work.key)
    assert end_of(work, facility, ref) == "completed"
    again = facility.jobs.preview(work.spec, key=work.key)
    token = {"Authorization": f"Bearer {place.token}"}
    double = httpx.post(again.url, json=dict(again.body), headers=token).raise_for_status().json()["id"]
    settle(place)
    assert work.worked() == [ref.job_id]
    place.order("missing", job=double)
    result = facility.jobs.result(ref.with_job(double), timeout=60)
    assert (result.ref, result.status.exit_code) == (ref, 0)


def test_a_job_that_is_gone_for_ever_without_a_guard_is_lost_and_said_to_be(place, facility, work) -> None:
    ref = facility.jobs.submit(work.spec, key=work.key, guard=False)
    place.order("missing", job=ref.job_id)
    with pytest.raises(JobLost) as caught:
        facility.jobs.wait(ref, timeout=60)
    assert caught.value.ref == ref
    settle(place)
    assert work.worked() == [ref.job_id]


def test_a_journal_that_tells_of_no_end_does_not_end_the_wait(place, facility, work, monkeypatch) -> None:
    work.seconds = 1.5
    monkeypatch.setattr(vanished, "GRACE", 0.2)
    monkeypatch.setattr(vanished, "GRACE_UNSEEN", 0.2)
    ref = facility.jobs.submit(work.spec, key=work.key)
    place.order("missing", job=ref.job_id)
    assert end_of(work, facility, ref) == "completed"


# ------------------------------------------------------------------------------------- nodes and queues


def test_a_node_that_dies_between_guard_and_journal(place, facility, work, mark) -> None:
    place.order("node_death", command="ln", when="after", job=mark)
    ref = facility.jobs.submit(work.spec, key=work.key)
    assert end_of(work, facility, ref, worked=0) == "failed"
    asked = facility.jobs.ask(work.spec, key=work.key)
    assert (asked.step, asked.ref.key.generation) == (GenerationStep.RAISE, 2)
    assert facility.jobs.wait(asked.ref).succeeded
    settle(place)
    assert work.worked() == [asked.ref.job_id]


@pytest.mark.parametrize(
    ("command", "nth", "when", "worked"),
    [("ln", 1, "before", 1), ("ln", 1, "after", 1), ("date", 1, "after", 1), ("date", 2, "before", 2)],
)
def test_a_job_that_is_queued_again_passes_its_own_guard(
    place, facility, work, mark, command, nth, when, worked
) -> None:
    fault = place.order("node_death", command=command, nth=nth, when=when, requeue=True, job=mark)
    ref = facility.jobs.submit(work.spec, key=work.key)
    assert end_of(work, facility, ref, worked=worked) == "completed"
    assert [each["struck"] for each in place.faults() if each["id"] == fault] == [1]
    (job,) = work.jobs()
    assert job["restarts"] == 1


def test_a_job_that_is_queued_again_after_its_end_does_nothing(place, facility, work, mark) -> None:
    place.order("requeue", command="printf", nth=3, when="after", job=mark)  # the line that tells of the end
    ref = facility.jobs.submit(work.spec, key=work.key)
    assert end_of(work, facility, ref) == "completed"
    (job,) = work.jobs()
    assert job["restarts"] == 1
    journal = facility.jobs.journal(ref)
    assert journal is not None
    assert [attempt.exit_code for attempt in journal.attempts] == [0]


@pytest.mark.parametrize(("requeue", "state", "worked"), [(True, "completed", 2), (False, "failed", 1)])
def test_preempted(place, facility, work, requeue, state, worked) -> None:
    ref = facility.jobs.submit(work.spec, key=work.key)
    while not work.worked():
        time.sleep(0.01)
    place.order("preempt", job=ref.job_id, seconds=0.5, requeue=requeue)
    assert end_of(work, facility, ref, worked=worked) == state
    assert facility.jobs.wait(ref).reason is (None if requeue else JobReason.PREEMPTED)


@pytest.mark.parametrize("kind", ["node_death", "out_of_memory"])
def test_killed_at_work_is_a_failure_and_the_next_generation_works(place, facility, work, kind) -> None:
    ref = facility.jobs.submit(work.spec, key=work.key)
    while not work.worked():
        time.sleep(0.01)
    place.order(kind, job=ref.job_id)
    assert end_of(work, facility, ref) == "failed"
    asked = facility.jobs.ask(work.spec, key=work.key)
    assert asked.ref.key.generation == 2
    assert facility.jobs.wait(asked.ref).succeeded


# ------------------------------------------------------------------------------------- outages


def down_for(place: LocalFacility, seconds: float) -> None:
    place.order("maintenance", ["launchJob"], resource="cluster", seconds=seconds, api="unavailable")


def test_a_resource_that_is_down_is_waited_for(place, facility, work) -> None:
    down_for(place, 1.0)
    began = time.time()
    ref = facility.jobs.submit(work.spec, key=work.key, on_outage="wait", outage_limit=20.0)
    assert end_of(work, facility, ref) == "completed"
    assert work.jobs()[0]["submitted"] - began > 0.8


def test_a_resource_that_is_down_longer_than_the_limit(place, facility, work) -> None:
    down_for(place, 60.0)
    with pytest.raises(ResourceDown, match="nothing was sent"):
        facility.jobs.submit(work.spec, key=work.key, on_outage="wait", outage_limit=0.5)
    with pytest.raises(ResourceDown, match="nothing was sent"):
        facility.jobs.submit(work.spec, key=work.key, on_outage="fail")
    assert not work.jobs()
    place.clear_faults()
    assert end_of(work, facility, facility.jobs.submit(work.spec, key=work.key)) == "completed"


def test_a_resource_that_is_down_is_tried_all_the_same(place, facility, work, caplog) -> None:
    place.order("maintenance", resource="cluster", seconds=1.0)
    with caplog.at_level(logging.WARNING, "iri_common"):
        ref = facility.jobs.submit(work.spec, key=work.key, on_outage="try")
    assert "is down" in caplog.text
    assert end_of(work, facility, ref) == "completed"


def test_announced_maintenance_only_warns(place, facility, work, caplog) -> None:
    place.order("maintenance", resource="cluster", starts_in=300.0, seconds=60.0)
    with caplog.at_level(logging.WARNING, "iri_common"):
        ref = facility.jobs.submit(
            {**work.spec, "attributes": {"duration": 60}}, key=work.key, on_outage="fail"
        )
        assert "announced" not in caplog.text, "it will be over by then"
        long = facility.jobs.submit({"executable": "/bin/true", "attributes": {"duration": 1200}})
    assert "announced to be away" in caplog.text
    assert end_of_held(place, facility, long) == "completed"
    assert end_of(work, facility, ref) == "completed"


def end_of_held(place: LocalFacility, facility: Facility, ref: JobRef) -> str:
    """The scheduler itself holds such a job, until the maintenance is called off."""
    assert str(facility.jobs.status(ref).state) == "queued"
    place.clear_faults()
    return str(facility.jobs.wait(ref, timeout=60).reported)


def test_a_service_that_crashes_with_the_request_in_its_hands(tmp_path: Path) -> None:
    with LocalFacility(tmp_path / "place") as place:
        works = {when: Work(place, place.base_url, tmp_path, new_key(when)) for when in ("before", "after")}
        for when, work in works.items():
            facility = Facility(
                work.url, token=place.token, poll_seconds=0.05, ledger=FileLedger(work.ledger)
            )
            place.order("crash", "launchJob", when=when)
            back = threading.Timer(0.5, place.restart)
            back.start()
            ref = facility.jobs.submit(work.spec, key=work.key, outage_limit=20.0)
            assert end_of(work, facility, ref) == "completed"
            back.join()
