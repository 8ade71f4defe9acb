"""What is odd about FirecREST, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from iri_common.policy.classify import Outcome, Rules, Word
from iri_common.policy.retry import Replay

# The most that the file operations take and give. What comes down does so as base64 of less than 5 MiB.
UPLOAD_LIMIT = 5 * 1024 * 1024
DOWNLOAD_LIMIT = (UPLOAD_LIMIT - 1) // 4 * 3

# What a second arrival of an operation on files does; those of `transfer/` begin a job with each arrival.
FILE_REPLAYS: Mapping[str, Replay] = {
    "ops/ls": Replay.SAFE,
    "ops/head": Replay.SAFE,
    "ops/tail": Replay.SAFE,
    "ops/view": Replay.SAFE,
    "ops/checksum": Replay.SAFE,
    "ops/file": Replay.SAFE,
    "ops/stat": Replay.SAFE,
    "ops/download": Replay.SAFE,
    "ops/upload": Replay.SAFE,  # the same bytes over the same path
    "ops/chmod": Replay.SAFE,  # the same mode
    "ops/chown": Replay.SAFE,  # the same owner
    "ops/mkdir": Replay.ONCE,  # the second finds it there and fails; with parents it is SAFE
    "ops/symlink": Replay.ONCE,  # the second finds the link there and fails
    "ops/rm": Replay.ONCE,  # the second fails, or takes away what was put there meanwhile
    "ops/compress": Replay.ONCE,  # the second may pack the archive itself
    "ops/extract": Replay.SAFE,  # the same files over the same names
    "transfer/cp": Replay.ONCE,
    "transfer/mv": Replay.ONCE,
    "transfer/upload": Replay.ONCE,
    "transfer/download": Replay.ONCE,
}

# A transfer's job is COMPLETED with exit code 0 even if its command failed: only this in its log tells that
# it did what it was to do.
SAYS_DONE: Mapping[str, str] = {
    "transfer/cp": "Files were successfully",
    "transfer/mv": "Files were successfully",
    "transfer/upload": "File was successfully downloaded",
    "transfer/download": "Multipart file upload successfully completed",
}

_SUBMITS = frozenset({"post_job_submit", *(each for each in FILE_REPLAYS if each.startswith("transfer/"))})
_FILES = frozenset(each for each in FILE_REPLAYS if each.startswith("ops/"))
_ONCE = _SUBMITS | {"attach"} | frozenset(each for each in _FILES if FILE_REPLAYS[each] is Replay.ONCE)

# sbatch and qsub refuse what they were asked for, in words only. Not among these: time-outs and lost
# connections between them and their daemon, after which the job may be there.
_REFUSED = re.compile(
    r"\binvalid (?:account|partition|feature|qos|time limit|generic resource|trackable|license|wckey"
    r"|job dependency|reservation|node name|numeric value|option|user id)"
    r"|\b(?:unrecognized|unknown) option\b"
    r"|requested (?:node configuration|reservation|time limit|partition) is (?:not available|invalid)"
    r"|requested (?:node|partition) configuration (?:is )?not available"
    r"|required (?:partition|node) not available"
    r"|node count specification invalid|job size specification needs"
    r"|(?:memory specification|cpu count per node) can ?not be satisfied"
    r"|more processors requested than permitted"
    r"|violates accounting/qos policy|accounting/qos policy limit"
    r"|not permitted to use this (?:partition|reservation)"
    r"|does not look like a batch script|dos line breaks|unable to open file|no such file or directory"
    r"|\bqsub: (?:unknown queue|unknown resource|illegal|invalid|bad uid|job rejected|job exceeds"
    r"|would exceed|queue is not enabled|script file|directive error|cannot send to|maximum number of jobs)",
    re.IGNORECASE,
)
# What is said of a time-out counts more, whatever warnings of that kind stand before it.
_UNSURE = re.compile(
    r"timed out|time-?out\b|unable to contact|zero bytes|communication (?:error|failure)"
    r"|connect failure|connection (?:refused|reset|failure|lost|closed)",
    re.IGNORECASE,
)
_NO_SUCH_JOB = re.compile(r"\binvalid job id|\bunknown job id|\bjob not found", re.IGNORECASE)
_JOB_IS_OVER = re.compile(r"already completing or completed|\bjob has finished", re.IGNORECASE)
_NOT_MINE = re.compile(r"access/permission denied|\bq(?:del|sub): unauthorized request", re.IGNORECASE)
# 124 and 137 are those of `timeout`, under which each command runs: it was stopped on its way.
_COMMAND_FAILED = re.compile(r"^Remote process failed with exit status:(?!124\b|137\b)\d")
_OUT_OF_TIME = re.compile(r"command execution timeout|exit status:(?:124|137)\b", re.IGNORECASE)

_CANCEL = frozenset({"delete_job_cancel"})
_ATTACH = frozenset({"attach"})
_JOB = _CANCEL | _ATTACH | {"get_job", "get_job_metadata"}
_CHECKSUM = frozenset({"ops/checksum"})

WORDS = (
    Word(Outcome.BROKEN, _UNSURE, operations=_SUBMITS | _ATTACH, statuses=frozenset({500})),
    Word(Outcome.INVALID, _REFUSED, operations=_SUBMITS, statuses=frozenset({400, 403, 500})),
    Word(Outcome.NOT_FOUND, _NO_SUCH_JOB, operations=_JOB, statuses=frozenset({500})),
    Word(Outcome.CONFLICT, _JOB_IS_OVER, operations=_CANCEL | _ATTACH, statuses=frozenset({500})),
    Word(Outcome.FORBIDDEN, _NOT_MINE, operations=_CANCEL | _ATTACH | _SUBMITS, statuses=frozenset({500})),
    # It is asked who may use the system, says no or cannot be asked, and all of that is a 401: no other token
    # would do better.
    Word(Outcome.FORBIDDEN, re.compile("verify system access"), statuses=frozenset({401})),
    # sshd opens ten channels a user by default: nothing was run.
    Word(
        Outcome.RATE_LIMITED,
        re.compile("open a new SSH channel|connection pool capacity"),
        statuses=frozenset({424}),
    ),
    # What the last probe found is looked up before anything is done, so the scheduler has seen nothing of it.
    Word(Outcome.NOT_SENT, re.compile("is unhealthy"), operations=_ONCE, statuses=frozenset({503})),
    # In a 200, as `file` itself says it and ends with 0.
    Word(
        Outcome.NOT_FOUND,
        re.compile("No such file"),
        operations=frozenset({"ops/file"}),
        statuses=frozenset({200}),
    ),
    # A digest of some gigabytes takes longer than a command may. Names with blanks confuse the server.
    Word(Outcome.NOT_OFFERED, _OUT_OF_TIME, operations=_CHECKSUM, statuses=frozenset({408, 500})),
    Word(Outcome.NOT_OFFERED, re.compile("^Invalid output:"), operations=_CHECKSUM),
    Word(Outcome.CONFLICT, re.compile("File exists"), operations=_FILES, statuses=frozenset({400})),
    Word(Outcome.INVALID, _COMMAND_FAILED, operations=_FILES | _ATTACH, statuses=frozenset({500})),
)


def says(problem: object) -> str:
    """The words of an error: its message, the fields that it is about, and what it was caused by."""
    if not isinstance(problem, dict):
        return ""
    fields = cast("dict[str, object]", problem)
    data = fields.get("data")
    named = cast("dict[str, object]", data).get("fields") if isinstance(data, dict) else None
    if isinstance(named, list):
        # The message of these is a repr of the whole validation, with paths of the server's files.
        rows = [cast("dict[str, object]", each) for each in cast("list[object]", named) if _is_object(each)]
        words = [f"{each.get('name') or each.get('location')}: {each.get('message')}" for each in rows]
    else:
        causes = fields.get("causedBy") or fields.get("caused_by")
        words = [fields.get("message"), *(cast("list[object]", causes) if isinstance(causes, list) else ())]
    return "; ".join(each for each in words if isinstance(each, str) and each)


def failure(operation: str, value: object) -> str | None:
    """What ``file`` says in a 200 of a file that is not there."""
    if operation != "ops/file" or not isinstance(value, dict):
        return None
    said = cast("dict[str, object]", value).get("output")
    missing = isinstance(said, str) and said.startswith("cannot open ") and "No such file" in said
    return said if missing and isinstance(said, str) else None


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


RULES = Rules(
    by_status={424: Outcome.AWAY},  # no SSH connection to the system
    words=WORDS,
    says=says,
    failure=failure,
)
