"""The token endpoint: OAuth 2 client credentials (RFC 6749, section 4.4)."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated
from urllib.parse import unquote_plus

from fastapi import FastAPI, Form, Header
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.requests import Request

from .facility import Facility

PREFIX = "/oauth"
NO_STORE = {"Cache-Control": "no-store"}


def make_app(facility: Facility) -> FastAPI:
    """The application that serves ``POST /oauth/token``."""
    app = FastAPI(title="Token endpoint", openapi_url=None)

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, problem: RequestValidationError) -> JSONResponse:
        return error(400, "invalid_request", "grant_type is missing or a field is malformed")

    @app.post(f"{PREFIX}/token", operation_id="token")
    async def token(
        request: Request,
        grant_type: Annotated[str, Form()],
        client_id: Annotated[str, Form()] = "",
        client_secret: Annotated[str, Form()] = "",
        authorization: Annotated[str, Header()] = "",
    ) -> JSONResponse:
        if authorization:
            client_id, client_secret = basic_credentials(authorization)
        if not facility.accounts.client_matches(client_id, client_secret):
            return error(401, "invalid_client", "unknown client or wrong secret")
        if grant_type != "client_credentials":
            return error(400, "unsupported_grant_type", f"{grant_type} is not supported")
        request.scope["principal"] = client_id
        lifetime = facility.settings.token_lifetime
        issued = facility.accounts.issue(facility.settings.default_user, lifetime)
        answer = {"access_token": issued, "token_type": "Bearer", "expires_in": lifetime}
        if lifetime == int(lifetime):
            answer["expires_in"] = int(lifetime)
        return JSONResponse(answer, headers=NO_STORE)

    return app


def basic_credentials(header: str) -> tuple[str, str]:
    """Name and secret of a Basic authorization; empty if it is none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote_plus(name), unquote_plus(secret)


def error(status: int, code: str, description: str) -> JSONResponse:
    """An error as OAuth words it."""
    headers = dict(NO_STORE)
    if status == 401:
        headers["WWW-Authenticate"] = "Basic"
    return JSONResponse({"error": code, "error_description": description}, status, headers)
