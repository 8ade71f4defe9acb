"""What is odd about this API, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from iri_common.policy.classify import Outcome, Rules, Word
from iri_common.policy.retry import Replay

RULES = Rules(
    # Every error of the framework is one, at every facility; a JSON 404 of another type is a gateway's.
    errors="application/problem+json",
    empty_when_missing=frozenset({"getSites", "getIncidents", "getEventsByIncident"}),
    # ALCF answers a look at a job that has left the queue with a 400 "Job 42 not found". Only of a look:
    # "Queue debug not found" in a refused submit stays a refusal.
    words=(
        Word(
            Outcome.NOT_FOUND,
            re.compile(r"\bjob\b.{0,200}?\bnot found\b", re.IGNORECASE | re.DOTALL),
            operations=frozenset({"getJob"}),
            statuses=frozenset({400}),
        ),
    ),
    key_used={"launchJob": 422, "updateJob": 422},
)

# The reference server's OPS_SIZE_LIMIT; a deployment may set another, its 413 has the last word.
UPLOAD_LIMIT = 5 * 1024 * 1024

# The most rows that a list gives at once.
PAGE = 1000

# What a second arrival of a file operation does. The API gives these no idempotency key, and each arrival
# is a task of its own, so SAFE means: two tasks end in the same place as one, and neither complains.
FILE_REPLAYS: Mapping[str, Replay] = {
    "ls": Replay.SAFE,
    "head": Replay.SAFE,
    "tail": Replay.SAFE,
    "view": Replay.SAFE,
    "checksum": Replay.SAFE,
    "file": Replay.SAFE,
    "stat": Replay.SAFE,
    "download": Replay.SAFE,
    "upload": Replay.SAFE,  # the same bytes over the same path
    "chmod": Replay.SAFE,  # the same mode
    "chown": Replay.SAFE,  # the same owner
    "mkdir": Replay.ONCE,  # the second finds it there and fails; with parents it is SAFE
    "rm": Replay.ONCE,  # the second fails, or takes away what was put there meanwhile
    "symlink": Replay.ONCE,  # the second finds the link there and fails
    "cp": Replay.ONCE,  # a directory copied twice lands inside its first copy
    "mv": Replay.ONCE,  # the second finds no source
    "compress": Replay.ONCE,  # the second may find the archive there, or pack the archive itself
    "extract": Replay.ONCE,  # the second may refuse to write into the directory of the first
}
