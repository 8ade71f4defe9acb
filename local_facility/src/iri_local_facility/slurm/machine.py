"""Partitions, nodes and the daemons themselves."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections import Counter
from typing import Any

from iri_local_facility.batch import FEATURE, node_list
from iri_local_facility.facility import Facility
from iri_local_facility.settings import Queue

from .values import listed, moment, number, unlimited
from .versions import Version


def ping(core: Facility, version: Version) -> dict[str, Any]:
    """The one controller."""
    host = socket.gethostname()
    if version.plain:
        return {"hostname": host, "ping": "UP", "status": 0, "mode": "primary"}
    said: dict[str, Any] = {"hostname": host, "pinged": "UP", "latency": 123, "mode": "primary"}
    return said | {"responding": True, "primary": True} if version.number >= 42 else said


def partitions(core: Facility, version: Version) -> list[dict[str, Any]]:
    """The queues."""
    down = core.catalog.resource_state(core.catalog.cluster)[0] == "down"
    write = _plain_partition if version.plain else _partition
    return [
        write(core, version, queue, default=name == "regular", state="DOWN" if down else "UP")
        for name, queue in core.settings.queues.items()
    ]


def _plain_partition(
    core: Facility, version: Version, queue: Queue, *, default: bool, state: str
) -> dict[str, Any]:
    nodes = core.settings.node_names
    return {
        "flags": ["default"] if default else [],
        "preemption_mode": ["disabled"],
        "allowed_accounts": "",
        "default_time_limit": core.settings.default_duration // 60,
        "max_time_limit": queue.max_duration // 60,
        "maximum_nodes_per_job": queue.max_nodes,
        "min nodes per job": 0,  # with the blanks: the daemon writes it so
        "name": queue.name,
        "nodes": node_list(nodes),
        "priority_job_factor": 1,
        "priority_tier": 1,
        "qos": "",
        "state": state,
        "total_cpus": len(nodes) * _cpus(),
        "total_nodes": len(nodes),
        "tres": _tres(len(nodes)),
    }


def _partition(
    core: Facility, version: Version, queue: Queue, *, default: bool, state: str
) -> dict[str, Any]:
    nodes = core.settings.node_names
    return {
        "name": queue.name,
        "cluster": "cluster",
        "nodes": {"allowed_allocation": "", "configured": node_list(nodes), "total": len(nodes)},
        "accounts": {"allowed": "", "deny": ""},
        "groups": {"allowed": ""},
        "qos": {"allowed": "", "deny": "", "assigned": ""},
        "cpus": {"task_binding": 0, "total": len(nodes) * _cpus()},
        "defaults": {"time": number(version, core.settings.default_duration // 60), "job": ""},
        "maximums": {
            "nodes": number(version, queue.max_nodes),
            "time": number(version, queue.max_duration // 60),
            "cpus_per_node": unlimited(version),
        },
        "minimums": {"nodes": 0},
        "priority": {"job_factor": 1, "tier": 1},
        "partition": {"state": [state]},
        "tres": {"billing_weights": "", "configured": _tres(len(nodes))},
    }


def nodes(core: Facility, version: Version) -> list[dict[str, Any]]:
    """The nodes."""
    busy = core.scheduler.jobs.nodes_in_use(core.scheduler.resource_id)
    down = core.catalog.resource_state(core.catalog.cluster)[0] == "down"
    return [
        _node(core, version, name, "DOWN" if down else "ALLOCATED" if name in busy else "IDLE")
        for name in core.settings.node_names
    ]


def _node(core: Facility, version: Version, name: str, state: str) -> dict[str, Any]:
    taken = _cpus() if state == "ALLOCATED" else 0
    document: dict[str, Any] = {
        "name": name,
        "hostname": name,
        "address": "127.0.0.1",
        "architecture": platform.machine(),
        "operating_system": f"{platform.system()} {platform.release()}",
        "cpus": _cpus(),
        "cores": _cpus(),
        "sockets": 1,
        "threads": 1,
        "boards": 1,
        "real_memory": 1024,
        "alloc_cpus": taken,
        "alloc_memory": 0,
        "boot_time": moment(version, core.catalog.opened),
        "slurmd_start_time": moment(version, core.catalog.opened),
        "gres": "",
        "partitions": list(core.settings.queues),
        "reason": "",
        "tres": f"cpu={_cpus()},mem=1G,billing={_cpus()}",
        "weight": 1,
    }
    if version.plain:
        features = {"features": FEATURE, "active_features": FEATURE}
        words = {"state": state.lower(), "state_flags": [], "slurmd_version": version.release}
        return document | features | words | {"idle_cpus": _cpus() - taken}
    lists = {"features": [FEATURE], "active_features": [FEATURE], "state": listed(version, state)}
    return document | lists | {"version": version.release, "alloc_idle_cpus": _cpus() - taken}


def statistics(core: Facility, version: Version) -> dict[str, Any]:
    """What the controller has counted."""
    jobs = core.scheduler.jobs.where("resource_id = ?", core.scheduler.resource_id)
    states = Counter(job.state for job in jobs)
    waiting = states["new"] + states["queued"] + states["held"]
    return {
        "req_time": moment(version, time.time()),
        "req_time_start": moment(version, core.catalog.opened),
        "server_thread_count": 1,
        "agent_queue_size": 0,
        "schedule_queue_length": waiting,
        "jobs_submitted": len(jobs),
        "jobs_started": sum(job.started is not None for job in jobs),
        "jobs_completed": states["completed"],
        "jobs_canceled": states["canceled"],
        "jobs_failed": states["failed"],
        "jobs_pending": waiting,
        "jobs_running": states["active"],
    }


def _cpus() -> int:
    return os.cpu_count() or 1


def _tres(count: int) -> str:
    return f"cpu={count * _cpus()},mem={count}G,node={count},billing={count * _cpus()}"
