"""Several facilities for one ask: explained, passed by where closed, and never worked at two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking_client import HURRY

from iri_common import (
    Facilities,
    Facility,
    FileLedger,
    JobKey,
    JobRef,
    JobSpec,
    JobState,
    NotOffered,
    Refused,
    Requirements,
    ResourceDown,
    SpecChanged,
    SubmitUncertain,
    UsageError,
)
from iri_local_facility import LocalFacility

DOUBLE = 211
QUICK = JobSpec(executable="/bin/true")


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[LocalFacility, LocalFacility]]:
    with LocalFacility(nodes=8, kill_grace=0.2) as one, LocalFacility(nodes=8, kill_grace=0.2) as two:
        yield one, two


@pytest.fixture(autouse=True)
def calm(places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of the core stay; only its pauses are short. No order of another test stands."""
    for where, name, value in HURRY:
        monkeypatch.setattr(where, name, value)
    for place in places:
        place.clear_faults()


@pytest.fixture
def ledger(tmp_path: Path) -> FileLedger:
    return FileLedger(tmp_path / "ledger")


def door(place: LocalFacility, name: str, **words) -> Facility:
    token = words.pop("token", None) or place.new_token()
    return Facility(
        place.base_url, name=name, token=token, directory=str(place.home), poll_seconds=0.1, **words
    )


def among(places, ledger: FileLedger, **words) -> Facilities:
    return Facilities(door(places[0], "one", **words), door(places[1], "two", **words), ledger=ledger)


def worked(places, key: JobKey) -> list[int]:
    """At which of the facilities jobs of a key did work, once for each."""
    return [
        number
        for number, place in enumerate(places)
        for job in place.jobs()
        if key.names(job["name"]) and job["exit_code"] != DOUBLE
    ]


def key_of(request: pytest.FixtureRequest) -> JobKey:
    return JobKey.of("among", request.node.name)


def test_the_first_open_door_takes_the_job(places, ledger, request) -> None:
    both, key = among(places, ledger), key_of(request)
    ref = both.submit(QUICK, key=key)
    assert both.submit(QUICK, key=key) == ref
    assert both.result(ref).status.exit_code == 0
    assert worked(places, key) == [0]


@pytest.mark.parametrize("closed", ["down", "token", "gateway", "gone", "grant"])
def test_a_closed_door_is_passed_by_and_nothing_is_left_there(places, ledger, request, closed: str) -> None:
    key, one = key_of(request), places[0]
    first = door(one, "one")
    if closed == "down":
        one.order("maintenance", seconds=600)
    elif closed == "token":
        first = door(one, "one", token="spoiled")
    elif closed == "grant":
        first = door(one, "one", grant={"accounts": ["others"]})
    elif closed == "gateway":
        one.order("status", status=503, body="html", times=None)
    else:
        first = Facility("http://127.0.0.1:9/api/v2", name="one", token="any")
    both = Facilities(first, door(places[1], "two"), ledger=ledger)
    ref = both.submit(QUICK, key=key)
    assert (ref.origin, worked(places, key)) == (JobRef.parse(str(ref)).origin, [1])
    one.clear_faults()
    assert both.submit(QUICK, key=key) == ref, "it stays where it is when the door is open again"
    both.wait(ref)
    assert worked(places, key) == [1]


def test_an_ask_that_may_be_there_is_settled_there(places, ledger, request) -> None:
    """The reply is lost and the door closes behind it: the next one is not asked."""
    key, both = key_of(request), among(places, ledger, guard=False)
    one = places[0]
    one.order("lose_reply", "launchJob", times=1)
    one.order("status", ["getJobs", "launchJob"], status=503, times=None)
    with pytest.raises(SubmitUncertain) as caught:
        both.submit(QUICK, key=key, on_outage="fail")
    assert caught.value.key == key
    assert 1 not in worked(places, key)
    one.clear_faults()
    both.wait(both.submit(QUICK, key=key, on_outage="fail"))
    assert worked(places, key) == [0]


def test_who_comes_second_by_another_order_of_doors_gets_the_same_job(places, ledger, request) -> None:
    key, orders = key_of(request), [(0, 1), (1, 0), (0, 1), (1, 0)]
    crowd = [Facilities(*(door(places[at], f"at {at}") for at in order), ledger=ledger) for order in orders]

    async def at_once() -> list[JobRef]:
        return await asyncio.gather(
            *(each.aio.submit(QUICK, key=key, on_outage="fail") for each in crowd),
        )

    (ref,) = set(asyncio.run(at_once()))
    crowd[0].wait(ref)
    assert len(worked(places, key)) == 1


def test_who_comes_second_with_another_spec_is_refused(places, ledger, request) -> None:
    key, both = key_of(request), among(places, ledger)
    specs = QUICK, JobSpec(executable="/usr/bin/env")

    async def at_once() -> list[JobRef | BaseException]:
        return await asyncio.gather(
            *(both.aio.submit(each, key=key) for each in specs), return_exceptions=True
        )

    ref, refusal = sorted(asyncio.run(at_once()), key=lambda each: isinstance(each, Exception))
    assert isinstance(ref, JobRef)
    assert isinstance(refusal, SpecChanged)
    both.wait(ref)
    assert worked(places, key) == [0]


def test_of_two_doors_to_one_facility_the_one_to_its_machine_knows_the_job(places, ledger, request) -> None:
    key, one = key_of(request), places[0]
    files, machine = door(one, "files", resource="scratch"), door(one, "machine", resource="cluster")
    ref = Facilities(machine, ledger=ledger).submit(QUICK, key=key)
    both = Facilities(files, machine, ledger=ledger)
    assert both.submit(QUICK, key=key) == ref
    both.wait(ref)
    assert worked(places, key) == [0]


def test_what_the_ledger_has_lost_is_found_at_any_door(places, tmp_path: Path, request) -> None:
    key = key_of(request)
    before = Facilities(door(places[1], "two"), ledger=FileLedger(tmp_path / "before"))
    ref = before.submit(QUICK, key=key)
    both = among(places, FileLedger(tmp_path / "after"))
    assert both.submit(QUICK, key=key, seen_before=True).job_id == ref.job_id
    places[1].order("status", status=503, times=None)
    lost = among(places, FileLedger(tmp_path / "lost"))
    with pytest.raises(Exception, match=r"503|not answer|away"):
        lost.submit(QUICK, key=key, seen_before=True, on_outage="fail")
    places[1].clear_faults()
    assert worked(places, key) == [1]


def test_all_doors_closed_are_waited_for_or_told(places, ledger, request) -> None:
    key, both = key_of(request), among(places, ledger)
    for place in places:
        place.order("maintenance", seconds=600)
    with pytest.raises(ResourceDown, match=r"no facility takes .* nothing was sent: .*; "):
        both.submit(QUICK, key=key, on_outage="fail")
    assert not worked(places, key)

    async def waits() -> JobRef:
        asked = asyncio.ensure_future(both.aio.submit(QUICK, key=key))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(places[1].clear_faults)
        return await asyncio.wait_for(asked, 20)

    both.wait(asyncio.run(waits()))
    assert worked(places, key) == [1]


def test_what_no_time_mends_is_not_waited_for(places, ledger, request) -> None:
    both, key = among(places, ledger, grant={"accounts": ["others"]}), key_of(request)
    with pytest.raises(NotOffered, match=r"no facility takes .* nothing was sent: .* grant .*; .* grant "):
        both.submit(QUICK, key=key, on_outage="wait")
    assert not worked(places, key)


def test_a_key_is_canceled_wherever_it_is(places, ledger, tmp_path: Path, request) -> None:
    both, key = among(places, ledger), key_of(request)
    long = JobSpec(executable="/bin/sleep", arguments=["60"])
    places[0].order("maintenance", seconds=600)
    ref = both.submit(long, key=key)
    places[0].clear_faults()
    both.cancel(key)
    assert both.wait(ref, timeout=60).state is JobState.CANCELED
    lost, key = among(places, FileLedger(tmp_path / "lost")), key.next()
    ref = both.submit(long, key=key)
    lost.cancel(key)
    assert both.wait(ref, timeout=60).state is JobState.CANCELED


def test_what_is_wrong_with_the_ask_is_told_by_the_first_door(places, ledger, request) -> None:
    both = among(places, ledger)
    places[0].order("status", "launchJob", status=400, times=1)
    with pytest.raises(Refused):
        both.submit(QUICK, key=key_of(request))
    assert not worked(places, key_of(request))
    with pytest.raises(UsageError, match="none of: one, two"):
        both.wait("iri+job://elsewhere.example/iri/cluster/who.1?job=1")


def test_doors_are_ranked_by_what_they_tell(places, ledger) -> None:
    both = Facilities(
        door(places[0], "one", token="spoiled"),
        door(places[1], "two", account="m0000"),
        Facility("http://127.0.0.1:9/api/v2", name="nobody"),
        ledger=ledger,
    )
    told = both.select(Requirements(nodes=2, seconds=600))
    assert [(each.facility, each.open) for each in told] == [("two", True), ("one", False), ("nobody", False)]
    assert "the machine is up" in str(told[0])
    assert "refused the token" in str(told[1]) or "token" in str(told[1])
    places[1].order("maintenance", seconds=600)
    assert not any(each.open for each in both.select())
    places[1].clear_faults()
    assert both.select()[0].facility == "two"


def test_the_best_door_is_asked_first(places, ledger, request) -> None:
    both, key = among(places, ledger), key_of(request)
    both.submit(JobSpec(executable="/bin/sleep", arguments=["3"], resources={"node_count": 8}))
    for _ in range(2):
        both.submit(QUICK)  # they wait at the first
    both.wait(both.submit(QUICK, key=key, best=True))
    assert worked(places, key) == [1]
