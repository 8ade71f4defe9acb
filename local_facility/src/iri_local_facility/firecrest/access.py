"""Who asks, of which system, about which path."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path
from starlette.requests import Request

from iri_local_facility.accounts import BadToken, User
from iri_local_facility.facility import Facility

from .refusals import Refusal

JobId = Annotated[str, Path(pattern="^[a-zA-Z0-9]+$")]


@dataclass(frozen=True)
class Caller:
    """A user who asks one system of the facility."""

    user: User
    core: Facility

    def allow(self, path: str | None) -> str:
        """A path that a command may be given, which says little about who may use it.

        Raises:
            Refusal: It is below no file system of this system.
        """
        if path is None:
            raise Refusal(
                400,
                "Unable to decode request and retreive the required path or source_path parameter.",
            )
        if not os.path.isabs(path):
            raise Refusal(400, f"The provided path ({path}) is not an absolute path.")
        real = os.path.normpath(path)
        if not any(real == top or real.startswith(f"{top}/") for top in file_systems(self.core)):
            raise Refusal(
                400,
                f"The provided path ({real}) does not match any of the defined filesystem paths for the "
                f"requested system ({self.core.catalog.cluster.name}).",
            )
        return path


def file_systems(core: Facility) -> list[str]:
    """The file systems of the one system that there is, the one for logs of transfers first."""
    if "filesystem" in core.settings.without:
        return []
    return [str(core.settings.root / area) for area in ("home", "scratch", "project")]


def _core(request: Request) -> Facility:
    return request.app.state.core


async def _current_user(request: Request) -> User:
    core = _core(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(401, "Not authenticated")
    # The server sends the token back; what logs the headers of replies logs it.
    echo = {"auth-token": token}
    try:
        bearer = core.accounts.bearer(token.strip(), None)
    except BadToken as bad:
        expired = "the token expired" in str(bad)
        words = "Access token expired" if expired else "Access token is invalid."
        raise Refusal(401, words, headers=echo) from None
    least = core.settings.firecrest_min_token_ttl
    if bearer.expires is not None and bearer.expires - time.time() < least:
        words = f"Access token expires too soon (less than {least:g}s remaining)."
        raise Refusal(401, words, headers=echo)
    request.scope["principal"] = bearer.user.name
    return bearer.user


CurrentUser = Annotated[User, Depends(_current_user)]


async def _current_caller(request: Request, system_name: str, user: CurrentUser) -> Caller:
    core = _core(request)
    if system_name != core.catalog.cluster.name:
        raise Refusal(404, "System not found")
    return Caller(user, core)


Asking = Annotated[Caller, Depends(_current_caller)]
