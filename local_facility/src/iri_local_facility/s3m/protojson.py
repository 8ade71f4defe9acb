"""Slurm's documents as they come through gRPC: fewer fields, and whole numbers of 64 bits as strings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

_JOB = """
    account array_job_id array_task_id batch_host command comment cpus current_working_directory
    dependency derived_exit_code eligible_time end_time exit_code hold job_id job_resources job_state
    name node_count nodes partition priority qos requeue restart_cnt resv_name standard_error
    standard_input standard_output start_time state_description state_reason submit_time suspend_time
    tasks time_limit user_id user_name
"""
_RECORD = """
    account allocation_nodes array cluster comment derived_exit_code exit_code flags group hold job_id
    kill_request_user name nodes partition priority qos required state stderr stderr_expanded stdin
    stdin_expanded stdout stdout_expanded steps submit_line time user working_directory
"""
_LONG_ONES = """
    boot_time eligible_time end end_time last_backfill last_update latency memory_per_cpu memory_per_node
    planned req_time req_time_start slurmd_start_time start start_time submit_time suspend_time
"""
# slurmctld's view of a job, and what slurmdbd has recorded of one.
JOB = frozenset(_JOB.split())
RECORD = frozenset(_RECORD.split())
_LONG = frozenset(_LONG_ONES.split())
_TIMES = frozenset({"elapsed", "end", "planned", "start", "suspended"})


def chosen(document: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """A job's document with these fields only."""
    found = {name: value for name, value in document.items() if name in names}
    if names is RECORD:
        found["time"] = {name: value for name, value in document["time"].items() if name in _TIMES}
    return found


def written(value: Any, name: str = "") -> Any:
    """A document as the gateway writes it."""
    if isinstance(value, dict):
        if value.keys() == {"set", "infinite", "number"}:
            number = {"set": value["set"], "number": written(value["number"], name)}
            return number | {"infinite": True} if value["infinite"] else number
        return {key: written(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [written(each) for each in value]
    if name in _LONG and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value
