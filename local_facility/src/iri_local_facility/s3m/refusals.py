"""How the mesh refuses: gRPC's numbers in JSON, and lines of text from the gateway before it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

# By HTTP status, gRPC's number for it.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 6, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}


class Refusal(Exception):
    """A refusal of a service."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class AtTheGate(Exception):
    """A refusal of the gateway, which knows of tokens and of nothing else."""


def document(status: int, message: str, path: str = "") -> dict[str, Any]:
    """An error as services tell it."""
    return {"code": _CODES.get(status, 2), "message": message, "details": []}


def install(app: FastAPI) -> None:
    """Make every error of the application one of the mesh."""

    @app.exception_handler(Refusal)
    async def _refused(request: Request, refusal: Refusal) -> Response:
        return JSONResponse(document(refusal.status, refusal.message), refusal.status)

    @app.exception_handler(AtTheGate)
    async def _turned_away(request: Request, refusal: AtTheGate) -> Response:
        return PlainTextResponse(str(refusal), 401)

    @app.exception_handler(HTTPException)
    async def _nothing(request: Request, error: HTTPException) -> Response:
        return JSONResponse(document(error.status_code, str(error.detail)), error.status_code)
