"""What the audit log tells of the node hours that were asked for. No I/O here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from iri_common.policy.asking import Sent
from iri_common.policy.classify import Outcome
from iri_common.policy.telling import Hiding

DAY = 24 * 3600.0  # seconds that a node hour counts in a grant's hours of a day
MASK = "********"
SHORTEST = 4  # letters of something that may be a secret


class Fate(StrEnum):
    """What came of an act."""

    ASKED = "asked"  # it was about to be sent; where nothing follows, its process did not live to tell
    DONE = "done"
    AGAIN = "again"  # it was an ask of before, found there
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    DENIED = "denied"  # by the grant: nothing was sent


class Spent(NamedTuple):
    """Node hours of one ask.

    Attributes:
        done: Of what the facility took, each time that it did.
        open: Of what it may have taken: the same job, however often it was sent.
    """

    done: float = 0.0
    open: float = 0.0

    @property
    def total(self) -> float:
        """What counts."""
        return max(self.done, self.open)


def hours_spent(entries: Iterable[Mapping[str, Any]], who: str, since: float) -> Mapping[str, Spent]:
    """The node hours that were asked for, by the tag of the key.

    Args:
        entries: Of the audit log.
        who: Whose grant.
        since: Seconds since the epoch; what was asked for before is over.
    """
    asked, fates = dict[str, tuple[str, float]](), dict[str, str]()
    for entry in entries:
        if entry.get("grant") != who or "hours" not in entry or not entry.get("tag"):
            continue
        if entry.get("fate") != Fate.ASKED:
            fates[str(entry["act"])] = str(entry.get("fate"))
        elif float(entry["at"]) > since:
            asked[str(entry["act"])] = (str(entry["tag"]), float(entry["hours"]))
    spent = dict[str, Spent]()
    for act, (tag, hours) in asked.items():
        done, open_ = spent.get(tag, Spent())
        match fates.get(act):
            case Fate.DONE:
                spent[tag] = Spent(done + hours, open_)
            case Fate.REFUSED | Fate.AGAIN:
                pass
            case _:
                spent[tag] = Spent(done, max(open_, hours))
    return spent


def fate_of_send(sent: Sent) -> Fate:
    """What came of one send of a job, as far as its hours go."""
    if sent.outcome is Outcome.OK:
        return Fate.AGAIN if sent.replayed else Fate.DONE
    # Of a conflict or a used key it is known that something came under it before.
    came = sent.outcome.may_have_worked or sent.outcome in {Outcome.CONFLICT, Outcome.KEY_USED}
    return Fate.UNCERTAIN if came else Fate.REFUSED


def masked(text: str, spec: Mapping[str, Any]) -> str:
    """A text about a job without what its arguments and its environment say; a facility may repeat them."""
    sent: list[str] = [*spec.get("arguments", ()), *spec.get("environment", {}).values()]
    return Hiding(dict.fromkeys(sent, MASK), shortest=SHORTEST).in_told(text)


def acts(entries: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """One entry for each act, with what came of it in the place of what was begun; as they were begun."""
    begun = dict[str, dict[str, Any]]()
    for entry in entries:
        act = str(entry.get("act"))
        if "verb" in entry:
            begun[act] = dict(entry)
        elif act in begun:  # the line that began another one is older than was asked for, or lost
            took = round(float(entry["at"]) - float(begun[act]["at"]), 3)
            begun[act] |= {**entry, "at": begun[act]["at"], "took": took}
    return list(begun.values())
