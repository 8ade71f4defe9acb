"""Why a job ended as it did, from the exact words and numbers of the schedulers.

The APIs fold a dozen endings into "failed" (IRI has no time limit, no preemption, no node failure); what
is left of the truth is in the message, the exit code and the facility's own fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from iri_common.model.job import JobStatus
from iri_common.model.reason import JobReason
from iri_common.model.state import JobState

# Whole words only: "TIMEOUT" is Slurm's, "timeout" in a sentence may be anybody's.
_ENDINGS: Mapping[str, JobReason] = {
    # Slurm: states, and the reasons that it writes on ended jobs
    "TIMEOUT": JobReason.TIME_LIMIT,
    "TimeLimit": JobReason.TIME_LIMIT,
    "DEADLINE": JobReason.DEADLINE,
    "DeadLine": JobReason.DEADLINE,
    "OUT_OF_MEMORY": JobReason.MEMORY,
    "OutOfMemory": JobReason.MEMORY,
    "OOM": JobReason.MEMORY,
    "NODE_FAIL": JobReason.NODE,
    "NodeFail": JobReason.NODE,
    "NodeDown": JobReason.NODE,
    "BOOT_FAIL": JobReason.NODE,
    "JobLaunchFailure": JobReason.NODE,
    "SystemFailure": JobReason.NODE,
    "PREEMPTED": JobReason.PREEMPTED,
    "DependencyNeverSatisfied": JobReason.DEPENDENCY,
    # LSF
    "TERM_RUNLIMIT": JobReason.TIME_LIMIT,
    "TERM_CPULIMIT": JobReason.TIME_LIMIT,
    "TERM_DEADLINE": JobReason.DEADLINE,
    "TERM_MEMLIMIT": JobReason.MEMORY,
    "TERM_SWAP": JobReason.MEMORY,
    "TERM_PREEMPT": JobReason.PREEMPTED,
    # PBS, where the names of its exit codes are shown
    "JOB_EXEC_KILL_WALLTIME": JobReason.TIME_LIMIT,
    "JOB_EXEC_KILL_CPUT": JobReason.TIME_LIMIT,
    "JOB_EXEC_KILL_MEM": JobReason.MEMORY,
    "JOB_EXEC_KILL_VMEM": JobReason.MEMORY,
}
_CANCELED: Mapping[str, JobReason] = {
    "CANCELLED": JobReason.CANCELED,
    "TERM_OWNER": JobReason.CANCELED,
    "TERM_FORCE_OWNER": JobReason.CANCELED,
    "TERM_ADMIN": JobReason.CANCELED,
    "TERM_FORCE_ADMIN": JobReason.CANCELED,
}
_WAITS: Mapping[str, JobReason] = {
    "Dependency": JobReason.DEPENDENCY,
    "DependencyNeverSatisfied": JobReason.DEPENDENCY,
    "JobHeldUser": JobReason.HELD,
    "JobHeldAdmin": JobReason.HELD,
    "SPECIAL_EXIT": JobReason.HELD,
    "LAUNCH_FAILED_REQUEUED_HELD": JobReason.HELD,
}
_SENTENCES: tuple[tuple[re.Pattern[str], JobReason], ...] = (
    (re.compile(r"\btime limit of \S+ s reached\b"), JobReason.TIME_LIMIT),  # the local facility
    (re.compile(r"\bnode failure\b", re.IGNORECASE), JobReason.NODE),
    (re.compile(r"\bDUE TO TIME LIMIT\b"), JobReason.TIME_LIMIT),  # slurmstepd
    (re.compile(r"\bDUE TO PREEMPTION\b"), JobReason.PREEMPTED),
    (re.compile(r"\b[Oo]ut [Oo]f [Mm]emory\b|\boom-kill\b"), JobReason.MEMORY),
    (re.compile(r"\b(?:walltime|cput) \S+ exceeded limit\b"), JobReason.TIME_LIMIT),  # PBS
    (re.compile(r"\bv?mem \S+ exceeded limit\b"), JobReason.MEMORY),
)
# A program's own exit code is never negative.
_PBS_CODES: Mapping[int, JobReason] = {
    -29: JobReason.TIME_LIMIT,
    -28: JobReason.TIME_LIMIT,
    -27: JobReason.MEMORY,
    -26: JobReason.MEMORY,
}
# Other fields of a facility (names, paths, command lines) hold the user's words, which mean nothing here.
_TELLING = frozenset(
    {"state", "job_state", "jobstate", "reason", "state_reason", "comment", "exit_reason", "term_reason"}
)
_WORD = re.compile(r"[A-Za-z][A-Za-z_]*")
_BETWEEN = re.compile(r"[\s_-]+")
_WAITING = frozenset({JobState.NEW, JobState.QUEUED, JobState.HELD})


def explained(status: JobStatus, guard: Mapping[int, JobReason] | None = None) -> JobStatus:
    """The status with its reason, where there is one to tell and it does not tell a better one yet.

    Args:
        status: As the facility gives it.
        guard: What the exit codes mean that a guard ends its job with; only for a job that has one.
    """
    if status.reason not in (None, JobReason.EXIT_CODE):
        return status
    reason = reason_of(status, guard)
    return status if reason in (None, status.reason) else replace(status, reason=reason)


def reason_of(status: JobStatus, guard: Mapping[int, JobReason] | None = None) -> JobReason | None:
    """Why; None for a job that runs, waits for nothing in particular, or succeeded."""
    texts = list(_texts(status))
    words = {word for text in texts for word in _WORD.findall(text)}
    if status.state in _WAITING:
        return _first(_WAITS, words) or (JobReason.HELD if status.state is JobState.HELD else None)
    if not status.state.terminal or status.succeeded:
        return None
    if guard and status.exit_code is not None and status.exit_code in guard:
        return guard[status.exit_code]
    told = _first(_ENDINGS, words) or _alone(texts) or _sentence(texts)
    if told is not None:
        return told
    if status.state is JobState.CANCELED or _first(_CANCELED, words):
        return JobReason.CANCELED
    return _PBS_CODES.get(status.exit_code, JobReason.EXIT_CODE) if status.exit_code else JobReason.UNKNOWN


def _texts(status: JobStatus) -> Iterable[str]:
    yield status.raw_state or ""
    yield status.message or ""
    for name, value in status.meta.items():
        if name.casefold() in _TELLING:
            # Slurm's REST API gives states as lists of words.
            yield " ".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value)


def _first(table: Mapping[str, JobReason], words: set[str]) -> JobReason | None:
    return next((reason for word, reason in table.items() if word in words), None)


def _plain(text: str) -> str:
    return _BETWEEN.sub("", text).casefold()


_PLAIN_ENDINGS: Mapping[str, JobReason] = {_plain(word): reason for word, reason in _ENDINGS.items()}


def _alone(texts: Iterable[str]) -> JobReason | None:
    """By a text that is nothing but the word of an ending, in whatever hand: "preempted", "Out of memory"."""
    return _first(_PLAIN_ENDINGS, set(map(_plain, texts)))


def _sentence(texts: Iterable[str]) -> JobReason | None:
    text = "\n".join(texts)
    return next((reason for pattern, reason in _SENTENCES if pattern.search(text)), None)
