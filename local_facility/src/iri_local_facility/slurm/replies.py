"""The envelope of every reply, and how this daemon refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from iri_local_facility.errors import FacilityError

from .versions import VERSIONS, Version

# What slurm_strerror() says, for the numbers that this facility has a use for.
ERRORS = {
    -1: "Unspecified error",
    1007: "Protocol authentication error",
    1800: "Unable to contact slurm controller (connect failure)",
    1802: "Unable to contact slurm controller (receive failure)",
    2000: "Invalid partition name specified",
    2002: "Access/permission denied",
    2006: "Node count specification invalid",
    2009: "Job script not specified",
    2014: "Requested node configuration is not available",
    2016: "Requested nodes are busy",
    2017: "Invalid job id specified",
    2020: "Job can not be altered now, try again later",
    2021: "Job/step already completing or completed",
    2029: "Invalid feature specification",
    2036: "Requested operation not supported on this system",
    2038: "Job dependency problem",
    2042: "Job is in held state, pending scheduler release",
    2045: "Invalid account or account/partition combination specified",
    2048: "Invalid license specification",
    2051: "Requested time limit is invalid (missing or exceeds some limit)",
    2052: "Access denied to requested reservation",
    2053: "Requested reservation is invalid",
    2054: "Invalid time specified",
    2055: "Requested reservation is in use",
    2066: "Invalid qos specification",
    2072: "Invalid generic resource (gres) specification",
    2073: "Job is no longer pending execution",
    2080: "Reservation request lacks users, groups or accounts",
    2081: "Invalid job array specification",
    2082: "Duplicate reservation name",
    2084: "Job has already finished",
    2104: "Reservation already started",
    2105: "System submissions disabled",
    2127: "Environment is missing in job",
    5005: "Zero Bytes were transmitted or received",
    6000: "Authentication credential invalid",
    9000: "Query empty or not RFC7320 compliant",
    9001: "Failure during parsing",
    9002: "Jobs description entry not found, empty or not dictionary or list",
}
_NUMBERS = {text: number for number, text in ERRORS.items()}
# Error bodies close the connection, as the daemon does.
_CLOSE = {"Connection": "close"}


class Refusal(Exception):
    """A refusal in Slurm's numbers.

    Args:
        number: Slurm's error number.
        description: What was being done; without one, it is a submission that is refused.
        source: Where in Slurm.
        first: Errors that come before it.
        status: The HTTP status, where the number does not decide on it.
        body: What the document has beside the errors.
    """

    def __init__(
        self,
        number: int,
        description: str | None = None,
        source: str | None = None,
        *,
        first: Sequence[Mapping[str, Any]] = (),
        status: int | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(ERRORS[number])
        self.number = number
        self.description = description
        self.source = source
        self.first = first
        self.status = status
        self.body = body or {}

    def errors(self, version: Version) -> list[Mapping[str, Any]]:
        """The list of errors."""
        if self.description is None and version.plain:
            # The submission of the first version has a name of its own for the number.
            return [*self.first, {"error_code": self.number, "error": ERRORS[self.number]}]
        last = {
            "description": self.description or "Batch job submission failed",
            "error_number": self.number,
            "error": ERRORS[self.number],
            "source": self.source or "slurm_submit_batch_job()",
        }
        return [*self.first, last]


class Plain(Exception):
    """A refusal that is a line of text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def refusal_of(error: FacilityError) -> Refusal:
    """What the scheduler has refused, as Slurm words it."""
    text = str(error)
    if "maintenance" in text:
        return Refusal(2105)
    return Refusal(_NUMBERS.get(text, 2002 if "Permission denied" in text else 2036))


def status_of(version: Version, number: int) -> int:
    """The HTTP status that goes with an error; most errors of Slurm are the server's to HTTP."""
    if number in (9001, 9002):
        return 400
    if number == 9000:
        return 400 if version.plain else 422
    if version.plain:
        return 500
    return {2017: 404, 6000: 401, 1007: 500 if version.number < 41 else 511}.get(number, 500)


def answer(
    request: Request,
    version: Version,
    body: Mapping[str, Any],
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    warnings: Sequence[str] = (),
    status: int = 200,
) -> JSONResponse:
    """A document in its envelope."""
    document = {**body, "meta": meta(request, version), "errors": list(errors)}
    if not version.plain:
        document["warnings"] = [{"description": text, "source": "slurmctld"} for text in warnings]
    return JSONResponse(document, status, headers=_CLOSE if status >= 400 else None)


def refused(request: Request, version: Version, refusal: Refusal) -> JSONResponse:
    """A refusal in its envelope."""
    status = refusal.status or status_of(version, refusal.number)
    return answer(request, version, refusal.body, errors=refusal.errors(version), status=status)


def refused_plainly(refusal: Plain) -> Response:
    """A refusal without one."""
    return PlainTextResponse(refusal.text, refusal.status, headers=_CLOSE, media_type="text/plain")


def meta(request: Request, version: Version) -> dict[str, Any]:
    """Who has answered."""
    major, minor, micro = version.release.split(".")
    if version.plain:
        number = {"major": int(major), "micro": int(micro), "minor": int(minor)}
        plugin = {"type": f"openapi/{version.name}", "name": f"Slurm OpenAPI {version.name}"}
        return {"plugin": plugin, "Slurm": {"version": number, "release": version.release}}
    return {
        "plugin": {
            "type": "openapi/slurmctld",
            "name": "Slurm OpenAPI slurmctld",
            "data_parser": f"data_parser/{version.name}",
            "accounting_storage": "accounting_storage/slurmdbd",
        },
        "client": {"source": _client(request), "user": "", "group": ""},
        "command": [],
        "slurm": {
            "version": {"major": major, "micro": micro, "minor": minor},
            "release": version.release,
            "cluster": "cluster",
        },
    }


def _client(request: Request) -> str:
    return f"[{request.client.host}]:{request.client.port}" if request.client else ""


def invented(status: int, detail: str, path: str) -> dict[str, Any]:
    """An error that an order has put in place of the reply."""
    name = next((part for part in path.split("/") if part in VERSIONS), "v0.0.44")
    number = 1802 if status >= 500 else 9000  # not 1800, which says that slurmctld has heard of nothing
    error = {"description": detail, "error_number": number, "error": ERRORS[number], "source": "slurmrestd"}
    document: dict[str, Any] = {"errors": [error]}
    if not VERSIONS[name].plain:
        document["warnings"] = []
    return document
