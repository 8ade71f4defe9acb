"""Globus Compute: endpoints, functions, tasks."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.requests import Request

from iri_local_facility.facility import Facility

from .computetable import Call, Endpoint
from .refusals import COMPUTE_PREFIX, Refusal
from .scopes import COMPUTE
from .tasks import moment
from .tokens import bearer

Document = Annotated[dict[str, Any], Body()]


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=COMPUTE_PREFIX)
    _add_endpoints(router, core)
    _add_functions(router, core)
    _add_submit(router, core)
    _add_looks(router, core)
    return router


def _user(core: Facility, request: Request) -> str:
    return bearer(core, request, COMPUTE).user.name


def _add_endpoints(router: APIRouter, core: Facility) -> None:
    table = core.globus.compute

    @router.get("/v2/version", operation_id="globusComputeVersion")
    async def version(service: str = "") -> Any:
        known = {"api": "1.30.0", "min_sdk_version": "1.0.0a6", "min_ep_version": "1.0.0a0"}
        return known if service == "all" else known["api"]

    @router.get("/v2/endpoints", operation_id="globusListEndpoints")
    async def endpoints(request: Request, role: str = "owner") -> list[dict[str, Any]]:
        user = _user(core, request)
        mine = [each for each in table.endpoints() if each.owner == user or role == "any"]
        return [_endpoint_document(core, each) for each in mine]

    @router.get("/v2/endpoints/{endpoint_id}", operation_id="globusGetComputeEndpoint")
    async def endpoint(request: Request, endpoint_id: str) -> dict[str, Any]:
        _user(core, request)
        return _endpoint_document(core, table.endpoint(endpoint_id))

    @router.get("/v2/endpoints/{endpoint_id}/status", operation_id="globusGetEndpointStatus")
    async def status(request: Request, endpoint_id: str) -> dict[str, Any]:
        _user(core, request)
        waiting = [call for call in table.under_way() if call.endpoint == endpoint_id]
        running = sum(call.status == "running" for call in waiting)
        details = {"total_workers": 4, "idle_workers": 4 - running, "pending_tasks": len(waiting) - running}
        online = table.endpoint(endpoint_id).online
        return {"status": "online" if online else "offline", "details": details if online else {}}

    @router.get("/v3/endpoints/{endpoint_id}/allowed_functions", operation_id="globusGetAllowedFunctions")
    async def allowed(request: Request, endpoint_id: str) -> dict[str, Any]:
        _user(core, request)
        found = table.endpoint(endpoint_id).allowed_functions
        return {"endpoint_id": endpoint_id, "restricted": bool(found), "functions": found}


def _add_functions(router: APIRouter, core: Facility) -> None:
    table = core.globus.compute

    async def register(request: Request, document: Document) -> dict[str, Any]:
        user = _user(core, request)
        if not all(isinstance(document.get(name), str) for name in ("function_name", "function_code")):
            raise Refusal(422, "REQUEST_MALFORMED", "function_name and function_code are texts")
        return {"function_uuid": table.register(user, document).id}

    for version in ("v2", "v3"):
        operation = "globusRegisterFunction" + ("" if version == "v3" else "V2")
        router.add_api_route(f"/{version}/functions", register, methods=["POST"], operation_id=operation)

    @router.get("/v2/functions/{function_id}", operation_id="globusGetFunction")
    async def function(request: Request, function_id: str) -> dict[str, Any]:
        _user(core, request)
        found = table.function(function_id)
        metadata = found.document.get("meta") or {}
        return {"function_uuid": found.id, **found.document, "metadata": metadata}

    @router.delete("/v2/functions/{function_id}", operation_id="globusDeleteFunction")
    async def delete(request: Request, function_id: str) -> dict[str, Any]:
        if table.function(function_id).owner != _user(core, request):
            raise Refusal(403, "FUNCTION_ACCESS_FORBIDDEN", f"Function {function_id} is somebody else's")
        table.forget(function_id)
        return {"result": 302}


def _add_submit(router: APIRouter, core: Facility) -> None:
    @router.post("/v3/endpoints/{endpoint_id}/submit", operation_id="globusSubmitBatch")
    async def submit(request: Request, endpoint_id: str, document: Document) -> dict[str, Any]:
        user = _user(core, request)
        asked = document.get("tasks")
        if not isinstance(asked, dict) or not asked or not all(isinstance(e, list) for e in asked.values()):
            raise Refusal(422, "REQUEST_MALFORMED", "tasks maps ids of functions to lists of payloads")
        group = _group(core, user, document.get("task_group_id"))
        pairs = [(function, each) for function, payloads in asked.items() for each in payloads]
        how = document.get("result_serializers") or []
        calls = core.globus.computing.submit(user, endpoint_id, pairs, group, how)
        return {
            "request_id": str(uuid.uuid4()),
            "task_group_id": group,
            "endpoint_id": endpoint_id,
            "tasks": {
                function: [call.id for call in calls if call.function == function] for function in asked
            },
        }


def _group(core: Facility, user: str, asked: Any) -> str:
    """The task group of a batch; one that somebody names is there already, for the service makes them."""
    if asked is None:
        return str(uuid.uuid4())
    _calls_of(core, user, str(asked))
    return str(asked)


def _calls_of(core: Facility, user: str, group: str) -> list[Call]:
    calls = core.globus.compute.calls(group)
    if not calls or calls[0].user != user:
        raise Refusal(404, "TASK_GROUP_NOT_FOUND", f"Task Group {group} could not be resolved")
    return calls


def _add_looks(router: APIRouter, core: Facility) -> None:
    table = core.globus.compute

    @router.get("/v2/tasks/{task_id}", operation_id="globusGetComputeTask")
    async def task(request: Request, task_id: str) -> dict[str, Any]:
        user = _user(core, request)
        call = table.call(task_id)
        if call is None or call.user != user:
            raise Refusal(404, "TASK_NOT_FOUND", f"Task {task_id} could not be resolved")
        return _task_document(call)

    @router.post("/v2/batch_status", operation_id="globusGetBatchStatus")
    async def batch_status(request: Request, document: Document) -> dict[str, Any]:
        user = _user(core, request)
        asked = document.get("task_ids")
        if not isinstance(asked, list):
            raise Refusal(422, "REQUEST_MALFORMED", "task_ids is a list")
        found = [call for each in asked if (call := table.call(str(each))) and call.user == user]
        return {"response": "batch", "results": {call.id: _task_document(call) for call in found}}

    @router.get("/v2/taskgroup/{group}", operation_id="globusGetTaskGroup")
    async def task_group(request: Request, group: str) -> dict[str, Any]:
        calls = _calls_of(core, _user(core, request), group)
        tasks = [{"id": call.id, "created_at": moment(call.submitted)} for call in calls]
        return {"taskgroup_id": group, "create_websockets_queue": False, "tasks": tasks}


def _task_document(call: Call) -> dict[str, Any]:
    document: dict[str, Any] = {"task_id": call.id, "status": call.status}
    if call.finished:
        document["completion_t"] = str(call.completed)
        what = {"result": call.result, "exception": call.exception}
        told = {name: value for name, value in what.items() if value is not None}
        document |= told or {"reason": "the result is not kept any more"}
    return document


def _endpoint_document(core: Facility, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "uuid": endpoint.id,
        "name": endpoint.name,
        "display_name": endpoint.name,
        "owner": core.globus.grants.identity(endpoint.owner),
        "multi_user": False,
        "public": False,
        "high_assurance": endpoint.high_assurance,
        "description": "",
    }
