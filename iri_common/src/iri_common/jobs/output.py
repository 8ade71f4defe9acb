"""The last lines that a job wrote, for the log of whoever asked for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from iri_common.jobs.operations import Patience, settled
from iri_common.model.errors import IriError, NotFound
from iri_common.model.logfields import about
from iri_common.model.ports import Dialect
from iri_common.model.ref import JobRef

log = logging.getLogger(__name__)

_PATIENCE = Patience(total=30.0)
_STREAMS = ("stderr", "stdout")  # in which it is looked for why a job failed


class LastWords(NamedTuple):
    """What a job wrote last: text of a stream; "" for none."""

    stream: str = "stderr"
    text: str = ""


async def tail(
    dialect: Dialect,
    ref: JobRef,
    file_system: str | None,
    stream: str,
    lines: int,
    patience: Patience = _PATIENCE,
) -> str:
    """The last lines of "stdout" or "stderr", or "" where the facility does not show them.

    Never raises for want of the text: it is asked for to explain something else.
    """
    if not ref.job_id or not file_system or not dialect.grades.readable_files:
        return ""
    try:
        paths = (await dialect.jobs.output_paths(ref.resource_id, ref.job_id)).value
        path = paths.get(stream)
        return await _read(dialect, file_system, path, lines, patience) if path else ""
    except IriError as error:
        _unread(ref, stream, error)
        return ""


async def last_words(
    dialect: Dialect,
    refs: Sequence[JobRef],
    file_system: str | None,
    lines: int,
    patience: Patience = _PATIENCE,
) -> list[LastWords]:
    """What each job wrote last: to stderr, or where that has nothing, to stdout.

    Never raises for want of it. Where one job's cannot be read the others are not asked for; a file that is
    not there is another thing.
    """
    told = [LastWords() for _ in refs]
    if not file_system or not dialect.grades.readable_files:
        return told
    for number, ref in enumerate(refs):
        try:
            told[number] = await _words_of(dialect, ref, file_system, lines, patience)
        except IriError as error:
            _unread(ref, "output", error)
            if not isinstance(error, NotFound):
                break
    return told


async def _words_of(
    dialect: Dialect, ref: JobRef, file_system: str, lines: int, patience: Patience
) -> LastWords:
    paths = (await dialect.jobs.output_paths(ref.resource_id, ref.job_id or "")).value
    missing: NotFound | None = None
    for path in dict.fromkeys(paths[stream] for stream in _STREAMS if stream in paths):  # both may go to one
        try:
            text = await _read(dialect, file_system, path, lines, patience)
        except NotFound as error:
            missing = error
        else:
            if text.strip():
                return LastWords(next(stream for stream in _STREAMS if paths.get(stream) == path), text)
    if missing is not None:
        raise missing
    return LastWords()


async def _read(dialect: Dialect, file_system: str, path: str, lines: int, patience: Patience) -> str:
    answer = await dialect.files.tail(file_system, path, lines=lines)
    return (await settled(answer, dialect.operations, patience)).content


def _unread(ref: JobRef, what: str, error: IriError) -> None:
    words = "the %s of %s cannot be read: %s"
    log.info(words, what, ref.describe(), error, extra=about(ref=ref, error=error))
