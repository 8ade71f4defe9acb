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


class _Asked(NamedTuple):
    """An ask for node hours: by whose grant, under which tag, and what came of it."""

    at: float
    who: str
    tag: str
    hours: float
    fate: str = ""


class Spending:
    """The node hours that were asked for, entry by entry of the audit log; twice the same is once."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    def note(self, entry: Mapping[str, Any]) -> None:
        """Count an entry, as they were written; most have no hours."""
        if "hours" not in entry or not entry.get("grant") or not entry.get("tag"):
            return
        act, fate = str(entry["act"]), entry.get("fate")
        if fate == Fate.ASKED:
            whose, hours = (str(entry["grant"]), str(entry["tag"])), float(entry["hours"])
            self._asked.setdefault(act, _Asked(float(entry["at"]), *whose, hours))
        elif act in self._asked:
            self._asked[act] = self._asked[act]._replace(fate=str(fate))

    def spent(self, who: str, since: float) -> Mapping[str, Spent]:
        """The node hours of a grant, by the tag of the key; what was asked for before is forgotten."""
        self._asked = {act: each for act, each in self._asked.items() if each.at > since}
        spent = dict[str, Spent]()
        for each in self._asked.values():
            if each.who != who:
                continue
            done, open_ = spent.get(each.tag, Spent())
            match each.fate:
                case Fate.DONE:
                    spent[each.tag] = Spent(done + each.hours, open_)
                case Fate.REFUSED | Fate.AGAIN:
                    pass
                case _:
                    spent[each.tag] = Spent(done, max(open_, each.hours))
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
