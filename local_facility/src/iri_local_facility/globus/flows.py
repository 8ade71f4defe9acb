"""Globus Flows: what flows there are, and starting them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import JSONResponse
from starlette.requests import Request

from iri_local_facility.accounts import Bearer
from iri_local_facility.facility import Facility

from .definitions import problems
from .flowtable import Flow
from .inputs import misfits, unknown_words
from .refusals import FLOWS_PREFIX, Refusal
from .rundocuments import run_document
from .scopes import FLOWS, flow_user, flows_scope
from .tasks import moment
from .tokens import bearer

_LABEL = 64
_ABOUT = ("title", "definition", "input_schema", "subtitle", "description", "keywords")
_WHO = ("flow_viewers", "flow_starters", "flow_administrators", "run_managers", "run_monitors")

Document = Annotated[dict[str, Any], Body()]


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=FLOWS_PREFIX)
    _add_flows(router, core)
    _add_starts(router, core)
    return router


def allowed(core: Facility, request: Request, *scopes: str) -> Bearer:
    """What the token of a request says, if it carries one of these scopes of the service.

    Raises:
        Refusal: It is not good here, or carries none.
    """
    said = bearer(core, request, FLOWS)
    if not {flows_scope(each) for each in ("all", *scopes)} & set(said.scope.split()):
        wanted = flows_scope(scopes[0])
        raise Refusal(403, "MISSING_SCOPE", f"This action requires the following scope: {wanted}")
    return said


def _add_flows(router: APIRouter, core: Facility) -> None:
    flows, grants = core.globus.flows, core.globus.grants

    @router.post("/flows", status_code=201, operation_id="globusCreateFlow")
    async def create_flow(request: Request, document: Document) -> dict[str, Any]:
        said = allowed(core, request, "manage_flows")
        document = {"input_schema": {}, **document}
        wrong = [*problems(document.get("definition")), *unknown_words(document["input_schema"])]
        if not isinstance(document.get("title"), str):
            wrong.append(("title", "is a text"))
        _refuse(422, "UNPROCESSABLE_ENTITY", wrong)
        kept = {name: document[name] for name in (*_ABOUT, *_WHO) if name in document}
        return _flow_document(core, flows.add(said.user.name, kept))

    @router.get("/flows", operation_id="globusListFlows")
    async def list_flows(request: Request) -> dict[str, Any]:
        said = allowed(core, request, "view_flows", "manage_flows")
        identity = grants.identity(said.user.name)
        seen = [flow for flow in flows.all() if flow.may_start(said.user.name, identity)]
        shown = [_flow_document(core, flow) for flow in seen]
        return {"flows": shown, "limit": len(shown), "has_next_page": False, "marker": None}

    @router.get("/flows/{flow_id}", operation_id="globusGetFlow")
    async def get_flow(request: Request, flow_id: str) -> dict[str, Any]:
        return _flow_document(
            core, _seen(core, allowed(core, request, "view_flows", "manage_flows"), flow_id)
        )

    @router.delete("/flows/{flow_id}", operation_id="globusDeleteFlow")
    async def delete_flow(request: Request, flow_id: str) -> dict[str, Any]:
        said = allowed(core, request, "manage_flows")
        flow = _seen(core, said, flow_id)
        if flow.owner != said.user.name:
            raise Refusal(403, "FORBIDDEN", f"Flow {flow_id} is somebody else's")
        flows.remove(flow_id)
        return {**_flow_document(core, flow), "DELETED": True}


def _add_starts(router: APIRouter, core: Facility) -> None:
    globus = core.globus

    @router.post("/flows/{flow_id}/run", status_code=201, operation_id="globusRunFlow")
    async def run_flow(request: Request, flow_id: str, document: Document) -> dict[str, Any]:
        said = bearer(core, request, flow_id)
        flow = _seen(core, said, flow_id)
        _check(flow, document)
        about = {name: document.get(name) or [] for name in ("tags", "run_monitors", "run_managers")}
        run = globus.runs.add(
            flow,
            document["body"],
            user=said.user.name,
            client=said.client,
            session=said.session,
            label=" ".join(document["label"].split()) if document.get("label") else None,
            document={**about, "title": flow.document["title"]},
        )
        globus.runner.begin(run)
        return run_document(core, run)

    @router.post("/flows/{flow_id}/validate_run", operation_id="globusValidateRun")
    async def validate_run(request: Request, flow_id: str, document: Document) -> dict[str, Any]:
        flow = _seen(core, bearer(core, request, flow_id), flow_id)
        _check(flow, document)
        return {"message": "validation successful"}

    @router.post("/runs/{run_id}/resume", operation_id="globusResumeRun")
    async def resume_run(request: Request, run_id: str) -> JSONResponse:
        run = globus.runs.get(run_id)
        said = bearer(core, request, run.flow)
        if run.user != said.user.name:
            raise Refusal(404, "NOT_FOUND", f"No run exists with id value {run_id}")
        return JSONResponse(run_document(core, globus.runner.resume(run, said.client, said.session)))


def _seen(core: Facility, said: Bearer, flow_id: str) -> Flow:
    flow = core.globus.flows.get(flow_id)
    if not flow.may_start(said.user.name, core.globus.grants.identity(said.user.name)):
        raise Refusal(404, "NOT_FOUND", f"No flow exists with id value {flow_id}")
    return flow


def _check(flow: Flow, document: dict[str, Any]) -> None:
    """Refuse a run that makes no sense."""
    label, tags = document.get("label"), document.get("tags")
    wrong: list[tuple[str, str]] = []
    if not isinstance(document.get("body"), dict):
        wrong.append(("body", "is an object"))
    if label is not None and (not isinstance(label, str) or not 1 <= len(label) <= _LABEL):
        wrong.append(("label", f"has 1 to {_LABEL} characters"))
    if tags is not None and not (isinstance(tags, list) and all(isinstance(each, str) for each in tags)):
        wrong.append(("tags", "is a list of texts"))
    _refuse(422, "UNPROCESSABLE_ENTITY", wrong)
    _refuse(400, "FLOW_INPUT_ERROR", misfits(document["body"], flow.document["input_schema"]))


def _refuse(status: int, code: str, wrong: Iterable[tuple[str, str]]) -> None:
    found = [{"loc": [where], "msg": f"{where}: {what}", "type": "value_error"} for where, what in wrong]
    if found:
        raise Refusal(status, code, "Input failed validation", detail=found)


def _flow_document(core: Facility, flow: Flow) -> dict[str, Any]:
    owner = f"urn:globus:auth:identity:{core.globus.grants.identity(flow.owner)}"
    times = {"created_at": moment(flow.created), "updated_at": moment(flow.updated)}
    return {
        "id": flow.id,
        "subtitle": "",
        "description": "",
        **{name: [] for name in ("keywords", *_WHO)},
        **flow.document,
        **times,
        "globus_auth_scope": flow_user(flow.id),
        "flow_owner": owner,
        "principal_urn": f"urn:globus:auth:identity:{flow.id}",
        "api_version": "1.0",
        "types": ["Action"],
        "synchronous": False,
        "log_supported": True,
    }
