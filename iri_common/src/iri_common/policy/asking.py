"""A whole submission as a program without input and output: it says what to do and is told what came of it.

:mod:`iri_common.jobs.submit` runs it against a facility and a ledger; the fault tests run the very same
program through a million schedules of crashes, lost replies and late lists.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from iri_common.model.errors import AmbiguousReply, IriError
from iri_common.model.job import Accepted
from iri_common.model.ledger import Stage
from iri_common.model.outcome import Answer, Pending
from iri_common.policy.classify import Outcome
from iri_common.policy.submission import (
    LOOKS_BEFORE_VERDICT,
    Evidence,
    Step,
    look_pause,
    next_step,
    send_pause,
)

LISTED_WITHIN = 30.0  # seconds from a request to its job's place in the list: some submits take over ten
GRACE = 10.0  # seconds before a guarded request is sent again: a double costs little, but it costs


@dataclass(frozen=True, slots=True)
class Note:
    """Write this stage to the ledger, durably, before anything else happens.

    Answered by whether it was written: it is not where somebody else holds the claim by now, for whoever
    slept too long must not write over what the one who took over has learned.
    """

    stage: Stage
    job_id: str | None = None
    last: Outcome | None = None
    before: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds, and longer if the request is not ``age`` seconds old by then."""

    seconds: float
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Send:
    """Ask the facility for the job, once; answered by :class:`Sent`."""

    keyed: bool


@dataclass(frozen=True, slots=True)
class Look:
    """Look for the job of this key at the facility; answered by :class:`Seen`."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """List the ids of the jobs that are there; answered by a set, or None where it cannot be had."""


Effect = Note | Pause | Send | Look | Snapshot


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a send.

    Attributes:
        outcome: In the words of ``classify``.
        job_id: Of the accepted job.
        replayed: As in :class:`iri_common.model.job.Accepted`.
    """

    outcome: Outcome
    job_id: str | None = None
    replayed: bool | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look showed.

    Attributes:
        job_id: The job of this key.
        offered: Looking is possible here at all.
        failure: What the look itself met, if it failed.
        ids: All ids that are there now, where they were asked for.
    """

    job_id: str | None = None
    offered: bool = True
    failure: Outcome | None = None
    ids: frozenset[str] | None = None


class End(StrEnum):
    """How a submission ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    UNSEEN = "unseen"  # an earlier attempt is in doubt and the facility cannot be looked at now
    TAKEN_OVER = "taken over"  # somebody else holds the claim; read what they write


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of the program.

    Attributes:
        end: How.
        job_id: Of the accepted job.
        candidates: New jobs that may be it, where ids are all there is to go by.
    """

    end: End
    job_id: str | None = None
    candidates: frozenset[str] = frozenset()


_TAKEN_OVER = Verdict(End.TAKEN_OVER)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before the program begins.

    Attributes:
        doubtful: A request with this key may have reached the facility already.
        last: What that request ended with, where it is on record.
        before: Ids that were there before it.
        keyed: This facility takes idempotency keys.
        honoured: It has proved that it keeps them, and this one is not too old.
        lookup: Jobs can be looked up by their key.
        snapshot: There are only ids to compare.
        guarded: The job checks for itself whether it is a double.
    """

    doubtful: bool = False
    last: Outcome | None = None
    before: frozenset[str] | None = None
    keyed: bool = False
    honoured: bool = False
    lookup: bool = True
    snapshot: bool = False
    guarded: bool = False


# A look that met one of these would meet it again, and so would a send.
_NO_WAY_THROUGH = frozenset({Outcome.NOT_SENT, Outcome.BAD_TOKEN, Outcome.FORBIDDEN, Outcome.RATE_LIMITED})


# What leaves the fate of a request open, or tells that one came.
_OPEN = frozenset({Outcome.KEY_USED, *(each for each in Outcome if each.may_have_worked)})


def asking(known: Known) -> Generator[Effect, Any, Verdict]:
    """Step from intent to verdict. Whoever runs it may die at any effect and begin anew with the ledger."""
    evidence = Evidence(
        maybe_sent=known.doubtful,
        # A refusal on record says nothing of the request before it whose fate is open.
        last=known.last if known.doubtful and known.last in _OPEN else None,
        lookup=known.lookup,
        keyed=known.keyed,
        honoured=known.honoured,
        guarded=known.guarded,
    )
    before, fresh, job_id = known.before, frozenset[str](), None
    if not evidence.maybe_sent:
        before = (yield Snapshot()) if known.snapshot else None
        if not (yield Note(Stage.INTENT, before=before)):
            return _TAKEN_OVER
    while True:
        step = next_step(evidence)
        if step is Step.SEND:
            yield Pause(send_pause(evidence.sends))
            if not (yield Note(Stage.SENT, before=before)):
                return _TAKEN_OVER
            sent: Sent = yield Send(evidence.keyed)
            job_id, evidence = sent.job_id, _after_send(evidence, sent)
        elif step is Step.DROP_KEY:
            evidence = replace(evidence, keyed=False, last=None)
        elif step is Step.LOOK:
            yield _pause_before_look(evidence)
            seen: Seen = yield Look()
            if _no_use(evidence, seen):
                break
            fresh = _fresh(seen, before)
            job_id = seen.job_id
            evidence = _after_look(evidence, seen, found=job_id is not None)
        elif step is Step.ACCEPT:
            note = Note(Stage.ACCEPTED, job_id=job_id, before=before)
            return (yield from _ended(note, Verdict(End.ACCEPTED, job_id)))
        elif step is Step.REFUSE:
            return (yield from _ended(Note(Stage.REFUSED, last=evidence.last), Verdict(End.REFUSED)))
        else:
            break
    if not evidence.sends and step is Step.LOOK:
        return Verdict(End.UNSEEN)  # the record stays as it is: the doubt is an earlier one
    note = Note(Stage.UNCERTAIN, last=evidence.last, before=before)
    return (yield from _ended(note, Verdict(End.UNCERTAIN, candidates=fresh)))


def _fresh(seen: Seen, before: frozenset[str] | None) -> frozenset[str]:
    """The ids that were not there before: for a person to judge, as any may be of an ask made beside this."""
    return frozenset[str]() if seen.ids is None or before is None else seen.ids - before


def _ended(note: Note, verdict: Verdict) -> Generator[Effect, Any, Verdict]:
    return verdict if (yield note) else _TAKEN_OVER


def _after_send(evidence: Evidence, sent: Sent) -> Evidence:
    honoured = evidence.honoured or sent.replayed is not None
    return replace(evidence, sends=evidence.sends + 1, looks=0, last=sent.outcome, honoured=honoured)


def _after_look(evidence: Evidence, seen: Seen, *, found: bool) -> Evidence:
    lookup = evidence.lookup and seen.offered
    return replace(evidence, looks=evidence.looks + 1, found=found, lookup=lookup)


def _no_use(evidence: Evidence, seen: Seen) -> bool:
    """Whether looking on, or sending, leads nowhere now."""
    if seen.failure is None:
        return False
    return seen.failure in _NO_WAY_THROUGH or (evidence.sends == 0 and not evidence.guarded)


def _pause_before_look(evidence: Evidence) -> Pause:
    """When the request was another process's, the last look comes no sooner than its job must be listed.

    Whoever crashed may have been restarted while the facility was still at it.
    """
    if evidence.sends or evidence.looks < LOOKS_BEFORE_VERDICT - 1:
        return Pause(look_pause(evidence.looks))
    return Pause(look_pause(evidence.looks), GRACE if evidence.guarded else LISTED_WITHIN)


def outcome_of_ask(error: IriError) -> Outcome:
    """What became of a request that raised."""
    if error.outcome:
        return Outcome(error.outcome)
    # Whatever is asked of the facility has an operation; an error without one was there before: no token.
    ambiguous = isinstance(error, AmbiguousReply) or error.operation is not None
    return Outcome.LOST if ambiguous else Outcome.NOT_SENT


def outcome_of_wait(error: IriError, answer: Answer[Accepted]) -> Outcome:
    """What became of a submit that the facility took as a task, when waiting for the task raised.

    What a look at the task met (no network, no token) says nothing of the submit itself.
    """
    own = isinstance(answer, Pending) and error.operation == answer.operation
    return Outcome(error.outcome) if own and error.outcome else Outcome.LOST
