"""Who asks, in which version of the API. What a bad token looks like depends on the version."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from iri_local_facility.accounts import BadToken, User
from iri_local_facility.facility import Facility

from .replies import Plain, Refusal
from .tokens import AUDIENCE
from .versions import VERSIONS, Version

NO_SUCH_URL = "Unable find requested URL. Please view /openapi/v3 for API reference."
# 22.05 does not look at a token itself but asks slurmctld, which says nothing to those it does not know: the
# number, what was being done, and where.
_SILENCE: dict[str, tuple[int, str | None, str | None]] = {
    "slurmPing": (-1, "slurmctld config is unable to load", "slurm_load_ctl_conf"),
    "slurmDiag": (-1, "request failed", "slurm_get_statistics"),
    "slurmJobs": (-1, "Failed while looking for jobs", "slurm_load_jobs"),
    "slurmJob": (-1, "Unable to find JobId", "slurm_load_job"),
    "slurmSubmit": (5005, None, None),
    "slurmCancel": (5005, "unable to kill JobId", "slurm_kill_job"),
}


@dataclass(frozen=True)
class Call:
    """A request that has been let in."""

    version: Version
    user: User


def admit(core: Facility, request: Request) -> Call:
    """Find the version and the user of a request.

    Raises:
        Plain: There is no such version, or nobody asks.
        Refusal: The token is not good.
    """
    name = request.path_params["version"]
    version = VERSIONS.get(name)
    if version is None or version.number not in core.settings.slurm_versions:
        raise Plain(404, NO_SUCH_URL)
    request.scope["version"] = version
    return Call(version, user_of(core, request, version))


def user_of(core: Facility, request: Request, version: Version) -> User:
    """The user of a request.

    Raises:
        Plain: Nobody asks.
        Refusal: The token is not good.
    """
    name = request.headers.get("x-slurm-user-name")
    token = request.headers.get("x-slurm-user-token")
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if not version.plain and not token and scheme.lower() == "bearer":
        token = bearer.strip()
    if not token or (version.plain and not name):
        raise Plain(401, "Authentication failure")
    try:
        user = core.accounts.bearer(token, AUDIENCE).user
    except BadToken:
        raise _stranger(request, version) from None
    if name not in (None, "", user.name):
        raise _stranger(request, version)
    request.scope["principal"] = user.name
    return user


def _stranger(request: Request, version: Version) -> Refusal:
    if not version.plain:
        number = 6000 if version.number >= 44 else 1007
        return Refusal(number, "Failed to authenticate", "slurmctld")
    operation = getattr(request.scope.get("route"), "operation_id", "")
    number, description, source = _SILENCE.get(operation, (-1, "request failed", "slurmctld"))
    return Refusal(number, description, source)
