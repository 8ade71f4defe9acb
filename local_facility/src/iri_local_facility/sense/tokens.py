"""Keycloak's token endpoint: a password, a refresh token, or the token of another issuer (RFC 8693)."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qsl

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.requests import Request

from iri_local_facility.accounts import Accounts, BadToken
from iri_local_facility.facility import Facility
from iri_local_facility.oauth import NO_STORE, basic_credentials, error
from iri_local_facility.store import Store

from . import CLIENT_ID, PUBLIC_ID, TOKEN

LIFETIME = 300.0
_REFRESH_LIFETIME = 1800.0
_REFRESH = "sense-refresh"  # the audience that keeps a refresh token from being used as an access token
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


class NotGranted(Exception):
    """A grant that does not hold."""


def password_of(store: Store, user: str) -> str:
    """A user's password, made at the first look."""
    return store.meta(f"sense_password/{user}", secrets.token_urlsafe(12))


def login(accounts: Accounts, user: str) -> str:
    """The refresh token of a user who has just logged in."""
    return accounts.issue(user, _REFRESH_LIFETIME, audience=_REFRESH)


def make_router(core: Facility) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.post(TOKEN, operation_id="senseToken")
    async def token(request: Request) -> JSONResponse:
        fields = dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))
        client, secret = fields.get("client_id", ""), fields.get("client_secret", "")
        if authorization := request.headers.get("authorization", ""):
            client, secret = basic_credentials(authorization)
        ours = {CLIENT_ID: core.accounts.client_secret, PUBLIC_ID: ""}.get(client)
        if ours is None or not secrets.compare_digest(secret.encode(), ours.encode()):
            return error(401, "unauthorized_client", "Invalid client or Invalid client credentials")
        try:
            user = _granted(core, fields)
        except NotGranted as bad:
            return error(401, "invalid_grant", str(bad))
        if user is None:
            return error(400, "unsupported_grant_type", "Unsupported grant_type")
        request.scope["principal"] = user
        lifetime = min(core.settings.token_lifetime, LIFETIME)
        answer = {
            "access_token": core.accounts.issue(user, lifetime),
            "expires_in": int(lifetime),
            "refresh_token": login(core.accounts, user),
            "refresh_expires_in": int(_REFRESH_LIFETIME),
            "token_type": "Bearer",
        }
        return JSONResponse(answer, headers=NO_STORE)

    return router


def _granted(core: Facility, fields: dict[str, str]) -> str | None:
    """The user that a grant speaks for; None for a kind of grant that there is not.

    Raises:
        NotGranted: It does not hold.
    """
    match fields.get("grant_type"):
        case "password":
            user, password = fields.get("username", ""), fields.get("password", "")
            known = user in core.settings.users
            if not known or not secrets.compare_digest(
                password.encode(), password_of(core.store, user).encode()
            ):
                raise NotGranted("Invalid user credentials")
            return user
        case "refresh_token":
            return _owner(core.accounts, fields.get("refresh_token", ""), _REFRESH)
        case kind if kind == _EXCHANGE:
            return _owner(core.accounts, fields.get("subject_token", ""), None)
        case _:
            return None


def _owner(accounts: Accounts, token: str, audience: str | None) -> str:
    try:
        said = accounts.introspect(token)
    except BadToken as bad:
        raise NotGranted(f"Invalid token: {bad}") from None
    if said.audience != audience:
        raise NotGranted("Invalid token")
    return said.user.name
