"""A FirecREST whose replies are prepared: by the end of the URL's path, each again and again."""

from __future__ import annotations

import copy
import json
from typing import Any

from iri_common.apis.firecrest import RULES, FirecrestDialect
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.ports import WireReply
from iri_common.policy.retry import Limits

SYSTEM = {
    "name": "alps",
    "ssh": {"host": "ela", "port": 22},
    "scheduler": {"type": "slurm", "connectionMode": "ssh", "version": "24.05.4"},
    "servicesHealth": [
        {"serviceType": "scheduler", "healthy": True, "lastChecked": "2026-11-22T15:11:46Z", "latency": 0.1},
        {"serviceType": "ssh", "healthy": True},
        {"serviceType": "filesystem", "healthy": True, "path": "/users"},
    ],
    "fileSystems": [
        {"path": "/scratch", "dataType": "scratch", "defaultWorkDir": True},
        {"path": "/users", "dataType": "users", "defaultWorkDir": False},
    ],
    "dataOperation": {
        "max_ops_file_size": 5242880,
        "datatransfer_jobs_directives": ["#SBATCH --partition=xfer", "#SBATCH --account={account}"],
        "data_transfer": {"serviceType": "s3", "publicUrl": "https://store", "ttl": 604800},
    },
}
USERINFO = {
    "user": {"id": "1001", "name": "ana"},
    "group": {"id": "1001", "name": "ana"},
    "groups": [],
    "accounts": [{"name": "csc01", "default": False}, {"name": "csc02", "default": True}],
}
TRANSFER_JOB = {
    "jobId": "70",
    "system": "alps",
    "workingDirectory": "/scratch/ana",
    "logs": {"outputLog": "/scratch/ana/.job.log", "errorLog": "/scratch/ana/.job_error.log"},
}


def system(**changes: Any) -> dict[str, Any]:
    """The system, a few things about it changed: ``scheduler={"type": "pbs"}``."""
    made = copy.deepcopy(SYSTEM)
    for name, change in changes.items():
        made[name] = {**made[name], **change} if isinstance(change, dict) else change
    return made


def ok(value: object, status: int = 200) -> WireReply:
    return WireReply(status, {"content-type": "application/json"}, json.dumps(value).encode())


def error(status: int, message: str, **fields: object) -> WireReply:
    """An error as FirecREST words it."""
    document = {"errorType": "error", "message": message, "causedBy": None, "data": None, "user": "ana"}
    return ok({**document, **fields}, status)


def raw(content: bytes, kind: str = "application/octet-stream", status: int = 200) -> WireReply:
    return WireReply(status, {"content-type": kind}, content)


class Wire:
    """Answers by the end of a path; several replies of one end are given in turn, the last one for ever.

    Args:
        about: The system.
        replies: By the end of the path.
    """

    def __init__(self, replies: dict[str, Any] | None = None, about: dict[str, Any] | None = None) -> None:
        self.requests: list[Any] = []
        self.replies = {
            "/status/systems": ok({"systems": [SYSTEM if about is None else about]}),
            "/userinfo": ok(USERINFO),
            **(replies or {}),
        }

    async def send(self, request: Any) -> WireReply:
        self.requests.append(request)
        found = next(reply for end, reply in self.replies.items() if request.url.endswith(end))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None: ...

    def asked(self, end: str) -> list[Any]:
        return [each for each in self.requests if each.url.endswith(end)]


def dialect(wire: Any, user: str | None = None, attempts: int = 2, links: Any = None) -> FirecrestDialect:
    session = Session(
        "http://door.example/f7t",
        wire,
        None,
        Budget(per_second=1e9),
        rules=RULES,
        label="door",
        limits=Limits(attempts=attempts, first_delay=0.0),
        links=links,
    )
    return FirecrestDialect(session, user)


def door(replies: dict[str, Any] | None = None, **words: Any) -> FirecrestDialect:
    return dialect(Wire(replies, words.pop("about", None)), **words)


def job(job_id: object = "7", state: str = "RUNNING", **fields: Any) -> dict[str, Any]:
    """A row of the list."""
    status = {"state": state, "stateReason": "None", "exitCode": 0, "interruptSignal": 0}
    time = {"elapsed": 1, "start": 1000, "end": None, "suspended": 0, "limit": 60}
    row = {"jobId": job_id, "name": "n", "status": status, "time": time, "workingDirectory": "/users/ana"}
    row["status"] = {**status, **fields.pop("status", {})}
    row["time"] = {**time, **fields.pop("time", {})}
    return {**row, **fields}


def jobs(*rows: dict[str, Any]) -> WireReply:
    return ok({"jobs": list(rows)})
