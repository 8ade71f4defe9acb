"""Where a job's output goes: what Slurm puts in the place of letters in the path; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LETTER = re.compile(r"%([0-9]{0,2})([A-Za-z%]|$)")


def filled(pattern: str, letters: Mapping[str, str]) -> str | None:
    """The path, such as ``/d/42_7.out`` for ``/d/%A_%a.out``; None if it has a letter that is not known here.

    Args:
        pattern: As it was asked for; a number before a letter (``%4a``) pads with zeros.
        letters: What stands for them.
    """
    if "\\" in pattern:  # with one of these in it Slurm takes all letters as they are
        return pattern.replace("\\", "")
    known = {"%": "%", **letters}
    if any(not known.get(found[2]) for found in _LETTER.finditer(pattern)):
        return None
    return _LETTER.sub(lambda found: known[found[2]].zfill(int(found[1] or 0)), pattern)
