"""Paths, nodes, both, runs, streams: clients die and replies go astray, and each key has one of them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import lease_world
import pytest
from astray_world import ASKS, order, persisting, struck
from lease_kit import a_flow, asker, facility, left, taken
from lease_world import KINDS, Asker, Plan

from iri_common import Conflict, IriError, JobKey, JobRef, SpecChanged, SubmitUncertain, WaitTimeout
from iri_common.jobs.ledger import claim_owner
from iri_common.model.ledger import Stage
from iri_common.policy.retry import Limits
from iri_local_facility import LocalFacility

# What a gateway does looks the same to every request: of each kind one, and all where it matters most.
SOME = ["reply lost", "200, half of the JSON", "good tokens refused", "429", "502 before"]
AT_THE_ASK = [
    *SOME,
    "connection reset",
    "reply cut short",
    "hangs after, then closes",
    "200, an HTML page",
    "200, nothing",
    "401",
    "403",
    "500 after",
    "503 before",
    "504 after",
]
HASTY = Limits(attempts=3, total=10.0, first_delay=0.02, longest_delay=0.1)
every = pytest.mark.parametrize("kind", KINDS)
# Both are what their parts are, and of their own have only what is done about one when the other fails.
apart = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "both"])


def struck_by(faults: Sequence[str]) -> pytest.MarkDecorator:
    pairs = [(kind, fault) for kind in KINDS for fault in (SOME[::2] if kind == "both" else faults)]
    return pytest.mark.parametrize(("kind", "fault"), pairs)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[LocalFacility, dict[str, str]]]:
    with facility() as found:
        yield found


@pytest.fixture
def place(
    running: tuple[LocalFacility, dict[str, str]],
    in_a_hurry: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[LocalFacility]:
    place, _ = running
    # An identity is open once in a process; another environment is another identity.
    for name, value in {**place.globus_env, "GLOBUS_SDK_TEST": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("iri_common.apis.globus.client.Limits", lambda: HASTY)
    yield place
    place.clear_faults()


@pytest.fixture
def words(running: tuple[LocalFacility, dict[str, str]], kind: str, place: LocalFacility) -> dict[str, str]:
    return {**running[1], "flow": a_flow(place) if kind == "run" else ""}


@pytest.fixture
def mine(kind: str, words: dict[str, str], tmp_path: Path) -> Asker:
    return asker(kind, words, tmp_path)


@pytest.fixture
def key(kind: str, tmp_path: Path) -> JobKey:
    return JobKey.of("lease", kind, str(tmp_path))


def the_only_one(place: LocalFacility, kind: str, key: JobKey, mine: Asker) -> None:
    """What was asked for is there once, can be used, and nothing of it is left when it is given back."""
    thing = mine.ask(key)
    assert taken(place, kind, key) == 1
    mine.wait(thing)
    mine.give_back(key)
    assert left(place, kind, key) == []


@every
def test_killed_at_each_step(place, kind, words, tmp_path) -> None:
    steps = [*KINDS[kind].asking, *KINDS[kind].giving]
    plans = [
        Plan(kind, {**words, "folder": str(tmp_path / step)}, str(JobKey.of(kind, step, str(tmp_path))), step)
        for step in steps
    ]
    child = [sys.executable, lease_world.__file__]
    lines = "".join(plan.line() for plan in plans)
    done = subprocess.run(child, input=lines, capture_output=True, text=True, check=True, timeout=120)
    ended = dict(zip(steps, json.loads(done.stdout), strict=True))
    assert [step for step, status in ended.items() if status != signal.SIGKILL] == [], done.stderr

    def goes_on(plan: Plan) -> None:
        key, again = JobKey.parse(plan.key), KINDS[kind](plan.words)
        if plan.step in again.giving:
            again.give_back(key)
            assert left(place, kind, key) == [], plan.step
        elif plan.step in again.in_the_dark:
            with pytest.raises(SubmitUncertain):
                again.ask(key)
            assert taken(place, kind, key) == 0, plan.step
        else:
            the_only_one(place, kind, key, again)

    with ThreadPoolExecutor(len(plans)) as pool:
        list(pool.map(goes_on, plans))


@every
def test_asked_for_again_when_the_ledger_is_lost(place, kind, words, mine, key, tmp_path) -> None:
    mine.ask(key)
    other = asker(kind, words, tmp_path / "another ledger")
    if kind == "stream":  # how it is reached was told once, to somebody who may be using it
        with pytest.raises(Conflict, match="told to whoever asked for it"):
            other.ask(key)
        with pytest.raises(Conflict, match="told to whoever asked for it"), other.another(key):
            raise AssertionError("it was given")
    else:
        other.ask(key)
    the_only_one(place, kind, key, mine)


@apart
def test_who_waits_for_another_process_only_looks(place, kind, mine, key) -> None:
    """What an earlier generation left is given back by whoever holds the claim."""
    mine.ask(key)
    ledger, other = mine.ledger, claim_owner()
    assert asyncio.run(ledger.claim(key, other, 60))
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(mine.ask, key.next())
        with pytest.raises(TimeoutError):
            later.result(1)
        record = asyncio.run(ledger.read(key))
        asyncio.run(ledger.release(key, other))
        assert record is not None
        assert record.generation == key.generation
        later.result(60)
    mine.give_back(key.next())


leased = pytest.mark.parametrize("kind", ["path", "nodes", "stream"])


@leased
def test_another_lease_of_the_key_stays_when_one_is_asked_for_in_vain(place, kind, mine, key) -> None:
    mine.ask(key)
    with pytest.raises(SpecChanged), mine.another(key):
        raise AssertionError("it was given")
    assert left(place, kind, key) != []
    the_only_one(place, kind, key, mine)


@leased
def test_what_another_process_is_at_stays_to_it(place, kind, mine, key) -> None:
    mine.ask(key)
    ledger, other = mine.ledger, claim_owner()
    record = asyncio.run(ledger.read(key))
    assert record is not None
    asyncio.run(ledger.write(replace(record, stage=Stage.SENT)))
    assert asyncio.run(ledger.claim(key, other, 600))
    with pytest.MonkeyPatch.context() as patience:
        patience.setattr("iri_common.jobs.claim.CLAIM_SECONDS", 0.2)
        with pytest.raises(WaitTimeout, match="another process"), mine.another(key):
            raise AssertionError("it was given")
    assert left(place, kind, key) != []
    asyncio.run(ledger.release(key, other))
    the_only_one(place, kind, key, mine)


@leased
def test_a_lease_of_another_facility_is_left_to_it(place, kind, mine, key) -> None:
    """Not to be seen here does not mean that it is gone, and its record is all that finds it again."""
    mine.ask(key)
    ledger = mine.ledger
    here = asyncio.run(ledger.read(key))
    assert here is not None
    there = replace(here, ref=str(replace(JobRef.parse(here.ref), origin="elsewhere.example")))
    asyncio.run(ledger.write(there))
    for again in (mine.ask, mine.give_back):
        with pytest.raises(SpecChanged, match=r"elsewhere\.example.*give that back there first"):
            again(key)
    with pytest.raises(SpecChanged, match=r"elsewhere\.example"):
        mine.ask(key.next())
    assert asyncio.run(ledger.read(key)) == there
    nothing = replace(there, stage=Stage.INTENT)
    asyncio.run(ledger.write(nothing))
    mine.give_back(key)  # nothing of it has left, there or here
    asyncio.run(ledger.write(here))
    the_only_one(place, kind, key, mine)


@struck_by(AT_THE_ASK)
def test_astray_when_it_is_asked_for(place, kind, mine, key, fault) -> None:
    ask, _, _ = mine.operations
    stroke = order(place, fault, ask, 1)
    for _ in range(ASKS):
        try:
            mine.ask(key)
            break
        except SubmitUncertain:
            # Only a run may stay in doubt: nothing but its label tells that it is there.
            assert (kind, taken(place, kind, key)) == ("run", 0)
            key = key.next()
        except IriError:
            assert taken(place, kind, key) == 0
    assert struck(place, stroke)
    the_only_one(place, kind, key, mine)


@struck_by(SOME)
def test_astray_when_a_lost_reply_is_settled(place, kind, mine, key, fault) -> None:
    ask, looks, _ = mine.operations
    place.order("lose_reply", ask)
    stroke = order(place, fault, looks, 2)
    persisting(lambda: mine.ask(key))
    place.clear_faults(stroke)
    the_only_one(place, kind, key, mine)


@apart
@pytest.mark.parametrize("fault", SOME)
def test_astray_in_mid_wait(place, kind, mine, key, fault) -> None:
    _, looks, _ = mine.operations
    thing = mine.ask(key)
    stroke = order(place, fault, looks, 2)
    persisting(lambda: mine.wait(thing))
    assert struck(place, stroke)
    place.clear_faults(stroke)
    the_only_one(place, kind, key, mine)


@struck_by(SOME)
def test_astray_when_it_is_given_back(place, kind, mine, key, fault) -> None:
    _, _, give = mine.operations
    mine.ask(key)
    stroke = order(place, fault, give, 1)
    persisting(lambda: mine.give_back(key))
    assert struck(place, stroke)
    assert left(place, kind, key) == []
