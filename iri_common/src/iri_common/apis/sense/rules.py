"""What is odd about this API, as data."""

from __future__ import annotations

import re
from typing import Any, cast

from iri_common.policy.classify import Outcome, Rules, Word

_ERROR = re.compile("error|exception|was not found", re.IGNORECASE)


def says(problem: Any) -> str:
    """The words of an error in JSON."""
    fields = cast("dict[str, Any]", problem) if isinstance(problem, dict) else {}
    told = fields.get("exception")
    return told if isinstance(told, str) else ""


def failure(operation: str, value: Any) -> str | None:
    """The error that comes as a success: a text that says so, or an exception in JSON."""
    if isinstance(value, str):
        return value if _ERROR.search(value) else None
    return says(value) or None


def _word(outcome: Outcome, says: str, *operations: str) -> Word:
    return Word(outcome, re.compile(says, re.IGNORECASE), operations=frozenset(operations))


RULES = Rules(
    texts=True,
    bare=True,
    failure=failure,
    says=says,
    words=(
        _word(Outcome.NOT_FOUND, "was not found|does not exist"),
        # The number of these is 500 more often than not; the server has read the request and says no.
        _word(
            Outcome.INVALID, "feasible path|malformed|invalid|unsupported|not editable", "compute", "modify"
        ),
        _word(Outcome.CONFLICT, r"\blocked\b|\bstate\b|in progress|not ready|not allowed"),
    ),
    remedy="Check the user and the password of the profile",
)
