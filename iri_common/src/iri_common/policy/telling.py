"""What others wrote, made fit to be told: a line, not too long, without control characters or secrets."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

MOST = 64 * 1024  # characters of a text that are looked at
LONGEST = 600  # characters of one that is told
CUT = "…"
SHORTEST_SECRET = 6  # characters: a "1" or a "true" in the environment is none

Hide = Callable[[str], str]


def bounded(text: str) -> str:
    """Its beginning."""
    return text[:MOST]


def flat(text: str) -> str:
    """In one line, and such that no terminal takes it for an order."""
    line = " ".join(text.split())
    return (
        line
        if line.isprintable()
        else "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)
    )


def cut(text: str) -> str:
    """Short enough for a message."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + CUT


def told(text: str, hide: Hide = bounded) -> str:
    """All three, and what is to be hidden goes first: no half of it is told."""
    return cut(flat(hide(text)))


class Hiding:
    """Puts marks in the place of secrets, however those whom we sent them to write them back.

    Args:
        secrets: Each with its mark.
        shortest: Characters of one: what is shorter may be any word, and is left.
    """

    def __init__(self, secrets: Mapping[str, str], shortest: int = SHORTEST_SECRET) -> None:
        self._shortest = shortest
        self._secrets = {secret: mark for secret, mark in secrets.items() if len(secret.strip()) >= shortest}

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Hiding:
        """All under one mark."""
        return cls(dict.fromkeys(secrets, "[secret]"))

    def __call__(self, text: str) -> str:
        """The beginning of a text without them."""
        begun = text[:MOST]
        for spelled, mark in self._marks:
            begun = begun.replace(spelled, mark)
        if len(text) > MOST and self._marks:
            return begun[: -len(self._marks[0][0])]  # where it was cut, half of one may stand
        return begun

    def in_told(self, text: str) -> str:
        """A text that was made fit to be told: in one line, and half of one may stand where it was cut."""
        marks = [(fit, mark) for spelled, mark in self._marks for fit in (spelled, flat(spelled))]
        marks = [each for each in marks if len(each[0]) >= self._shortest]
        for spelled, mark in marks:
            text = text.replace(spelled, mark)
        left, ellipsis, rest = text.rpartition(CUT)
        ends = [(self._half(left, spelled), mark) for spelled, mark in marks if ellipsis]
        at, mark = min(ends, default=(len(left), ""))
        return left[:at] + (mark if at < len(left) else "") + ellipsis + rest

    def _half(self, left: str, spelled: str) -> int:
        """Where one begins that goes on after the end; that end itself if none does."""
        at = left.find(begin := spelled[: self._shortest])
        while at >= 0 and not spelled.startswith(left[at:]):
            at = left.find(begin, at + 1)
        return at if at >= 0 else len(left)

    @functools.cached_property
    def _marks(self) -> list[tuple[str, str]]:
        """The longest first: one secret may be a part of another."""
        marks = {spelled: mark for secret, mark in self._secrets.items() for spelled in spellings(secret)}
        return sorted(marks.items(), key=lambda each: len(each[0]), reverse=True)


def spellings(secret: str) -> Iterator[str]:
    """How a secret may stand in what comes back: as it was sent, and as that may have been packed again.

    A job's environment goes out as a field, or in the lines of a script, which may be a quoted word of
    another one; and that as a JSON text, a form, or base64.
    """
    quoted = _closed([secret], _quoted, depth=2)
    for sent in quoted:
        yield from _closed([sent], *_WIRES, depth=3)
        yield from _in_base64(sent)


def _closed(texts: Iterable[str], *ways: Callable[[str], str], depth: int) -> list[str]:
    """They, and what these ways make of them, one after the other."""
    found = dict.fromkeys(texts)
    for _ in range(depth):
        found |= dict.fromkeys(way(each) for each in tuple(found) for way in ways)
    return list(found)


def _quoted(text: str) -> str:
    """Within single quotes, as :func:`shlex.quote` writes it."""
    return text.replace("'", "'\"'\"'")


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _ascii_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _slashed_json(text: str) -> str:  # json-c's
    return _json(text).replace("/", "\\/")


def _python(text: str) -> str:
    """Within the quotes of a list that was made a text."""
    return repr(f'{text}"')[1:-2] if "'" in text else repr(text)[1:-1]


def _python_escaped(text: str) -> str:
    """Within a list where the other quotes had to be escaped."""
    return _python(text).replace("'", "\\'")


def _form(text: str) -> str:
    return quote_plus(text, errors="replace")


def _percent(text: str) -> str:
    return quote(text, errors="replace")


_WIRES = (_json, _ascii_json, _slashed_json, _python, _python_escaped, _form, _percent)


def _in_base64(text: str) -> Iterator[str]:
    """The letters that are the same whatever stands before and after it, at each of the three places."""
    content = text.encode(errors="replace")
    for before in range(3):
        letters = base64.b64encode(bytes(before) + content).decode()
        end = (before + len(content)) * 8 // 6
        inner = letters[-(-before * 8 // 6) : end]
        yield from (inner, inner.replace("/", "\\/"), quote(inner, safe=""))
