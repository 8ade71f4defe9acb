"""A facility out of thin air: jobs, lists, idempotency keys, guards, and a clock that costs nothing.

It shares with the core only words (outcomes, records); what a facility does is written here anew.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Literal

from model_doors import NO_STORE, Fate, ModelDoor

from iri_common.policy.classify import Outcome

Keys = Literal["none", "ignored", "keeps", "forgets"]

DOUBLE, CANCELED, KEPT = 211, 214, 248
COUNTED = range(216, 248)  # a double so many ids, and 215, behind the job that works
STRANGER = 0  # the generation of jobs that have nothing to do with the key


@dataclass(slots=True)
class Job:
    """One job at the facility.

    Attributes:
        number: Its id.
        generation: Of the key that it was asked for under.
        guarded: It looks whose the key is before it works.
        listed_from: Not in the queue before.
        named_from: In no list under its name before.
        recorded_from: Not in accounting before, where the queue forgets it at its end.
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
    named_from: float
    recorded_from: float
    code: int
    dies: bool
    requeued: bool
    forgotten: bool
    state: str = "queued"
    exit_code: int | None = None


@dataclass(slots=True, eq=False)
class Task:
    """A submit that the facility works on in its own time.

    Attributes:
        fate: How it ends.
        begun: When it was begun.
        over: It has ended.
        number: Of the job that it took.
    """

    fate: Fate
    begun: float
    over: bool = False
    number: int | None = None


@dataclass(slots=True)
class World:
    """One facility through one schedule.

    Attributes:
        door: Which API it has.
        keys: No store for idempotency keys (501), ignored without a word, kept, or kept and forgotten when
            the adapter raises, also after it took the job (IRI reference server).
        header: The API has a header for such keys.
        names: Lists show the names of jobs.
        journals: A client can read what guarded jobs leave.
        late: The most seconds until a job is listed.
        nameless: The most seconds after that until its name is.
        lag: The most seconds until accounting shows it.
        strangers: How often another job of the user comes between.
        slowest_task: Seconds; more than anybody waits for, but in calm weather.
    """

    dice: random.Random
    door: ModelDoor
    keys: Keys
    header: bool
    names: bool
    journals: bool
    late: float
    nameless: float = 0.0
    lag: float = 0.0
    strangers: float = 0.0
    slowest_task: float = 400.0
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
        if generation != STRANGER and dice.random() < self.strangers:
            self._take(STRANGER, guarded=False)
        dies = dice.random() < 0.05
        listed_from = self.now + dice.random() * self.late
        job = Job(
            number=self._next_number(),
            generation=generation,
            guarded=guarded,
            listed_from=listed_from,
            named_from=listed_from + dice.random() * self.nameless,
            recorded_from=self.now + dice.random() * self.lag,
            code=dice.choice((0, 0, 0, 0, 0, 0, 3, 3, 211, 220)),
            dies=dies,
            requeued=dies and dice.random() < 0.7,
            forgotten=dice.random() < self.door.manners.forgets,
        )
        self.jobs.append(job)
        self._at(dice.choice((0.0, 1.0, 20.0, 600.0)), "start", job)
        return job

    def _next_number(self) -> int:
        others = self.dice.choice((0, 0, 0, 1, 7, 50))  # jobs of other users, which no list shows
        return (self.jobs[-1].number if self.jobs else 0) + 1 + others

    def _arrive(self, generation: int, guarded: bool, keyed: bool) -> None:
        """A slow request comes at last; nobody waits for its reply."""
        if keyed and self.keys in {"keeps", "forgets"} and generation in self._known_keys:
            return
        if keyed and self.keys == "none":
            return
        job = self._take(generation, guarded)
        if keyed:
            self._known_keys[generation] = (job.number, self.now)

    def _work(self, task: Task, generation: int, guarded: bool) -> None:
        """A task does what it was begun for."""
        if task.fate.taken:
            task.number = self._take(generation, guarded).number
        task.over = True

    def _start(self, job: Job) -> None:
        if job.state != "queued":
            return
        if job.guarded:
            owner = self.owners.setdefault(job.generation, job.number)
            if owner != job.number:
                job.state, job.exit_code = "ended", self._refusal(job, owner)
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

    def _refusal(self, job: Job, owner: int | Literal["canceled"]) -> int:
        if owner == "canceled":
            return CANCELED
        code = COUNTED.start - 1 + job.number - owner
        return code if self.counted and code in COUNTED else DOUBLE

    def _end(self, job: Job) -> None:
        kept = self.counted and job.guarded and (job.code == DOUBLE or job.code in COUNTED)
        job.state, job.exit_code = "ended", KEPT if kept else job.code
        if job.guarded:
            self.journal[job.generation] = job.code

    # -- what clients ask

    def submit(
        self, fate: Fate, generation: int, *, keyed: bool, guarded: bool, then: Fate
    ) -> tuple[Outcome, int | None] | Task:
        """One request, and the task that it may begin, with their fates; gives what the client learns."""
        self.sends += 1
        heard = self.door.meanings[fate]
        if fate.gate:
            return heard, None
        if fate.slow:
            self._at(self.dice.choice((0.5, 3.0, 10.0, 200.0)), "arrive", generation, guarded, keyed)
            return heard, None
        lost = heard is Outcome.LOST
        if keyed and self.keys == "none":
            return (heard if lost else self.door.meanings[NO_STORE]), None
        stored = keyed and self.keys in {"keeps", "forgets"}
        if stored and generation in self._known_keys:
            number = self._known_keys[generation][0]
            return (heard, None) if lost else (Outcome.OK, number)
        if not fate.taken:
            return heard, None
        if self.door.manners.tasks:
            task = Task(then, self.now)
            seconds = self.dice.choice((0.0, 2.0, 20.0, self.slowest_task))
            self._at(seconds, "work", task, generation, guarded)
            return task if heard is Outcome.OK else (heard, None)
        job = self._take(generation, guarded)
        if stored and not (self.keys == "forgets" and fate.forgets):
            self._known_keys[generation] = (job.number, self.now)
        elif stored:
            self.holes.add("the store forgot an accepted request")
        return heard, job.number if heard is Outcome.OK else None

    def ended(self, task: Task) -> tuple[Outcome, int | None]:
        """What the end of a task tells."""
        heard = self.door.meanings[task.fate]
        return heard, task.number if heard is Outcome.OK else None

    @property
    def settle(self) -> Literal["native", "lookup", "snapshot", "none"]:
        """How an uncertain submit is settled at this door."""
        native = self.door.grades.settle == "native"
        return "lookup" if native and not self.header else self.door.grades.settle

    @property
    def counted(self) -> bool:
        """Whether a double tells by its code which job works."""
        return self.door.grades.settle == "snapshot"

    @property
    def proves_keys(self) -> bool:
        """Whether a reply tells that keys are kept."""
        return self.keys in {"keeps", "forgets"}

    def listed(self) -> list[Job]:
        """The jobs that the queue or accounting shows."""
        return [job for job in self.jobs if self._queued(job) or self._recorded(job)]

    def live(self) -> list[Job]:
        """Those that the queue shows as not ended."""
        return [job for job in self.jobs if self._queued(job) and job.state != "ended"]

    def named(self, generation: int) -> list[Job]:
        """The jobs of a generation as a list by names shows them."""
        shown = self.listed() if self.names else []
        return [job for job in shown if job.generation == generation and job.named_from <= self.now]

    @property
    def tells_names(self) -> bool:
        """Whether a name that is in no list means anything: not where no job is listed with its own."""
        shown = self.listed()
        return self.names and (not shown or any(job.named_from <= self.now for job in shown))

    def _queued(self, job: Job) -> bool:
        return job.listed_from <= self.now and (job.state != "ended" or not (self.lag or job.forgotten))

    def _recorded(self, job: Job) -> bool:
        return self.lag > 0 and job.recorded_from <= self.now and not (job.forgotten and job.state == "ended")

    def owner(self, generation: int) -> int | None:
        """The owner file as a client reads it."""
        owner = self.owners.get(generation) if self.journals else None
        return owner if isinstance(owner, int) else None

    def job(self, number: int) -> Job:
        """By its id."""
        return next(job for job in self.jobs if job.number == number)
