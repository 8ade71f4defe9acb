"""Jobs that wait for other jobs, in Slurm's words for it: ``afterok:12:13,afterany:14``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .errors import Missing, Rejected
from .jobs import WAITING, Job, JobTable

# What the record of a waiting job says.
DEPENDENT = "waiting for other jobs"
NEVER = "waiting for what other jobs have not done"

_TERM = re.compile(
    r"(after|afterany|afternotok|afterok)((?::\d{1,10}(?:_(?:\d{1,7}|\*))?(?:\.\w+)?)+)|singleton"
)
_Judge = Callable[[Job], bool]
# When each word is satisfied, once the other job has come to its end or is known not to come to it.
_SATISFIED: dict[str, _Judge] = {
    "after": lambda other: other.started is not None or other.state == "canceled",
    "afterany": lambda other: other.finished,
    "afternotok": lambda other: other.state in ("failed", "canceled"),
    "afterok": lambda other: other.state == "completed",
}


def check_terms(text: str) -> None:
    """Refuse what cannot be waited for.

    Raises:
        Rejected: It is no dependency, or a kind that there is not here.
    """
    for _ in terms(text):
        pass


def terms(text: str) -> Iterator[tuple[str, list[str]]]:
    """The words of a dependency, each with the jobs that it names.

    Raises:
        Rejected: It is none.
    """
    for part in text.removeprefix("depend=").split(","):
        if (found := _TERM.fullmatch(part)) is None:
            raise Rejected("Job dependency problem")
        named = (found[2] or "").split(":")[1:]
        yield found[1] or "singleton", [name.partition(".")[0] for name in named]


def waits(job: Job, jobs: JobTable) -> str | None:
    """Why a job must wait for others, if it must."""
    if not job.request.dependency:
        return None
    stands = [
        _singleton(job, jobs) if word == "singleton" else _stands(word, name, jobs)
        for word, names in terms(job.request.dependency)
        for name in names or [""]
    ]
    return NEVER if NEVER in stands else DEPENDENT if DEPENDENT in stands else None


def awaited(job: Job) -> str:
    """What a waiting job waits for, each with a word on how that stands."""
    stands = {DEPENDENT: "unfulfilled", NEVER: "failed"}.get(job.message or "")
    if stands is None or job.state != "queued":
        return ""
    return ",".join(f"{term}({stands})" for term in (job.request.dependency or "").split(","))


def _stands(word: str, name: str, jobs: JobTable) -> str | None:
    others = _named(name, jobs)  # nobody waits for a job that nobody knows
    satisfied = [_SATISFIED[word](other) for other in others]
    # An array has failed when all of it is over and one task has; for the rest each of them counts.
    if word == "afternotok" and any(satisfied) and all(other.finished for other in others):
        return None
    if all(satisfied):
        return None
    return NEVER if all(other.finished for other in others) else DEPENDENT


def _named(name: str, jobs: JobTable) -> list[Job]:
    number, _, index = name.partition("_")
    tasks = jobs.tasks(int(number))
    if index not in ("", "*"):
        return [task for task in tasks if task.array_index == int(index)]
    try:
        return tasks or [jobs.get(int(number))]
    except Missing:
        return []


def _singleton(job: Job, jobs: JobTable) -> str | None:
    states = (*WAITING, "active")
    before = f"id < ? AND user = ? AND name = ? AND state IN ({', '.join('?' * len(states))}) LIMIT 1"
    return DEPENDENT if jobs.where(before, job.id, job.user, job.name, *states) else None
