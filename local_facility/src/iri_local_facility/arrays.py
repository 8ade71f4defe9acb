"""Arrays as Slurm has them: a job for each index, and one in the place of all that have not begun."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from itertools import groupby

from .errors import Rejected
from .jobs import WAITING, Job, JobTable

# What the record of a waiting task says.
LIMITED = "waiting for other tasks of its array"

_LARGEST = 1000  # MaxArraySize is 1001 unless somebody sets it
_PART = re.compile(r"(\d{1,7})(?:-(\d{1,7})(?::(\d{1,7}))?)?")


def tasks_of(text: str) -> tuple[list[int], int | None]:
    """The indices of an array, and how many of its tasks may run at once.

    Raises:
        Rejected: It is none, or larger than what there is here.
    """
    body, _, limit = text.partition("%")
    found: set[int] = set()
    for part in body.split(","):
        match = _PART.fullmatch(part)
        if match is None or (limit and not limit.isdecimal()):
            raise Rejected("Invalid job array specification")
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or last > _LARGEST or not step:
            raise Rejected("Invalid job array specification")
        found |= set(range(first, last + 1, step))
    return sorted(found), int(limit or 0) or None


def limited(job: Job, jobs: JobTable) -> str | None:
    """Why a task must wait for others of its array, if it must."""
    if job.request.array is None or job.array_job is None:
        return None
    _, limit = tasks_of(job.request.array)
    running = jobs.where("array_job = ? AND state = 'active'", job.array_job)
    return LIMITED if limit is not None and len(running) >= limit else None


def shown(jobs: Iterable[Job]) -> list[Job]:
    """Jobs as the queue shows them: the tasks of an array that never began are one, under the array's id."""
    found: list[Job] = []
    rest: dict[tuple[int, str], list[Job]] = {}
    for job in jobs:
        if job.array_job is None or job.started is not None or job.state not in (*WAITING, "canceled"):
            found.append(job)
        else:
            rest.setdefault((job.array_job, job.state), []).append(job)
    return found + [_merged(tasks) for tasks in rest.values()]


def called(job: Job) -> str:
    """Its id in Slurm's commands: ``42``, ``42_7``, ``42_[8-9%2]``."""
    if job.array_job is None:
        return str(job.id)
    return f"{job.array_job}_{f'[{job.array_rest}]' if job.array_rest else job.array_index}"


def _merged(tasks: list[Job]) -> Job:
    indices = sorted(task.array_index or 0 for task in tasks)
    _, percent, limit = (tasks[0].request.array or "").partition("%")
    first = min(tasks, key=lambda task: task.array_index or 0)
    return dataclasses.replace(
        first,
        id=first.array_job or first.id,
        array_index=None,
        array_rest=_written(indices) + percent + limit,
    )


def _written(indices: list[int]) -> str:
    runs = [
        [index for _, index in run]
        for _, run in groupby(enumerate(indices), key=lambda each: each[1] - each[0])
    ]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
