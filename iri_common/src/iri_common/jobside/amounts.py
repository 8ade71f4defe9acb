"""Times and sizes as people and batch scripts write them, in the seconds and bytes of the API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def seconds_of(text: str, *, plain: int = 1) -> int:
    """Seconds of ``90``, ``MM:SS``, ``H:MM:SS``, ``D-H``, ``D-H:MM`` or ``D-H:MM:SS``.

    Args:
        text: What was written.
        plain: Seconds that a number without colons counts: 1, or 60 for sbatch's minutes.

    Raises:
        ValueError: for anything else, and for no time at all.
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a time; write H:MM:SS")
    days, *rest = found.groups()
    numbers = [int(each) for each in rest if each is not None]
    if days is not None:  # counted from the hours on
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
        total = ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
    elif len(numbers) == 1:
        total = numbers[0] * plain
    else:  # counted from the seconds on
        hours, minutes, seconds = (0, 0, *numbers)[-3:]
        total = (hours * 60 + minutes) * 60 + seconds
    if not total:
        raise ValueError(f"{text!r} is no time at all; the API needs at least a second")
    return total


def bytes_of(text: str, *, plain: int = 1) -> int:
    """Bytes of ``4096``, ``512M``, ``4G``, ``4GB`` or ``4GiB``, in powers of 1024 as schedulers count.

    Args:
        text: What was written.
        plain: Bytes that a number without a unit counts.

    Raises:
        ValueError: for anything else, and for nothing at all.
    """
    found = re.fullmatch(r"(\d+)\s*(?:([kmgt])i?b?|(b))?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"{text!r} is not a size; write 512M or 4G")
    number, unit, just_bytes = found.groups()
    total = int(number) * (_UNITS[unit.lower()] if unit else 1 if just_bytes else plain)
    if not total:
        raise ValueError(f"{text!r} is no memory at all")
    return total


def count_of(text: str) -> int:
    """A whole number from 1.

    Raises:
        ValueError: for anything else.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number from 1")
    return int(text)


def memory_per_node(resources: Mapping[str, Any]) -> int | None:
    """MiB of each node, rounded up: the API counts the memory of a whole job, schedulers that of a node."""
    memory: int | None = resources.get("memory")
    return None if memory is None else -(-memory // ((resources.get("node_count") or 1) * 2**20))
