"""Jobs as the face answers them: what sacct and squeue tell together, or what qstat tells."""

from __future__ import annotations

import math
import os
import time
from typing import Any

from iri_local_facility.arrays import called
from iri_local_facility.batch import node_list, pbs_status, readable, slurm_status
from iri_local_facility.files import group_name
from iri_local_facility.jobs import Job
from iri_local_facility.launch import output_paths
from iri_local_facility.sight import UNREGISTERED

Document = dict[str, Any]


def job_document(job: Job, scheduler: str) -> Document:
    """One job."""
    return _pbs_job(job) if scheduler == "pbs" else _slurm_job(job)


def metadata(job: Job, scheduler: str, *, own: bool) -> Document:
    """What a job was made of; its script is shown to its owner only."""
    stdout, stderr = output_paths(job)
    if scheduler == "pbs":
        stdout, stderr = stderr, stdout  # the server mixes them up
    return {
        "jobId": called(job),
        "script": readable(job.request.script or "") if own else "",
        "standardInput": job.request.stdin or "/dev/null",
        "standardOutput": stdout,
        "standardError": stderr,
    }


def unreadable(job: Job) -> bool:
    """Whether the server loses count in the table that it reads this job's rows from."""
    return job.started is not None and any("|" in text for text in (job.name, job.request.directory or ""))


def _slurm_job(job: Job) -> Document:
    status = slurm_status(job)
    waiting = status.state == "PENDING"
    accounted = job.name != UNREGISTERED
    # Waiting jobs come from squeue, which knows no exit code; all others from accounting.
    codes: tuple[int | None, int | None] = (status.exit_code, status.signal)
    if waiting and accounted:
        codes = (None, None)
    limit = math.ceil(job.duration / 60) * 60
    return {
        "jobId": called(job),
        "name": job.name,
        "status": _status(status.state, status.reason if waiting and accounted else "None", *codes),
        "tasks": [] if job.started is None or waiting else [_task(job)],
        "time": _time(job, limit=limit, suspended=0, end=_seconds(job.ended)),
        "account": job.account,
        "allocationNodes": job.node_count if accounted and (waiting or job.started) else 0,
        "cluster": "" if waiting and accounted else "cluster",
        "group": group_name(os.getgid()) if accounted else "root",
        "nodes": _nodes(job, waiting),
        "partition": job.queue,
        "priority": 1,
        "killRequestUser": None,
        "user": job.user,
        "workingDirectory": job.request.directory or "",
    }


def _pbs_job(job: Job) -> Document:
    status = pbs_status(job)
    started = job.started is not None
    return {
        "jobId": str(job.id),
        "name": job.name,
        # Zero also while it runs.
        "status": _status(status.state, None, status.exit_status or 0, None),
        "tasks": None,
        "time": _time(job, limit=job.duration, suspended=None, end=None),
        "account": job.account,
        "allocationNodes": job.node_count,
        "cluster": "cluster",
        "group": None,
        "nodes": node_list(job.nodes) if started else "None assigned",
        "partition": job.queue,
        "priority": 0,
        "killRequestUser": None,
        "user": job.user,
        "workingDirectory": job.request.directory or "",
    }


def _task(job: Job) -> Document:
    status = slurm_status(job)
    state = status.state.partition(" ")[0]
    return {
        "id": f"{called(job)}.batch",
        "name": "batch",
        "status": _status(state, None, status.exit_code, status.signal),
        "time": _time(job, limit=None, suspended=0, end=_seconds(job.ended)),
    }


def _status(state: str, reason: str | None, code: int | None, signal: int | None) -> Document:
    return {"state": state, "stateReason": reason, "exitCode": code, "interruptSignal": signal}


def _time(job: Job, *, limit: int | None, suspended: int | None, end: int | None) -> Document:
    started = _seconds(job.started)
    elapsed = 0 if started is None else (_seconds(job.ended) or int(time.time())) - started
    return {
        "elapsed": max(0, elapsed),
        "start": started,
        "end": end,
        "suspended": suspended,
        "limit": limit,
    }


def _nodes(job: Job, waiting: bool) -> str:
    if job.started is None or waiting:
        return "" if waiting else "None assigned"
    return node_list(job.nodes)


def _seconds(moment: float | None) -> int | None:
    return None if moment is None else int(moment)
