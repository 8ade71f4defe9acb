"""Globus Transfer: what collections are, and the short operations on what is in them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.requests import Request

from iri_local_facility.accounts import User
from iri_local_facility.errors import FacilityError
from iri_local_facility.facility import Facility

from . import https
from .collections import Collection
from .documents import file_document
from .refusals import denial
from .scopes import TRANSFER
from .tokens import admit, bearer
from .transfer import PREFIX

_ENTITY = {"mapped": "GCSv5_mapped_collection", "guest": "GCSv5_guest_collection"}
_LISTED = 100_000
_OPERATION = "/operation/endpoint/{collection_id}"

Document = Annotated[dict[str, Any], Body()]
Action = Callable[[Collection, User], dict[str, Any]]


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=PREFIX)
    _add_looks(router, core)
    _add_changes(router, core)
    return router


def _add_looks(router: APIRouter, core: Facility) -> None:
    @router.get("/endpoint/{collection_id}", operation_id="globusGetEndpoint")
    async def get_endpoint(request: Request, collection_id: str) -> dict[str, Any]:
        bearer(core, request, TRANSFER)
        collection = core.globus.collections.get(collection_id)
        return {
            "DATA_TYPE": "endpoint",
            "id": collection.id,
            "display_name": collection.name,
            "entity_type": _ENTITY[collection.kind],
            "high_assurance": collection.high_assurance,
            "https_server": https.server(request, collection.id),
            "default_directory": "/~/",
            "owner_string": core.settings.name,
            "disable_verify": False,
            "force_verify": False,
            "is_globus_connect": False,
            "gcp_connected": None,
            "gcp_paused": None,
            "DATA": [],
        }

    @router.get(f"{_OPERATION}/ls", operation_id="globusLs")
    async def ls(
        request: Request,
        collection_id: str,
        path: str = "/~/",
        show_hidden: bool = True,
        limit: Annotated[int, Query(ge=1, le=_LISTED)] = _LISTED,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> dict[str, Any]:
        def entries(collection: Collection, user: User) -> dict[str, Any]:
            top = collection.resolve(user, path)
            names = sorted(name for name in os.listdir(top) if show_hidden or not name.startswith("."))
            return {
                "DATA_TYPE": "file_list",
                "endpoint": collection.id,
                "path": path,
                "absolute_path": None,
                "rename_supported": True,
                "symlink_supported": False,
                "length": len(names[offset : offset + limit]),
                "total": len(names),
                "DATA": [file_document(top / name) for name in names[offset : offset + limit]],
            }

        return await _act(core, request, collection_id, path, "DirListingFailed", entries)

    @router.get(f"{_OPERATION}/stat", operation_id="globusStat")
    async def stat(request: Request, collection_id: str, path: str) -> dict[str, Any]:
        def facts(collection: Collection, user: User) -> dict[str, Any]:
            return file_document(collection.resolve(user, path.rstrip("/") or "/", follow=False))

        return await _act(core, request, collection_id, path, "StatFailed", facts)


def _add_changes(router: APIRouter, core: Facility) -> None:
    @router.post(f"{_OPERATION}/mkdir", operation_id="globusMkdir", status_code=202)
    async def mkdir(request: Request, collection_id: str, document: Document) -> dict[str, Any]:
        path = str(document.get("path"))

        def make(collection: Collection, user: User) -> dict[str, Any]:
            collection.resolve(user, path).mkdir()
            return {
                "DATA_TYPE": "mkdir_result",
                "code": "DirectoryCreated",
                "message": "The directory was created successfully",
            }

        return await _act(core, request, collection_id, path, "MkdirFailed", make)

    @router.post(f"{_OPERATION}/rename", operation_id="globusRename")
    async def rename(request: Request, collection_id: str, document: Document) -> dict[str, Any]:
        old, new = str(document.get("old_path")), str(document.get("new_path"))

        def move(collection: Collection, user: User) -> dict[str, Any]:
            source = collection.resolve(user, old, follow=False, inner=True)
            source.replace(collection.resolve(user, new, follow=False, inner=True))
            return {
                "DATA_TYPE": "result",
                "code": "FileRenamed",
                "message": "File or directory renamed successfully",
            }

        return await _act(core, request, collection_id, old, "RenameFailed", move)


async def _act(
    core: Facility, request: Request, collection_id: str, path: str, failure: str, action: Action
) -> dict[str, Any]:
    """Do something with files of a collection, off the event loop.

    Raises:
        Refusal: It may not be done, or cannot.
    """
    said = bearer(core, request, TRANSFER)
    collection = core.globus.collections.get(collection_id)
    admit(core, said, collection)
    try:
        return await asyncio.to_thread(action, collection, said.user)
    except (FacilityError, OSError) as problem:
        raise denial(problem, path, failure) from None
