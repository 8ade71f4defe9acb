"""The slurmrestd face: what it has and in which versions, and the words of its errors."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from iri_local_facility.facility import Facility
from iri_local_facility.manners import Manners

from . import ctld, dbd
from .access import NO_SUCH_URL, user_of
from .replies import Plain, Refusal, invented, refused, refused_plainly
from .submissions import name_in
from .versions import VERSIONS, Version

PREFIXES = ("/slurm", "/slurmdb", "/openapi")  # /openapi.json is that of IRI v1
_NO_SUCH_METHOD = "Requested REST method is not defined at URL. Please view /openapi/v3 for API reference."
_OLDEST = VERSIONS["v0.0.38"]


def make_app(core: Facility) -> FastAPI:
    """The application that plays slurmrestd."""
    app = FastAPI(title="slurmrestd of a local facility", openapi_url=None, redirect_slashes=False)
    app.state.manners = Manners(invented, "application/json", name_in)
    app.include_router(ctld.make_router(core))
    if "slurmdb" not in core.settings.without:
        app.include_router(dbd.make_router(core))

    for path in ("/openapi", "/openapi/v3"):

        @app.get(path, operation_id="slurmOpenapi")
        async def openapi(request: Request) -> JSONResponse:
            offered = [each for each in VERSIONS.values() if each.number in core.settings.slurm_versions]
            user_of(core, request, offered[-1])
            return JSONResponse(_listing(app, offered))

    _add_handlers(app)
    return app


def _add_handlers(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def _refused(request: Request, refusal: Refusal) -> Response:
        return refused(request, request.scope.get("version", _OLDEST), refusal)

    @app.exception_handler(Plain)
    async def _plainly(request: Request, refusal: Plain) -> Response:
        return refused_plainly(refusal)

    @app.exception_handler(HTTPException)
    async def _nothing(request: Request, error: HTTPException) -> Response:
        text = _NO_SUCH_METHOD if error.status_code == 405 else NO_SUCH_URL
        return refused_plainly(Plain(error.status_code, text))


def _listing(app: FastAPI, offered: list[Version]) -> dict[str, Any]:
    """An OpenAPI document as far as it tells which paths there are."""
    paths: dict[str, dict[str, Any]] = {}
    for version in offered:
        for route in app.routes:
            if "{version}" not in (path := getattr(route, "path", "")):
                continue
            methods = paths.setdefault(path.replace("{version}", version.name), {})
            for method in getattr(route, "methods", None) or ():
                name = f"{getattr(route, 'operation_id', '')}_{version.number}"
                methods[method.lower()] = {"operationId": name, "responses": {"200": {"description": "OK"}}}
    newest = offered[-1]
    return {
        "openapi": "3.0.2" if newest.plain else "3.0.3",
        "info": {
            "title": "Slurm REST API",
            "version": "0.0.38" if newest.plain else f"Slurm-{newest.release}",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
    }
