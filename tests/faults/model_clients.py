"""Clients of the model facility: each runs the core's own program and rules, and may die at any step."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from model_doors import Fate
from model_world import COUNTED, DOUBLE, STRANGER, Job, Task, World

from iri_common.model.job import JobStatus
from iri_common.model.ledger import LedgerRecord
from iri_common.model.state import JobState
from iri_common.policy import asking
from iri_common.policy.asking import End, Seen, Sent, Verdict
from iri_common.policy.classify import Outcome
from iri_common.policy.generation import GenerationFacts, GenerationStep, generation_step
from iri_common.policy.onrecord import DoorFacts, known_of, noted

CLAIM = 180.0
TASK_LOOKS = 60.0  # seconds between two looks at a task; each renews the claim
TASK_PATIENCE = 300.0
EPOCH = 1_000_000.0  # so that no time is mistaken for "never"


@dataclass(slots=True)
class Ledger:
    """One identity's record and claim, as all processes that share a ledger see them."""

    record: LedgerRecord | None = None
    holder: object = None
    until: float = 0.0

    def claim(self, who: object, now: float) -> bool:
        if self.holder in (None, who) or self.until <= now:
            self.holder, self.until = who, now + CLAIM
            return True
        return False

    def release(self, who: object) -> None:
        if self.holder is who:
            self.holder = None


@dataclass(slots=True, eq=False)
class Process:
    """One client process that asks for one generation.

    Attributes:
        wakes_at: It does nothing before.
        verdict: Once it is through.
    """

    world: World
    ledger: Ledger
    generation: int
    guarded: bool
    trouble: float
    seen_before: bool = False
    wakes_at: float = 0.0
    verdict: Verdict | None = None
    honoured: bool = False
    keeps: bool = True
    _program: Generator[asking.Effect, Any, Verdict] | None = None
    _reply: Any = None
    _held: bool = False
    _begun: float = 0.0
    _next: asking.Effect | Task | None = None

    def step(self) -> None:
        """Do one thing."""
        if self._program is None:
            self._begin()
            return
        reply = self._perform(self._next)
        if isinstance(reply, Task):
            self._next, self.wakes_at = reply, self.world.now + TASK_LOOKS
            return
        self._reply = reply
        self._advance()

    def _begin(self) -> None:
        now = EPOCH + self.world.now
        if not self.ledger.claim(self, now):
            record = self.ledger.record
            if record is not None and record.generation == self.generation and record.stage.has_job:
                self.verdict = Verdict(End.ACCEPTED, record.ref)
                return
            self.wakes_at = self.world.now + 2.0
            return
        record = self._record()
        if record is not None and record.stage.has_job:
            self._conclude(Verdict(End.ACCEPTED, record.ref))
            return
        door = DoorFacts(self.world.settle, self.keeps, self.honoured)
        self._reply, self._begun = None, now
        self._program = asking.asking(
            known_of(record, door, seen_before=self.seen_before, guarded=self.guarded, now=now)
        )
        self._advance()

    def _record(self) -> LedgerRecord | None:
        record = self.ledger.record
        return record if record is not None and record.generation == self.generation else None

    def _advance(self) -> None:
        assert self._program is not None
        try:
            self._next = self._program.send(self._reply)
        except StopIteration as end:
            self._conclude(end.value)
            return
        self._reply = None
        if isinstance(self._next, asking.Pause):
            record = self._record()
            left = record.written_at if record is not None and record.stage.in_doubt else self._begun
            age = EPOCH + self.world.now - left
            self.wakes_at = self.world.now + max(self._next.seconds, self._next.age - age)

    def _conclude(self, verdict: Verdict) -> None:
        self.ledger.release(self)
        self._program = self._next = None
        if verdict.end is not End.TAKEN_OVER:  # else it reads anew what the other wrote
            self.verdict = verdict

    def _perform(self, effect: asking.Effect | Task | None) -> Any:
        now = EPOCH + self.world.now
        match effect:
            case asking.Note():
                self._held = self.ledger.holder is self and self.ledger.until > now
                if not self._held:
                    return False
                blank = LedgerRecord(
                    "model", self.generation, effect.stage, effect.job_id or "", "", 0.0, guarded=self.guarded
                )
                self.ledger.record = noted(blank, self._record(), effect, now)
                return True
            case asking.Send(keyed):
                return self._send(keyed)
            case Task():
                return self._look_at(effect)
            case asking.Look():
                return self._look()
            case asking.Snapshot():
                return self._ids_before()
            case _:
                pass
        return None

    def _send(self, keyed: bool) -> Sent | Task:
        world = self.world
        if not keyed:
            self.keeps = False
        assert self._held, "sent although somebody else holds the claim"
        if self.ledger.holder is not self:
            world.holes.add("suspended between noting and sending")
        door = world.door
        fate, then = self._fate(door.fine, door.fates), self._fate(door.landed, door.manners.tasks)
        sent = world.submit(fate, self.generation, keyed=keyed, guarded=self.guarded, then=then)
        if isinstance(sent, Task):
            return sent
        outcome, number = sent
        if outcome is Outcome.OK and keyed and world.proves_keys:
            self.honoured = True
            return Sent(outcome, str(number), replayed=False)
        return Sent(outcome, str(number) if number else None)

    def _fate(self, fine: Fate, fates: Sequence[Fate]) -> Fate:
        dice = self.world.dice
        return dice.choice(fates) if fates and dice.random() < self.trouble else fine

    def _look_at(self, task: Task) -> Sent | Task:
        """One look at the task of a submit, whose claim lasts as long as somebody looks."""
        now = EPOCH + self.world.now
        if self.ledger.holder is self and self.ledger.until > now:
            self.ledger.claim(self, now)
        if not task.over:
            return Sent(Outcome.LOST) if self.world.now - task.begun > TASK_PATIENCE else task
        outcome, number = self.world.ended(task)
        return Sent(outcome, str(number) if number else None)

    def _look(self) -> Seen:
        world = self.world
        world.looks += 1
        owner = world.owner(self.generation) if self.guarded else None
        owned = self.guarded and world.journals
        if world.dice.random() < self.trouble / 3:
            failure = world.dice.choice((Outcome.LOST, Outcome.AWAY, Outcome.BROKEN, Outcome.NOT_SENT))
            return Seen(str(owner)) if owner else Seen(failure=failure)
        if world.settle == "snapshot":
            return Seen(str(owner) if owner else None, ids=_ids(world.live()))
        found = world.named(self.generation)
        if world.dice.random() < self.trouble / 10:
            found = []  # an empty list, which is no list
        best = the_one(found)
        number = best.number if best else owner
        return Seen(str(number) if number else None, offered=world.tells_names or owned)

    def _ids_before(self) -> frozenset[str] | None:
        """The ids of live jobs, and the newest of all."""
        world = self.world
        if world.dice.random() < self.trouble / 3:
            return None
        newest = sorted(world.listed(), key=lambda job: job.number)[-1:]
        return _ids([*world.live(), *newest])


def _ids(jobs: Iterable[Job]) -> frozenset[str]:
    return frozenset(str(job.number) for job in jobs)


def the_one(jobs: list[Job]) -> Job | None:
    """As a client chooses among jobs of one name."""
    live = [job for job in jobs if job.exit_code != DOUBLE]
    return (live or jobs or [None])[0]


@dataclass(slots=True)
class Campaign:
    """An engine that asks in one name, over all crashes, until it is told an end or gives up.

    Attributes:
        told: What it was told of each generation.
        lost_ledger: The ledger was lost at least once.
    """

    world: World
    guarded: bool
    trouble: float
    crashes: float
    two: bool
    remembers: bool
    ledger: Ledger = field(default_factory=Ledger)
    generation: int = 1
    asked: bool = False
    told: dict[int, str] = field(default_factory=dict[int, str])
    lost_ledger: bool = False
    verdicts: list[End | None] = field(default_factory=list)

    def run(self) -> None:
        dice = self.world.dice
        for _ in range(8):
            verdict = self._ask()
            self.verdicts.append(verdict.end if verdict else None)
            if verdict is None and dice.random() < 0.1:
                self._lose_ledger()
            if verdict is None or verdict.end in {End.UNCERTAIN, End.UNSEEN}:
                self.world.advance(self.world.now + dice.choice((0.0, 5.0, 300.0)))
                continue
            if verdict.end is End.REFUSED:
                if dice.random() < 0.5:
                    break
                continue
            if not self._watch(str(verdict.job_id)):
                break

    def calm(self) -> Verdict | None:
        """Ask once more, when nothing goes wrong any more."""
        self.trouble = self.crashes = 0.0
        self.world.slowest_task = 200.0
        self.world.finish()
        return self._ask()

    def _lose_ledger(self) -> None:
        self.lost_ledger, self.ledger = True, Ledger()
        if not self.remembers:
            self.generation, self.asked = self._rediscovered(), False

    def _rediscovered(self) -> int:
        """The newest generation by names and guards, as ``jobs.generations`` finds it."""
        world = self.world
        seen = {job.generation for job in world.listed() if world.names and job.named_from <= world.now}
        seen |= set(world.owners) if world.journals else set()
        return max(seen - {STRANGER}, default=1)

    def _ask(self) -> Verdict | None:
        """Run one or two processes to the end of the first, or to a crash of all."""
        world, dice = self.world, self.world.dice
        count = 2 if self.two and dice.random() < 0.5 else 1
        doubt = self.asked or self.lost_ledger
        running = [
            Process(
                world,
                self.ledger,
                self.generation,
                self.guarded,
                self.trouble,
                honoured=world.proves_keys and dice.random() < 0.5,
                seen_before=doubt and self.ledger.record is None,
            )
            for _ in range(count)
        ]
        self.asked = True
        end: Verdict | None = None
        for _ in range(2000):
            if not running:
                return end
            process = self._turn(running)
            if dice.random() < self.crashes:
                running.remove(process)
                if dice.random() < 0.7:
                    self.ledger.release(process)  # died here: seen at once; elsewhere its claim must run out
                continue
            if dice.random() < self.crashes / 10:
                process.wakes_at = world.now + 400.0  # suspended, and its claim runs out
                continue
            process.step()
            if process.verdict is not None:
                running.remove(process)
                end = _better(end, process.verdict)
        raise AssertionError("no end")

    def _turn(self, running: list[Process]) -> Process:
        awake = [each for each in running if each.wakes_at <= self.world.now]
        if not awake:
            first = min(running, key=lambda each: each.wakes_at)
            self.world.advance(first.wakes_at)
            awake = [first]
        chosen = self.world.dice.choice(awake)
        self.world.advance(self.world.now + 0.01)
        return chosen

    def _watch(self, number: str) -> bool:
        """Wait for the end and decide whether to ask on; False at the end of the campaign."""
        if self.world.dice.random() < self.crashes:
            return True  # died while it waited: asks again under the same key
        self.world.advance(self.world.now + 100_000.0)
        told = self._end_of(self.world.job(int(number)))
        self.told[self.generation] = told
        if told in {"lost", "completed"}:
            return False
        reported = JobState.FAILED
        step = generation_step(GenerationFacts(asked_before=True, reported=reported))
        assert step is GenerationStep.RAISE
        if self.generation >= 3:
            return False
        self.generation, self.asked = self.generation + 1, False
        return True

    def _end_of(self, job: Job) -> str:
        world = self.world
        if world.counted and job.guarded and job.exit_code in COUNTED:
            return self._end_of(world.job(job.number - (job.exit_code - COUNTED.start + 1)))
        if job.guarded and job.exit_code == DOUBLE:
            owner = world.owner(job.generation)
            others = [each for each in world.named(job.generation) if each is not job]
            if owner == job.number:
                return _word(job.exit_code)  # so its program ended
            if owner:
                return self._end_of(world.job(owner))
            best = the_one(others)
            return self._end_of(best) if best is not None and best.exit_code != DOUBLE else "lost"
        if job.forgotten:
            code = world.journal.get(job.generation) if job.guarded and world.journals else None
            return "lost" if code is None else _word(code)
        status = JobStatus(
            JobState.COMPLETED if job.exit_code == 0 else JobState.FAILED, exit_code=job.exit_code
        )
        return str(status.reported)


def _word(code: int) -> str:
    return "failed" if code else "completed"


def _better(one: Verdict | None, other: Verdict) -> Verdict:
    """Of two processes' ends the one that knows the job."""
    return one if one is not None and one.end is End.ACCEPTED else other
