"""Reservations: shown by every version, made and deleted by the newer ones."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from iri_local_facility.batch import node_list
from iri_local_facility.errors import Conflict, Missing, Rejected
from iri_local_facility.facility import Facility
from iri_local_facility.reservations import Reservation, Wanted

from .access import NO_SUCH_URL, Call, admit
from .bodies import body_of
from .replies import ERRORS, Plain, Refusal, answer
from .values import moment
from .versions import Version

_LATE = 600  # seconds in which a start that has passed is still taken
_NO_SUCH_METHOD = "Requested REST method is not defined at URL. Please view /openapi/v3 for API reference."
_NUMBERS = {text: number for number, text in ERRORS.items()}


def reserved(core: Facility, version: Version) -> list[dict[str, Any]]:
    """All reservations."""
    return [_document(version, each) for each in core.scheduler.reservations.live()]


def add_reservations(router: APIRouter, core: Facility) -> None:
    """The routes for one reservation."""

    @router.get("/reservation/{name}", operation_id="slurmReservation")
    async def reservation(request: Request, name: str) -> Response:
        call = admit(core, request)
        found = core.scheduler.reservations.find(name)
        if found is None:
            raise Refusal(9000, f"Unable to find reservation {name}", "_get_single_reservation")
        return answer(request, call.version, {"reservations": [_document(call.version, found)]})

    @router.post("/reservation", operation_id="slurmReserve")
    async def reserve(request: Request) -> Response:
        call = _newer(core, request, Plain(404, NO_SUCH_URL))
        asked = await body_of(request)
        wanted = _wanted(core, asked)
        if (there := core.scheduler.reservations.find(wanted.name)) is not None:
            _require_ahead(there)
            raise Refusal(2036, f"Error updating reservation {wanted.name}", "slurm_update_reservation")
        try:
            core.scheduler.reserve(wanted)
        except Rejected as refused:
            what = f"Error creating reservation {wanted.name}"
            raise Refusal(_NUMBERS[str(refused)], what, "slurm_create_reservation") from None
        return answer(request, call.version, {"reservations": [asked]})

    @router.delete("/reservation/{name}", operation_id="slurmUnreserve")
    async def unreserve(request: Request, name: str) -> Response:
        call = _newer(core, request, Plain(405, _NO_SUCH_METHOD))
        try:
            core.scheduler.unreserve(name)
        except (Missing, Conflict) as refused:
            what = f"Error deleting reservation {name}"
            raise Refusal(_NUMBERS[str(refused)], what, "slurm_delete_reservation") from None
        return answer(request, call.version, {})


def _newer(core: Facility, request: Request, otherwise: Plain) -> Call:
    call = admit(core, request)
    if not call.version.reserves:
        raise otherwise
    return call


def _require_ahead(there: Reservation) -> None:
    """Its start cannot be changed any more when it has begun."""
    if there.start <= time.time():
        raise Refusal(2104, f"Error updating reservation {there.name}", "slurm_update_reservation")


def _wanted(core: Facility, asked: Any) -> Wanted:
    """The reservation that a body describes.

    Raises:
        Refusal: It makes no sense, or there cannot be one like that.
    """
    if not isinstance(asked, dict):
        raise Refusal(9000, "Rejecting request. Failure parsing parameters", "_parse_resv_desc")
    name, queue = asked.get("name"), asked.get("partition") or "regular"
    what = (f"Error creating reservation {name}", "slurm_create_reservation")
    if not isinstance(name, str) or not name:
        raise Refusal(2053, "Reservation must be given.", "_mod_reservation")
    if queue not in core.settings.queues:
        raise Refusal(2000, *what)
    if not (users := _texts(asked, "users")) + (accounts := _texts(asked, "accounts")):
        raise Refusal(2080, *what)
    start, end, count = (_number(asked, each) for each in ("start_time", "end_time", "node_count"))
    if not start or start < time.time() - _LATE or not end or end <= start:
        raise Refusal(2054, *what)
    if not count:
        raise Refusal(2006, *what)
    return Wanted(name, count, start, end, users, accounts, queue, _texts(asked, "flags"))


def _number(asked: Mapping[str, Any], name: str) -> int | None:
    """A number in an object that says whether it is set, or bare."""
    value = asked.get(name)
    if isinstance(value, dict):
        value = value.get("number") if value.get("set") else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _texts(asked: Mapping[str, Any], name: str) -> list[str]:
    """A list of words, which may come as one text with commas."""
    value = asked.get(name) or []
    return [str(each) for each in (value.split(",") if isinstance(value, str) else value)]


def _document(version: Version, reservation: Reservation) -> dict[str, Any]:
    return {
        "name": reservation.name,
        "accounts": ",".join(reservation.accounts),
        "users": ",".join(reservation.users),
        "groups": "",
        "burst_buffer": "",
        "core_count": len(reservation.nodes),
        "features": "",
        "flags": [*reservation.flags, "SPEC_NODES"],
        "licenses": "",
        "max_start_delay": 0,
        "node_count": len(reservation.nodes),
        "node_list": node_list(list(reservation.nodes)),
        "partition": reservation.queue,
        "start_time": moment(version, reservation.start),
        "end_time": moment(version, reservation.end),
        "tres": f"node={len(reservation.nodes)}",
    }
