"""Errors on the wire: RFC 9457 problem documents, for everything that is not a success."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from iri_local_facility.errors import (
    Conflict,
    Denied,
    FacilityError,
    Missing,
    Rejected,
    TooLarge,
    Unsupported,
)

from .links import origin

MEDIA_TYPE = "application/problem+json"
_STATUS = {Rejected: 400, Denied: 403, Missing: 404, Conflict: 409, TooLarge: 413, Unsupported: 501}
_NAMES = {
    400: ("invalid-parameter", "Invalid parameter"),
    401: ("unauthorized", "Unauthorized"),
    403: ("forbidden", "Forbidden"),
    404: ("not-found", "Not Found"),
    405: ("method-not-allowed", "Method Not Allowed"),
    409: ("conflict", "Conflict"),
    500: ("internal-error", "Internal Server Error"),
}
_GENERIC = ("generic-error", "Error")


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    invalid: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem document; ``invalid`` names the parameters of a failed validation."""
    # A 400 that is the scheduler's refusal, not a failed validation, has the generic type.
    kind, title = _GENERIC if status == 400 and invalid is None else _NAMES.get(status, _GENERIC)
    base = origin(request)
    document: dict[str, Any] = {
        "type": f"{base}/problems/{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": f"{base}{request.scope.get('raw_path', b'').decode('latin-1')}",
    }
    if invalid is not None:
        document["invalid_params"] = invalid
    return JSONResponse(document, status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of an application a problem document."""

    @app.exception_handler(FacilityError)
    async def _refused(request: Request, error: FacilityError) -> JSONResponse:
        return problem(request, _STATUS.get(type(error), 400), str(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail or HTTPStatus(error.status_code).phrase)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            # The framework names only the methods of the first route with this path.
            headers["Allow"] = ", ".join(_methods(app, request.url.path))
        return problem(request, error.status_code, detail, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        invalid = [
            {"name": str(part["loc"][-1]) if part["loc"] else "body", "reason": str(part["msg"])}
            for part in error.errors()
        ]
        detail = "; ".join(f"{part['name']}: {part['reason']}" for part in invalid)
        return problem(request, 400, detail, invalid=invalid)

    @app.exception_handler(Exception)
    async def _fault(request: Request, error: Exception) -> JSONResponse:
        return problem(request, 500, f"internal error: {type(error).__name__}")


def _methods(app: FastAPI, path: str) -> list[str]:
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    return sorted({method for route in routes if route.path_regex.match(path) for method in route.methods})
