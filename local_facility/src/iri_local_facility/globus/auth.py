"""Globus Auth: logging in, tokens, consents."""

from __future__ import annotations

import asyncio
import html
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.requests import Request
from starlette.responses import Response

from iri_local_facility.accounts import BadToken
from iri_local_facility.errors import Missing
from iri_local_facility.facility import Facility
from iri_local_facility.oauth import NO_STORE, basic_credentials, error

from . import scopes
from .grants import Code, Granted, InvalidGrant
from .idtokens import ALGORITHM, NoSigner
from .scopes import UnknownScope
from .tokens import bearer

PREFIX = "/globus/auth"
# Where a native app sends the person: a page that shows the code, to be pasted.
_CODE_PAGE = "/v2/web/auth-code"
_OF_CODE = """\
<!DOCTYPE html>
<html><head><title>Authorization code</title></head>
<body><p>Logged in as {user}. Paste this code into the application:</p><pre>{code}</pre></body></html>
"""


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=PREFIX)
    _add_login(router, core)
    _add_tokens(router, core)
    _add_openid(router, core)
    return router


def _add_login(router: APIRouter, core: Facility) -> None:
    grants = core.globus.grants

    @router.get("/v2/oauth2/authorize", operation_id="globusAuthorize")
    async def authorize(
        client_id: str,
        redirect_uri: str,
        scope: str,
        state: str = "",
        access_type: str = "online",
        code_challenge: str = "",
        code_challenge_method: str = "S256",
        login_hint: str = "",
    ) -> Response:
        native = client_id == grants.native_client_id
        if not native and client_id != grants.client_id:
            return error(400, "invalid_client", f"unknown client {client_id}")
        if code_challenge_method != "S256" or (native and not code_challenge):
            return error(400, "invalid_request", "a native app needs a code_challenge by S256")
        # Nobody is asked: who runs a facility on this machine has logged in already.
        user = login_hint.partition("@")[0] or core.settings.default_user
        try:
            core.accounts.user(user)
            code = grants.new_code(
                Code(client_id, user, scope, redirect_uri, code_challenge, access_type == "offline")
            )
        except UnknownScope as unknown:
            return _unknown_scope(unknown)
        except Missing as unknown:
            return error(400, "access_denied", str(unknown))
        if redirect_uri.endswith(_CODE_PAGE):
            return HTMLResponse(_OF_CODE.format(user=html.escape(user), code=code), headers=NO_STORE)
        separator = "&" if "?" in redirect_uri else "?"
        target = redirect_uri + separator + urlencode({"code": code, "state": state})
        return RedirectResponse(target, 302, NO_STORE)

    @router.get("/v2/api/identities/{identity_id}/consents", operation_id="globusGetConsents")
    async def consents(request: Request, identity_id: str) -> dict[str, Any]:
        said = bearer(core, request, scopes.AUTH)
        mine = identity_id == grants.identity(said.user.name)
        return {"consents": grants.consents(said.user.name, said.client or "") if mine else []}


def _add_tokens(router: APIRouter, core: Facility) -> None:
    grants = core.globus.grants

    @router.post("/v2/oauth2/token", operation_id="globusToken")
    async def token(request: Request) -> JSONResponse:
        form = await _form(request)
        client, confidential = _client(core, request, form)
        if client is None:
            return error(401, "invalid_client", "unknown client or wrong secret")
        request.scope["principal"] = client
        try:
            answer = _granted(core, form, client, confidential)
            if answer is None:
                return error(400, "unsupported_grant_type", "this client has no such grant")
            await _add_id_token(core, request, answer, client)
        except UnknownScope as unknown:
            return _unknown_scope(unknown)
        except InvalidGrant:
            return error(400, "invalid_grant", "")
        except NoSigner as missing:
            return error(501, "not_implemented", str(missing))
        return JSONResponse(answer, headers=NO_STORE)

    @router.post("/v2/oauth2/token/revoke", operation_id="globusRevokeToken")
    async def revoke(request: Request) -> JSONResponse:
        form = await _form(request)
        if _client(core, request, form)[0] is None:
            return error(401, "invalid_client", "unknown client or wrong secret")
        grants.revoke(form.get("token", ""))
        return JSONResponse({"active": False}, headers=NO_STORE)

    @router.post("/v2/oauth2/token/introspect", operation_id="globusIntrospectToken")
    async def introspect(request: Request) -> JSONResponse:
        form = await _form(request)
        if not _client(core, request, form)[1]:
            return error(401, "invalid_client", "only a client with a secret may ask")
        try:
            said = core.accounts.introspect(form.get("token", ""))
        except BadToken:
            return JSONResponse({"active": False}, headers=NO_STORE)
        identity = grants.identity(said.user.name)
        sessions = {identity: {"auth_time": None}} if said.session else {}
        return JSONResponse(
            {
                "active": True,
                "scope": said.scope,
                "sub": identity,
                "username": _username(said.user.name),
                "client_id": said.client,
                "aud": [said.audience, said.client],
                "exp": said.expires,
                "token_type": "Bearer",
                "session_info": {"session_id": None, "authentications": sessions},
            },
            headers=NO_STORE,
        )


def _add_openid(router: APIRouter, core: Facility) -> None:
    @router.get("/.well-known/openid-configuration", operation_id="globusOpenidConfiguration")
    async def configuration(request: Request) -> dict[str, Any]:
        issuer = _issuer(request)
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/v2/oauth2/authorize",
            "token_endpoint": f"{issuer}/v2/oauth2/token",
            "revocation_endpoint": f"{issuer}/v2/oauth2/token/revoke",
            "jwks_uri": f"{issuer}/jwk.json",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "scopes_supported": ["openid", "email", "profile"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }

    @router.get("/jwk.json", operation_id="globusKeys")
    async def keys() -> Any:
        try:
            return await asyncio.to_thread(core.globus.id_tokens.jwks)
        except NoSigner as missing:
            return error(501, "not_implemented", str(missing))

    @router.get("/v2/web/auth-code", operation_id="globusCodePage")
    async def code_page(code: Annotated[str, Query()] = "") -> HTMLResponse:
        return HTMLResponse(_OF_CODE.format(user="", code=html.escape(code)), headers=NO_STORE)


def _granted(core: Facility, form: dict[str, str], client: str, confidential: bool) -> dict[str, Any] | None:
    grants = core.globus.grants
    match form.get("grant_type"):
        case "client_credentials" if confidential:
            return grants.tokens(Granted(core.settings.default_user, client), form.get("scope", ""))
        case "authorization_code":
            return grants.exchange(
                form.get("code", ""), client, form.get("redirect_uri", ""), form.get("code_verifier", "")
            )
        case "refresh_token":
            return grants.refresh(form.get("refresh_token", ""), client)
        case _:
            return None


async def _add_id_token(core: Facility, request: Request, answer: dict[str, Any], client: str) -> None:
    entry = next(
        (entry for entry in (answer, *answer["other_tokens"]) if "openid" in entry["scope"].split()), None
    )
    if entry is None:
        return
    user = core.accounts.introspect(entry["access_token"]).user.name
    claims = {
        "iss": _issuer(request),
        "aud": client,
        "sub": core.globus.grants.identity(user),
        "preferred_username": _username(user),
        "name": user,
    }
    # Making the first key takes a while.
    lifetime = core.settings.token_lifetime
    answer["id_token"] = await asyncio.to_thread(core.globus.id_tokens.sign, claims, lifetime)


def _client(core: Facility, request: Request, form: dict[str, str]) -> tuple[str | None, bool]:
    """The client that asks, and whether it has proved who it is."""
    grants = core.globus.grants
    name, secret = basic_credentials(request.headers.get("authorization", ""))
    name, secret = name or form.get("client_id", ""), secret or form.get("client_secret", "")
    if secret:
        return (name, True) if grants.client_matches(name, secret) else (None, False)
    return (name, False) if name == grants.native_client_id else (None, False)


async def _form(request: Request) -> dict[str, str]:
    text = (await request.body()).decode(errors="replace")
    return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}


def _issuer(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{PREFIX}"


def _username(user: str) -> str:
    return f"{user}@facility.invalid"


def _unknown_scope(unknown: UnknownScope) -> JSONResponse:
    return error(400, "unknown_scope", f"Unknown Scope: {unknown}")
