"""Facilities of different dialects for one ask: every pair of doors, and what leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from among_world import CANCELED, NAMES, SOAK, Among
from doors import DOORS
from real_clients import until

from iri_common import Conflict, JobKey, JobRef, SubmitUncertain
from iri_common.apis.firecrest import systems
from iri_local_facility import LocalFacility

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("in_a_hurry")]

# How a door is closed: what is ordered, at the submit or at everything, with which words.
CLOSINGS = {
    "away": ("status", False, {"status": 503, "body": "html", "times": None}),
    "token refused": ("refuse_tokens", False, {}),
    "maintenance": ("maintenance", False, {"seconds": 600}),
    "busy": ("status", True, {"status": 429, "times": None}),
    "a page of somebody else": ("garble", False, {"body": "html", "times": None}),
}
# Each door is closed in each way before another one of the others; half of them where nobody soaks.
PAIRS = [
    (first, second, list(CLOSINGS)[number % len(CLOSINGS)])
    for number, (first, second) in enumerate(permutations(NAMES, 2))
][:: 1 if SOAK else 2]
FILING = [name for name in NAMES if name not in {"slurm", "s3m"}]  # where a client can take a guard
NEXT = dict(zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True))


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[LocalFacility, LocalFacility]]:
    with LocalFacility(nodes=8, kill_grace=0.2) as one, LocalFacility(nodes=8, kill_grace=0.2) as two:
        yield one, two


@pytest.fixture(autouse=True)
def calm(places, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(systems, "FRESH", 0.0)
    yield
    for place in places:
        place.clear_faults()


def key_of(tmp_path: Path) -> JobKey:
    return JobKey.of("among dialects", str(tmp_path))


@pytest.mark.parametrize(("first", "second", "closing"), PAIRS)
def test_a_closed_door_is_passed_by(places, tmp_path, first: str, second: str, closing: str) -> None:
    both, key = Among((first, second), places, tmp_path), key_of(tmp_path)
    facilities, spec = both.facilities(), both.spec(key)
    kind, at_submit, words = CLOSINGS[closing]
    places[0].order(kind, *([both.submit(0)] if at_submit else []), **words)
    ref = facilities.submit(spec, key=key, on_outage="fail")
    places[0].clear_faults()
    assert facilities.submit(spec, key=key) == ref, "it stays where it is when the door is open again"
    assert facilities.wait(ref, timeout=60).succeeded
    assert (both.worked(key), both.taken(0, key)) == ([1], [])


@pytest.mark.parametrize("first", NAMES)
def test_an_ask_that_may_be_there_is_settled_there(places, tmp_path, first: str) -> None:
    both, key = Among((first, NEXT[first]), places, tmp_path), key_of(tmp_path)
    facilities, spec = both.facilities(guard=False), both.spec(key)
    places[0].order("lose_reply", both.submit(0), times=1)
    places[0].order("status", list(DOORS[first].operations), status=503, times=None)  # and then it is away
    with pytest.raises(SubmitUncertain, match="No other facility is asked meanwhile") as caught:
        facilities.submit(spec, key=key, on_outage="fail")
    assert caught.value.key == key
    places[0].clear_faults()
    facilities.wait(facilities.submit(spec, key=key, on_outage="fail"), timeout=60)
    assert (both.worked(key), both.taken(1, key)) == ([0], [])


@pytest.mark.parametrize("first", FILING)
def test_what_is_given_up_at_one_door_never_begins_there(places, tmp_path, first: str) -> None:
    """Nobody sees the job that was taken while its reply was lost; a cancel leaves it no work to do."""
    both, key = Among((first, NEXT[first]), places, tmp_path), key_of(tmp_path)
    facilities, spec = both.facilities(), both.spec(key)
    mine = {"job": key.job_name("among")}
    places[0].order("hold", **mine)
    places[0].order("missing", **mine)
    places[0].order("status", both.submit(0), status=504, when="after", times=1)
    places[0].order("status", both.submit(0), status=504, times=None)
    with pytest.raises(SubmitUncertain, match="cancel the key"):
        facilities.submit(spec, key=key, on_outage="fail")
    facilities.cancel(key)
    with pytest.raises(Conflict, match="ask for its next generation"):
        facilities.submit(spec, key=key)
    places[0].clear_faults()
    places[0].order("maintenance", seconds=600)
    ref = facilities.submit(spec, key=key.next(), on_outage="fail")
    places[0].clear_faults()
    assert facilities.wait(ref, timeout=60).succeeded
    (left,) = until(lambda: [each for each in both.taken(0, key) if each["ended"]], "its end")
    assert (both.worked(key), left["exit_code"]) == ([1], CANCELED)


@pytest.mark.parametrize("first", sorted(set(NAMES) - set(FILING)))
def test_what_nobody_can_take_a_guard_from_is_not_given_up(places, tmp_path, first: str) -> None:
    both, key = Among((first, NEXT[first]), places, tmp_path), key_of(tmp_path)
    facilities, spec = both.facilities(), both.spec(key)
    places[0].order("status", both.submit(0), status=504, times=None)
    with pytest.raises(SubmitUncertain, match="No other facility is asked meanwhile"):
        facilities.submit(spec, key=key, on_outage="fail")
    with pytest.raises(SubmitUncertain, match="cancel again later"):
        facilities.cancel(key)
    places[0].clear_faults()
    facilities.wait(facilities.submit(spec, key=key), timeout=60)
    assert (both.worked(key), both.taken(1, key)) == ([0], [])


@pytest.mark.parametrize("second", NAMES)
def test_what_the_ledger_has_lost_is_found_at_any_door(places, tmp_path, second: str) -> None:
    """Also where its list is slow to show it: no guard spans doors."""
    both, key = Among((NEXT[second], second), places, tmp_path), key_of(tmp_path)
    spec = both.spec(key)
    places[1].order("late", seconds=0.3, job=key.job_name("among"))
    places[0].order("maintenance", seconds=600)
    ref = both.facilities().submit(spec, key=key, on_outage="fail")
    places[0].clear_faults()
    lost = both.facilities("another ledger")
    assert lost.submit(spec, key=key, seen_before=True, on_outage="fail").job_id == ref.job_id
    lost.wait(ref, timeout=60)
    assert (both.worked(key), both.taken(0, key)) == ([1], [])


@pytest.mark.parametrize("first", NAMES)
def test_who_comes_second_follows_to_where_the_first_went(places, tmp_path, first: str) -> None:
    """Two at once, while the first door keeps them waiting for its refusal."""
    both, key = Among((first, NEXT[first]), places, tmp_path), key_of(tmp_path)
    crowd, spec = [both.facilities() for _ in range(3)], both.spec(key)
    places[0].order("status", both.submit(0), status=429, times=None)
    places[0].order("delay", both.submit(0), seconds=0.2, times=None)

    async def at_once() -> list[JobRef]:
        return await asyncio.gather(*(each.aio.submit(spec, key=key, on_outage="fail") for each in crowd))

    (ref,) = set(asyncio.run(at_once()))
    crowd[0].wait(ref, timeout=60)
    assert (both.worked(key), both.taken(0, key)) == ([1], [])
