"""What a profile may be used for: limits that are kept before anything is sent."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self, TypeVar, cast

from iri_common.model.errors import UsageError

T = TypeVar("T")
W = TypeVar("W", bound=str)

_SETTING = re.compile(r"[^\s=,]+=\d{1,15}")


class Verb(StrEnum):
    """What is done, in words for whoever writes a grant."""

    LOOK = "look"  # at states, lists, sizes; goes with every other verb
    SUBMIT = "submit"
    CANCEL = "cancel"
    READ = "read"
    WRITE = "write"  # which replaces, and renames
    DELETE = "delete"
    LEASE = "lease"  # of paths through a network, of nodes, and of message brokers


class Audit(StrEnum):
    """What is written down of what is asked for."""

    OFF = "off"
    ACTS = "acts"  # what changes something there, and what a grant refused
    ALL = "all"  # looks and reads as well


@dataclass(frozen=True, slots=True)
class Grant:
    """Limits; None is no limit, and an empty one allows nothing of its kind.

    Attributes:
        verbs: What may be done; "look" is always among them.
        resources: Machines and file systems, by name or id.
        accounts: That may be charged.
        queues: That jobs may wait in.
        nodes: Of one job, all tasks of an array that may run at once together.
        node_hours: Of one job: nodes times the time that it asks for.
        node_hours_a_day: Of all jobs together that were asked for within 24 hours.
        paths: Directories that files may be in, with all that is below them.
        ends: Ports of a network that its paths may end at, by their URIs.
        mbps: Megabits a second of one path.
        path_hours: From the beginning of one path to its end.
        stream_settings: The most of each setting that a cluster of message brokers may have, as ``cpus=2``.
    """

    verbs: frozenset[Verb] | None = None
    resources: frozenset[str] | None = None
    accounts: frozenset[str] | None = None
    queues: frozenset[str] | None = None
    nodes: int | None = None
    node_hours: float | None = None
    node_hours_a_day: float | None = None
    paths: frozenset[str] | None = None
    ends: frozenset[str] | None = None
    mbps: int | None = None
    path_hours: float | None = None
    stream_settings: frozenset[str] | None = None

    def __post_init__(self) -> None:
        for name, read in _READERS.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, read(name, value))

    @classmethod
    def of(cls, words: Grant | Mapping[str, Any] | str | None) -> Self | None:
        """A grant from plain words, as a file gives them, or a form in a text of JSON; None for none.

        Raises:
            UsageError: naming the word that is not known, or makes no sense.
        """
        if words is None or isinstance(words, cls):
            return words
        if isinstance(words, str):
            words = _table(words)
        if not isinstance(words, Mapping):
            raise UsageError(f"a grant is a table of limits ({_KNOWN}), not {words!r}")
        if unknown := sorted(set(words) - set(_READERS)):
            raise UsageError(f"unknown limits of a grant: {', '.join(unknown)} (known: {_KNOWN})")
        return cls(**words)

    @staticmethod
    def limits() -> tuple[str, ...]:
        """The words there are."""
        return tuple(_READERS)

    @property
    def limited(self) -> bool:
        """Whether it limits anything."""
        return self != Grant()

    def narrowed(self, other: Grant | None) -> Grant:
        """What both allow: it never allows what this one refuses, nor what the other does."""
        if other is None:
            return self
        return Grant(
            _both(self.verbs, other.verbs, _common),
            _both(self.resources, other.resources, _same_names),
            _both(self.accounts, other.accounts, _common),
            _both(self.queues, other.queues, _common),
            _both(self.nodes, other.nodes, min),
            _both(self.node_hours, other.node_hours, min),
            _both(self.node_hours_a_day, other.node_hours_a_day, min),
            _both(self.paths, other.paths, _common_paths),
            _both(self.ends, other.ends, _common),
            _both(self.mbps, other.mbps, min),
            _both(self.path_hours, other.path_hours, min),
            _both(self.stream_settings, other.stream_settings, _common_settings),
        )

    def most_of_stream(self) -> Mapping[str, int] | None:
        """The most of each setting that a cluster of message brokers may have; None for no limit."""
        return None if self.stream_settings is None else _settings(self.stream_settings)

    def words(self) -> dict[str, Any]:
        """The limits there are, as they are written down."""
        set_ = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: sorted(map(str, value)) if isinstance(value, frozenset) else value  # pyright: ignore[reportUnknownArgumentType]
            for name, value in set_.items()
            if value is not None
        }


def _table(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def within(path: str, prefix: str) -> bool:
    """Whether a plain path is a directory or lies below it; ``/a/bc`` does not lie in ``/a/b``."""
    return path == prefix or path.startswith(f"{prefix.rstrip('/')}/")


def _both(one: T | None, other: T | None, meet: Callable[[T, T], T]) -> T | None:
    if one is None or other is None:
        return other if one is None else one
    return meet(one, other)


def _common(one: frozenset[W], other: frozenset[W]) -> frozenset[W]:
    return one & other


def _same_names(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """Resources answer to their names in any case."""
    folded = {each.casefold() for each in other}
    return frozenset(each for each in one if each.casefold() in folded)


def _common_paths(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    inner = {each for each in one if any(within(each, outer) for outer in other)}
    return frozenset(inner | {each for each in other if any(within(each, outer) for outer in one)})


def _common_settings(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """The lesser of what both limit, and what only one of them does; without any, no cluster is allowed."""
    if not one or not other:
        return frozenset()
    mine, theirs = _settings(one), _settings(other)
    least = {
        **mine,
        **theirs,
        **{each: min(mine[each], theirs[each]) for each in mine.keys() & theirs.keys()},
    }
    return frozenset(f"{each}={most}" for each, most in least.items())


def _settings(written: Iterable[str]) -> Mapping[str, int]:
    return {name: int(most) for name, _, most in (each.partition("=") for each in written)}


def _most_of_each(name: str, value: object) -> frozenset[str]:
    """Settings with the most of each: a table, a list of ``cpus=2``, or one text of such words."""
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        value = [f"{each}={most}" for each, most in table.items()]
    found = {each.replace(" ", "") for each in _texts(name, value)}
    if wrong := [each for each in sorted(found) if not _SETTING.fullmatch(each)]:
        raise UsageError(f"{name} of a grant are whole numbers such as cpus=2, not {wrong[0]!r}")
    if len({each.partition("=")[0] for each in found}) < len(found):
        raise UsageError(f"{name} of a grant name each setting once")
    return frozenset(found)


def _paths(name: str, value: object) -> frozenset[str]:
    found = _texts(name, value)
    if wrong := [each for each in found if not each.startswith("/") or ".." in each.split("/")]:
        raise UsageError(f"{name} of a grant are absolute, without '..', not {wrong[0]!r}")
    return frozenset(posixpath.normpath(f"/{each.lstrip('/')}") for each in found)


def _texts(name: str, value: object) -> frozenset[str]:
    """A list of words, or one text with commas between them."""
    if isinstance(value, str):
        return frozenset(each.strip() for each in value.split(",") if each.strip())
    if not isinstance(value, Sequence | Set):
        raise UsageError(f"{name} of a grant is a list of texts, not {value!r}")
    found = frozenset(cast("Iterable[object]", value))
    if wrong := [each for each in found if not isinstance(each, str) or not each]:
        raise UsageError(f"{name} of a grant is a list of texts, not of {wrong[0]!r}")
    return cast("frozenset[str]", found)


def _verbs(name: str, value: object) -> frozenset[Verb]:
    try:
        return frozenset(map(Verb, _texts(name, value))) | {Verb.LOOK}
    except ValueError:
        raise UsageError(f"{name} of a grant are of {', '.join(Verb)}, not {value!r}") from None


def _hours(name: str, value: Any) -> float:
    try:
        hours = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        hours = math.nan
    if not 0 <= hours < math.inf:
        raise UsageError(f"{name} of a grant is a number, 0 or more, not {value!r}")
    return hours


def _whole(name: str, value: Any) -> int:
    if (count := _hours(name, value)) != int(count):
        raise UsageError(f"{name} of a grant is a whole number, not {value!r}")
    return int(count)


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "verbs": _verbs,
    "resources": _texts,
    "accounts": _texts,
    "queues": _texts,
    "nodes": _whole,
    "node_hours": _hours,
    "node_hours_a_day": _hours,
    "paths": _paths,
    "ends": _texts,
    "mbps": _whole,
    "path_hours": _hours,
    "stream_settings": _most_of_each,
}
_KNOWN = ", ".join(_READERS)
