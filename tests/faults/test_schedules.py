"""Random schedules of crashes, lost replies, late lists and dying nodes through the core's own program.

They are spread over every combination of grades that the APIs declare, each with its API's manners.
``IRI_SCHEDULES`` says how many (``make soak``: a million), ``IRI_SEED`` replays one and tells all of it.
"""

from __future__ import annotations

import os
import random

import pytest
from model_clients import Campaign
from model_doors import DECLARED, ModelDoor, model_door
from model_world import COUNTED, DOUBLE, STRANGER, World

from iri_common.model.ledger import Stage
from iri_common.policy.asking import End
from iri_common.policy.classify import Outcome
from iri_common.policy.submission import LOOKS_BEFORE_VERDICT, MOST_SENDS_IN_FLIGHT

SEED = os.environ.get("IRI_SEED")  # read now: no test sees such variables
SCHEDULES = int(os.environ.get("IRI_SCHEDULES", "16000")) // len(DECLARED)


def schedule(seed: str) -> Campaign:
    """One campaign at one facility, all of it told by its seed, which begins with the door's name."""
    dice = random.Random(seed)
    door = model_door(seed.partition(":")[0])
    keys = (
        dice.choice(("none", "ignored", "keeps", "forgets")) if door.grades.settle == "native" else "ignored"
    )
    world = World(
        dice,
        door,
        keys=keys,
        header=keys != "ignored" or dice.random() < 0.5,
        names=door.grades.settle in {"native", "lookup"} and dice.random() < door.manners.named,
        journals=dice.random() < _journals(door),
        late=dice.choice((0.0, 5.0, 400.0)),
        nameless=dice.choice(door.manners.nameless),
        lag=dice.choice(door.manners.lag),
        strangers=dice.choice((0.0, 0.3)),
    )
    campaign = Campaign(
        world,
        guarded=door.grades.guard == "lock" and dice.random() < 0.7,
        trouble=dice.choice((0.0, 0.3, 0.7)),
        crashes=dice.choice((0.0, 0.05, 0.2)),
        two=dice.random() < 0.3,
        remembers=dice.random() < 0.6,
    )
    campaign.run()
    world.finish()
    if not campaign.told.get(campaign.generation):
        campaign.verdicts.append(None if (last := campaign.calm()) is None else last.end)
        world.finish()
    return campaign


def _journals(door: ModelDoor) -> float:
    """How often a client can read what guarded jobs leave: where files are read, a profile may tell of it."""
    if not door.grades.readable_files:
        return 0.0
    return 0.8 if door.grades.journal == "readable" else 0.5


def check(campaign: Campaign) -> str:
    """What is wrong with it; "" if the promise was kept."""
    world = campaign.world
    for generation, workers in world.worked.items():
        if generation == STRANGER:
            continue
        if len(set(workers)) > 1 and campaign.guarded:
            return f"generation {generation} was worked by {workers}"
        if len(set(workers)) > 1 and not (world.holes or campaign.lost_ledger):
            return f"without a guard and without a reason, generation {generation} was worked by {workers}"
    for generation, told in campaign.told.items():
        workers = [world.job(number) for number in world.worked.get(generation, [])]
        truths = {"failed" if worker.code else "completed" for worker in workers} or {"failed"}
        if not campaign.guarded:  # of two jobs, which a hole made, either may be told of, also a dead node's
            truths |= {
                "failed" for job in world.jobs if job.generation == generation and job.exit_code is None
            }
        if told != "lost" and told not in truths:
            return f"generation {generation} was told to be {told}, in truth {truths}"
        if told == "lost" and campaign.guarded and world.journals and workers:
            return f"generation {generation} was told to be lost although its journal can be read"
    record = campaign.ledger.record
    refused = record is not None and record.stage is Stage.REFUSED and not campaign.lost_ledger
    if refused and world.worked.get(campaign.generation):
        return "on record as refused, and worked"
    told = campaign.told.get(campaign.generation)
    if campaign.guarded and not told and campaign.verdicts[-1] is not End.ACCEPTED:
        return f"in calm weather it is still {campaign.verdicts[-1]}"
    asked = len(campaign.verdicts) * 2
    most_looks = (world.sends + asked) * LOOKS_BEFORE_VERDICT
    if world.sends > asked * (MOST_SENDS_IN_FLIGHT + 2) or world.looks > most_looks:
        return f"{world.sends} sends and {world.looks} looks are not polite"
    return ""


def tell(seed: str) -> str:
    """All of a schedule, for whoever must understand it."""
    campaign = schedule(seed)
    world = campaign.world
    lines = [
        f"seed {seed}: {check(campaign) or 'kept'}",
        f"  {world.settle} keys={world.keys} names={world.names}",
    ]
    lines += [f"  journals={world.journals} late={world.late} nameless={world.nameless} lag={world.lag}"]
    lines += [f"  guarded={campaign.guarded} trouble={campaign.trouble} crashes={campaign.crashes}"]
    lines += [f"  verdicts={campaign.verdicts} told={campaign.told} lost ledger={campaign.lost_ledger}"]
    lines += [f"  holes={world.holes} owners={world.owners} worked={world.worked}"]
    return "\n".join([*lines, *(f"  {job}" for job in world.jobs)])


@pytest.mark.parametrize("name", DECLARED)
def test_the_promise_is_kept_through_random_schedules(name: str) -> None:
    ends: set[End | None] = set()
    doubles = 0
    for number in range(SCHEDULES):
        campaign = schedule(seed := f"{name}:{number}")
        if check(campaign):
            pytest.fail(tell(seed) + f"\nreplay: IRI_SEED={seed} pytest tests/faults/test_schedules.py")
        ends |= set(campaign.verdicts)
        doubles += any(job.exit_code in {DOUBLE, *COUNTED} for job in campaign.world.jobs)
    assert {End.ACCEPTED, End.REFUSED, End.UNCERTAIN, End.UNSEEN, None} <= ends
    assert doubles, "the schedules are too tame to need a guard"


@pytest.mark.parametrize("name", DECLARED)
def test_no_answer_to_a_submit_that_was_taken_is_read_as_a_refusal(name: str) -> None:
    door = model_door(name)
    taken = {fate.name: heard for fate, heard in door.meanings.items() if fate.taken}
    assert taken["fine"] is Outcome.OK
    assert not {
        name for name, heard in taken.items() if heard is not Outcome.OK and not heard.may_have_worked
    }


@pytest.mark.skipif(SEED is None, reason="replays one schedule when IRI_SEED names it")
def test_replay() -> None:
    seed = str(SEED)
    print(tell(seed))
    assert not check(schedule(seed))
