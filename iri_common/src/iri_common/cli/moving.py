"""Files that travel with a job: ``--put`` before it, ``--get`` after it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iri_common.model.errors import NotFound, UsageError

if TYPE_CHECKING:
    from iri_common.cli.speak import Screen
    from iri_common.facility.facility import Facility


@dataclass(frozen=True, slots=True)
class Move:
    """One file: from where, to where."""

    source: str
    target: str


def puts_of(given: Sequence[str], directory: str | None) -> list[Move]:
    """Uploads: local path, then the facility's, relative to the job's directory.

    Raises:
        UsageError: for a word without both, a file that is not there, or a path that nothing makes absolute.
    """
    moves: list[Move] = []
    for each in given:
        source, target = _sides("--put", each)
        if not Path(source).is_file():
            raise UsageError(f"--put {each}: there is no file {source} here")
        moves.append(Move(source, _there("--put", each, _named(target, source), directory)))
    return moves


def gets_of(given: Sequence[str], directory: str | None) -> list[Move]:
    """Downloads: the facility's path, relative to the job's directory, then the local one.

    Raises:
        UsageError: as for :func:`puts_of`.
    """
    moves: list[Move] = []
    for each in given:
        source, target = _sides("--get", each)
        here = Path(target)
        if target.endswith("/") or here.is_dir():
            here = here / posixpath.basename(source)
        if not here.parent.is_dir():
            raise UsageError(f"--get {each}: there is no directory {here.parent} here")
        moves.append(Move(_there("--get", each, source, directory), str(here)))
    return moves


async def put_all(facility: Facility, moves: Sequence[Move], screen: Screen) -> None:
    """Upload, each file whole or not at all, into directories that are made where they are missing."""
    files = facility.aio.files
    for directory in sorted({posixpath.dirname(move.target) for move in moves}):
        await files.mkdir(directory, parents=True)
    for move in moves:
        await files.put(move.source, move.target)
        screen.say(f"uploaded {move.source} to {move.target}", "dim")


def get_all(facility: Facility, moves: Sequence[Move], screen: Screen, *, succeeded: bool) -> list[Move]:
    """Download; after a job without success, a file that is not there is no error of its own."""
    got: list[Move] = []
    for move in moves:
        try:
            facility.files.get(move.source, move.target)
        except NotFound:
            if succeeded:
                raise
            screen.say(f"{move.source} is not there", "yellow")
            continue
        screen.say(f"downloaded {move.source} to {move.target}", "dim")
        got.append(move)
    return got


def _sides(option: str, word: str) -> tuple[str, str]:
    first, colon, second = word.partition(":")
    if not colon or not first or not second:
        raise UsageError(f"{option} {word}: write SOURCE:TARGET")
    return first, second


def _named(target: str, source: str) -> str:
    return (
        posixpath.join(target, Path(source).name) if target.endswith(("/", "/.")) or target == "." else target
    )


def _there(option: str, word: str, path: str, directory: str | None) -> str:
    if posixpath.isabs(path):
        return path
    if not directory:
        raise UsageError(
            f"{option} {word}: {path} is relative, and the job has no directory; give "
            "--directory, or the whole path"
        )
    return posixpath.normpath(posixpath.join(directory, path))
