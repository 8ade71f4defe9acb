"""Who asks: Keycloak's adapter stands before everything but discovery."""

from __future__ import annotations

from starlette.requests import Request

from iri_local_facility.accounts import BadToken
from iri_local_facility.facility import Facility

from .refusals import Refusal


def caller(core: Facility, request: Request) -> str:
    """The user whose token a request carries.

    Raises:
        Refusal: There is none, or it is not good.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal("Unauthorized", 401, as_json=True)
    try:
        user = core.accounts.authenticate(token.strip()).name
    except BadToken as bad:
        raise Refusal(f"Unauthorized: {bad}", 401, as_json=True) from None
    request.scope["principal"] = user
    return user
