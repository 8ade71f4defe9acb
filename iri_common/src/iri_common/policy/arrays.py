"""How an array is, out of how its tasks are; and whether all of them are accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from iri_common.model.array import indices_of, parted
from iri_common.model.counts import many
from iri_common.model.job import JobStatus
from iri_common.model.state import JobState

_WAITING = (JobState.QUEUED, JobState.HELD, JobState.NEW)
_LOST_SIGHT = (JobState.UNKNOWN, JobState.MISSING)
# Of an array whose tasks are all over: what one of them makes of the whole.
_ENDINGS = (JobState.FAILED, JobState.CANCELED, JobState.COMPLETED)


def folded(tasks: Mapping[int, JobStatus], others: JobStatus | None = None) -> JobStatus:
    """The status of an array.

    It waits until one task runs, is active until the last is over, and has failed if one has: with the exit
    code of the first of those.

    Args:
        tasks: By index, as far as they are told one by one.
        others: How those are that a list, cut short, does not name.
    """
    every = [*(tasks[index] for index in sorted(tasks)), *([others] if others else [])]
    told = Counter(each.reported for each in every)
    counts = ", ".join(f"{told[state]} {state}" for state in JobState if told[state])
    state = _state(told)
    chief = next(each for each in every if each.reported in ({state} if state in told else told))
    times = [each.time for each in every if each.time is not None]
    return JobStatus(
        state=state,
        exit_code=chief.exit_code if state.terminal else None,
        message=_failures(tasks, len(every)) if state is JobState.FAILED else f"tasks: {counts}",
        time=max(times, default=None) if state.terminal else chief.time,
        raw_state=chief.raw_state,
        meta=chief.meta,
        reason=chief.reason,
        tasks=dict(sorted(tasks.items())),
        others=others,
    )


def _state(told: Counter[JobState]) -> JobState:
    waiting = next((state for state in _WAITING if told[state]), None)
    if told[JobState.ACTIVE] or (waiting and any(state.terminal for state in told)):
        return JobState.ACTIVE
    if waiting:
        return waiting
    return next(state for state in (*_LOST_SIGHT, *_ENDINGS) if told[state])


def _failures(tasks: Mapping[int, JobStatus], count: int) -> str:
    failed = [index for index in sorted(tasks) if tasks[index].reported is JobState.FAILED]
    first = f", the first is {failed[0]}: {tasks[failed[0]].describe()}" if failed else ""
    return f"{len(failed)} of {many(count, 'task')} failed{first}"


def gathered(rows: Iterable[tuple[str, JobStatus]]) -> dict[str, JobStatus]:
    """Rows of single jobs and of tasks (``42_7``, ``42_[8-9%2]``) as jobs by their ids, each array one.

    What a row of its own says of a task counts more than a row for several.
    """
    jobs: dict[str, JobStatus] = {}
    tasks: dict[str, dict[int, JobStatus]] = {}
    others: dict[str, JobStatus] = {}
    for job_id, status in rows:
        array, index, several = parted(job_id)
        if index is not None:
            tasks.setdefault(array, {})[index] = status
        elif several is not None:
            named = tasks.setdefault(array, {})
            indices = named_in(several)
            if indices is None:
                others[array] = status
            for each in indices or ():
                named.setdefault(each, status)
        else:
            jobs[array] = status
    return jobs | {array: folded(found, others.get(array)) for array, found in tasks.items()}


def told_of(jobs: Mapping[str, JobStatus], job_id: str) -> JobStatus:
    """The status of a job, or of one task of an array."""
    array, index, _ = parted(job_id)
    status = jobs.get(array, JobStatus(JobState.MISSING))
    if index is None:
        return status
    return status.tasks.get(index) or status.others or JobStatus(JobState.MISSING)


def named_in(text: str) -> tuple[int, ...] | None:
    """The indices that the rest of an array is told by; None if that text was cut short (``0-3,7,...``)."""
    try:
        return indices_of(text)
    except ValueError:
        return None


def untold(status: JobStatus, array: str) -> tuple[int, ...]:
    """The tasks of an array of which nothing is told."""
    if status.others is not None:
        return ()
    return tuple(index for index in indices_of(array) if index not in status.tasks)


def accounted(status: JobStatus, array: str) -> JobStatus:
    """The status of an array; an end without a word of all of its tasks is none, and as good as not listed.

    A scheduler forgets tasks one by one, and accounting hears of them so.
    """
    rest = untold(status, array) if status.state.terminal else ()
    if not rest:
        return status
    words = f"of {many(len(rest), 'task')} of the array nothing is told, the first is {rest[0]}"
    return JobStatus(JobState.MISSING, message=words, tasks=status.tasks)
