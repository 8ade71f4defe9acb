"""The HTTPS server of collections: files whole or in ranges, by their paths."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from iri_local_facility.accounts import User
from iri_local_facility.errors import Denied, FacilityError
from iri_local_facility.facility import Facility

from .collections import Collection
from .refusals import Refusal
from .tokens import bearer

PREFIX = "/globus/https"
_PIECE = 1 << 20


class _Rest(Convertor[str]):
    """All of a path that is left: names may hold line ends, too, which other patterns stop at."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("rest", _Rest())


class _Pieces(FileResponse):
    """A file read in pieces that cost few changes of thread and little memory."""

    chunk_size = _PIECE


def server(request: Request, collection_id: str) -> str:
    """The address of a collection's HTTPS server."""
    return f"{request.url.scheme}://{request.url.netloc}{PREFIX}/{collection_id}"


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=PREFIX)
    path = "/{collection_id}/{path:rest}"

    @router.api_route(path, methods=["GET"], operation_id="collectionGet")
    @router.api_route(path, methods=["HEAD"], operation_id="collectionHead")
    async def get(request: Request, collection_id: str) -> Response:
        asked = _asked(core, request, collection_id)
        real = await asyncio.to_thread(_file, *asked)
        return _Pieces(real, media_type="application/octet-stream", stat_result=real.stat())

    @router.put(path, operation_id="collectionPut")
    async def put(request: Request, collection_id: str) -> Response:
        collection, user, name = _asked(core, request, collection_id)
        target = await asyncio.to_thread(_target, collection, user, name)
        new = not target.exists()
        try:
            if core.faults.strikes("no_space"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            await _receive(request, target)
        except OSError as problem:
            raise _refusal(problem, name) from None
        except ClientDisconnect:
            return Response(status_code=400)
        return Response(status_code=201 if new else 200)

    return router


def _asked(core: Facility, request: Request, collection_id: str) -> tuple[Collection, User, str]:
    said = bearer(core, request, collection_id)
    collection = core.globus.collections.get(collection_id)
    if collection.https_scope not in said.scope.split():
        raise Refusal(403, "PermissionDenied", f"the token has not the scope {collection.https_scope}")
    if collection.high_assurance and not said.session:
        raise Refusal(403, "AuthorizationRequired", f"Collection '{collection.name}' needs a session")
    # The path as it came, so that each of its bytes means what the client meant: %2F and all.
    raw = request.scope["raw_path"].partition(b"?")[0].split(b"/", 4)[4]
    return collection, said.user, "/" + os.fsdecode(unquote_to_bytes(raw))


def _file(collection: Collection, user: User, path: str) -> Path:
    try:
        real = collection.resolve(user, path)
        if real.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        with real.open("rb"):
            return real
    except (FacilityError, OSError) as problem:
        raise _refusal(problem, path) from None


def _target(collection: Collection, user: User, path: str) -> Path:
    try:
        real = collection.resolve(user, path, inner=True)
        if real.is_dir() or path.endswith("/"):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        real.parent.stat()
    except (FacilityError, OSError) as problem:
        raise _refusal(problem, path) from None
    return real


def _refusal(problem: FacilityError | OSError, path: str) -> Refusal:
    """What cannot be done with a path: never a status that tells a client to try again."""
    match problem:
        case Denied() | PermissionError():
            return Refusal(403, "PermissionDenied", f"{path}: Permission denied")
        case FileNotFoundError():
            return Refusal(404, "NotFound", f"{path}: No such file or directory")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Refusal(507, "InsufficientStorage", f"{path}: {problem.strerror}")
        case _:
            return Refusal(400, "BadRequest", f"{path}: {getattr(problem, 'strerror', None) or problem}")


async def _receive(request: Request, target: Path) -> None:
    """Write a body beside its place, and put it there when all of it has come."""
    partial = target.with_name(f".{target.name[:180]}.{os.urandom(6).hex()}.part")
    writer = await asyncio.to_thread(partial.open, "wb")
    try:
        pieces = bytearray()
        async for piece in request.stream():
            pieces += piece
            if len(pieces) >= _PIECE:
                await asyncio.to_thread(writer.write, pieces)
                pieces = bytearray()
        await asyncio.to_thread(writer.write, pieces)
        await asyncio.to_thread(writer.close)
        partial.replace(target)
    finally:
        writer.close()
        partial.unlink(missing_ok=True)
