"""Looking into the facility, and upsetting it on purpose: for tests and demos, from this machine only.

No token is ever handed out here: other people on the machine can reach loopback as well.
"""

from __future__ import annotations

import ipaddress
from dataclasses import asdict
from typing import Any, Literal

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from .batch import readable
from .errors import Missing, Rejected
from .facility import Facility
from .globus.collections import Collection
from .globus.computetable import Endpoint
from .launch import output_paths
from .orders import Order
from .s3m.streaming import ever

PREFIX = "/_facility"
_LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}

StatusName = Literal["up", "down", "degraded", "unknown"]


class _Incident(BaseModel):
    model_config = ConfigDict(extra="forbid")
    resource: str = "cluster"
    status: StatusName = "down"
    type: Literal["planned", "unplanned", "reservation"] = "unplanned"
    name: str = "Outage"
    description: str = ""
    resolution: Literal["unresolved", "cancelled", "completed", "extended", "pending"] = "unresolved"


class _Resolution(BaseModel):
    model_config = ConfigDict(extra="forbid")
    status: StatusName = "up"
    resolution: Literal["cancelled", "completed"] = "completed"


class _Revocation(BaseModel):
    token: str


def _only_local(request: Request) -> None:
    """Loopback clients that also call us by a loopback name, so that no web page can rebind its way in."""
    client = request.client
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    if client is None or not ipaddress.ip_address(client.host).is_loopback or host not in _LOCAL_NAMES:
        raise HTTPException(403, "only from this machine")


def make_app(facility: Facility) -> FastAPI:
    """The application behind ``/_facility``."""
    app = FastAPI(title="Control of a local facility", openapi_url=None, dependencies=[Depends(_only_local)])

    @app.exception_handler(Missing)
    async def _missing(request: Request, problem: Missing) -> JSONResponse:
        return JSONResponse({"detail": str(problem)}, 404)

    @app.exception_handler(Rejected)
    async def _rejected(request: Request, problem: Rejected) -> JSONResponse:
        return JSONResponse({"detail": str(problem)}, 400)

    @app.get(f"{PREFIX}/requests")
    async def requests(operation: str | None = None) -> list[dict[str, Any]]:
        return facility.log.records(operation)

    @app.delete(f"{PREFIX}/requests", status_code=204)
    async def reset_requests() -> None:
        facility.log.reset()

    @app.get(f"{PREFIX}/summary")
    async def summary() -> dict[str, dict[str, int]]:
        return facility.log.summary()

    @app.get(f"{PREFIX}/jobs")
    async def jobs() -> list[dict[str, Any]]:
        attempts = facility.scheduler.jobs.attempts()
        jobs = facility.scheduler.jobs.where("1 ORDER BY id")
        return [{**_what_ran(job), "attempts": attempts.get(job.id, [])} for job in jobs]

    @app.post(f"{PREFIX}/incidents", status_code=201)
    async def declare(incident: _Incident) -> dict[str, Any]:
        return facility.catalog.declare(**incident.model_dump())

    @app.post(f"{PREFIX}/incidents/{{incident_id}}/resolve")
    async def resolve(incident_id: str, resolution: _Resolution) -> dict[str, Any]:
        return facility.catalog.resolve(incident_id, **resolution.model_dump())

    @app.get(f"{PREFIX}/faults")
    async def faults() -> list[dict[str, Any]]:
        return [fault.describe() for fault in facility.faults]

    @app.post(f"{PREFIX}/faults", status_code=201)
    async def place(order: Order) -> dict[str, Any]:
        return facility.faults.place(order).describe()

    @app.delete(f"{PREFIX}/faults", status_code=204)
    async def clear_faults() -> None:
        facility.faults.clear()

    @app.delete(f"{PREFIX}/faults/{{fault_id}}", status_code=204)
    async def clear_fault(fault_id: str) -> None:
        facility.faults.clear(fault_id)

    @app.get(f"{PREFIX}/collections")
    async def collections() -> list[dict[str, Any]]:
        return [asdict(collection) for collection in facility.globus.collections.all()]

    @app.post(f"{PREFIX}/collections", status_code=201)
    async def add_collection(collection: Collection) -> dict[str, Any]:
        return asdict(facility.globus.collections.add(collection))

    @app.get(f"{PREFIX}/transfers")
    async def transfers() -> list[dict[str, Any]]:
        return [asdict(task) for task in reversed(facility.globus.tasks.all())]

    @app.get(f"{PREFIX}/runs")
    async def runs() -> list[dict[str, Any]]:
        return [asdict(run) for run in reversed(facility.globus.runs.all())]

    @app.get(f"{PREFIX}/endpoints")
    async def endpoints() -> list[dict[str, Any]]:
        return [asdict(endpoint) for endpoint in facility.globus.compute.endpoints()]

    @app.post(f"{PREFIX}/endpoints", status_code=201)
    async def put_endpoint(endpoint: Endpoint) -> dict[str, Any]:
        return asdict(facility.globus.compute.put(endpoint))

    @app.get(f"{PREFIX}/calls")
    async def calls() -> list[dict[str, Any]]:
        return [asdict(call) for call in facility.globus.compute.calls()]

    @app.delete(f"{PREFIX}/calls/results", status_code=204)
    async def drop_results() -> None:
        facility.globus.compute.drop()

    @app.get(f"{PREFIX}/paths")
    async def paths() -> list[dict[str, Any]]:
        return list(facility.sense.describe())

    @app.get(f"{PREFIX}/reservations")
    async def reservations() -> list[dict[str, Any]]:
        return facility.scheduler.reservations.ever()

    @app.get(f"{PREFIX}/clusters")
    async def clusters() -> list[dict[str, Any]]:
        return ever(facility)

    @app.post(f"{PREFIX}/tokens/revoke")
    async def revoke(revocation: _Revocation) -> dict[str, bool]:
        return {"revoked": facility.accounts.revoke(revocation.token)}

    return app


def _what_ran(job: Any) -> dict[str, Any]:
    record = asdict(job)
    del record["document"]
    record["request"]["script"] = readable(job.request.script or "") or None
    stdout, stderr = output_paths(job)
    return {**record, "id": str(job.id), "stdout_path": stdout, "stderr_path": stderr}
