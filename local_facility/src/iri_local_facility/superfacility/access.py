"""Who asks. A token that is missing, bad or too old is all the same to this API: 403."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException
from starlette.requests import Request

from iri_local_facility.accounts import BadToken, User
from iri_local_facility.facility import Facility


def user_of(core: Facility) -> Callable[[Request], Coroutine[Any, Any, User]]:
    """The dependency that finds the user whose token a request carries."""

    async def current_user(request: Request) -> User:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise HTTPException(403, "Not authenticated")
        try:
            user = core.accounts.authenticate(token.strip())
        except BadToken as bad:
            raise HTTPException(403, f"Could not validate credentials: {bad}") from None
        request.scope["principal"] = user.name
        return user

    return current_user
