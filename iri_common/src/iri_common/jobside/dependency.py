"""What other jobs a job waits for: the words of a spec as Slurm and PBS write them, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# By the word of a spec, the one that Slurm and PBS share for it.
_AFTER: Mapping[str, str] = {"ok": "afterok", "any": "afterany", "failure": "afternotok"}
_TERM = re.compile(r"(afterok|afterany|afternotok)((?::[0-9]+(?:_[0-9]+|\[\d*\])?(?:\.[A-Za-z0-9.-]+)?)+)")


def dependency_of(after: Mapping[str, Sequence[str]]) -> str:
    """The spec's word ``after`` as the schedulers take it."""
    return ",".join(f"{word}:{':'.join(after[how])}" for how, word in _AFTER.items() if after.get(how))


def after_of(dependency: str) -> dict[str, list[str]]:
    """The other way round.

    Raises:
        ValueError: for what a spec has no word for, such as any one of several jobs.
    """
    found: dict[str, list[str]] = {}
    for term in dependency.split(","):
        match = _TERM.fullmatch(term)
        if match is None:
            raise ValueError(f"{term!r} has no word here; afterok, afterany and afternotok with ids have")
        how = next(each for each, word in _AFTER.items() if word == match[1])
        found.setdefault(how, []).extend(match[2].split(":")[1:])
    return found
