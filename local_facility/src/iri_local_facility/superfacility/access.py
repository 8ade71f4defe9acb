"""Who asks. A token that is missing, bad, too old or of too low a level is all the same to this API: 403."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException
from starlette.requests import Request

from iri_local_facility.accounts import BadToken, User
from iri_local_facility.facility import Facility


def user_of(core: Facility, scope: str = "") -> Callable[[Request], Coroutine[Any, Any, User]]:
    """The dependency that finds the user whose token a request carries, if that allows what is asked for."""

    async def current_user(request: Request) -> User:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise HTTPException(403, "Not authenticated")
        try:
            said = core.accounts.bearer(token.strip(), None)
        except BadToken as bad:
            raise HTTPException(403, f"Could not validate credentials: {bad}") from None
        request.scope["principal"] = said.user.name
        # A token that no client of this API got may do everything.
        if scope and said.client is not None and scope not in said.scope.split():
            raise HTTPException(403, f"The security level of the client does not allow this ({scope})")
        return said.user

    return current_user
