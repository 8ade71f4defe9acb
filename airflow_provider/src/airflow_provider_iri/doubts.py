"""What became of a copy or a move whose answer was lost, by what is there: it may wait in a queue yet.

Asking a second time would do it twice: a directory that is copied after it is there lands within itself.
"""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_iri.outages import left_until, outlasted

if TYPE_CHECKING:
    from iri_common import AsyncFacility, FileStat

PAUSE = 5.0  # seconds between two looks while something changes; longer and longer where nothing does
LONGEST = 60.0
QUIET = 3600.0  # seconds without a change after which a person has to say whether it is to be asked for again


@dataclass(frozen=True, slots=True)
class Doubt:
    """An ask of which nobody knows whether it came.

    Attributes:
        operation: cp or mv.
        path: The source.
        target: Where to.
        storage: The file system.
        was: How the target looked before; None for nothing there.
    """

    operation: str
    path: str
    target: str
    storage: str | None = None
    was: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What is there: by the path within it, how large; None for nothing.

    Attributes:
        source: What is to be copied or moved.
        target: What has come of it so far.
        version: How the target looks, as :attr:`Doubt.was`.
    """

    source: Mapping[str, int | None] | None
    target: Mapping[str, int | None] | None
    version: str | None = None


class Fate(StrEnum):
    """What is known of an ask."""

    DONE = "done"
    OPEN = "open"
    LOST = "lost"  # the source is gone without it: no look will ever tell


def fate(operation: str, was: str | None, before: Look | None, now: Look) -> Fate:
    """What two looks tell of an ask.

    Args:
        operation: cp or mv.
        was: How the target looked before the ask.
        before: The look before this one, if there was one.
        now: The latest look.
    """
    if now.source is None:
        # A move takes the source away last; a copy never does.
        return Fate.DONE if operation == "mv" and now.target is not None else Fate.LOST
    if operation == "mv" or now.target != now.source or now.version == was:
        return Fate.OPEN
    return Fate.DONE if before == now else Fate.OPEN


def version_of(there: FileStat | None) -> str | None:
    """How something looks from outside, for comparison."""
    return None if there is None else f"{there.mode:o} {there.size} {there.mtime}"


async def settled(facility: AsyncFacility, doubt: Doubt, deadline: float | None, log: Any) -> None:
    """Look until it is done; nothing is asked for.

    Raises:
        WaitTimeout: if it was not by the deadline, in seconds since the epoch.
        TransientError: if nothing has changed for long, or its source is gone.
    """
    from iri_common import TransientError, WaitTimeout

    before, pause, since = None, PAUSE, time.monotonic()
    while True:
        # A look takes what it takes: the deadline is looked at between two of them.
        now = await outlasted(lambda _: _look(facility, doubt), deadline, f"the {doubt.operation}", log)
        found = fate(doubt.operation, doubt.was, before, now)
        if found is Fate.DONE:
            return
        if found is Fate.LOST:
            raise TransientError(f"{doubt.path} is gone, and {_unknown(doubt)}")
        if before is None:
            log.info("looking whether it goes on: %s", _unknown(doubt))
        if now != before:
            pause, since = PAUSE, time.monotonic()
        elif time.monotonic() - since >= QUIET:
            raise TransientError(f"nothing changes there, and {_unknown(doubt)}")
        if left_until(deadline) == 0.0:
            raise WaitTimeout(f"{_unknown(doubt)}, and the task's execution_timeout is over")
        before = now
        left = left_until(deadline)
        await asyncio.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.5, LONGEST)


def _unknown(doubt: Doubt) -> str:
    return (
        f"nobody knows whether the facility has taken the {doubt.operation} of {doubt.path} to "
        f"{doubt.target}, whose answer was lost: it is not asked for again unless a person clears this task"
    )


async def _look(facility: AsyncFacility, doubt: Doubt) -> Look:
    # The source first: a move that is over between the two would else leave neither to be seen.
    source, _ = await _tree(facility, doubt.path, doubt.storage)
    target, version = await _tree(facility, doubt.target, doubt.storage)
    return Look(source, target, version)


async def _tree(
    facility: AsyncFacility, path: str, storage: str | None
) -> tuple[Mapping[str, int | None] | None, str | None]:
    from iri_common import NotFound

    try:
        there = await facility.files.stat(path, storage=storage)
        version = version_of(there)
        if not stat.S_ISDIR(there.mode):
            return {"": there.size}, version
        rows = await facility.files.ls(path, hidden=True, recursive=True, storage=storage)
    except NotFound:
        return None, None
    # The size of a directory says nothing about what is in it.
    return {row.name: None if row.type == "directory" else row.size for row in rows}, version
