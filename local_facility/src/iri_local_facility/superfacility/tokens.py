"""The token endpoint: a client proves itself with what it has signed (RFC 7523), and gets ten minutes."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.requests import Request

from iri_local_facility.facility import Facility
from iri_local_facility.oauth import NO_STORE, error

from . import TOKEN
from .clients import NoCrypto, NotProved

LIFETIME = 600.0
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def make_router(core: Facility) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.post(TOKEN, operation_id="sfToken")
    async def token(request: Request) -> JSONResponse:
        # Some clients send the fields in the query, and the real endpoint takes them.
        body = (await request.body()).decode(errors="replace")
        fields = {**request.query_params, **dict(parse_qsl(body, keep_blank_values=True))}
        if fields.get("grant_type") != "client_credentials":
            return error(400, "unsupported_grant_type", "grant_type is not client_credentials")
        if fields.get("client_assertion_type") != _ASSERTION:
            return error(401, "invalid_client", f"client_assertion_type is not {_ASSERTION}")
        audience = f"{request.url.scheme}://{request.url.netloc}{TOKEN}"
        try:
            client = core.superfacility.clients.prove(fields.get("client_assertion", ""), audience)
        except NotProved as bad:
            return error(401, "invalid_client", str(bad))
        except NoCrypto as missing:
            return error(501, "not_implemented", str(missing))
        request.scope["principal"] = client.id
        lifetime = min(core.settings.token_lifetime, LIFETIME)
        issued = core.accounts.issue(client.user, lifetime, scope=client.scope, client=client.id)
        answer = {
            "access_token": issued,
            "scope": client.scope,
            "token_type": "Bearer",
            "expires_in": int(lifetime),
        }
        return JSONResponse(answer, headers=NO_STORE)

    return router
