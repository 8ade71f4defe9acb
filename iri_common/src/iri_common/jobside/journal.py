"""Reading what a guard wrote: who owns a key, and what became of the program in each attempt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of the program: the first, or a scheduler's own requeue.

    Attributes:
        job_id: The scheduler's id; of a task of an array, the array's.
        number: How often the scheduler had queued the job again before, 0 where it does not tell.
        started: Seconds since the epoch by the node's clock; None if that line is lost.
        ended: Likewise; None if nothing tells of an end.
        exit_code: Of the program, or of its process 0; 128 + n if signal n ended it.
        failed_ranks: Exit codes of the other processes that failed, by rank.
        parallel: More than one process ran behind the guard, so the end of process 0 is not yet that of all.
    """

    job_id: str
    number: int
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    failed_ranks: Mapping[int, int] = field(default_factory=dict[int, int])
    parallel: bool = False

    @property
    def code(self) -> int | None:
        """The exit code that speaks for all processes; None while nothing tells of a failure or an end."""
        if self.exit_code:
            return self.exit_code
        return next((self.failed_ranks[rank] for rank in sorted(self.failed_ranks)), self.exit_code)

    @property
    def succeeded(self) -> bool:
        """Ended with 0, and no other process told of a failure."""
        return self.code == 0

    @property
    def certain(self) -> bool:
        """Whether ``code`` is the last word on this attempt: a failure is, a success only of one process."""
        return bool(self.code) or (self.code == 0 and not self.parallel)


@dataclass(frozen=True, slots=True)
class Journal:
    """The attempts of one generation (of one task of an array), in the order in which they began."""

    attempts: tuple[Attempt, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The attempt that began last, None if none did."""
        return self.attempts[-1] if self.attempts else None

    @property
    def began(self) -> bool:
        """Whether the program was started at all."""
        return bool(self.attempts)

    @property
    def ended(self) -> bool:
        """Whether the last attempt has told its end; False also means that nobody may be left to tell it."""
        return self.last is not None and self.last.code is not None

    @property
    def exit_code(self) -> int | None:
        """How the last attempt ended, None if it has not told."""
        return self.last.code if self.last else None

    @property
    def certain(self) -> bool:
        """Whether ``exit_code`` is the last word on the job (:attr:`Attempt.certain`)."""
        return self.last is not None and self.last.certain

    def of(self, job_id: str) -> Journal:
        """Only what one job wrote."""
        return Journal(tuple(attempt for attempt in self.attempts if attempt.job_id == job_id))


def read_journal(text: str) -> Journal:
    """Read a journal; whatever is torn or strange in it is passed over."""
    attempts: list[Attempt] = []
    lines = text.split("\n")
    # The last line is whole only with its line end: "ended 42 0 1" may have been going to say 137.
    for line in lines[:-1]:
        _take(attempts, line.split(" "))
    return Journal(tuple(attempts))


def _take(attempts: list[Attempt], words: list[str]) -> None:
    match words:
        case ["started", job_id, *rest] if job_id and (numbers := _numbers(rest, 2)):
            _begin(attempts, job_id, numbers[0], float(numbers[1]))
        case ["ended", job_id, *rest] if job_id and (numbers := _numbers(rest, 3)):
            at = _find(attempts, job_id, numbers[0])
            attempts[at] = replace(attempts[at], exit_code=numbers[1], ended=float(numbers[2]))
        case ["rank", job_id, *rest] if job_id and (numbers := _numbers(rest, 3)):
            at = _find(attempts, job_id, numbers[0])
            failed = {**attempts[at].failed_ranks, numbers[1]: numbers[2]}
            attempts[at] = replace(attempts[at], failed_ranks=failed, parallel=True)
        case ["ranks", job_id, *rest] if job_id and (numbers := _numbers(rest, 1)):
            at = _find(attempts, job_id, numbers[0])
            attempts[at] = replace(attempts[at], parallel=True)
        case _:
            pass


def _begin(attempts: list[Attempt], job_id: str, number: int, started: float) -> None:
    # Another process of the same attempt may have written before process 0 did.
    last = attempts[-1] if attempts else None
    if last and (last.job_id, last.number, last.started, last.exit_code) == (job_id, number, None, None):
        attempts[-1] = replace(last, started=started)
    else:
        attempts.append(Attempt(job_id, number, started=started))


def _find(attempts: list[Attempt], job_id: str, number: int) -> int:
    # From the end: a scheduler that does not count its requeues gives two attempts the same number.
    for at in range(len(attempts) - 1, -1, -1):
        if (attempts[at].job_id, attempts[at].number) == (job_id, number):
            return at
    attempts.append(Attempt(job_id, number))
    return len(attempts) - 1


def _numbers(words: list[str], count: int) -> list[int] | None:
    if len(words) != count or not all(_NUMBER.fullmatch(word) for word in words):
        return None
    return [int(word) for word in words]


def read_owner(text: str) -> str | None:
    """The id of the job that owns the key; None if the file does not tell (yet)."""
    first, end, _ = text.partition("\n")
    return first if end and first and not first.isspace() else None


def read_spec_digest(text: str) -> str | None:
    """The digest of the spec that the owner's client sent, from the owner file; None if it is not there."""
    return next((line.removeprefix("spec ") for line in _whole(text) if line.startswith("spec ")), None)


def _whole(text: str) -> Iterable[str]:
    return text.split("\n")[1:-1]
