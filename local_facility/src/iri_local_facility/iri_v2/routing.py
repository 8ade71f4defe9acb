"""What all routes of the face share: who is asking comes first, then which parameters they may use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, HTTPException
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.requests import Request
from starlette.responses import Response

from iri_local_facility.accounts import Accounts, BadToken, User

from .problems import problem

_bearer = HTTPBearer(auto_error=False)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def authenticate(request: Request, accounts: Accounts) -> User:
    """The user whose token the request carries.

    Raises:
        HTTPException: 401 with what is wrong with the token.
    """
    challenge = {"WWW-Authenticate": "Bearer"}
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        raise HTTPException(401, "no token: send Authorization: Bearer <token>", challenge)
    if scheme.lower() != "bearer" or not token:
        raise HTTPException(401, "the Authorization header is not of the form Bearer <token>", challenge)
    try:
        user = accounts.authenticate(token.strip())
    except BadToken as bad:
        raise HTTPException(401, str(bad), challenge) from None
    request.scope["principal"] = user.name
    return user


async def _current_user(request: Request) -> User:
    return request.scope["iri_user"]


CurrentUser = Annotated[User, Depends(_current_user)]
bearer_token = Depends(_bearer)


def route_class(
    accounts: Accounts, *, strict: bool, tolerated: frozenset[str] = frozenset()
) -> type[APIRoute]:
    """The route class of a part of the API.

    Args:
        accounts: Who may come in, where a route asks for a token.
        strict: Whether unknown and repeated query parameters are errors.
        tolerated: Parameters that are accepted although they have no meaning.
    """

    class FaceRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()
            private = _needs_token(self.dependant)
            allowed = _query_parameters(self.dependant)

            async def guarded(request: Request) -> Response:
                if private:
                    request.scope["iri_user"] = authenticate(request, accounts)
                if strict and (wrong := _wrong_parameters(request, allowed, tolerated)):
                    return problem(request, 422, wrong)
                return await handle(request)

            return guarded

    return FaceRoute


def _needs_token(dependant: Dependant) -> bool:
    return any(dep.call is _bearer or _needs_token(dep) for dep in dependant.dependencies)


def _query_parameters(dependant: Dependant) -> dict[str, bool]:
    """Names of the query parameters, and whether each may be repeated."""
    return {param.alias: "list" in str(param.field_info.annotation) for param in dependant.query_params}


def _wrong_parameters(request: Request, allowed: dict[str, bool], tolerated: frozenset[str]) -> str | None:
    names = Counter(name for name, _ in request.query_params.multi_items())
    if unknown := sorted(name for name in names if name not in allowed and name not in tolerated):
        return f"unknown query parameters: {', '.join(unknown)}"
    if repeated := sorted(
        name for name, count in names.items() if count > 1 and not allowed.get(name, False)
    ):
        return f"repeated query parameters: {', '.join(repeated)}"
    return None
