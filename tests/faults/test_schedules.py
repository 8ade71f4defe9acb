"""Random schedules of crashes, lost replies, late lists and dying nodes through the core's own program.

``IRI_SCHEDULES`` says how many (``make soak``: a million), ``IRI_SEED`` replays one and tells all of it.
"""

from __future__ import annotations

import os
import random

import pytest
from model_clients import Campaign
from model_world import World

from iri_common.model.ledger import Stage
from iri_common.policy.asking import End
from iri_common.policy.submission import LOOKS_BEFORE_VERDICT, MOST_SENDS_IN_FLIGHT

CHUNKS = 8
SEED = os.environ.get("IRI_SEED")  # read now: no test sees such variables
SCHEDULES = int(os.environ.get("IRI_SCHEDULES", "16000")) // CHUNKS


def schedule(seed: int) -> Campaign:
    """One campaign at one facility, all of it told by its seed."""
    dice = random.Random(seed)
    keys = dice.choice(("none", "ignored", "keeps", "forgets"))
    world = World(
        dice,
        keys=keys,
        header=keys != "ignored" or dice.random() < 0.5,
        names=dice.random() < 0.8,
        journals=dice.random() < 0.8,
        late=dice.choice((0.0, 5.0, 400.0)),
    )
    campaign = Campaign(
        world,
        guarded=dice.random() < 0.7,
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


def check(campaign: Campaign) -> str:
    """What is wrong with it; "" if the promise was kept."""
    world = campaign.world
    for generation, workers in world.worked.items():
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


def tell(seed: int) -> str:
    """All of a schedule, for whoever must understand it."""
    campaign = schedule(seed)
    world = campaign.world
    lines = [f"seed {seed}: {check(campaign) or 'kept'}", f"  keys={world.keys} names={world.names}"]
    lines += [f"  journals={world.journals} late={world.late} guarded={campaign.guarded}"]
    lines += [f"  verdicts={campaign.verdicts} told={campaign.told} lost ledger={campaign.lost_ledger}"]
    lines += [f"  holes={world.holes} owners={world.owners} worked={world.worked}"]
    return "\n".join([*lines, *(f"  {job}" for job in world.jobs)])


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_promise_is_kept_through_random_schedules(chunk: int) -> None:
    ends: set[End | None] = set()
    doubles = 0
    for seed in range(chunk * SCHEDULES, (chunk + 1) * SCHEDULES):
        campaign = schedule(seed)
        if check(campaign):
            pytest.fail(tell(seed) + f"\nreplay: IRI_SEED={seed} pytest tests/faults/test_schedules.py")
        ends |= set(campaign.verdicts)
        doubles += any(job.exit_code == 211 for job in campaign.world.jobs)
    assert {End.ACCEPTED, End.REFUSED, End.UNCERTAIN, End.UNSEEN, None} <= ends
    assert doubles, "the schedules are too tame to need a guard"


@pytest.mark.skipif(SEED is None, reason="replays one schedule when IRI_SEED names it")
def test_replay() -> None:
    seed = int(SEED or 0)
    print(tell(seed))
    assert not check(schedule(seed))
