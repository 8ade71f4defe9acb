"""A submission begun anew, by many at once, or interrupted; the facility is a script, time costs nothing."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import nullcontext

import pytest
from jobs_world import MemoryLedger, ScriptedJobs, failing, seconds, status, timeless
from submit_door import KEY, SPEC, Door, hit

from iri_common import Conflict, JobRef, NotOffered, Refused, SubmitUncertain, WaitTimeout
from iri_common.jobs import claim
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.submission import Submission


def test_after_a_crash_between_request_and_reply_it_looks_first() -> None:
    door = Door()
    door.remember(Stage.SENT)
    door.jobs.listed["42"] = (KEY.job_name("probe"), status("active"))
    assert door.ask().job_id == "42"
    assert not door.jobs.asks


def test_after_a_crash_before_the_request_it_sends() -> None:
    door = Door()
    door.remember(Stage.INTENT)
    assert door.ask().job_id == "1"
    assert not door.jobs.looks


def test_after_a_crash_that_left_no_job_a_guarded_one_is_sent_once() -> None:
    door = Door()
    door.remember(Stage.SENT, guarded=True)
    assert door.ask(guarded=True).job_id == "1"
    assert [historical for _, historical in door.jobs.looks] == [False, True] * 3
    assert len(door.jobs.asks) == 1


def test_a_guard_that_the_job_in_doubt_did_not_carry_makes_nothing_harmless() -> None:
    door = Door()
    door.remember(Stage.SENT, guarded=False)
    with pytest.raises(SubmitUncertain):
        door.ask(guarded=True)
    assert not door.jobs.asks


def test_after_a_crash_that_left_no_job_one_without_a_guard_is_uncertain() -> None:
    door = Door()
    door.remember(Stage.SENT)
    with pytest.raises(SubmitUncertain, match="ask for the next generation") as told:
        door.ask()
    assert told.value.key == KEY
    assert not door.jobs.asks
    assert door.ledger.records[KEY.identity].stage is Stage.UNCERTAIN


def test_after_a_lost_reply_on_record_a_kept_key_is_trusted_while_it_is_kept() -> None:
    fresh, old = Door(hit), Door(hit)
    for door, age in ((fresh, 3600.0), (old, 25 * 3600.0)):
        door.memory.honours_keys = True
        door.remember(Stage.UNCERTAIN, age=age, last="reply lost", asked_at=time.time() - age)
    assert fresh.ask().job_id == "1"
    with pytest.raises(SubmitUncertain):
        old.ask()


@pytest.mark.parametrize(
    "last", ["bad token", "forbidden", "invalid", "not sent", "conflict", "rate limited"]
)
def test_a_refusal_on_record_keeps_no_guarded_job_in_doubt_for_ever(last) -> None:
    door = Door()
    door.remember(Stage.UNCERTAIN, guarded=True, last=last)
    assert door.ask(guarded=True).job_id == "1"
    unguarded = Door()
    unguarded.remember(Stage.UNCERTAIN, last=last)
    with pytest.raises(SubmitUncertain):
        unguarded.ask()
    assert not unguarded.jobs.asks


def test_after_a_broken_service_on_record_a_kept_key_is_not_trusted() -> None:
    door = Door(hit)
    door.memory.honours_keys = True
    door.remember(Stage.UNCERTAIN, last="broken", asked_at=time.time() - 60.0)
    with pytest.raises(SubmitUncertain):
        door.ask()
    assert not door.jobs.asks


@pytest.mark.parametrize(("age", "at_least"), [(0.0, 9.0), (4.0, 5.0), (-500.0, 9.0), (3600.0, 5.0)])
def test_a_process_restarted_at_once_gives_the_facility_some_time_to_list_a_guarded_job(
    age, at_least
) -> None:
    door = Door()
    door.remember(Stage.SENT, age=age, guarded=True)
    door.ask(guarded=True)
    assert at_least <= door.jobs.asks[0].at < at_least + 2.5


@pytest.mark.parametrize(("age", "at_least"), [(0.0, 29.0), (20.0, 9.0), (-500.0, 29.0), (3600.0, 5.0)])
def test_without_a_guard_it_gives_the_facility_all_the_time_that_listing_takes(age, at_least) -> None:
    door = Door()
    door.remember(Stage.SENT, age=age)
    with pytest.raises(SubmitUncertain):
        door.ask()
    assert at_least <= door.jobs.looks[-1][0] < at_least + 6.5


def test_an_engine_that_knows_of_an_earlier_try_has_it_looked_for() -> None:
    door = Door()
    door.jobs.listed["7"] = (KEY.job_name("probe"), status("queued"))
    assert door.ask(seen_before=True).job_id == "7"
    assert not door.jobs.asks
    fresh = Door()
    assert fresh.ask(seen_before=True, guarded=True).job_id == "1"
    assert len(fresh.jobs.looks) == 6


@pytest.mark.parametrize(("guarded", "at_least"), [(True, 9.0), (False, 29.0)])
def test_a_try_that_is_not_on_record_here_may_have_been_a_moment_ago(guarded: bool, at_least: float) -> None:
    door = Door()
    with nullcontext() if guarded else pytest.raises(SubmitUncertain):
        door.ask(seen_before=True, guarded=guarded)
    last = door.jobs.asks[0].at if guarded else door.jobs.looks[-1][0]
    assert at_least <= last < at_least + 6.5


# ------------------------------------------------------------------------------ together and interrupted


def test_many_at_once_with_one_key_are_one_job() -> None:
    door = Door()

    class Slow(ScriptedJobs):
        async def submit(self, *args):
            await asyncio.sleep(3)
            return await super().submit(*args)

    door.jobs = door.dialect.jobs = Slow()

    async def all_of_them():
        asks = [door.submitter().submit(Submission(SPEC, "machine", KEY)) for _ in range(20)]
        return await asyncio.gather(*asks)

    refs = timeless(all_of_them)
    assert len(set(refs)) == 1
    assert len(door.jobs.asks) == 1


def test_whoever_holds_the_claim_too_long_is_told_of(monkeypatch) -> None:
    door = Door()
    door.ledger.claims[KEY.identity] = "somebody"
    monkeypatch.setattr(claim, "CLAIM_SECONDS", 0.0)
    with pytest.raises(WaitTimeout, match="not asked for twice"):
        door.ask()
    assert not door.jobs.asks


def test_a_claim_lost_on_the_way_sends_nothing_and_reads_what_the_other_wrote() -> None:
    class Slept(MemoryLedger):
        """The process sleeps before it notes that it sends; another one submits meanwhile."""

        stolen = False

        async def write(self, record, owner=None):
            if record.stage is Stage.SENT and not self.stolen:
                self.stolen = True
                ref = JobRef("facility.example", "iri", "machine", KEY, "99", profile="test")
                taken = LedgerRecord(KEY.identity, 1, Stage.ACCEPTED, str(ref), SPEC.digest(), time.time())
                self.records[KEY.identity] = taken
                del self.claims[KEY.identity]
            return await super().write(record, owner)

    door = Door(ledger=Slept())
    assert door.ask().job_id == "99"
    assert not door.jobs.asks


def test_a_long_submit_keeps_its_claim() -> None:
    times: list[float] = []

    class Counting(MemoryLedger):
        async def claim(self, key, owner, seconds_):
            times.append(seconds())
            return await super().claim(key, owner, seconds_)

    class Slow(ScriptedJobs):
        async def submit(self, *args):
            await asyncio.sleep(600)
            return await super().submit(*args)

    door = Door(ledger=Counting())
    door.jobs = door.dialect.jobs = Slow()
    door.ask()
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) < claim.CLAIM_SECONDS / 2
    assert not door.ledger.claims


def test_cancelled_while_the_request_is_out_it_is_looked_for_later() -> None:
    class Slow(ScriptedJobs):
        async def submit(self, *args):
            answer = await super().submit(*args)
            await asyncio.sleep(60)
            return answer

    door = Door()
    door.jobs = door.dialect.jobs = Slow()

    async def impatient():
        async with asyncio.timeout(5):
            await door.submitter().submit(Submission(SPEC, "machine", KEY))

    with pytest.raises(TimeoutError):
        timeless(impatient)
    assert door.ledger.records[KEY.identity].stage is Stage.SENT
    assert not door.ledger.claims
    assert door.ask().job_id == "1"
    assert len(door.jobs.asks) == 1


def test_an_error_that_nobody_foresaw_leaves_the_request_on_record() -> None:
    door = Door(RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        door.ask()
    assert door.ledger.records[KEY.identity].stage is Stage.SENT
    assert not door.ledger.claims


def test_whoever_slept_through_its_claim_tells_what_the_other_wrote_and_not_its_own_refusal() -> None:
    door = Door()

    def refused_late(jobs, ask):
        ref = JobRef("facility.example", "iri", "machine", KEY, "99", profile="test")
        taken = LedgerRecord(KEY.identity, 1, Stage.ACCEPTED, str(ref), SPEC.digest(), time.time())
        door.ledger.records[KEY.identity] = taken
        door.ledger.claims[KEY.identity] = "somebody"
        return failing(Refused, "invalid")

    door.jobs.script = [refused_late]
    assert door.ask().job_id == "99"
    assert door.ledger.records[KEY.identity].stage is Stage.ACCEPTED


# ------------------------------------------------------------------------------- what is not concluded


@pytest.mark.parametrize(("kept", "second"), [(True, failing(NotOffered, "not offered")), (False, None)])
def test_a_job_that_is_not_offered_says_nothing_of_keys(kept, second) -> None:
    """501 answers a key where there is no store for keys, and a container where there are no containers."""
    door = Door(failing(NotOffered, "not offered"), *([second] if second else []))
    if second:
        with pytest.raises(NotOffered):
            door.ask()
    else:
        door.ask()
    assert [bool(ask.key) for ask in door.jobs.asks] == [True, False]
    assert door.memory.keeps_keys is kept


def test_a_key_that_was_canceled_in_doubt_is_not_given_out_as_a_job() -> None:
    door = Door()
    door.remember(Stage.SETTLED, state="canceled")
    with pytest.raises(Conflict, match=r"was canceled .* next generation"):
        door.ask()
    assert not door.jobs.asks
    assert door.ask(key=KEY.next()).job_id == "1"
