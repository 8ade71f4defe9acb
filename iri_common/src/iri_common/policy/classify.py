"""What a reply, or the lack of one, means: a closed list of outcomes and one pure function."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from iri_common.policy.telling import MOST, Hide, bounded, flat, told


class NotSent(Exception):
    """The wire could not be opened: the facility has seen nothing of the request."""


class ReplyLost(Exception):
    """The request went out, wholly or in part, and no complete reply came back."""


class ReplyTooLong(ReplyLost):
    """A success came back with more bytes than are read of such a reply."""


class Outcome(StrEnum):
    """What became of a request."""

    OK = "ok"
    NOT_SENT = "not sent"
    LOST = "reply lost"
    BAD_TOKEN = "bad token"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not found"
    INVALID = "invalid"
    CONFLICT = "conflict"
    KEY_USED = "key used"  # this key came before, with another body: proof that something arrived under it
    TOO_LARGE = "too large"
    RATE_LIMITED = "rate limited"
    BROKEN = "broken"  # the service failed while it worked on the request
    AWAY = "away"  # the service, or a gateway before it, is not there
    NOT_OFFERED = "not offered"
    UNREADABLE = "unreadable"  # a success by its number, but the body is not what the API promises
    TOO_LONG = "too long"  # a success by its number, and more bytes than are read of one

    @property
    def may_have_worked(self) -> bool:
        """Whether a request with an effect may have had it although no success was reported."""
        return self in _MAY_HAVE_WORKED


# A gateway that answers 503 may have passed the request on before it lost its patience, so AWAY is here.
_MAY_HAVE_WORKED = frozenset(
    {Outcome.LOST, Outcome.BROKEN, Outcome.AWAY, Outcome.UNREADABLE, Outcome.TOO_LONG}
)

_BY_STATUS: Mapping[int, Outcome] = {
    301: Outcome.INVALID,  # it lives elsewhere: nothing was done here, and no token follows it there
    307: Outcome.INVALID,
    308: Outcome.INVALID,
    401: Outcome.BAD_TOKEN,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    408: Outcome.BROKEN,  # not LOST: the service answered, and forgets the idempotency key when it gives up
    409: Outcome.CONFLICT,
    413: Outcome.TOO_LARGE,
    429: Outcome.RATE_LIMITED,
    499: Outcome.AWAY,  # a gateway's, gRPC's CANCELLED among them: it gave up on what it had passed on
    500: Outcome.BROKEN,
    501: Outcome.NOT_OFFERED,
    502: Outcome.AWAY,
    503: Outcome.AWAY,
    504: Outcome.AWAY,
}


@dataclass(frozen=True, slots=True)
class Word:
    """What an API says in words where its status does not tell.

    Attributes:
        outcome: What it means.
        says: Found in the words of the reply, up to 64 KiB of them.
        operations: That may say so; empty for all.
        statuses: Of the replies that may; empty for every failure, one told in a success among them.
    """

    outcome: Outcome
    says: re.Pattern[str]
    operations: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()

    def fits(self, operation: str, status: int, words: str) -> bool:
        """Whether this reply says it."""
        return (
            (not self.operations or operation in self.operations)
            and (not self.statuses or status in self.statuses)
            and self.says.search(words) is not None
        )


def _no_failure(operation: str, value: Any) -> str | None:
    return None


def _said(problem: Any) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Rules:
    """One API's oddities as data.

    Attributes:
        by_status: Statuses that mean something else here than in general.
        errors: What the content type of the API's own errors contains. A 404 of any other type comes from
            something before the service, and says nothing of the object that was asked for.
        empty_when_missing: Operations that answer 404 for an empty list.
        words: The first that fits an error in JSON counts more than its status.
        texts: Errors in plain text are the API's own too, and words are looked for in them.
        bare: A success may be plain text: JSON that nobody has labelled, or else the text is its value.
        failure: Of an operation and the decoded body of its 2xx: the error's words if that success is none.
            Where no word fits, nobody knows what it did: BROKEN.
        says: The words of an error in JSON, where they are not in the usual places; "" to look there.
        key_used: By operation, the status that says of a request under an idempotency key that the key
            came before with another body.
        remedy: What a person does about a token that is refused.
    """

    by_status: Mapping[int, Outcome] = field(default_factory=dict[int, Outcome])
    errors: str = "json"
    empty_when_missing: frozenset[str] = frozenset()
    words: Sequence[Word] = ()
    texts: bool = False
    bare: bool = False
    failure: Callable[[str, Any], str | None] = _no_failure
    says: Callable[[Any], str] = _said
    key_used: Mapping[str, int] = field(default_factory=dict[str, int])
    remedy: str = "Get a new token and put it where the profile points"


GENERAL = Rules()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of one reply.

    Attributes:
        outcome: What became of the request.
        value: The decoded body of a success.
        detail: The facility's words, for a person; HTML is left out, and what is long is cut.
        retry_after: Seconds the facility asks us to wait, where it says.
    """

    outcome: Outcome
    value: Any = None
    detail: str = ""
    retry_after: float | None = None


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    operation: str = "",
    keyed: bool = False,
    raw: bool = False,
    rules: Rules = GENERAL,
    hide: Hide = bounded,
) -> Verdict:
    """Decide what a complete reply means.

    Args:
        status: Of the reply.
        headers: Names in lower case.
        body: All of it.
        operation: The API's name of it; rules may treat one apart.
        keyed: The request went out under an idempotency key.
        raw: A success is its body, whatever that is.
        rules: The API's oddities.
        hide: Takes out of the facility's words what must not be told.
    """
    if 200 <= status < 300:
        return _success(status, headers, body, operation, raw, rules, hide)
    words = _words(headers, body, rules.says)
    detail = told(words, hide) or f"HTTP {status}"
    if 300 <= status < 400 and "location" in headers:
        where = told(f"HTTP {status}, redirected to {_bare(headers['location'])}", hide)
        detail = f"{where}; is the base URL right?"
    if status == 404 and not _is_own(headers, rules):
        return Verdict(Outcome.AWAY, detail=f"{detail}; no 404 of this API, so is the base URL right?")
    if status == 404 and operation in rules.empty_when_missing:
        return Verdict(Outcome.OK, value=[])
    outcome = _of_operation(status, headers, words, operation, keyed, rules) or _of_status(status, rules)
    return Verdict(outcome, detail=detail, retry_after=retry_after(headers))


def _is_own(headers: Mapping[str, str], rules: Rules) -> bool:
    return _has_type(headers, rules.errors) or (rules.texts and _has_type(headers, "text/plain"))


def _of_operation(
    status: int, headers: Mapping[str, str], words: str, operation: str, keyed: bool, rules: Rules
) -> Outcome | None:
    if not (_has_type(headers, "json") or (rules.texts and _has_type(headers, "text/plain"))):
        return None  # the words of a gateway, whatever they are
    if keyed and status == rules.key_used.get(operation):
        return Outcome.KEY_USED
    return _by_words(status, words, operation, rules)


def _by_words(status: int, words: str, operation: str, rules: Rules) -> Outcome | None:
    line = flat(bounded(words))
    return next((word.outcome for word in rules.words if word.fits(operation, status, line)), None)


def _of_status(status: int, rules: Rules) -> Outcome:
    outcome = rules.by_status.get(status) or _BY_STATUS.get(status)
    if outcome is not None:
        return outcome
    if 400 <= status < 500:
        return Outcome.INVALID
    # 304 and redirects to a result are replies that no operation here asks for.
    return Outcome.BROKEN if status >= 500 else Outcome.UNREADABLE


def _success(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    operation: str,
    raw: bool,
    rules: Rules,
    hide: Hide,
) -> Verdict:
    if raw:
        return Verdict(Outcome.OK, value=body)
    if not body:
        return Verdict(Outcome.OK)
    bare = rules.bare and _has_type(headers, "text/plain")
    if not (bare or _has_type(headers, "json")):
        return Verdict(Outcome.UNREADABLE, detail=f"the body is not JSON: {told(_text(body), hide)}")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        if not bare:
            return Verdict(Outcome.UNREADABLE, detail=f"the JSON is cut or broken: {told(_text(body), hide)}")
        value = body.decode("utf-8", "replace")
    words = rules.failure(operation, value)
    if words is None:
        return Verdict(Outcome.OK, value=value)
    detail = told(words, hide) or "it says that it failed, and not why"
    return Verdict(_by_words(status, words, operation, rules) or Outcome.BROKEN, detail=detail)


def _has_type(headers: Mapping[str, str], part: str) -> bool:
    return part in headers.get("content-type", "").lower()


def _words(headers: Mapping[str, str], body: bytes, says: Callable[[Any], str]) -> str:
    if not _has_type(headers, "json"):
        return _text(body)
    try:
        problem: Any = json.loads(body)
    except (ValueError, RecursionError):
        return _text(body)
    if words := says(problem):
        return words
    if not isinstance(problem, dict):
        return _text(body)
    fields: dict[str, Any] = problem  # pyright: ignore[reportUnknownVariableType]
    text = str(fields.get("detail") or fields.get("title") or fields.get("error_description") or "")
    reasons: Any = fields.get("invalid_params")
    named = [
        f"{each.get('name')}: {each.get('reason')}"  # pyright: ignore[reportUnknownMemberType]
        for each in (reasons if isinstance(reasons, list) else ())  # pyright: ignore[reportUnknownVariableType]
        if isinstance(each, dict)
    ]
    return "; ".join([part for part in (text, *named) if part]) or _text(body)


def _text(body: bytes) -> str:
    text = body[: 4 * MOST].decode("utf-8", "replace")
    if text.lstrip()[:1] == "<":  # a gateway's HTML page says nothing that a person needs
        return "an HTML page, probably from a gateway"
    return text


def _bare(link: str) -> str:
    """A link without what may be a secret: a signature, a password."""
    return re.sub(r"//[^/?#]*@", "//", re.sub(r"[?#].*", "", link, flags=re.DOTALL))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, given as seconds or as a date (RFC 9110 §10.2.3)."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdecimal():
        return float(text)
    moment = _moment(text)
    if moment is None:
        return None
    now = _moment(headers.get("date", ""))
    return max(0.0, moment - (time.time() if now is None else now))


def _moment(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
