"""Random faults, kills and restarts over real processes: what was asked for is done once, and told truly.

The asks of a batch go through all doors of one facility. ``IRI_SOAK`` says how many asks (``make soak``: ten
thousand; 0 for none), ``IRI_SEED`` replays one batch.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from asking_client import IN_THE_DARK, STEPS, Strike
from doors import DOORS, SUBMITS
from real_clients import Client, Clients, until
from real_world import DOUBLE, KeylessRelay, Work, broken, new_key, settle, story_of

from iri_local_facility import LocalFacility

BATCH = 20
ASKS = int(os.environ.get("IRI_SOAK", str(BATCH)))
SEEDS = [int(os.environ["IRI_SEED"])] if "IRI_SEED" in os.environ else range(-(-ASKS // BATCH))
ROUNDS = 3  # while there are faults
CALM = 6  # rounds after that: within these everything is done
CLAIM = 2.0  # seconds
# Of a key whose request died with the server. In truth a minute, and a client's pauses come to 77 seconds;
# where the pauses are short all clients would give up while a minute lasts.
KEY_LOCK = 2.0

# From here on a request may be at the facility and its job on no record.
DELICATE = (*IN_THE_DARK, Strike("after", "submit"), Strike("before", "write accepted"))
REPLIES = (
    ("lose_reply", {}),
    ("reset", {}),
    ("cut", {}),
    ("delay", {"seconds": 0.5, "when": "after"}),
    ("delay", {"seconds": 0.5, "when": "before"}),
    ("hang", {"seconds": 0.3, "when": "after"}),
    ("slow_body", {"seconds": 0.3}),
    ("adapter_error", {}),
    *(("garble", {"body": body}) for body in ("html", "truncated", "empty")),
    *(("status", {"status": status}) for status in (401, 403, 429, 500, 502, 503, 504)),
    *(("status", {"status": status, "when": "after", "body": "html"}) for status in (500, 502, 503, 504)),
)
ASTRAY = [order for order in REPLIES if order[0] == "lose_reply" or order[1].get("when") == "after"]
LISTS, LOOKS = (sorted({door.operations[which] for door in DOORS.values()}) for which in (1, 2))
READS = ["view", "firecrestView", "sfCommand", "sfDownload"]
TASKS = ["getTask", "sfGetTask"]
OPERATIONS = (SUBMITS, SUBMITS, SUBMITS, LISTS, LOOKS, READS, TASKS)
KEYLESS = "iri-v2, keys ignored"
FATES = (
    *(("node_death", {"command": "ln", "when": when}) for when in ("before", "after")),
    *(("node_death", {"command": "ln", "when": when, "requeue": True}) for when in ("before", "after")),
    ("node_death", {"command": "date", "nth": 2, "requeue": True}),
    ("node_death", {"seconds": 0.2}),
    ("late", {"seconds": 1.0}),
    ("late", {"seconds": 4.0}),
    ("hold", {"lasts": 2.0}),
    ("missing", {"lasts": 2.0}),
    ("unknown_state", {"lasts": 1.0}),
    ("stale", {"seconds": 0.5, "lasts": 3.0}),
)


@dataclass
class Soaked:
    """One ask and what came over it.

    Attributes:
        readable: What its job leaves can be read by a client.
        lost: Its ledger was lost at least once.
        errors: What clients met while there were faults.
    """

    work: Work
    readable: bool
    lost: bool = False
    errors: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether there is nothing more to ask: it is done, or nobody can know."""
        if not self.work.told:
            return False
        last = self.work.told[-1]
        return last.get("state") == "completed" or (not self.work.guard and last["what"] == "uncertain")

    def heard(self, *clients: Client) -> None:
        """Whoever asks may meet whatever the facility says; only what is told of jobs must be true."""
        told = [each for client in clients for each in client.wait().story()]
        self.errors += [f"{each['kind']}: {each['message']}" for each in told if each["what"] == "error"]
        told = [each for each in told if each["what"] != "error"]
        # Where a journal cannot be read, a job that is not shown for so long is as good as lost.
        self.work.told += [each for each in told if each.get("state") != "lost" or self.readable]

    def wrong(self, listed: list[dict]) -> list[str]:
        """What promise was not kept."""
        wrong = broken(self.work, listed)
        if not self.work.guard and self.lost:  # without either nobody can know of a job that is not shown
            wrong = [each for each in wrong if "was worked by" not in each]
        elif self.successes(listed) > 1:
            wrong.append("work that was done was done again")
        if not self.done:
            wrong.append(f"was not done in the end: {self.errors}")
        if self.work.guard and not self.successes(listed):
            wrong.append("is said to be done, and is not")
        return wrong

    def successes(self, listed: list[dict]) -> int:
        """How many of its jobs did all of the work."""
        worked = self.work.worked()
        return sum(job["exit_code"] == 0 and job["id"] in worked for job in self.work.jobs(listed))


@dataclass(frozen=True)
class Way:
    """A door as the clients know it.

    Attributes:
        profile: Variables that describe it.
        readable: It has files.
    """

    profile: dict[str, str]
    readable: bool


def ways(place: LocalFacility, keyless_url: str, folder: Path) -> dict[str, Way]:
    """All doors, and one whose facility ignores idempotency keys without a word."""
    found = {
        name: Way(door.variables(place, folder), door.open(place, folder).grades.readable_files)
        for name, door in DOORS.items()
    }
    keyless = {**found["iri-v2"].profile, "IRI_FACILITY_PLACE_URL": keyless_url}
    return {**found, KEYLESS: Way(keyless, readable=True)}


class Batch:
    """Asks at one facility."""

    def __init__(
        self, seed: int, place: LocalFacility, ways: Mapping[str, Way], clients: Clients, folder: Path
    ) -> None:
        self.dice = random.Random(seed)
        self._place = place
        self._clients = clients
        self.asks = [self._ask(number, ways, folder) for number in range(BATCH)]

    def _ask(self, number: int, ways: Mapping[str, Way], folder: Path) -> Soaked:
        dice = self.dice
        name, guard = dice.choice([*ways]), dice.random() < 0.7
        work = Work(
            self._place,
            "",
            folder,
            new_key(f"{number} through {name}"),
            guard,
            seconds=dice.choice((0.0, 0.3, 1.0)),
            profile=ways[name].profile,
        )
        return Soaked(work, readable=guard and ways[name].readable)

    def run(self) -> None:
        """Ask under faults, then without, until all is done."""
        for _ in range(self.dice.randrange(2, 5)):
            kind, options = self.dice.choice(REPLIES)
            operations = ["launchJob"] if kind == "adapter_error" else self.dice.choice(OPERATIONS)
            chance, seed = self.dice.choice((0.1, 0.3, 0.6)), self.dice.randrange(1000)
            words = {"chance": chance, "seed": seed, "times": None, "lasts": self.dice.choice((2.0, 6.0))}
            self._place.order(kind, operations, **words, **options)
        for each in self.asks:
            name = each.work.key.job_name("marks")
            if self.dice.random() < 0.4:
                kind, options = self.dice.choice(FATES)
                self._place.order(kind, job=name, **options)
            if self.dice.random() < 0.4:
                kind, options = self.dice.choice(ASTRAY)
                self._place.order(kind, SUBMITS, job=name, times=self.dice.choice((1, 3)), **options)
        for _ in range(ROUNDS):
            self._round()
        self._place.clear_faults()
        for _ in range(CALM):
            asking = [
                (each, each.work.start(self._clients, claim_seconds=CLAIM))
                for each in self.asks
                if not each.done
            ]
            for each, client in asking:
                each.heard(client)

    def _round(self) -> None:
        dice = self.dice
        running = [(each, self._start(each)) for each in self.asks if not each.done]
        if dice.random() < 0.4:
            clients = [client for _, some in running for client in some]
            until(lambda: not clients or any(c.ended or c.stopped for c in clients), "an end or a sleep")
            self._place.kill()
            self._place.restart()
        for _, some in running:
            for client in some:
                until(lambda client=client: client.ended or client.stopped, "an end or a sleep")
        if dice.random() < 0.7:  # others come while some sleep
            running += [
                (each, self._start(each)) for each, some in list(running) if any(c.stopped for c in some)
            ]
        for each, some in running:
            for client in some:
                until(lambda client=client: client.ended or client.stopped, "an end or a sleep")
                if client.stopped:
                    client.go_on()
            each.heard(*some)
        for each in self.asks:
            if dice.random() < 0.1:
                each.lost = True
                each.work.lose_ledger()

    def _start(self, ask: Soaked) -> list[Client]:
        """One client or two in this name, each with an end of its own."""
        dice = self.dice
        return [
            ask.work.start(
                self._clients,
                self._strike(ask.work.guard),
                machine=dice.choice((None, None, "elsewhere")),
                claim_seconds=CLAIM,
            )
            for _ in range(dice.choice((1, 1, 2)))
        ]

    def _strike(self, guard: bool) -> Strike | None:
        dice = self.dice
        if dice.random() < 0.3:
            return None
        step = dice.choice(STEPS if dice.random() < 0.5 else DELICATE)
        # Without a guard nobody can keep one from sending who sleeps just before it.
        signal = "STOP" if guard and dice.random() < 0.2 else "KILL"
        return Strike(step.when, step.step, dice.choice((1, 1, 2)), signal)


@pytest.mark.skipif(not ASKS, reason="IRI_SOAK=0: no asks wanted")
@pytest.mark.parametrize("seed", SEEDS)
def test_done_once_and_told_truly(seed: int, tmp_path: Path) -> None:
    with (
        LocalFacility(nodes=2 * BATCH, kill_grace=0.2, key_lock=KEY_LOCK) as place,
        KeylessRelay(place.base_url) as relay,
        Clients(tmp_path / "stories") as clients,
    ):
        batch = Batch(seed, place, ways(place, relay.base_url, tmp_path), clients, tmp_path)
        batch.run()
        listed = settle(place)
        wrong = [(ask, ask.wrong(listed)) for ask in batch.asks]
        told = [f"{each}\n  {story_of(ask.work, listed)}" for ask, each in wrong if each]
    doubles = sum(job["exit_code"] == DOUBLE for job in listed)
    unsure = sum(ask.work.uncertain for ask in batch.asks)
    print(f"seed {seed}: {len(listed)} jobs for {BATCH} asks, {doubles} doubles, {unsure} cannot be known")
    shutil.rmtree(tmp_path, ignore_errors=True)
    assert not told, "\n".join([*told, f"replay: IRI_SEED={seed} pytest tests/faults/test_soak.py"])
