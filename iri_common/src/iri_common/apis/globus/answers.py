"""Answers of the SDK as what they have to be; used in the thread, where it means that one cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar, cast

from iri_common.model.logfields import about

log = logging.getLogger(__name__)

S = TypeVar("S", bound=StrEnum)

_strange: set[object] = set()  # words that were logged


def an_id(value: object) -> str:
    """A text that is not empty.

    Raises:
        TypeError: It is none; the client asks again.
    """
    if not isinstance(value, str) or not value:
        raise TypeError("an id is a text")
    return value


def an_object(value: object) -> Mapping[str, Any]:
    """An object.

    Raises:
        TypeError: It is none; the client asks again.
    """
    if not isinstance(value, dict):
        raise TypeError("this is no object")
    return cast("Mapping[str, Any]", value)


def objects(value: object) -> Sequence[Mapping[str, Any]]:
    """A list of objects.

    Raises:
        TypeError: It is none; the client asks again.
    """
    if not isinstance(value, list):
        raise TypeError("these are no rows")
    return [an_object(each) for each in cast("list[object]", value)]


def state_of(states: type[S], word: str, what: str) -> S:
    """The state that a word stands for; one that we do not know ends no wait, and is logged once.

    Args:
        states: All of them, ``UNKNOWN`` among them.
        word: Of the service.
        what: Which has it, for the log.
    """
    try:
        return states(word)
    except ValueError:
        if (states, word) not in _strange:
            _strange.add((states, word))
            words = "%s of Globus has a status that we do not know: %r; waiting on"
            log.warning(words, what, word, extra=about(facility="Globus"))
        return states("UNKNOWN")
