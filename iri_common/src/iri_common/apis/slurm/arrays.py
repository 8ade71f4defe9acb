"""Slurm's records as jobs: an array has one for each task that began, and one for all the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from iri_common.apis.slurm.exits import status_of
from iri_common.apis.slurm.wire import JobReply
from iri_common.model.array import task_id
from iri_common.model.job import JobStatus
from iri_common.policy.arrays import gathered


def statuses(records: Iterable[JobReply]) -> dict[str, JobStatus]:
    """The status of each job, by its id; of a job that was requeued the newest record, which comes last."""
    return gathered((_called(record), status_of(record)) for record in records)


def one_of_each(records: Iterable[JobReply]) -> dict[str, JobReply]:
    """A record of each job, by its id: any one tells the name of all tasks."""
    return {record.array_id or record.job_id: record for record in records}


def of_job(records: Iterable[JobReply], job_id: str) -> Sequence[JobReply]:
    """The records of a job, or of all tasks of an array."""
    return [each for each in records if (each.array_id or each.job_id) == job_id]


def all_over(records: Iterable[JobReply]) -> bool:
    """Whether these are tasks of an array that have all ended: others of it may have been forgotten."""
    return all(each.array_id and status_of(each).state.terminal for each in records)


def of_task(records: Sequence[JobReply], index: int | None) -> JobReply:
    """The record of a task, the newest; of one that has not begun that of all such tasks."""
    wanted = (index, None) if index is not None else (None,)
    newest = {each.array_index: each for each in records}
    return next((newest[each] for each in wanted if each in newest), records[-1])


def letters(record: JobReply, index: int | None) -> Mapping[str, str]:
    """What Slurm puts in the place of letters in the path of an output: id, array, index."""
    if not record.array_id:
        return {"j": record.job_id, "A": record.job_id}
    own = {"j": record.job_id} if record.array_index == index else {}
    return {**own, "A": record.array_id, **({} if index is None else {"a": str(index)})}


def _called(record: JobReply) -> str:
    """Its id as Slurm's commands show it: ``42``, ``42_7``, ``42_[8-9%2]``."""
    if not record.array_id:
        return record.job_id
    if record.array_index is not None:
        return task_id(record.array_id, record.array_index)
    return f"{record.array_id}_[{record.array_rest}]"
