"""Errors on the wire, and how the failure of a command on the login node becomes one."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from iri_local_facility.connections import hang_up

_BY_TEXT = {
    "No such file or directory": 404,
    "Permission denied": 403,
    "Operation not permitted": 403,
    "File exists": 400,
    "invalid user": 400,
}


class Refusal(Exception):
    """An error as this API words it.

    Attributes:
        caused_by: Texts of the errors behind it.
        headers: Of the reply.
        unexpected: The server did not expect it: it answers, and closes the connection without a word.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        caused_by: list[str] | None = None,
        headers: dict[str, str] | None = None,
        unexpected: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.caused_by = caused_by
        self.headers = headers
        self.unexpected = unexpected


def too_large() -> Refusal:
    """The output of a command is more than one reply holds."""
    return Refusal(413, "Command output exceeded buffer limit.")


def timed_out() -> Refusal:
    """A command took longer than the server lets one take."""
    return Refusal(408, "Command execution timeout limit exceeded.")


def command_failed(stderr: str, exit_status: int = 1) -> Refusal:
    """A file command failed; what became of it is read out of its words."""
    status = next((status for text, status in _BY_TEXT.items() if text in stderr), 500)
    words = f"Remote process failed with exit status:{exit_status} and error message:{stderr}"
    return Refusal(status, words)


def document(
    message: str, *, user: str | None = None, caused_by: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    """The JSON of an error."""
    return {
        "errorType": "error",
        "message": message,
        "causedBy": caused_by,
        "data": None,
        "user": user,
        **more,
    }


def install(app: FastAPI) -> None:
    """Make every error of the application such a document."""

    @app.exception_handler(Refusal)
    async def _refused(request: Request, refusal: Refusal) -> JSONResponse:
        content = document(refusal.message, caused_by=refusal.caused_by)
        return _answer(request, refusal.status, content, refusal)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return _answer(request, error.status_code, document(str(error.detail)))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        fields = [
            {
                "location": part["loc"][0] if part["loc"] else None,
                "name": part["loc"][1] if len(part["loc"]) > 1 else None,
                "message": part["msg"],
            }
            for part in error.errors()
        ]
        # The text is made for the server's log, and in lower case by accident.
        words = str(error.errors()).capitalize()
        return _answer(request, 400, document(words, errorType="validation", data={"fields": fields}))

    @app.exception_handler(Exception)
    async def _fault(request: Request, error: Exception) -> JSONResponse:
        return _answer(request, 500, document(f"{error.args}"))


def _answer(
    request: Request, status: int, content: dict[str, Any], refusal: Refusal | None = None
) -> JSONResponse:
    headers = dict(refusal.headers or {}) if refusal else {}
    if (user := request.scope.get("principal")) is not None:
        content["user"] = headers["f7t-authusername"] = user
    closing = BackgroundTask(hang_up, request.scope) if refusal and refusal.unexpected else None
    return JSONResponse(content, status, headers, background=closing)
