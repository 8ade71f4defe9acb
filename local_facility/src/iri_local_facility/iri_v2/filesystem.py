"""`/filesystem`: every operation is a task; what can go wrong with files goes wrong in the task."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, UploadFile
from starlette.requests import Request

from iri_local_facility import archives, excerpts, files
from iri_local_facility.accounts import User
from iri_local_facility.errors import Rejected, TooLarge, Unsupported
from iri_local_facility.facility import Facility as Core

from .links import Links
from .models import Resource, TaskSubmitResponse
from .represent import Represent
from .routing import CurrentUser, bearer_token, route_class
from .version import FileRequest, Version

Operation = Callable[..., Any]
_WRITING = {"upload", "extract", "compress", "cp"}


def make_router(core: Core, version: Version) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["filesystem"], route_class=route_class(core.accounts, strict=False))

    @router.api_route(
        "/filesystem/resources",
        methods=[version.file_resources],
        operation_id="getFilesystemResources",
        response_model=list[version.answer(Resource)],
        response_model_exclude_none=True,
    )
    async def get_filesystem_resources(request: Request):
        represent = Represent(core.catalog, Links(request))
        return [represent.resource(item) for item in core.catalog.resources if "filesystem" in item.endpoints]

    limit = core.settings.size_limit
    requests = version.file_requests(limit)
    for name, (operation, status) in _operations(limit).items():
        _add(router, core, name, requests[name], operation, status)
    _add_upload(router, core)
    return router


def _operations(limit: int) -> dict[str, tuple[Operation, int]]:
    """By name: what is done, and the status of the answer to the submission."""
    return {
        "chmod": (files.chmod, 200),
        "chown": (files.chown, 200),
        "file": (files.file_type, 200),
        "stat": (files.stat_file, 200),
        "mkdir": (files.mkdir, 201),
        "symlink": (files.symlink, 201),
        "ls": (files.ls, 200),
        "head": (_renamed(partial(excerpts.head, limit=limit)), 200),
        "view": (partial(_view, limit=limit), 200),
        "tail": (_renamed(partial(excerpts.tail, limit=limit)), 200),
        "checksum": (files.checksum, 200),
        "rm": (files.rm, 200),
        "compress": (_by_short_name(archives.compress), 201),
        "extract": (_by_short_name(archives.extract), 201),
        "mv": (files.mv, 201),
        "cp": (files.cp, 201),
        "download": (partial(files.download, limit=limit), 200),
    }


def _add(
    router: APIRouter, core: Core, name: str, asked: FileRequest, operation: Operation, status: int
) -> None:
    async def submit(request: Request, resource_id: str, user: CurrentUser, what: Any):
        core.catalog.resource(resource_id, "filesystem")
        arguments = what.model_dump()
        if arguments["path"] is None:
            return _submit(core, request, user, resource_id, name, {}, _no_path)
        shown = what.model_dump(by_alias=True, exclude_none=True)
        return _submit(core, request, user, resource_id, name, shown, partial(operation, user, **arguments))

    in_query = asked.method in ("GET", "DELETE")
    submit.__annotations__["what"] = Annotated[asked.options, Query()] if in_query else asked.options
    router.add_api_route(
        f"/filesystem/{name}/{{resource_id}}",
        submit,
        methods=[asked.method],
        operation_id=name,
        status_code=status,
        response_model=TaskSubmitResponse,
        dependencies=[bearer_token],
    )


def _add_upload(router: APIRouter, core: Core) -> None:
    limit = core.settings.size_limit

    @router.post(
        "/filesystem/upload/{resource_id}",
        operation_id="upload",
        response_model=TaskSubmitResponse,
        dependencies=[bearer_token],
    )
    async def upload(
        request: Request,
        resource_id: str,
        user: CurrentUser,
        path: Annotated[str, Query()],
        file: Annotated[UploadFile, File()],
    ):
        core.catalog.resource(resource_id, "filesystem")
        if (size := file.size or 0) > limit:
            raise TooLarge(f"{size} bytes are more than the limit of {limit}")
        content = await file.read()
        shown = {"path": path, "size": size}
        return _submit(
            core, request, user, resource_id, "upload", shown, partial(files.upload, user, path, content)
        )


def _submit(
    core: Core,
    request: Request,
    user: User,
    resource_id: str,
    name: str,
    args: dict[str, Any],
    operation: Callable[[], Any],
) -> dict[str, str]:
    if name in core.settings.without:
        raise Unsupported(f"this facility has no {name}")
    if name in _WRITING and core.faults.strikes("no_space"):
        operation = _no_space
    task_id = core.tasks.submit(user, resource_id, name, args, operation)
    return {"task_id": task_id, "task_uri": Links(request)(f"/task/{task_id}")}


def _no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _no_path() -> None:
    raise Rejected("no path given")


def _view(user: User, path: str, size: int, offset: int, limit: int) -> excerpts.Excerpt:
    return excerpts.view(user, path, limit, size, offset)


def _renamed(operation: Operation) -> Operation:
    """``bytes`` is a builtin, so the operation calls its count of them something else."""

    def call(user: User, file_bytes: int | None, **others: Any) -> Any:
        return operation(user, count_bytes=file_bytes, **others)

    return call


def _by_short_name(operation: Operation) -> Operation:
    """Compressions are words inside; on the wire of v2 they are URNs."""

    def call(user: User, compression: str, **others: Any) -> Any:
        return operation(user, compression=compression.rpartition(":")[2], **others)

    return call
