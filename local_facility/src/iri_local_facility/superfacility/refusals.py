"""Errors of the API: a ``detail``, or a success that says ``ERROR`` inside."""

from __future__ import annotations

import contextlib
import os
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from iri_local_facility.batch.directives import directives
from iri_local_facility.errors import Denied, FacilityError, Missing, Rejected
from iri_local_facility.manners import Manners


def failure(error: str, **more: Any) -> dict[str, Any]:
    """A failure that HTTP says nothing of."""
    return {"status": "ERROR", **more, "error": error}


def words(problem: FacilityError | OSError) -> str:
    """What a program on a login node says of a problem."""
    if isinstance(problem, Denied | PermissionError):
        return "Permission denied"
    return os.strerror(problem.errno) if isinstance(problem, OSError) and problem.errno else str(problem)


def install(app: FastAPI) -> None:
    """Give the application these words."""
    app.state.manners = Manners(_ordered, "application/json", _job_name)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": error.detail}, error.status_code)

    @app.exception_handler(Missing)
    async def _missing(request: Request, error: Missing) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 404)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": [_invalid_part(part) for part in error.errors()]}, 422)


def _invalid_part(part: Any) -> dict[str, Any]:
    if part["type"] == "missing":
        return {"loc": part["loc"], "msg": "field required", "type": "value_error.missing"}
    return {"loc": part["loc"], "msg": part["msg"], "type": part["type"]}


def _ordered(status: int, detail: str, path: str) -> dict[str, Any]:
    return {"detail": detail} if status >= 300 else failure(detail, output=[], entries=[], task_id="")


def _job_name(body: bytes) -> str | None:
    """The name in the script of a submission."""
    scripts = parse_qs(body.decode(errors="replace")).get("job", [])
    with contextlib.suppress(Rejected):
        return next((directives(script, "slurm").get("name") for script in scripts), None)
    return None
