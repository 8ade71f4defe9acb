"""Arrays of jobs: which tasks there are: ``0-9``, ``1,3,7``, ``0-20:4``, ``0-9%2``."""

from __future__ import annotations

import re

MOST = 100_000  # tasks: more than any facility lets one user ask for at once
_LARGEST = 4_000_000  # Slurm's own bound
_PART = re.compile(r"([0-9]{1,7})(?:-([0-9]{1,7})(?::([0-9]{1,7}))?)?")
_LIMIT = re.compile(r"[1-9][0-9]{0,6}")
_TASK = re.compile(r"([0-9]+)_(?:([0-9]{1,7})|\[([0-9,:%.\-]*)\])")


def indices_of(text: str) -> tuple[int, ...]:
    """The indices of an array, in order.

    Raises:
        ValueError: if it is none, or too large a one.
    """
    parts, percent, limit = text.partition("%")
    if percent and not _LIMIT.fullmatch(limit):
        raise ValueError(f"{limit!r} is not how many tasks may run at once; write 0-9%2")
    found: set[int] = set()
    for part in parts.split(","):
        indices = _range(part)
        if len(found) + len(indices) > MOST:
            raise ValueError(f"an array has {MOST} tasks at most")
        found |= set(indices)
    return tuple(sorted(found))


def array_text(text: str) -> str:
    """The text itself, if it is an array.

    Raises:
        ValueError: if it is none.
    """
    indices_of(text)
    return text


def _range(part: str) -> range:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{part!r} is not an index or a range of them; write 0-9, 1,3,7, 0-20:4 or 0-9%2")
    first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
    if last < first or not step or last > _LARGEST:
        raise ValueError(f"{part!r} is not a range of indices from 0 to {_LARGEST}")
    return range(first, last + 1, step)


def without_limit(text: str) -> str:
    """Only the indices, whatever number of tasks may run at once."""
    return text.partition("%")[0]


def task_id(array_id: str, index: int) -> str:
    """What a task is called, in Slurm's way."""
    return f"{array_id}_{index}"


def parted(job_id: str) -> tuple[str, int | None, str | None]:
    """The array's id, a task's index or else the text that names several; of ``42`` only the id."""
    match = _TASK.fullmatch(job_id)
    if match is None:
        return job_id, None, None
    return match[1], int(match[2]) if match[2] is not None else None, match[3]
