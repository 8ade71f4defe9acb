"""Token requests when many callers make their first call at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from iri_common import ClientCredentials, Facility
from iri_local_facility import LocalFacility

from . import firecrest, ours, superfacility
from .clients import Amscrot
from .processes import together
from .table import Row

_CALLERS = 50


def rows() -> list[Row]:
    """The IRI API, then the others, each with its own client."""
    seen: dict[str, Any] = together({name: (_measure, name) for name in _WAYS})
    values = {name: each["requests"] for name, each in seen.items() if each["answered"] == _CALLERS}
    failed = seen["amscrot-py"]
    note = (
        "Client credentials. httpx: an Auth that fetches a token when it has none. "
        "nersc-iri and iri-client take a finished token only"
    )
    if "amscrot-py" not in values:
        note += (
            f". amscrot-py with a token_provider: {failed['answered']} of {_CALLERS} calls answered "
            f"({failed['error']})"
        )
    return [
        Row(
            f"token requests, {_CALLERS} first calls at once",
            "tokens",
            values,
            target="1",
            met=values.get(ours.NAME) == 1,
            note=note,
            details=seen,
        ),
        *map(_row, _ELSEWHERE),
    ]


def _row(api: str) -> Row:
    seen: dict[str, Any] = together({name: (_count, api, name) for name in _ELSEWHERE[api]})
    told = ", ".join(
        f"{name} {each['requests']} ({each['answered']} calls answered)" for name, each in seen.items()
    )
    values = {name: each["requests"] for name, each in seen.items() if each["answered"] == _CALLERS}
    return Row(
        f"{api}: token requests, {_CALLERS} first calls at once",
        "tokens",
        values,
        target="1",
        met=values.get(ours.NAME) == 1,
        note=f"each with one client object: {told}",
        details=seen,
    )


def _count(api: str, name: str) -> dict[str, Any]:
    with LocalFacility() as facility:
        outcomes = _ELSEWHERE[api][name](facility)
        requests = sum(1 for each in facility.requests() if each["path"].endswith("/token"))
    return {
        "requests": requests,
        "answered": sum(not isinstance(each, BaseException) for each in outcomes),
    }


def _measure(name: str) -> dict[str, Any]:
    with LocalFacility() as facility:
        resource_id = httpx.get(f"{facility.base_url}/compute/resources").json()[0]["id"]
        headers = {"Authorization": f"Bearer {facility.token}"}
        spec = {"executable": "/bin/true"}
        path = f"{facility.base_url}/compute/job/{resource_id}"
        job_id = httpx.post(path, headers=headers, json=spec).json()["id"]
        while facility.jobs()[0]["ended"] is None:
            time.sleep(0.05)
        facility.reset_requests()
        outcomes = _WAYS[name](facility, resource_id, job_id)
        requests = sum(1 for each in facility.requests() if each["path"].endswith("/token"))
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    return {
        "requests": requests,
        "answered": len(outcomes) - len(errors),
        "error": f"{type(errors[0]).__name__}: {errors[0]}"[:200] if errors else "",
    }


def _ours(facility: LocalFacility, resource_id: str, job_id: str) -> list[Any]:
    source = ClientCredentials(facility.token_url, facility.client_id, facility.client_secret)
    door = ours.open_facility(facility.url, source)
    ref = ours.reference(facility.url, resource_id, job_id)

    async def all_at_once() -> list[Any]:
        calls = (door.aio.jobs.status(ref) for _ in range(_CALLERS))
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(all_at_once())


class _FetchWhenMissing(httpx.Auth):
    requires_response_body = True

    def __init__(self, facility: LocalFacility) -> None:
        self._facility = facility
        self._token: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._token is None:
            form = {
                "grant_type": "client_credentials",
                "client_id": self._facility.client_id,
                "client_secret": self._facility.client_secret,
            }
            reply = yield httpx.Request("POST", self._facility.token_url, data=form)
            self._token = reply.json()["access_token"]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _httpx(facility: LocalFacility, resource_id: str, job_id: str) -> list[Any]:
    async def all_at_once() -> list[Any]:
        async with httpx.AsyncClient(auth=_FetchWhenMissing(facility), timeout=30) as client:
            path = f"{facility.base_url}/compute/status/{resource_id}/{job_id}"
            return await asyncio.gather(*(client.get(path) for _ in range(_CALLERS)), return_exceptions=True)

    replies = asyncio.run(all_at_once())
    return [each if isinstance(each, BaseException) else each.json() for each in replies]


def _amscrot(facility: LocalFacility, resource_id: str, job_id: str) -> list[Any]:
    def fetch() -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": facility.client_id,
            "client_secret": facility.client_secret,
        }
        return httpx.post(facility.token_url, data=form).json()["access_token"]

    client = Amscrot(facility.url, None, resource_id, token_provider=fetch)

    def look(_: int) -> object:
        try:
            state = client.look(job_id)
        except Exception as error:
            return error
        return state if state == "completed" else RuntimeError(f"{state!r} said of a job that has ended")

    with ThreadPoolExecutor(_CALLERS) as pool:
        return list(pool.map(look, range(_CALLERS)))


_WAYS: dict[str, Callable[[LocalFacility, str, str], list[Any]]] = {
    ours.NAME: _ours,
    "amscrot-py": _amscrot,
    "httpx": _httpx,
}


def _our_calls(door: Callable[[LocalFacility], Facility]) -> Callable[[LocalFacility], list[Any]]:
    async def all_at_once(facility: Facility) -> list[Any]:
        calls = (facility.aio.accounts.whoami() for _ in range(_CALLERS))
        return await asyncio.gather(*calls, return_exceptions=True)

    return lambda place: asyncio.run(all_at_once(door(place)))


def _pyfirecrest(place: LocalFacility) -> list[Any]:
    import firecrest as peer

    client = peer.v2.Firecrest(place.firecrest_url, firecrest.authorization(place))

    def call(_: int) -> object:
        try:
            return client.userinfo(firecrest.SYSTEM)
        except Exception as error:
            return error

    with ThreadPoolExecutor(_CALLERS) as pool:
        return list(pool.map(call, range(_CALLERS)))


def _sfapi(place: LocalFacility) -> list[Any]:
    async def all_at_once() -> list[Any]:
        async with superfacility.peer(place) as client:
            calls = (client.user() for _ in range(_CALLERS))
            return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(all_at_once())


_ELSEWHERE: dict[str, dict[str, Callable[[LocalFacility], list[Any]]]] = {
    "FirecREST": {ours.NAME: _our_calls(firecrest.door), "pyfirecrest": _pyfirecrest},
    "Superfacility": {ours.NAME: _our_calls(superfacility.door), "sfapi_client": _sfapi},
}
