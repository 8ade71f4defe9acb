"""Globus Transfer: submissions and tasks."""

from __future__ import annotations

import fnmatch
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from fastapi.responses import JSONResponse
from starlette.requests import Request

from iri_local_facility.accounts import Bearer
from iri_local_facility.exchange import current
from iri_local_facility.facility import Facility

from .documents import task_document
from .refusals import Refusal
from .scopes import TRANSFER
from .tasks import Task, moment
from .tokens import admit, bearer

PREFIX = "/globus/transfer/v0.10"
_MARKED_PAGE = 1000

Document = Annotated[dict[str, Any], Body()]
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=PREFIX)
    _add_submission(router, core)
    _add_tasks(router, core)
    _add_histories(router, core)
    return router


def _add_submission(router: APIRouter, core: Facility) -> None:
    @router.get("/submission_id", operation_id="globusSubmissionId")
    async def submission_id(request: Request) -> dict[str, Any]:
        bearer(core, request, TRANSFER)
        return {"DATA_TYPE": "submission_id", "value": str(uuid.uuid4())}

    for kind, name in (("transfer", "globusSubmitTransfer"), ("delete", "globusSubmitDelete")):
        _add_submit(router, core, kind, name)


def _add_submit(router: APIRouter, core: Facility, kind: str, name: str) -> None:
    async def accept(request: Request, document: Document) -> JSONResponse:
        said = bearer(core, request, TRANSFER)
        task, new = core.globus.submissions.submit(
            said.user.name, document, kind, lambda collection: admit(core, said, collection)
        )
        words = "has been accepted and a task created" if new else "is that of an existing task"
        answer = {
            "DATA_TYPE": f"{kind}_result",
            "code": "Accepted" if new else "Duplicate",
            "message": f"The {kind} {words}.",
            "task_id": task.id,
            "submission_id": task.submission,
            "task_link": {"DATA_TYPE": "link", "href": f"task/{task.id}?format=json", "rel": "task"},
            **_about(request),
        }
        return JSONResponse(answer, 202 if new else 200)

    router.add_api_route(f"/{kind}", accept, methods=["POST"], operation_id=name)


def _add_tasks(router: APIRouter, core: Facility) -> None:
    tasks = core.globus.tasks

    def shown(said: Bearer, task: Task) -> dict[str, Any]:
        return task_document(task, core.globus.grants.identity(said.user.name), lambda it: _name(core, it))

    @router.get("/task/{transfer_id}", operation_id="globusGetTask")
    async def get_task(request: Request, transfer_id: str) -> dict[str, Any]:
        said = bearer(core, request, TRANSFER)
        return shown(said, tasks.get(transfer_id, said.user.name))

    @router.get("/task_list", operation_id="globusTaskList")
    async def task_list(
        request: Request, filter: str = "", limit: Limit = 10, offset: Offset = 0
    ) -> dict[str, Any]:
        said = bearer(core, request, TRANSFER)
        wanted = _filters(filter)
        found = [task for task in tasks.all(said.user.name) if _passes(task, wanted)]
        page = [shown(said, task) for task in found[offset : offset + limit]]
        return {**_page("task_list", page, limit, offset), "total": len(found)}

    @router.post("/task/{transfer_id}/cancel", operation_id="globusCancelTask")
    async def cancel(request: Request, transfer_id: str) -> dict[str, Any]:
        said = bearer(core, request, TRANSFER)
        canceled = core.globus.mover.cancel(tasks.get(transfer_id, said.user.name))
        return {
            "DATA_TYPE": "result",
            "code": "Canceled" if canceled else "TaskComplete",
            "message": "The task has been canceled." if canceled else "The task completed before.",
            **_about(request),
        }

    @router.get("/task/{transfer_id}/pause_info", operation_id="globusPauseInfo")
    async def pause_info(request: Request, transfer_id: str) -> dict[str, Any]:
        task = tasks.get(transfer_id, bearer(core, request, TRANSFER).user.name)
        rules = [
            {"DATA_TYPE": "pause_rule_limited", "id": event["number"], "message": event["details"]}
            for event in tasks.events(task.id)[:1]
            if task.status == "INACTIVE"
        ]
        return {
            "DATA_TYPE": "pause_info_limited",
            "pause_rules": rules,
            **dict.fromkeys(("source_pause_message", "destination_pause_message")),
        }


def _add_histories(router: APIRouter, core: Facility) -> None:
    tasks = core.globus.tasks

    @router.get("/task/{transfer_id}/event_list", operation_id="globusEventList")
    async def event_list(
        request: Request, transfer_id: str, limit: Limit = 10, offset: Offset = 0
    ) -> dict[str, Any]:
        events = tasks.events(tasks.get(transfer_id, bearer(core, request, TRANSFER).user.name).id)
        page = [
            {
                "DATA_TYPE": "event",
                "code": event["code"],
                "is_error": bool(event["is_error"]),
                "description": event["description"],
                "details": event["details"],
                "time": moment(event["time"]),
            }
            for event in events[offset : offset + limit]
        ]
        return {**_page("event_list", page, limit, offset), "total": len(events)}

    @router.get("/task/{transfer_id}/successful_transfers", operation_id="globusSuccessfulTransfers")
    async def successful_transfers(request: Request, transfer_id: str, marker: Offset = 0) -> dict[str, Any]:
        return _marked(core, request, transfer_id, "successful_transfer", marker)

    @router.get("/task/{transfer_id}/skipped_errors", operation_id="globusSkippedErrors")
    async def skipped_errors(request: Request, transfer_id: str, marker: Offset = 0) -> dict[str, Any]:
        return _marked(core, request, transfer_id, "skipped_error", marker)


def _marked(core: Facility, request: Request, transfer_id: str, kind: str, marker: int) -> dict[str, Any]:
    """Files of a task that is over, page by page."""
    tasks, skipped = core.globus.tasks, kind == "skipped_error"
    task = tasks.get(transfer_id, bearer(core, request, TRANSFER).user.name)
    if not task.finished:
        raise Refusal(400, "ClientError.BadRequest", "The task is still in progress")
    rows = tasks.files(task.id, skipped=skipped)
    page = rows[marker : marker + _MARKED_PAGE]
    following = marker + len(page)
    return {
        "DATA_TYPE": f"{kind}s",
        "marker": str(marker),
        "next_marker": str(following) if following < len(rows) else None,
        "DATA": [
            {
                "DATA_TYPE": kind,
                "source_path": row["source"],
                "destination_path": row["destination"],
                **(
                    {"error_code": row["error"], "error_details": row["details"]}
                    if skipped
                    else {"size": row["size"], "checksum": row["checksum"], "checksum_algorithm": "SHA256"}
                ),
            }
            for row in page
        ],
    }


def _filters(text: str) -> dict[str, list[str]]:
    """The parts of a filter: ``task_id:a,b/status:ACTIVE``."""
    found: dict[str, list[str]] = {}
    for part in filter(None, text.split("/")):
        name, _, values = part.partition(":")
        if name not in ("task_id", "status", "label", "type"):
            raise Refusal(400, "ClientError.BadRequest", f"filter: {name} is no field to filter by")
        found[name] = values.split(",")
    return found


def _passes(task: Task, wanted: dict[str, list[str]]) -> bool:
    kind = "TRANSFER" if task.transfers else "DELETE"
    facts = {"task_id": task.id, "status": task.status, "type": kind}
    return all(
        any(_like(task.label or "", value) for value in values) if name == "label" else facts[name] in values
        for name, values in wanted.items()
    )


def _like(label: str, value: str) -> bool:
    """Labels are the same but for case, or, after a tilde, match a pattern with stars."""
    if value.startswith("~"):
        return fnmatch.fnmatchcase(label.lower(), value[1:].lower())
    return label.lower() == value.removeprefix("=").lower()


def _page(kind: str, data: list[dict[str, Any]], limit: int, offset: int) -> dict[str, Any]:
    return {"DATA_TYPE": kind, "length": len(data), "limit": limit, "offset": offset, "DATA": data}


def _name(core: Facility, collection_id: str) -> str:
    try:
        return core.globus.collections.get(collection_id).name
    except Refusal:
        return ""


def _about(request: Request) -> dict[str, str]:
    exchange = current.get()
    return {"request_id": exchange.request_id if exchange else "", "resource": request.url.path}
