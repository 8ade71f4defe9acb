"""Asks that are lost, refused, cut off and begun again, among facilities of different dialects.

``IRI_AMONG`` says how many of them (``make soak``: a thousand).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from among_world import ASKS, NAMES, Among

from iri_common import Facilities, JobKey, JobRef, SubmitUncertain
from iri_common.apis.firecrest import systems
from iri_local_facility import LocalFacility

BATCH = 10
PLACES = 3
ASKS_OF_AN_ENGINE = 5  # before the last

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("in_a_hurry")]


@pytest.fixture(scope="module")
def places() -> Iterator[list[LocalFacility]]:
    running = [LocalFacility(nodes=8, kill_grace=0.2) for _ in range(PLACES)]
    try:
        yield [each.__enter__() for each in running]
    finally:
        for each in running:
            each.__exit__(None, None, None)


@pytest.mark.parametrize("part", range(-(-ASKS // BATCH)))
def test_a_key_is_worked_once_whatever_breaks(
    places, tmp_path: Path, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systems, "FRESH", 0.0)
    dice = random.Random(part)
    names = dice.sample(NAMES, dice.choice((2, 2, 3)))
    world = Among(names, dice.sample(places, len(names)), tmp_path)
    keys = [JobKey.of("among", "seed", part, number) for number in range(BATCH)]
    crowd = [world.facilities(), world.facilities()]
    for place in world.places:
        place.clear_faults()

    refs = asyncio.run(_through_bad_weather(world, crowd, keys, dice))

    for ref in refs:
        assert crowd[0].wait(ref, timeout=60).succeeded
    counts = Counter(len(world.worked(key)) for key in keys)
    assert counts == {1: len(keys)}, (names, {str(key): world.worked(key) for key in keys})
    for key, ref in zip(keys, refs, strict=True):
        (place,) = world.worked(key)
        assert ref.job_id in {each["id"] for each in world.taken(place, key)}, (names, str(ref))


async def _through_bad_weather(
    world: Among, crowd: list[Facilities], keys: list[JobKey], dice: random.Random
) -> list[JobRef]:
    async def weather() -> None:
        while True:
            await asyncio.to_thread(world.spoil, dice.randrange(len(world.names)), dice)
            await asyncio.sleep(0.05)

    storm = asyncio.ensure_future(weather())
    work = [asyncio.ensure_future(_asked(world, crowd, key, dice)) for key in keys]
    await asyncio.wait(work, timeout=3)
    storm.cancel()
    await asyncio.gather(storm, return_exceptions=True)
    for place in world.places:
        await asyncio.to_thread(place.clear_faults)
    return await asyncio.wait_for(asyncio.gather(*work), 90)


async def _asked(world: Among, crowd: list[Facilities], key: JobKey, dice: random.Random) -> JobRef:
    spec = world.spec(key)
    for _ in range(dice.randint(0, 3)):  # tries that die on the way
        best = dice.random() < 0.3
        tries = [asyncio.ensure_future(crowd[0].aio.submit(spec, key=key, best=best))]
        if dice.random() < 0.3:
            tries.append(asyncio.ensure_future(crowd[1].aio.submit(spec, key=key)))
        await asyncio.wait(tries, timeout=dice.uniform(0, 0.3))
        for each in tries:
            each.cancel()
        await asyncio.gather(*tries, return_exceptions=True)
    for _ in range(ASKS_OF_AN_ENGINE):
        with contextlib.suppress(SubmitUncertain):  # told only when it was sent four times to no avail
            return await crowd[0].aio.submit(spec, key=key)
    return await crowd[0].aio.submit(spec, key=key)
