"""Jobs as slurmdbd keeps them, for as long as there is a facility."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from iri_local_facility.batch import QOS, node_list
from iri_local_facility.jobs import Job
from iri_local_facility.launch import output_paths

from .replies import Refusal
from .submissions import comment_of
from .values import End, end_of, exit_code, listed, number
from .versions import VERSIONS, Version


def record(version: Version, job: Job) -> dict[str, Any]:
    """A job."""
    end = end_of(version, job)
    nodes = job.node_count if job.started is not None else 0
    document = {
        "job_id": job.id,
        "name": job.name,
        "account": job.account,
        "cluster": "cluster",
        "partition": job.queue,
        "qos": QOS,
        "user": job.user,
        "group": job.user,
        "nodes": node_list(job.nodes) or "None assigned",
        "allocation_nodes": str(nodes) if version.plain else nodes,
        "constraints": "",
        "kill_request_user": job.user if end.state == "CANCELLED" else "",
        "working_directory": job.request.directory or "",
        "flags": ["STARTED_ON_SCHEDULE"] if job.started is not None else ["CLEAR_SCHEDULING"],
        "state": {"current": listed(version, end.state), "reason": end.reason},
        "exit_code": _exit(version, end),
        "derived_exit_code": _exit(version, end, derived=True),
        "time": _times(version, job),
        "association": {
            "account": job.account,
            "cluster": "cluster",
            "partition": "" if not version.plain else None,
            "user": job.user,
        },
        "array": {
            "job_id": job.array_job or 0,
            "limits": {"max": {"running": {"tasks": 0}}},
            "task_id": number(version, job.array_index),
            "task": job.array_rest or (None if version.plain else ""),
        },
        "priority": number(version, 1),
        "required": _required(version, job),
        "steps": [_batch_step(version, job, end)] if job.started is not None else [],
    }
    if version.plain:
        return document
    document["comment"] = {"administrator": "", "job": comment_of(job), "system": ""}
    document["submit_line"] = ""
    document["hold"] = job.state == "held"
    return document | _files(version, job)


def _files(version: Version, job: Job) -> dict[str, Any]:
    if version.number < 41:
        return {}
    stdin = job.request.stdin or "/dev/null"
    stdout, stderr = output_paths(job)
    return {
        "stdin": stdin,
        "stdout": job.request.stdout or stdout,
        "stderr": job.request.stderr or "",
        "stdin_expanded": stdin,
        "stdout_expanded": stdout,
        "stderr_expanded": stderr,
    }


def _exit(version: Version, end: End, *, derived: bool = False) -> Any:
    if version.plain:
        # 22.05 says so of every job, whatever sacct tells of it.
        return {"status": "SUCCESS", "return_code": 0}
    return exit_code(version, 0, 0) if derived else exit_code(version, end.code, end.signal)


def _times(version: Version, job: Job) -> dict[str, Any]:
    used = {"seconds": 0, "microseconds": 0}
    return {
        "elapsed": _elapsed(job),
        "eligible": int(job.submitted),
        "end": int(job.ended or 0),
        "start": int(job.started or 0),
        "submission": int(job.submitted),
        "suspended": 0,
        "limit": number(version, job.duration / 60),
        "system": dict(used),
        "total": dict(used),
        "user": dict(used),
    }


def _elapsed(job: Job) -> int:
    return int((job.ended or time.time()) - job.started) if job.started is not None else 0


def _required(version: Version, job: Job) -> dict[str, Any]:
    if version.plain:
        return {"CPUs": job.request.process_count, "memory": 0}
    return {
        "CPUs": job.request.process_count,
        "memory_per_cpu": number(version, None),
        "memory_per_node": number(version, 0),
    }


def _batch_step(version: Version, job: Job, end: End) -> dict[str, Any]:
    timed = {"elapsed": _elapsed(job), "suspended": 0}
    if version.plain:
        timed |= {"start": int(job.started or 0), "end": int(job.ended or 0)}
        step: dict[str, Any] = {"job_id": job.id, "id": "batch", "name": "batch"}
        nodes: dict[str, Any] = {"count": 1, "range": job.nodes[0]}
    else:
        timed |= {"start": number(version, job.started), "end": number(version, job.ended)}
        step = {"id": f"{job.id}.batch", "name": "batch"}
        nodes = {"count": 1, "range": job.nodes[0], "list": job.nodes[:1]}
    return {
        "step": step,
        "state": listed(version, end.state),
        "exit_code": _exit(version, end),
        "time": timed,
        "nodes": nodes,
        "tasks": {"count": 1},
        "kill_request_user": None if version.plain else "",
    }


_ANY = VERSIONS["v0.0.44"]  # states are the same in all of them
_Filter = Callable[[Job, str], bool]
_FILTERS: Mapping[str, _Filter] = {
    "account": lambda job, text: job.account in text.split(","),
    "users": lambda job, text: job.user in text.split(","),
    "partition": lambda job, text: job.queue in text.split(","),
    "job_name": lambda job, text: job.name in text.split(","),
    "state": lambda job, text: end_of(_ANY, job).state in text.upper().split(","),
    "start_time": lambda job, text: (job.ended or time.time()) >= moment_of(text),
    "end_time": lambda job, text: job.submitted <= moment_of(text),
    "skip_steps": lambda job, text: True,  # there is one step, the batch script
}


def filtered(jobs: list[Job], query: Mapping[str, str]) -> list[Job]:
    """The jobs that a query asks for.

    Raises:
        Refusal: It asks in words that are not understood.
    """
    if unknown := query.keys() - _FILTERS.keys():
        raise Refusal(9000, f"Unknown Query field {min(unknown)}", "_foreach_query_search", status=500)
    return [job for job in jobs if all(_FILTERS[name](job, text) for name, text in query.items())]


_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_RELATIVE = re.compile(r"now(?:([+-])(\d+)(second|minute|hour|day|week)?s?)?")


def moment_of(text: str) -> float:
    """A time as Slurm's commands take it: ``now-1hour``, seconds of the epoch, an ISO date.

    Raises:
        Refusal: It is none.
    """
    if (relative := _RELATIVE.fullmatch(text)) is not None:
        sign, count, unit = relative.groups()
        seconds = int(count or 0) * _UNITS[unit or "second"]
        return time.time() + (-seconds if sign == "-" else seconds)
    digits = text.removeprefix("uts")
    if digits.isdecimal() and len(digits) < 12:
        return float(digits)
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Refusal(9000, f"Unable to parse time {text}", "parse_time", status=500) from None
