"""Which facility: what each door tells, put in an order that explains itself; and when a submit moves on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from iri_common.model.counts import agreed, many
from iri_common.model.errors import (
    AuthError,
    GrantExceeded,
    IriError,
    NotOffered,
    PermissionDenied,
    ReplyError,
    ResourceDown,
    SubmitUncertain,
    TransientError,
    UsageError,
)
from iri_common.model.facility import Availability, QueueLength
from iri_common.model.key import JobKey


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is to be run, as far as it decides where.

    Attributes:
        nodes: That it takes.
        seconds: That it may run; None where that is not known.
    """

    nodes: int = 1
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise UsageError(f"requirements are for one node or more, not {self.nodes}")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise UsageError(f"requirements take a number of seconds above 0, not {self.seconds}")

    @property
    def node_hours(self) -> float | None:
        """The most that it can cost; None where its time is not known."""
        return None if self.seconds is None else self.nodes * self.seconds / 3600


@dataclass(frozen=True, slots=True)
class Prospect:
    """What one door tells of itself; None where it tells nothing.

    Attributes:
        facility: What messages call it.
        resource: The machine there.
        closed: Why nothing can be asked there now: no answer, no right, no credential that works.
        status: Of the machine.
        away: When it is announced to go away, before the work would be over.
        back: When it is announced to be back.
        credential_ends: When the credential does, before the work would be over.
        node_hours_left: Of the account that would pay.
        waiting: Jobs of mine that wait there now.
        running: Jobs of mine that run there now.
        queue: Jobs of all users there.
        unknown: What could not be found out, a clause each.
    """

    facility: str
    resource: str = ""
    closed: str = ""
    status: Availability = Availability.UNKNOWN
    away: datetime | None = None
    back: datetime | None = None
    credential_ends: datetime | None = None
    node_hours_left: float | None = None
    waiting: int | None = None
    running: int | None = None
    queue: QueueLength | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One door in its place.

    Attributes:
        prospect: What it told.
        open: Whether a submit makes sense there now.
        reasons: Why it stands where it stands, a clause each.
    """

    prospect: Prospect
    open: bool
    reasons: tuple[str, ...]

    @property
    def facility(self) -> str:
        """What messages call it."""
        return self.prospect.facility

    def __str__(self) -> str:
        mark = "open" if self.open else "closed"
        machine = f" ({self.prospect.resource})" if self.prospect.resource else ""
        return f"{self.facility}{machine}: {mark}; {'; '.join(self.reasons)}"


def ranked(requirements: Requirements, prospects: Iterable[Prospect]) -> Sequence[Choice]:
    """The doors in the order in which they should be asked; closed ones last.

    Sooner counts before later: a machine that stays before one that is announced to go away, one that is up
    before one that is not quite, one whose credential outlives the work before one where a person will have
    to see to it, then the one where fewer jobs of mine wait; where all that are open tell it, then the one
    with fewer waiting jobs of all users for each that runs. What a door does not tell counts neither for nor
    against it, and among equals the order given stands. No start is promised.
    """
    choices = [_judged(requirements, each) for each in prospects]
    comparable = all(each.prospect.queue is not None for each in choices if each.open)
    return sorted(choices, key=lambda each: (*_rank(each), _crowd(each.prospect) if comparable else 0.0))


def _judged(requirements: Requirements, prospect: Prospect) -> Choice:
    against = [why for why in (judge(requirements, prospect) for judge in _CLOSES) if why]
    if against:
        return Choice(prospect, open=False, reasons=tuple(against))
    return Choice(prospect, open=True, reasons=tuple(_facts(prospect)))


def _says_so(_: Requirements, prospect: Prospect) -> str:
    return prospect.closed


def _down(_: Requirements, prospect: Prospect) -> str:
    return "the machine is down" if prospect.status is Availability.DOWN else ""


def _too_poor(requirements: Requirements, prospect: Prospect) -> str:
    left, wanted = prospect.node_hours_left, requirements.node_hours
    if left is None or (left > 0 and (wanted is None or wanted <= left)):
        return ""
    asked = "" if wanted is None else f", and up to {wanted:.4g} are asked for"
    return f"{_left(max(left, 0.0))}{asked}"


_CLOSES: Sequence[Callable[[Requirements, Prospect], str]] = (_says_so, _down, _too_poor)


def _facts(prospect: Prospect) -> Iterable[str]:
    yield f"the machine is {prospect.status}"
    if prospect.away is not None:
        back = f" until {prospect.back:%Y-%m-%d %H:%M %Z}" if prospect.back else ""
        yield f"announced to be away from {prospect.away:%Y-%m-%d %H:%M %Z}{back}"
    if prospect.credential_ends is not None:
        yield f"the credential ends at {prospect.credential_ends:%Y-%m-%d %H:%M %Z}; the job lives on"
    if prospect.node_hours_left is not None:
        yield _left(prospect.node_hours_left)
    if prospect.waiting is not None:
        mine = prospect.waiting
        yield f"{mine} of my jobs {_wait(mine)} and {_run(prospect.running or 0)} there"
    if prospect.queue is not None:
        waiting = prospect.queue.waiting
        yield f"of all users {many(waiting, 'job')} {_wait(waiting)} and {_run(prospect.queue.running)}"
    yield from prospect.unknown


def _left(hours: float) -> str:
    shown = f"{hours:.4g}"
    return f"{many(shown, 'node hour')} {agreed(shown, 'is', 'are')} left"


def _wait(count: int) -> str:
    return agreed(count, "waits", "wait")


def _run(count: int) -> str:
    return f"{count} {agreed(count, 'runs', 'run')}"


_STATUS = {Availability.UP: 0, Availability.UNKNOWN: 0, Availability.DEGRADED: 1, Availability.DOWN: 2}


def _rank(choice: Choice) -> tuple[bool, bool, int, bool, int]:
    prospect = choice.prospect
    if not choice.open:
        return (True, False, 0, False, 0)
    away, mute = prospect.away is not None, prospect.credential_ends is not None
    return (False, away, _STATUS[prospect.status], mute, prospect.waiting or 0)


def _crowd(prospect: Prospect) -> float:
    queue = prospect.queue
    return queue.waiting / max(queue.running, 1) if queue is not None else 0.0


# The door is closed, and nothing was asked of it; anything else would meet the next door, too. What a
# service answers that is none of its API's words is often a page of somebody before it.
_CLOSED = (TransientError, AuthError, PermissionDenied, NotOffered, GrantExceeded, ReplyError)
_FOR_GOOD = (UsageError, PermissionDenied)


def moves_on(error: IriError) -> bool:
    """Whether a submit that ended so is asked at the next door instead.

    Never after a request whose fate is open (SubmitUncertain): the job may be there. Nor after a plain
    refusal or bad input: the ask is wrong, not the door.
    """
    return isinstance(error, _CLOSED)


def nowhere(key: JobKey, told: Sequence[IriError]) -> IriError:
    """The error of an ask that no door takes, by what each of them said."""
    said = f"no facility takes {key}, and nothing was sent: {'; '.join(each.message for each in told)}"
    return NotOffered(said) if all(isinstance(each, _FOR_GOOD) for each in told) else ResourceDown(said)


def stays(error: SubmitUncertain) -> SubmitUncertain:
    """The same error, which says what becomes of the other doors."""
    return SubmitUncertain(
        f"{error.message}. No other facility is asked meanwhile. To give it up there, cancel the key, which "
        "keeps its job from beginning where jobs are guarded; the next generation goes to any of them",
        key=error.key,
        candidates=error.candidates,
        facility=error.facility,
        operation=error.operation,
        request_id=error.request_id,
        outcome=error.outcome,
    )
