"""The next step of one submission, as a pure function of what is known so far."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from iri_common.policy.classify import Outcome


class Step(StrEnum):
    """What to do next."""

    SEND = "send"
    DROP_KEY = "drop the idempotency key"  # this server keeps none; then decide anew
    LOOK = "look"  # for a job of this key at the facility
    ACCEPT = "accept"
    REFUSE = "refuse"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one generation's submit.

    Attributes:
        maybe_sent: A request with this key may have reached the facility: one from before this process
            began, or a send of this process that ended ambiguously. Once true it stays true, whatever the
            later sends end with.
        last: Outcome of the last send, None before the first; of an earlier process's, where its record
            tells.
        sends: How many requests this process sent.
        looks: How many times it looked since the last send without finding anything.
        found: A job of this key is there.
        lookup: The door can look jobs up by their key.
        keyed: Requests carry an idempotency key.
        honoured: The door has proved that it keeps idempotency keys.
        guarded: The job checks for itself whether it is a double.
    """

    maybe_sent: bool = False
    last: Outcome | None = None
    sends: int = 0
    looks: int = 0
    found: bool = False
    lookup: bool = True
    keyed: bool = False
    honoured: bool = False
    guarded: bool = False

    def __post_init__(self) -> None:
        if self.last and (self.last.may_have_worked or (self.keyed and self.last in _SOMETHING_CAME)):
            object.__setattr__(self, "maybe_sent", True)

    @property
    def recognised(self) -> bool:
        """Whether the facility would know the request again if it came a second time."""
        return self.keyed and self.honoured


MOST_SENDS = 4
MOST_SENDS_IN_FLIGHT = 8  # the IRI reference server locks a key for a minute, also when it died meanwhile
LOOKS_BEFORE_VERDICT = 3  # a job may be listed late: look again before believing an empty list
_PAUSES = (0.0, 1.0, 4.0, 8.0, 16.0)

# Answers to a request with a key which say that another one with this key came before.
_SOMETHING_CAME = frozenset({Outcome.CONFLICT, Outcome.KEY_USED})


def next_step(evidence: Evidence) -> Step:
    """Decide the next step of a submission.

    Sent again is only what certainly had no effect, what a job-side guard makes harmless, or what the
    facility provably recognises by its key *and* whose reply was lost on the way. A service that broke
    while it worked on the request is not asked twice without a guard: its idempotency record is removed
    when it fails, also after the scheduler took the job (IRI reference server, "adapter raised").
    """
    last = evidence.last
    if evidence.found or last is Outcome.OK:
        return Step.ACCEPT
    if last is Outcome.NOT_OFFERED and evidence.keyed:
        return Step.DROP_KEY  # 501 is how a server without a store answers the header
    if last is Outcome.CONFLICT and evidence.keyed:
        return _in_flight(evidence)
    if last is None or last.may_have_worked or (last is Outcome.KEY_USED and evidence.keyed):
        return _in_doubt(evidence) if evidence.maybe_sent else Step.SEND
    return _after_refused_send(evidence)


def _looked_enough(evidence: Evidence) -> bool:
    return not evidence.lookup or evidence.looks >= LOOKS_BEFORE_VERDICT


def _in_flight(evidence: Evidence) -> Step:
    # Another request under our own key is being worked on; it shows up by name or as a replayed answer.
    if evidence.lookup and evidence.looks == 0:
        return Step.LOOK
    return Step.SEND if evidence.sends < MOST_SENDS_IN_FLIGHT else Step.UNCERTAIN


def _in_doubt(evidence: Evidence) -> Step:
    if not _looked_enough(evidence):
        return Step.LOOK
    if evidence.last is Outcome.KEY_USED or evidence.sends >= MOST_SENDS:
        return Step.UNCERTAIN  # whatever carries a used key is refused again
    lost = evidence.last is Outcome.LOST and evidence.recognised
    return Step.SEND if evidence.guarded or lost else Step.UNCERTAIN


def _after_refused_send(evidence: Evidence) -> Step:
    # This send did nothing. That says nothing of an earlier one whose fate is open: the network may have
    # gone away, the token run out or the queue been closed after the job was taken.
    if not evidence.maybe_sent:
        return Step.REFUSE
    return Step.UNCERTAIN if _looked_enough(evidence) else Step.LOOK


def look_pause(looks: int) -> float:
    """Seconds before the next look: at once, then a little later each time."""
    return _PAUSES[min(looks, len(_PAUSES) - 1)]


def send_pause(sends: int) -> float:
    """Seconds before the next send of the same request."""
    return _PAUSES[min(sends, len(_PAUSES) - 1)]
