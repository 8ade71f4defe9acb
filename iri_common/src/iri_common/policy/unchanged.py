"""What a sync leaves as it is, what it moves, what it takes away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

CLOSE = 2.0  # seconds: listings tell whole seconds, and the clocks of two machines differ a little

MANY = 100  # files: to compare so many digests takes longer than to move them as archives


@dataclass(frozen=True, slots=True)
class Facts:
    """What a listing tells of a file; ``mtime`` is 0.0 where it tells no time that can be understood."""

    size: int
    mtime: float = 0.0


class Verdict(Enum):
    """What to do with one file."""

    LEAVE = auto()
    COMPARE = auto()  # by their digests
    MOVE = auto()


def judge(source: Facts, target: Facts | None, *, comparable: bool) -> Verdict:
    """Decide about one file.

    A target of the same size that was written after the source was last changed has the source's bytes, or
    somebody put others of that very size there. Where the times do not tell, digests do.

    Args:
        source: As it is.
        target: As it is; None if it is not there.
        comparable: Both ends tell a file's SHA-256.
    """
    if target is None or source.size != target.size:
        return Verdict.MOVE
    if source.mtime and target.mtime:
        if target.mtime - source.mtime >= CLOSE:
            return Verdict.LEAVE
        if source.mtime - target.mtime >= CLOSE:
            return Verdict.MOVE
    return Verdict.COMPARE if comparable else Verdict.MOVE


def judge_in_bulk(source: Facts, target: Facts) -> Verdict:
    """Decide about one of more than :data:`MANY` files whose digests would have to be compared.

    An archive gives its files the times of their sources, in whole seconds; rsync, too, takes the same size
    and second for the same file.
    """
    same_second = source.mtime and int(source.mtime) == int(target.mtime)
    return Verdict.LEAVE if same_second else Verdict.MOVE


def extras(
    wanted: Iterable[str],
    there: Iterable[str],
    links: Iterable[tuple[str, str]] = (),
    unknown: Iterable[str] = (),
) -> Sequence[str]:
    """What is at the target and not at the source: names, of a whole directory only its own.

    Args:
        wanted: Names of files and directories at the source.
        there: Likewise at the target.
        links: Names of directories at the target that are links, and of those to which they lead: what lies
            behind one is not taken away under its name, nor under its own while the link is wanted.
        unknown: Names at the source that may be anything: theirs stay, and all that is below them.
    """
    kept, spared = {*wanted, *unknown}, set(unknown)
    for name in list(kept):
        kept.update(_above(name))
    for name, leads_to in links:
        spared.add(name)
        if name in kept:
            spared.add(leads_to)
            kept |= {leads_to, *_above(leads_to)}
    gone: list[str] = []
    for name in sorted(set(there) - kept, key=lambda name: name.split("/")):
        if not (gone and name.startswith(f"{gone[-1]}/")) and spared.isdisjoint(_above(name)):
            gone.append(name)
    return gone


def _above(name: str) -> Iterable[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def told_time(text: str) -> float:
    """Seconds since the epoch, of a time as a listing writes it; 0.0 if it cannot be understood.

    One without a zone is the server's local time, which nobody here knows.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return time.timestamp() if time.tzinfo is not None else 0.0
