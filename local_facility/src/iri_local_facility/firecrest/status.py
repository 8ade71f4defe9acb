"""``/status``: the system, its nodes and queues, and who one is there."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from iri_local_facility.batch import FEATURE
from iri_local_facility.facility import Facility
from iri_local_facility.files import group_name

from .access import Asking, CurrentUser, file_systems
from .objects import TTL
from .transferjobs import directives

# What commands on the login node are given, in seconds.
COMMAND_TIMEOUT = 5
# Slurm keeps scripts for accounting from this release on, so that metadata outlives the job.
_VERSIONS = {"slurm": "24.05.4", "pbs": "23.06.06"}
_CPUS = 64
_MEMORY = 512 * 1024
_SECRET = "**********"


router = APIRouter(prefix="/status")


@router.get("/systems", operation_id="firecrestSystems")
async def systems(request: Request, user: CurrentUser) -> dict[str, Any]:
    """The one system, with its health and what transfers it has."""
    return {"systems": [_system(request.app.state.core)]}


@router.get("/liveness/", operation_id="firecrestLiveness")
async def liveness(request: Request) -> dict[str, Any]:
    """Whether the server lives; the only route without a token."""
    name = request.app.state.core.catalog.cluster.name
    return {"healthcheckRuns": {name: _moment(time.time())}, "lastUpdate": 0}


@router.get("/{system_name}/nodes", operation_id="firecrestNodes")
async def nodes(caller: Asking) -> dict[str, Any]:
    """The nodes."""
    core = caller.core
    taken = core.scheduler.jobs.nodes_in_use(core.scheduler.resource_id)
    return {"nodes": [_node(core, name, name in taken) for name in core.settings.node_names]}


@router.get("/{system_name}/partitions", operation_id="firecrestPartitions")
async def partitions(caller: Asking, show_hidden: bool = False) -> dict[str, Any]:
    """The queues."""
    # Their state is under a name that says nothing of it.
    found = [
        {
            "name": queue.name,
            "cpus": queue.max_nodes * _CPUS,
            "totalNodes": queue.max_nodes,
            "partition": "UP",
        }
        for queue in caller.core.settings.queues.values()
    ]
    return {"partitions": found}


@router.get("/{system_name}/reservations", operation_id="firecrestReservations")
async def reservations(caller: Asking) -> dict[str, Any]:
    """The reservations, of which a laptop has none."""
    return {"reservations": []}


@router.get("/{system_name}/userinfo", operation_id="firecrestUserinfo")
async def userinfo(caller: Asking) -> dict[str, Any]:
    """Who the user is on the system, and what they may charge."""
    group = {"id": str(os.getgid()), "name": group_name(os.getgid())}
    projects = caller.user.projects
    accounts = [{"name": name, "default": name == projects[0]} for name in projects]
    return {
        "user": {"id": str(os.getuid()), "name": caller.user.name},
        "group": group,
        "groups": [group],
        "accounts": accounts if caller.core.settings.firecrest_scheduler == "slurm" else None,
    }


def _system(core: Facility) -> dict[str, Any]:
    scheduler = core.settings.firecrest_scheduler
    timeouts = {
        "connection": 5,
        "login": 5,
        "commandExecution": COMMAND_TIMEOUT,
        "idleTimeout": 60,
        "keepAlive": 5,
    }
    return {
        "name": core.catalog.cluster.name,
        "ssh": {
            "host": "127.0.0.1",
            "port": 22,
            "proxyHost": None,
            "proxyPort": None,
            "maxClients": 100,
            "timeout": timeouts,
        },
        "scheduler": {
            "type": scheduler,
            "connectionMode": "ssh",
            "version": _VERSIONS[scheduler],
            "apiUrl": None,
            "apiVersion": None,
            "timeout": 10,
        },
        "servicesHealth": _health(core),
        "probing": {"services": {"ssh": {}, "scheduler": {}, "filesystem": {}}, "intervalCheck": 120},
        "lastHealthCheck": _moment(time.time()),
        "fileSystems": _file_systems(core),
        "dataOperation": _data_operation(core),
    }


def _file_systems(core: Facility) -> list[dict[str, Any]]:
    kinds = ("users", "scratch", "store")
    return [
        {"path": path, "dataType": kind, "defaultWorkDir": kind == "users"}
        for path, kind in zip(file_systems(core), kinds, strict=False)
    ]


def _data_operation(core: Facility) -> dict[str, Any]:
    # Half of the names are in snake_case here, and only here.
    transfer = None
    if core.settings.s3 is not None:
        url, _, region = core.settings.s3
        transfer = {
            "serviceType": "s3",
            "name": "objects",
            "privateUrl": _SECRET,
            "publicUrl": url,
            "accessKeyId": _SECRET,
            "secretAccessKey": _SECRET,
            "region": region,
            "ttl": TTL,
            "tenant": None,
            "multipart": {
                "use_split": False,
                "max_part_size": core.settings.firecrest_part_size,
                "parallel_runs": 3,
                "tmp_folder": "tmp",
            },
            "bucketLifecycleConfiguration": {"days": 10},
        }
    return {
        "datatransfer_jobs_directives": directives(core.settings),
        "max_ops_file_size": core.settings.size_limit,
        "data_transfer": transfer,
    }


def _health(core: Facility) -> list[dict[str, Any]]:
    """What probes have found: the status that the facility's resources show."""

    def probed(service: str, healthy: bool, **more: Any) -> dict[str, Any]:
        return {
            "serviceType": service,
            "lastChecked": _moment(time.time()),
            "latency": 0.01,
            "healthy": healthy,
            "message": None if healthy else "the service is down",
            **more,
        }

    cluster_up, files_up = (
        core.catalog.resource_state(resource)[0] != "down"
        for resource in (core.catalog.cluster, core.catalog.scratch)
    )
    found = [probed("scheduler", cluster_up), probed("ssh", cluster_up)]
    return found + [probed("filesystem", files_up, path=path) for path in file_systems(core)]


def _node(core: Facility, name: str, taken: bool) -> dict[str, Any]:
    used = _CPUS if taken else 0
    # As the server has it: sockets, cores and threads repeat the first of them, all memory is in use.
    return {
        "name": name,
        "state": ["ALLOCATED" if taken else "IDLE"],
        "cpus": _CPUS,
        "allocCpus": used,
        "idleCpus": _CPUS - used,
        "cpuLoad": 0.0,
        "freeMemory": _MEMORY,
        "allocMemory": _MEMORY,
        "sockets": 2,
        "cores": 2,
        "threads": 2,
        "features": FEATURE,
        "partitions": list(core.settings.queues),
        "weight": 1,
        "address": name,
        "hostname": name,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
