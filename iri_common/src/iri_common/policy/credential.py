"""What a credential is worth, concluded from what its source, its token and the facility tell; pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from iri_common.model.credential import Credential, CredentialFacts, CredentialState, Renewal, Term

SKEW = timedelta(minutes=5)  # by so much the clocks of two machines may differ

_MORE = {
    CredentialState.OK: "the facility takes it",
    CredentialState.RENEWABLE: "the facility takes it, and it is renewed by itself",
}


def judge(facts: CredentialFacts, now: datetime) -> Credential:
    """The state of a credential.

    What the facility says of a token counts more than a time in it, since either clock may be wrong. A token
    that is renewed by itself ends all the time; what it is had with may end for good.
    """
    by_itself = facts.source.renewal is Renewal.ITSELF
    term = facts.lasting if by_itself else _both(facts.token, facts.lasting)
    if facts.accepted and not (by_itself and _ended(term, now - SKEW)):
        state = CredentialState.RENEWABLE if by_itself else CredentialState.OK
        return _told(facts, state, _MORE[state], since=term.begins, until=term.ends)
    slack = SKEW if facts.accepted is False else timedelta()
    for nearness in (timedelta(), slack):  # what is certain comes before what a clock may explain
        if _ended(term, now + nearness):
            words = f"it ended on {moment(term.ends)}"
            return _told(facts, CredentialState.EXPIRED, _with(words, facts.words), since=term.ends)
        if term.begins is not None and term.begins > now - nearness:
            words = f"it counts from {moment(term.begins)} on"
            return _told(facts, CredentialState.NOT_YET_VALID, _with(words, facts.words), until=term.begins)
    state = CredentialState.NEEDS_PERSON if facts.accepted is False else CredentialState.UNKNOWN
    return _told(facts, state, facts.words or "nobody has judged it", until=None)


def moment(when: datetime | None) -> str:
    """A time as people are told it."""
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else "an unknown day"


def _told(
    facts: CredentialFacts,
    state: CredentialState,
    why: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Credential:
    mend = facts.source.mend
    if state.works:
        mend = ""
    elif state is CredentialState.NOT_YET_VALID:
        mend = "wait until then: it works by itself; if it should by now, set the clock of this machine (NTP)"
    elif state is CredentialState.NEEDS_PERSON:
        mend = facts.mend or mend
    elif state is CredentialState.UNKNOWN:
        mend = "" if facts.silent else "ask again later"
    return Credential(state, facts.source.identity, since, until, why, mend)


def _ended(term: Term, now: datetime) -> bool:
    return term.ends is not None and term.ends <= now


def _with(words: str, refusal: str) -> str:
    return f"{words}; {refusal}" if refusal else words


def _both(one: Term, other: Term) -> Term:
    """While both of them count."""
    begins, ends = _known(one.begins, other.begins), _known(one.ends, other.ends)
    return Term(max(begins, default=None), min(ends, default=None))


def _known(*moments: datetime | None) -> Iterable[datetime]:
    return [each for each in moments if each is not None]
