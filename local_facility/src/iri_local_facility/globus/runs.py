"""Globus Flows: the runs of flows, watched, cancelled and released."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request

from iri_local_facility.accounts import Bearer
from iri_local_facility.facility import Facility

from .flows import allowed
from .refusals import FLOWS_PREFIX, Refusal
from .rundocuments import run_document
from .runtable import OVER, Run
from .tasks import moment

_PAGE = 20


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=FLOWS_PREFIX)
    _add_looks(router, core)
    _add_ends(router, core)
    return router


def _add_looks(router: APIRouter, core: Facility) -> None:
    runs = core.globus.runs

    @router.get("/runs", operation_id="globusListRuns")
    async def list_runs(
        request: Request,
        filter_flow_id: str = "",
        filter_label: str = "",
        filter_status: str = "",
        filter_roles: str = "run_owner",
        marker: str = "0",
    ) -> dict[str, Any]:
        said = allowed(core, request, "run_status", "run_manage")
        found = [
            run
            for run in runs.all()
            if run.user == said.user.name
            and not run.released
            and _is_in(run.flow, filter_flow_id)
            and _is_in(run.status, filter_status)
            and filter_label.lower() in (run.label or "").lower()
            and _is_in("run_owner", filter_roles)
        ]
        begin = _number(marker)
        page = [run_document(core, run) for run in found[begin : begin + _PAGE]]
        return {"runs": page, "limit": _PAGE, **_more(begin + _PAGE, len(found))}

    @router.get("/runs/{run_id}", operation_id="globusGetRun")
    async def get_run(request: Request, run_id: str) -> dict[str, Any]:
        return run_document(core, _mine(core, allowed(core, request, "run_status", "run_manage"), run_id))

    @router.get("/runs/{run_id}/definition", operation_id="globusGetRunDefinition")
    async def get_run_definition(request: Request, run_id: str) -> dict[str, Any]:
        run = _mine(core, allowed(core, request, "run_status", "run_manage"), run_id)
        flow = core.globus.flows.get(run.flow)
        names = ("definition", "input_schema")
        return {"flow_id": flow.id, **{name: flow.document[name] for name in names}}

    @router.get("/runs/{run_id}/log", operation_id="globusGetRunLog")
    async def get_run_log(
        request: Request,
        run_id: str,
        limit: Annotated[int, Query(ge=1, le=100)] = 10,
        reverse_order: bool = False,
        marker: str = "0",
    ) -> dict[str, Any]:
        run = _mine(core, allowed(core, request, "run_status", "run_manage"), run_id)
        rows = runs.log(run.id)[:: -1 if reverse_order else 1]
        begin = _number(marker)
        entries = [
            {
                "time": moment(row["time"]),
                "code": row["code"],
                "description": row["description"],
                "details": json.loads(row["details"]),
            }
            for row in rows[begin : begin + limit]
        ]
        return {"entries": entries, "limit": limit, **_more(begin + limit, len(rows))}


def _add_ends(router: APIRouter, core: Facility) -> None:
    @router.post("/runs/{run_id}/cancel", operation_id="globusCancelRun")
    async def cancel_run(request: Request, run_id: str) -> dict[str, Any]:
        run = _mine(core, allowed(core, request, "run_manage"), run_id)
        return run_document(core, core.globus.runner.cancel(run))

    @router.post("/runs/{run_id}/release", operation_id="globusReleaseRun")
    async def release_run(request: Request, run_id: str) -> dict[str, Any]:
        run = _mine(core, allowed(core, request, "run_manage"), run_id)
        if not run.finished:
            wanted = ", ".join(f"'{each}'" for each in OVER)
            words = f"Run {run_id} has status '{run.status}' but must have status in {{{wanted}}}"
            raise Refusal(409, "STATE_CONFLICT", f"{words} for requested operation")
        core.globus.runs.release(run)
        return run_document(core, run)


def _mine(core: Facility, said: Bearer, run_id: str) -> Run:
    run = core.globus.runs.get(run_id)
    if run.user != said.user.name:
        raise Refusal(404, "NOT_FOUND", f"No run exists with id value {run_id}")
    return run


def _is_in(value: str, wanted: str) -> bool:
    return not wanted or value in wanted.split(",")


def _number(marker: str) -> int:
    if not marker.isdecimal():
        raise Refusal(400, "BAD_REQUEST", "marker: is none of this service")
    return int(marker)


def _more(end: int, total: int) -> dict[str, Any]:
    more = end < total
    return {"has_next_page": more, "marker": str(end) if more else None}
