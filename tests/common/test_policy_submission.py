"""The steps of a submission against a model of a facility on a virtual clock, through random schedules."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from iri_common.policy.classify import Outcome
from iri_common.policy.submission import (
    LOOKS_BEFORE_VERDICT,
    MOST_SENDS,
    Evidence,
    Step,
    look_pause,
    next_step,
    send_pause,
)

Store = Literal["none", "ignored", "keeps", "forgets"]
Listing = Literal["fresh", "late", "away"]
CHUNKS, SCHEDULES = 8, 4_000  # per chunk

# What happens to one request. "slow": taken only after the client has given up on the reply.
FATES = [
    "fine", "not sent", "lost before", "lost after", "lost, slow", "lost, failed after",
    "broken before", "broken after", "away before", "away after", "unreadable after",
    "bad token", "forbidden", "invalid", "rate limited", "conflict",
]  # fmt: skip
FORGOTTEN = {"lost, failed after", "broken after", "away after"}


@dataclass
class ModelFacility:
    """A facility that takes jobs, keeps idempotency keys in one of four ways and lists jobs in one of three.

    ``keeps`` is an honest store. ``forgets`` is the IRI reference server's: the record goes when the
    adapter raises, also when the scheduler had taken the job.
    """

    store: Store
    listing: Listing
    clock: float = 0.0
    jobs: list[tuple[float, float]] = field(default_factory=list)  # taken at, listed from
    record: float | None = None  # the key is known; in flight until then

    def submit(self, fate: str, keyed: bool, delay: float) -> Outcome:
        early = {"not sent": Outcome.NOT_SENT, "lost before": Outcome.LOST, "away before": Outcome.AWAY,
                 "bad token": Outcome.BAD_TOKEN, "forbidden": Outcome.FORBIDDEN,
                 "rate limited": Outcome.RATE_LIMITED}  # fmt: skip
        if fate in early:
            return early[fate]
        lost = fate.startswith("lost")
        if keyed and self.store == "none":
            return Outcome.LOST if lost else Outcome.NOT_OFFERED
        stored = keyed and self.store in {"keeps", "forgets"}
        if stored and self.record is not None:
            seen = Outcome.CONFLICT if self.clock < self.record else Outcome.OK
            return Outcome.LOST if lost else seen
        refused = {"invalid": Outcome.INVALID, "conflict": Outcome.CONFLICT, "broken before": Outcome.BROKEN}
        if fate in refused:
            return refused[fate]
        taken = self.clock + (delay if fate == "lost, slow" else 0.0)
        self.jobs.append((taken, taken + (delay if self.listing == "late" else 0.0)))
        if stored and not (self.store == "forgets" and fate in FORGOTTEN):
            self.record = taken
        if lost:
            return Outcome.LOST
        ends = {
            "broken after": Outcome.BROKEN,
            "away after": Outcome.AWAY,
            "unreadable after": Outcome.UNREADABLE,
        }
        return ends.get(fate, Outcome.OK)

    def look(self) -> bool:
        return any(listed <= self.clock for _, listed in self.jobs)


class Crash(Exception):
    """The client's process died."""


@dataclass
class Client:
    """Drives the steps as ``jobs/submit`` does; the only survivor of a crash is the ledger's stage."""

    facility: ModelFacility
    honoured: bool
    fate: random.Random | list[str]
    crashes: float = 0.0
    stage: str = "none"

    def choose(self) -> str:
        if isinstance(self.fate, list):
            return self.fate.pop(0) if self.fate else "fine"
        # A machine whose jobs show up only after the looks is not one with an up-to-date list.
        fates = [each for each in FATES if each != "lost, slow" or self.facility.listing != "fresh"]
        return self.fate.choice(fates) if self.fate.random() < 0.6 else "fine"

    def delay(self) -> float:
        return self.fate.choice([0.5, 3.0, 10.0, 200.0]) if isinstance(self.fate, random.Random) else 200.0

    def may_crash(self) -> None:
        if isinstance(self.fate, random.Random) and self.fate.random() < self.crashes:
            raise Crash

    def run(self) -> Step:
        facility = self.facility
        evidence = Evidence(
            maybe_sent=self.stage in {"sent", "uncertain"},
            lookup=facility.listing != "away",
            keyed=True,
            honoured=self.honoured,
        )
        ambiguous, sends = evidence.maybe_sent, 0
        for _ in range(60):
            step = next_step(evidence)
            self.may_crash()
            if step is Step.SEND:
                facility.clock += send_pause(evidence.sends)
                self.stage = "sent"
                self.may_crash()
                last = facility.submit(self.choose(), evidence.keyed, self.delay())
                self.may_crash()
                sends += 1
                ambiguous |= last.may_have_worked or (last is Outcome.CONFLICT and evidence.keyed)
                evidence = replace(evidence, sends=evidence.sends + 1, looks=0)
                evidence = replace(evidence, last=last)
            elif step is Step.DROP_KEY:
                evidence = replace(evidence, keyed=False, last=None)
            elif step is Step.LOOK:
                facility.clock += look_pause(evidence.looks)
                evidence = replace(evidence, looks=evidence.looks + 1, found=facility.look())
            else:
                assert sends <= MOST_SENDS + 1
                assert step is not Step.ACCEPT or facility.jobs, "accepted without a job"
                assert step is not Step.UNCERTAIN or ambiguous, "uncertain without a reason"
                assert step is not Step.REFUSE or evidence.last is not None, "refused without being asked"
                self.stage = {Step.ACCEPT: "accepted", Step.REFUSE: "refused", Step.UNCERTAIN: "uncertain"}[
                    step
                ]
                return step
        raise AssertionError(f"no end: {evidence}")


def schedule(seed: int) -> tuple[Client, list[Step | None]]:
    """One ask with up to four tries: after a crash, and after "uncertain", the same key is asked again."""
    dice = random.Random(seed)
    facility = ModelFacility(
        dice.choice(["none", "ignored", "keeps", "forgets"]), dice.choice(["fresh", "late", "away"])
    )
    proved = facility.store in {"keeps", "forgets"} and dice.random() < 0.7
    client = Client(facility, proved, dice, crashes=dice.choice([0.0, 0.1, 0.3]))
    ends: list[Step | None] = []
    for _ in range(4):
        try:
            ends.append(client.run())
        except Crash:
            ends.append(None)
        if client.stage in {"accepted", "refused"}:
            break
        facility.clock += dice.choice([0.0, 0.0, 5.0, 1000.0])
    return client, ends


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_schedules_keep_the_promise(chunk: int) -> None:
    ended, doubles = set(), 0
    for seed in range(chunk * SCHEDULES, (chunk + 1) * SCHEDULES):
        client, ends = schedule(seed)
        world = client.facility
        told = f"seed {seed}: {world}, honoured={client.honoured}, {ends}"
        settled = world.listing == "fresh" or (world.store == "keeps" and client.honoured)
        # An honest store dedups every keyed request, whether the client has proof of it or not.
        if settled or world.store == "keeps":
            assert len(world.jobs) <= 1, told
        if settled and ends[-1] is Step.REFUSE:
            assert not world.jobs, told
        if len(world.jobs) > 1:
            doubles += 1
            late = world.listing == "late" and world.store != "keeps"
            forgetful = world.listing == "away" and world.store == "forgets" and client.honoured
            assert late or forgetful, told
        ended |= set(ends)
    assert {Step.ACCEPT, Step.REFUSE, Step.UNCERTAIN, None} <= ended
    assert doubles, "the schedules are too tame to show what the guard at the job's side is for"


def test_every_evidence_has_a_step_and_ends_within_bounds() -> None:
    flags = itertools.product([False, True], repeat=5)
    for (maybe, found, lookup, keyed, honoured), last, sends, looks in itertools.product(
        flags, [None, *Outcome], range(7), range(5)
    ):
        evidence = Evidence(maybe, last, sends, looks, found, lookup, keyed, honoured)
        step = next_step(evidence)
        if step is Step.LOOK:
            assert lookup
            assert looks < LOOKS_BEFORE_VERDICT
        if step is Step.SEND and last is not None:
            assert sends < MOST_SENDS
            assert keyed
            assert last is Outcome.CONFLICT or (last is Outcome.LOST and honoured)
        if step is Step.DROP_KEY:
            assert keyed
        if step is Step.REFUSE:
            assert last is not None
            assert not last.may_have_worked
            assert lookup or not evidence.maybe_sent


@pytest.mark.parametrize(
    ("evidence", "step"),
    [
        (Evidence(), Step.SEND),
        (Evidence(last=Outcome.OK), Step.ACCEPT),
        (Evidence(found=True, last=Outcome.LOST), Step.ACCEPT),
        (Evidence(last=Outcome.INVALID), Step.REFUSE),
        (Evidence(last=Outcome.NOT_SENT), Step.REFUSE),
        (Evidence(last=Outcome.LOST), Step.LOOK),
        (Evidence(last=Outcome.LOST, looks=3), Step.UNCERTAIN),
        (Evidence(last=Outcome.LOST, looks=3, keyed=True), Step.UNCERTAIN),
        (Evidence(last=Outcome.LOST, looks=3, keyed=True, honoured=True, sends=1), Step.SEND),
        (Evidence(last=Outcome.BROKEN, looks=3, keyed=True, honoured=True, sends=1), Step.UNCERTAIN),
        (Evidence(last=Outcome.NOT_OFFERED, keyed=True), Step.DROP_KEY),
        (Evidence(last=Outcome.NOT_OFFERED), Step.REFUSE),
        (Evidence(last=Outcome.CONFLICT), Step.REFUSE),
        (Evidence(last=Outcome.CONFLICT, keyed=True), Step.LOOK),
        (Evidence(last=Outcome.CONFLICT, keyed=True, looks=1, sends=1), Step.SEND),
        (Evidence(last=Outcome.CONFLICT, keyed=True, looks=1, sends=4), Step.UNCERTAIN),
        (Evidence(maybe_sent=True), Step.LOOK),
        (Evidence(maybe_sent=True, looks=3), Step.SEND),
        (Evidence(maybe_sent=True, lookup=False), Step.UNCERTAIN),
        (Evidence(maybe_sent=True, lookup=False, keyed=True, honoured=True), Step.SEND),
        (Evidence(maybe_sent=True, lookup=False, keyed=False, honoured=True), Step.UNCERTAIN),
        (Evidence(maybe_sent=True, last=Outcome.BAD_TOKEN, lookup=False), Step.UNCERTAIN),
        (Evidence(maybe_sent=True, last=Outcome.INVALID), Step.LOOK),
        (Evidence(maybe_sent=True, last=Outcome.INVALID, looks=3), Step.REFUSE),
    ],
)
def test_steps_by_table(evidence: Evidence, step: Step) -> None:
    assert next_step(evidence) is step


@pytest.mark.parametrize(
    "after", [Outcome.NOT_SENT, Outcome.BAD_TOKEN, Outcome.FORBIDDEN, Outcome.RATE_LIMITED]
)
def test_a_doubt_outlives_a_later_send_that_did_nothing(after: Outcome) -> None:
    lost = Evidence(keyed=True, honoured=True, lookup=False, sends=1, last=Outcome.LOST)
    assert next_step(lost) is Step.SEND
    assert next_step(replace(lost, sends=2, last=after)) is Step.UNCERTAIN


def test_a_key_dropped_after_a_lost_reply_is_not_sent_anew_unseen() -> None:
    lost = Evidence(keyed=True, honoured=True, lookup=False, sends=1, last=Outcome.LOST)
    dropped = replace(replace(lost, last=Outcome.NOT_OFFERED, sends=2), keyed=False, last=None)
    assert next_step(dropped) is Step.UNCERTAIN


def test_pauses_grow_and_stay_short() -> None:
    for pause in (look_pause, send_pause):
        assert [pause(count) for count in range(6)] == [0.0, 1.0, 4.0, 8.0, 8.0, 8.0]


# Doubles that the client alone cannot prevent. They go when the job itself checks for a double (jobside/);
# then these tests shall be turned round.


@pytest.mark.parametrize("store", ["none", "ignored"])
def test_known_double_when_no_key_is_kept_and_a_restart_looks_three_times_before_the_job_is_listed(
    store,
) -> None:
    facility = ModelFacility(store, "late")
    fates = ["fine", "lost after"] if store == "none" else ["lost after"]
    client = Client(facility, False, fates)
    assert client.run() is Step.UNCERTAIN, "within one run it is never sent again"
    assert client.run() is Step.ACCEPT
    assert len(facility.jobs) == 2
    assert facility.clock < 200.0, "the list showed the first job only later"


def test_known_double_without_lookup_when_the_store_forgets_a_failed_acceptance_and_its_reply_is_lost() -> (
    None
):
    facility = ModelFacility("forgets", "away")
    assert Client(facility, True, ["lost, failed after"]).run() is Step.ACCEPT
    assert len(facility.jobs) == 2


def test_known_double_without_lookup_when_the_store_forgets_a_failed_acceptance_and_it_is_asked_again() -> (
    None
):
    facility = ModelFacility("forgets", "away")
    client = Client(facility, True, ["broken after"])
    assert client.run() is Step.UNCERTAIN
    assert client.run() is Step.ACCEPT
    assert len(facility.jobs) == 2
