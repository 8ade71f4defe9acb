"""What is odd about this API, as data."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, cast

from iri_common.apis.reading import Reading
from iri_common.model.errors import (
    AmbiguousReply,
    IriError,
    NotFound,
    PermissionDenied,
    Refused,
    TooLarge,
    TransientError,
)
from iri_common.policy.classify import Outcome, Rules, Word
from iri_common.policy.retry import Replay
from iri_common.policy.telling import bounded, told

# "Small files only", says the API's document, and no number.
FILE_LIMIT = 10 * 1024 * 1024

# Before this, hardly any task has been through the queue and a login node.
TASK_SECONDS = 0.5

# What a second arrival does. The API knows no idempotency keys, and each arrival is a task of its own, so
# SAFE means: two end in the same place as one, and neither complains.
REPLAYS: Mapping[str, Replay] = {
    "submit_job": Replay.ONCE,
    "cancel_job": Replay.SAFE,
    "start_transfer": Replay.ONCE,  # the second moves it all again, or finds the first one at work
    "home": Replay.SAFE,
    "ls": Replay.SAFE,
    "head": Replay.SAFE,
    "tail": Replay.SAFE,
    "view": Replay.SAFE,
    "checksum": Replay.SAFE,
    "file": Replay.SAFE,
    "stat": Replay.SAFE,
    "chmod": Replay.SAFE,  # the same mode
    "chown": Replay.SAFE,  # the same owner
    "mkdir -p": Replay.SAFE,
    "mkdir": Replay.ONCE,  # the second finds it there and fails
    "rm": Replay.ONCE,  # the second fails, or takes away what was put there meanwhile
    "symlink": Replay.ONCE,  # the second finds the link there and fails
    "cp": Replay.ONCE,  # a directory copied twice lands inside its first copy
    "mv": Replay.ONCE,  # the second finds no source
    "compress": Replay.ONCE,  # the second may pack the archive itself
    "extract": Replay.ONCE,  # the second may write over what was changed meanwhile
}


def _word(outcome: Outcome, says: str, operations: Collection[str] = ()) -> Word:
    pattern = re.compile(says, re.IGNORECASE | re.DOTALL)
    return Word(outcome, pattern, frozenset(operations), frozenset({200}))


# The first that fits counts. What is told here comes from strerror(3), from Slurm's commands, or from the
# API's own service; always with a 200, or inside the result of a task.
WORDS = (
    _word(
        Outcome.NOT_FOUND,
        r"\binvalid job id\b|\bjob\b.{0,80}?\bnot found\b",
        ("read_job", "read_jobs", "cancel_job"),
    ),
    _word(Outcome.NOT_FOUND, r"\bnot found\b|\bno (such )?task\b", ("start_transfer", "read_transfer")),
    _word(Outcome.CONFLICT, r"identical paths", ("start_transfer",)),
    # An sbatch that lost its connection may have been heard: the job's name will tell.
    _word(
        Outcome.AWAY,
        r"\btimed out\b|\btimeout, server\b|unable to contact|connection (refused|reset|closed)|broken pipe"
        r"|\bconnection to\b.{0,80}\bclosed\b|zero bytes were transmitted"
        r"|message (send|receive) failure|unexpected message"
        r"|temporarily un(available|able)|slurm\w* (is )?down|stale (nfs )?file handle|input/output error",
    ),
    # What keeps the queue from being read says nothing of a job in it.
    _word(Outcome.BROKEN, r"\b(squeue|sacct|slurm\w*)\b", ("read_job", "read_jobs")),
    _word(
        Outcome.NOT_FOUND,
        r"no such file|does not exist|no such (host|machine|project|user|endpoint|collection)",
    ),
    _word(Outcome.FORBIDDEN, r"permission denied|not permitted|access denied"),
    # A quota that is exceeded is no limit of this API, so neither word is enough alone.
    _word(
        Outcome.TOO_LARGE,
        r"\btoo (large|big)\b|\b(size|bytes)\b.{0,80}\b(limit|exceed)"
        r"|\b(limit|exceed)\w*\b.{0,80}\b(size|bytes)\b",
    ),
    _word(
        Outcome.INVALID,
        r"\b(sbatch|scancel|squeue|sacct)\b|architecture specified|not a directory|is a directory|file exists"
        r"|not empty|no space left|quota|read-only|name too long|too many levels|\binvalid\b|\billegal\b",
    ),
)


def told_failure(operation: str, value: Any) -> str | None:
    """The words of an error inside a 200; None if the success is one."""
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, object]", value)
    if str(fields.get("status")).upper() != "ERROR":
        return None
    error = fields.get("error") or fields.get("reason")
    return error if isinstance(error, str) else ""


RULES = Rules(
    # A token that has expired, one without the right and one from another address are all refused so.
    by_status={403: Outcome.BAD_TOKEN},
    words=WORDS,
    failure=told_failure,
    remedy=(
        "If that token was fresh, its client has expired, may not be used from this address, or has not the "
        "level for this: see to it in Iris (Superfacility API Clients), or make a new client there and put "
        "its key where the profile points"
    ),
)

_KINDS: Mapping[Outcome, type[IriError]] = {
    Outcome.NOT_FOUND: NotFound,
    Outcome.FORBIDDEN: PermissionDenied,
    Outcome.TOO_LARGE: TooLarge,
    Outcome.AWAY: TransientError,
    Outcome.BROKEN: TransientError,
    Outcome.INVALID: Refused,
}

# Names of files may hold any words.
_NAMES = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"|(?<!\w)/\S+")


def failure_of(reading: Reading, lead: str, text: str, unknown: Outcome) -> IriError:
    """The error of an operation whose result tells that it failed.

    Args:
        reading: Of an operation that is a key of :data:`REPLAYS`.
        lead: What happened.
        text: The words that were told.
        unknown: What words mean that nobody knows.
    """
    bare = _NAMES.sub(" ", bounded(text))
    outcome = next((word.outcome for word in WORDS if word.fits(reading.operation, 200, bare)), unknown)
    kind = _KINDS[outcome]
    if outcome.may_have_worked and REPLAYS.get(reading.operation) is not Replay.SAFE:
        kind, lead = AmbiguousReply, f"{lead}, and whether it took effect is unknown"
    return kind(
        f"{lead}: {told(text, reading.hide) or 'it gives no reason'}",
        facility=reading.facility,
        operation=reading.operation,
        outcome=outcome,
    )
