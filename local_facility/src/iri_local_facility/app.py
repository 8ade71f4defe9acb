"""One server for all faces: each is an application of its own, found by the prefix of the path."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from . import control, iri_v1, iri_v2, oauth
from .exchange import Exchange
from .facility import Facility
from .faultyapp import FaultyApp
from .firecrest import face as firecrest
from .globus import face as globus
from .iri_sites import at_site
from .manners import Manners
from .requestlog import LogRequests
from .s3m import face as s3m
from .sense import face as sense
from .slurm import face as slurm
from .superfacility import face as superfacility


def make_app(facility: Facility) -> ASGIApp:
    """The ASGI application of a facility; each face is made when asked for, as nobody asks for all."""

    def iri_of(face: ModuleType) -> Callable[[], ASGIApp]:
        return cache(lambda: at_site(face.make_app(facility), facility.settings.site))

    def app_of(face: ModuleType) -> Callable[[], ASGIApp]:
        return cache(lambda: face.make_app(facility))

    iri = iri_of(iri_v2)
    faces: dict[str, Callable[[], ASGIApp]] = {
        iri_v2.PREFIX: iri,
        **dict.fromkeys(iri_v1.PATHS, iri_of(iri_v1)),
        oauth.PREFIX: app_of(oauth),
        globus.PREFIX: app_of(globus),
        firecrest.PREFIX: app_of(firecrest),
        superfacility.PREFIX: app_of(superfacility),
        sense.PREFIX: app_of(sense),
        # Its paths begin as slurmrestd's do.
        **dict.fromkeys(s3m.PREFIXES, app_of(s3m)),
        **dict.fromkeys(slurm.PREFIXES, app_of(slurm)),
        control.PREFIX: app_of(control),
    }

    def face(scope: Scope) -> ASGIApp:
        path = scope.get("path", "")
        for prefix, candidate in faces.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return candidate()
        # Outside all prefixes there is nothing; the main face says so in its own words.
        return iri()

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        await face(scope)(scope, receive, send)

    def describe(scope: Scope) -> Exchange:
        return _describe(scope, face(scope), facility)

    return LogRequests(FaultyApp(dispatch, facility), facility.store, describe)


def _describe(scope: Scope, face: ASGIApp, facility: Facility) -> Exchange:
    """What a request is about, before its face has looked at it: some faults strike earlier."""
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    token = headers.get(b"x-slurm-user-token") or headers.get(b"authorization", "").rpartition(" ")[2].strip()
    exchange = Exchange(
        user=facility.accounts.owner(token) if token else None,
        idempotency_key=headers.get(b"idempotency-key"),
        manners=getattr(getattr(face, "state", None), "manners", Manners()),
    )
    for route in getattr(face, "routes", []):
        match, found = route.matches(scope)
        if match is Match.FULL:
            exchange.operation = getattr(route, "operation_id", None)
            names = found["path_params"]
            exchange.job = names.get("job_id") or names.get("transfer_id")
            kinds = ("resource_id", "collection_id", "system_name")
            exchange.resource = next((names[kind] for kind in kinds if kind in names), None)
            break
    return exchange
