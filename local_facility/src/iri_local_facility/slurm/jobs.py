"""Jobs as slurmctld knows them: those that wait or run, and for a while those that are over."""

from __future__ import annotations

import os
from typing import Any

from iri_local_facility.arrays import tasks_of
from iri_local_facility.batch import QOS, node_list
from iri_local_facility.dependencies import awaited
from iri_local_facility.jobs import Job
from iri_local_facility.launch import output_paths

from .submissions import comment_of
from .values import end_of, exit_code, moment, number
from .versions import Version


def job_document(version: Version, job: Job) -> dict[str, Any]:
    """A job."""
    end = end_of(version, job)
    document = {
        "job_id": job.id,
        "name": job.name,
        "account": job.account,
        "partition": job.queue,
        "qos": QOS,
        "cluster": "cluster",
        "user_id": os.getuid(),
        "user_name": job.user,
        "group_id": os.getgid(),
        "group_name": job.user,
        "comment": comment_of(job),
        "command": "",
        "batch_flag": True,
        "batch_host": job.nodes[0] if job.nodes else "",
        "nodes": node_list(job.nodes),
        "required_nodes": "",
        "excluded_nodes": "",
        "features": "",
        "dependency": awaited(job),
        "licenses": "",
        "resv_name": "",
        "requeue": True,
        "restart_cnt": job.restarts,
        "current_working_directory": job.request.directory or "",
        "job_state": end.words(version),
        "state_reason": end.reason,
        "state_description": "",
        "exit_code": exit_code(version, end.code, end.signal),
        "derived_exit_code": exit_code(version, 0, 0),
        "standard_input": job.request.stdin or "/dev/null",
        **_output(version, job),
        **_times(version, job),
        **_sizes(version, job),
        **_array(version, job),
    }
    return document if version.plain else document | {"hold": job.state == "held"}


def _output(version: Version, job: Job) -> dict[str, Any]:
    stdout, stderr = output_paths(job)
    if version.plain or job.array_rest:  # as they were given
        stdout, stderr = job.request.stdout or "", job.request.stderr or ""
    found = {"standard_output": stdout, "standard_error": stderr}
    if version.number >= 43:
        stdin = job.request.stdin or "/dev/null"
        found |= {"stdin_expanded": stdin, "stdout_expanded": stdout, "stderr_expanded": stderr}
    return found


def _times(version: Version, job: Job) -> dict[str, Any]:
    ended = job.ended
    if ended is None and job.started is not None:
        ended = job.started + job.duration  # when it will have to go
    return {
        "submit_time": moment(version, job.submitted),
        "eligible_time": moment(version, job.submitted),
        "start_time": moment(version, job.started),
        "end_time": moment(version, ended),
        "suspend_time": moment(version, None if version.plain else 0),
        "preempt_time": moment(version, None if version.plain else 0),
        "time_limit": number(version, job.duration / 60),
        "time_minimum": number(version, 0),
    }


def _sizes(version: Version, job: Job) -> dict[str, Any]:
    count, held = job.request.process_count, job.state == "held"
    plain = version.plain
    return {
        "cpus": number(version, count),
        "node_count": number(version, job.node_count),
        "tasks": number(version, count),
        "cpus_per_task": number(version, None if plain else 1),
        "priority": number(version, 0 if held else 1),
        "memory_per_cpu": number(version, None),
        "memory_per_node": number(version, None if plain else 0),
    }


def _array(version: Version, job: Job) -> dict[str, Any]:
    """Which part of an array it is; of a job that is none, the array's number is 0."""
    _, limit = tasks_of(job.request.array) if job.request.array else ([], None)
    return {
        "array_job_id": number(version, job.array_job or 0),
        "array_task_id": number(version, job.array_index),
        "array_max_tasks": number(version, limit or 0),
        "array_task_string": job.array_rest,
    }
