"""The result of a finished operation, out of the wrappers that facilities put around it.

The API promises ``{"output": …}``. Met as well: the output as a text that holds JSON or a Python literal,
the wrapper twice, and no wrapper at all. How far a text may be opened depends on the operation: the text
that *is* the answer of ``download`` must not be taken for JSON because it looks like a number.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any, cast

_OPENERS = frozenset("{[\"'")
_DEPTH = 8  # wrappers and texts; four of each kind have never been met


def structure(result: object) -> object:
    """The object or list inside; what has neither comes back as far as it could be opened."""
    value = result
    for _ in range(_DEPTH):
        if isinstance(value, str):
            value, was = parsed(value), value
            if value is None:
                return was
        elif (inner := _wrapped(value)) is not _NOTHING:
            value = inner
        else:
            break
    return value


def text(result: object) -> object:
    """The text inside; only a text that is a wrapper itself is opened."""
    value = result
    for _ in range(_DEPTH):
        if isinstance(value, str):
            inner = _wrapped(parsed(value)) if value.lstrip().startswith("{") else _NOTHING
        else:
            inner = _wrapped(value)
        if inner is _NOTHING:
            break
        value = inner
    return value


def parsed(literal: str) -> object:
    """What a JSON or Python literal stands for; None if the text is neither."""
    if literal.lstrip()[:1] not in _OPENERS:
        return None  # no wrapper and no structure begins like this
    readers: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval)
    for reader in readers:
        try:
            return reader(literal)
        # The last three are Python's answers to deep nesting and NUL bytes.
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return None


class _Nothing:
    """Told apart from an output that is null."""


_NOTHING = _Nothing()


def _wrapped(value: object) -> object:
    if isinstance(value, dict) and "output" in value:
        return cast("dict[str, object]", value)["output"]
    return _NOTHING
