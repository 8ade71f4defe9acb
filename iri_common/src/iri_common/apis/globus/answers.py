"""Answers of the SDK as what they have to be; used in the thread, where it means that one cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast


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
