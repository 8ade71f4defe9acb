"""Errors of the orchestrator: an exception in JSON, or a line of text."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from iri_local_facility.manners import Manners


class Refusal(Exception):
    """A refusal; most of them are text, and of status 500."""

    def __init__(self, message: str, status: int = 500, *, as_json: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.as_json = as_json


def document(status: int, message: str, path: str = "") -> dict[str, Any]:
    """An exception as the orchestrator tells it."""
    return {"exception": message}


def alias_in(body: bytes) -> str | None:
    """The alias that the body of an intent gives."""
    return json.loads(body).get("alias")


def install(app: FastAPI) -> None:
    """Make every error of the application one of the orchestrator."""
    app.state.manners = Manners(document, "application/json", alias_in)

    @app.exception_handler(Refusal)
    async def _refused(request: Request, refusal: Refusal) -> Response:
        if refusal.as_json:
            return JSONResponse(document(refusal.status, refusal.message), refusal.status)
        return PlainTextResponse(refusal.message, refusal.status)

    @app.exception_handler(HTTPException)
    async def _nothing(request: Request, error: HTTPException) -> Response:
        return JSONResponse(document(error.status_code, str(error.detail)), error.status_code)
