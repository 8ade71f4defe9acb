"""Who asks, by the token that came along: for Transfer, for Auth, or for a collection's HTTPS server."""

from __future__ import annotations

from starlette.requests import Request

from iri_local_facility.accounts import BadToken, Bearer
from iri_local_facility.facility import Facility

from .collections import Collection
from .refusals import Refusal
from .scopes import TRANSFER_ALL


def bearer(core: Facility, request: Request, audience: str) -> Bearer:
    """What the token of a request says.

    Raises:
        Refusal: There is none, or it is not good here.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(401, "AuthenticationFailed", "no token: send Authorization: Bearer <token>")
    try:
        said = core.accounts.bearer(token.strip(), audience)
    except BadToken as bad:
        raise Refusal(401, "AuthenticationFailed", str(bad)) from None
    request.scope["principal"] = said.user.name
    return said


def admit(core: Facility, said: Bearer, collection: Collection) -> None:
    """Let a token of Transfer act on a collection.

    Raises:
        Refusal: A consent or a login is missing; it says which.
    """
    if collection.high_assurance and not said.session:
        raise Refusal(
            403,
            "AuthorizationRequired",
            f"Collection '{collection.name}' needs a session of an identity of {collection.domain}",
            authorization_parameters={
                "session_message": f"Session reauthentication required ({collection.name})",
                "session_required_single_domain": [collection.domain],
            },
        )
    path = (TRANSFER_ALL, collection.data_access_scope)
    if collection.needs_consent and not core.globus.grants.has_consent(said.user.name, said.client, path):
        raise Refusal(
            403,
            "ConsentRequired",
            "Missing required data_access consent",
            required_scopes=[f"{TRANSFER_ALL}[*{collection.data_access_scope}]"],
        )
