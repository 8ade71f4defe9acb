"""What Globus refuses, in its own words, and how those look on the wire."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from iri_local_facility.errors import Denied, FacilityError, Missing, Rejected
from iri_local_facility.exchange import current

_CODES = {400: "BadRequest", 401: "AuthenticationFailed", 404: "ClientError.NotFound"}


FLOWS_PREFIX = "/globus/flows"
COMPUTE_PREFIX = "/globus/compute"
# What Flows calls what Transfer has another code for.
_OF_FLOWS = {
    "AuthenticationFailed": "AUTHENTICATION_ERROR",
    "BadRequest": "BAD_REQUEST",
    "ClientError": "BAD_REQUEST",
    "ClientError.BadRequest": "UNPROCESSABLE_ENTITY",
    "ClientError.NotFound": "NOT_FOUND",
}


class Refusal(Exception):
    """A refusal of Transfer, of a collection, of Flows, or of Compute."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.more = more


def denial(error: FacilityError | OSError, path: str, operation: str) -> Refusal:
    """Why an operation on a path failed, as Transfer tells it.

    ``operation`` is the name that Transfer's codes have for it, such as ``MkdirFailed``.
    """
    match error:
        case Denied() | PermissionError():
            return Refusal(403, "EndpointPermissionDenied", f"Denied by endpoint: {path}: Permission denied")
        case Rejected():
            return Refusal(400, "ClientError.BadRequest.InvalidPath", str(error))
        case FileNotFoundError():
            code = "NotFound" if operation == "StatFailed" else "ClientError.NotFound"
            return Refusal(404, code, f"Path '{path}' not found")
        case FileExistsError():
            return Refusal(502, f"ExternalError.{operation}.Exists", f"Path '{path}' already exists")
        case NotADirectoryError():
            return Refusal(502, f"ExternalError.{operation}.NotDirectory", f"'{path}' is not a directory")
        case _:
            return Refusal(502, f"ExternalError.{operation}", f"{path}: {error}")


def install(app: FastAPI) -> None:
    """Make every error of the application a document with a code and a message."""

    @app.exception_handler(Refusal)
    async def _refused(request: Request, refusal: Refusal) -> JSONResponse:
        return _document(request, refusal.status, refusal.code, refusal.message, refusal.more)

    @app.exception_handler(FacilityError)
    async def _failed(request: Request, error: FacilityError) -> JSONResponse:
        status = {Denied: 403, Missing: 404}.get(type(error), 400)
        return _document(request, status, _CODES.get(status, "PermissionDenied"), str(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "ClientError")
        return _document(request, error.status_code, code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        reasons = "; ".join(f"{part['loc'][-1]}: {part['msg']}" for part in error.errors())
        return _document(request, 400, "ClientError.BadRequest", reasons)


def _document(
    request: Request, status: int, code: str, message: str, more: dict[str, Any] | None = None
) -> JSONResponse:
    exchange = current.get()
    if request.url.path.startswith(FLOWS_PREFIX):
        said = {"code": _OF_FLOWS.get(code, code), "detail": message, **(more or {})}
        return JSONResponse({"error": said, "debug_id": exchange.request_id if exchange else ""}, status)
    if request.url.path.startswith(COMPUTE_PREFIX):
        said = {"status": "Failed", "code": code, "reason": message, "http_status_code": status}
        return JSONResponse({**said, "error_args": [], **(more or {})}, status)
    document = {
        "code": code,
        "message": message,
        "request_id": exchange.request_id if exchange else "",
        "resource": request.url.path,
        **(more or {}),
    }
    return JSONResponse(document, status)
