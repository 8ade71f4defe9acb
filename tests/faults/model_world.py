"""A facility out of thin air: jobs, lists, idempotency keys, guards, and a clock that costs nothing.

It shares with the core only words (outcomes, records); what a facility does is written here anew.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Literal

from iri_common.policy.classify import Outcome

Keys = Literal["none", "ignored", "keeps", "forgets"]

# What happens to one request on its way. "slow": it arrives only after the client has given up on the reply.
FATES = (
    "fine", "not sent", "lost before", "lost after", "lost, slow", "lost, failed after", "broken before",
    "broken after", "away before", "away after", "unreadable after", "bad token", "forbidden", "invalid",
    "rate limited", "conflict",
)  # fmt: skip
_BEFORE = {
    "not sent": Outcome.NOT_SENT,
    "lost before": Outcome.LOST,
    "away before": Outcome.AWAY,
    "bad token": Outcome.BAD_TOKEN,
    "forbidden": Outcome.FORBIDDEN,
    "rate limited": Outcome.RATE_LIMITED,
}
_REFUSED = {"invalid": Outcome.INVALID, "conflict": Outcome.CONFLICT, "broken before": Outcome.BROKEN}
_AFTER = {"broken after": Outcome.BROKEN, "away after": Outcome.AWAY, "unreadable after": Outcome.UNREADABLE}
_FORGOTTEN = {"lost, failed after", "broken after", "away after"}
DOUBLE, CANCELED = 211, 214


@dataclass(slots=True)
class Job:
    """One job at the facility.

    Attributes:
        number: Its id.
        generation: Of the key that it was asked for under.
        guarded: It looks whose the key is before it works.
        listed_from: Not in any list before.
        code: What its work ends with.
        dies: At its next start the node dies: after the guard, before any work.
        requeued: After that it is started again, under the same id.
        forgotten: Once ended, no list and no question finds it.
        state: queued, active, ended.
        exit_code: Once ended.
    """

    number: int
    generation: int
    guarded: bool
    listed_from: float
    code: int
    dies: bool
    requeued: bool
    forgotten: bool
    state: str = "queued"
    exit_code: int | None = None


@dataclass(slots=True)
class World:
    """One facility through one schedule.

    Attributes:
        keys: No store for idempotency keys (501), ignored without a word, kept, or kept and forgotten when
            the adapter raises, also after it took the job (IRI reference server).
        header: The API has a header for such keys.
        names: Lists show the names of jobs.
        journals: A client can read what guarded jobs leave.
        late: The most seconds until a job is listed.
    """

    dice: random.Random
    keys: Keys
    header: bool
    names: bool
    journals: bool
    late: float
    now: float = 0.0
    jobs: list[Job] = field(default_factory=list[Job])
    owners: dict[int, int | Literal["canceled"]] = field(default_factory=dict)
    journal: dict[int, int] = field(default_factory=dict)
    worked: dict[int, list[int]] = field(default_factory=dict)
    sends: int = 0
    looks: int = 0
    holes: set[str] = field(default_factory=set)
    _known_keys: dict[int, tuple[int, float]] = field(default_factory=dict)
    _events: list[tuple[float, int, str, tuple]] = field(default_factory=list)
    _count: int = 0

    # -- time

    def advance(self, until: float) -> None:
        """Let everything happen that happens until then."""
        while self._events and self._events[0][0] <= until:
            moment, _, what, words = heapq.heappop(self._events)
            self.now = max(self.now, moment)
            getattr(self, f"_{what}")(*words)
        self.now = max(self.now, until)

    def finish(self) -> None:
        """Let everything happen that still will."""
        self.advance(self.now + 1e9)

    def _at(self, seconds: float, what: str, *words: object) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, what, words))

    # -- jobs

    def _take(self, generation: int, guarded: bool) -> Job:
        dice = self.dice
        dies = dice.random() < 0.05
        job = Job(
            number=len(self.jobs) + 1,
            generation=generation,
            guarded=guarded,
            listed_from=self.now + (dice.random() * self.late if self.late else 0.0),
            code=dice.choice((0, 0, 0, 3)),
            dies=dies,
            requeued=dies and dice.random() < 0.7,
            forgotten=dice.random() < 0.05,
        )
        self.jobs.append(job)
        self._at(dice.choice((0.0, 1.0, 20.0, 600.0)), "start", job)
        return job

    def _arrive(self, generation: int, guarded: bool, keyed: bool) -> None:
        """A slow request comes at last; nobody waits for its reply."""
        if keyed and self.keys in {"keeps", "forgets"} and generation in self._known_keys:
            return
        if keyed and self.keys == "none":
            return
        job = self._take(generation, guarded)
        if keyed:
            self._known_keys[generation] = (job.number, self.now)

    def _start(self, job: Job) -> None:
        if job.state != "queued":
            return
        if job.guarded:
            owner = self.owners.setdefault(job.generation, job.number)
            if owner != job.number:
                job.state, job.exit_code = "ended", CANCELED if owner == "canceled" else DOUBLE
                return
        if job.dies:
            job.dies = False
            if job.requeued:
                self._at(30.0, "start", job)
            else:
                job.state = "ended"  # node failure: no exit code
            return
        job.state = "active"
        self.worked.setdefault(job.generation, []).append(job.number)
        self._at(self.dice.choice((0.1, 5.0, 300.0)), "end", job)

    def _end(self, job: Job) -> None:
        job.state, job.exit_code = "ended", job.code
        if job.guarded:
            self.journal[job.generation] = job.code

    # -- what clients ask

    def submit(self, fate: str, generation: int, *, keyed: bool, guarded: bool) -> tuple[Outcome, int | None]:
        """One request; gives what the client learns."""
        self.sends += 1
        if fate in _BEFORE:
            return _BEFORE[fate], None
        lost = fate.startswith("lost")
        if fate == "lost, slow":
            self._at(self.dice.choice((0.5, 3.0, 10.0, 200.0)), "arrive", generation, guarded, keyed)
            return Outcome.LOST, None
        if keyed and self.keys == "none":
            return (Outcome.LOST if lost else Outcome.NOT_OFFERED), None
        stored = keyed and self.keys in {"keeps", "forgets"}
        if stored and generation in self._known_keys:
            number = self._known_keys[generation][0]
            return (Outcome.LOST, None) if lost else (Outcome.OK, number)
        if fate in _REFUSED:
            return _REFUSED[fate], None
        job = self._take(generation, guarded)
        if stored and not (self.keys == "forgets" and fate in _FORGOTTEN):
            self._known_keys[generation] = (job.number, self.now)
        elif stored:
            self.holes.add("the store forgot an accepted request")
        if lost:
            return Outcome.LOST, None
        outcome = _AFTER.get(fate, Outcome.OK)
        return outcome, job.number if outcome is Outcome.OK else None

    @property
    def proves_keys(self) -> bool:
        """Whether a reply tells that keys are kept."""
        return self.keys in {"keeps", "forgets"}

    def listed(self, generation: int) -> list[Job]:
        """The jobs of a generation as a list by names shows them."""
        return [
            job
            for job in self.jobs
            if job.generation == generation
            and job.listed_from <= self.now
            and not (job.forgotten and job.state == "ended")
        ]

    def owner(self, generation: int) -> int | None:
        """The owner file as a client reads it."""
        owner = self.owners.get(generation) if self.journals else None
        return owner if isinstance(owner, int) else None

    def job(self, number: int) -> Job:
        """By its id."""
        return self.jobs[number - 1]
