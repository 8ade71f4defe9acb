"""S3M's clusters of message brokers: RabbitMQ or Redis for a week at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, Field, ValidationError

from iri_common.apis.reading import Reading, WireModel, segment
from iri_common.apis.slurm.wire import field, number, text
from iri_common.http.session import Request, Session
from iri_common.model.errors import AmbiguousReply, NotFound, UsageError
from iri_common.model.outcome import Done
from iri_common.model.ports import WireRequest
from iri_common.model.streams import (
    LONGEST,
    StreamAccess,
    StreamBackend,
    StreamCluster,
    StreamOption,
    StreamState,
)
from iri_common.policy.retry import Replay

ROOT = "/olcf/open/v1alpha/streaming"
_NAME = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{LONGEST - 2}}}[a-z0-9])?")  # RFC 1123
# The protocol says "string" and nothing more: these are the words of what deploys them, whatever their case.
_READY = {"synced": True, "outofsync": False, "unknown": False}
_HEALTH: Mapping[str, StreamState] = {
    "healthy": StreamState.UP,
    "progressing": StreamState.PENDING,
    "missing": StreamState.PENDING,  # nothing of it runs yet
    "degraded": StreamState.PENDING,
    "unknown": StreamState.PENDING,
    "": StreamState.PENDING,
}


class _BackendReply(WireModel):
    engine: str
    kind: str
    description: str = ""
    options: tuple[Any, ...] = Field((), alias="resourceOptions")


class _AccessReply(WireModel):
    """Of an answer to a provision, and with other words perhaps of a look at the cluster."""

    username: str = ""
    password: str = ""
    amqps: str = Field("", alias="amqpsUrl")
    management: str = Field("", alias="mgmtUrl")
    redis: str = Field("", validation_alias=AliasChoices("redisUrl", "url"))


class _ClusterReply(WireModel):
    name: str
    kind: str = ""
    sync: str = Field("", alias="syncStatus")
    health: str = Field("", alias="healthStatus")
    lifetime: dict[str, Any] = Field({})
    settings: dict[str, Any] = Field({}, alias="resourceSettings")


class S3mStreaming:
    """The streaming service; the token needs its permission ``data-streaming``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def backends(self) -> Done[Sequence[StreamBackend]]:
        """What can be set up; the documents disagree on the kinds, so they are asked for."""
        value = await self._get("listBackends", f"{ROOT}/list_backends")
        rows = self._reading("listBackends").many(_BackendReply, _rows(value, "backends"))
        return Done([_backend(row) for row in rows])

    async def provision(
        self, engine: str, kind: str, name: str, settings: Mapping[str, int]
    ) -> Done[StreamAccess]:
        """Set up a cluster. Its credentials are told in this answer.

        Raises:
            Conflict: if there is one of that name.
            AmbiguousReply: if the answer was lost, and the credentials with it.
        """
        request = self._provision(engine, kind, name, settings)
        reply = await self._session.send(request)
        access = _access(engine, name, _unmasked(reply.value))
        if access is None:
            raise self._lost(request.operation)
        return Done(access)

    def provision_request(
        self, engine: str, kind: str, name: str, settings: Mapping[str, int]
    ) -> WireRequest:
        """What :meth:`provision` sends, without its credential."""
        return self._session.wire(self._provision(engine, kind, name, settings))

    def _provision(self, engine: str, kind: str, name: str, settings: Mapping[str, int]) -> Request:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"a cluster's name has at most 40 lower-case letters, digits and dashes, not {name!r}"
            )
        return Request(
            operation="provisionCluster",
            method="POST",
            path=f"{self._engine(engine)}/provision_cluster",
            replay=Replay.ONCE,
            json={"kind": kind, "name": name, "resourceSettings": dict(settings)},
            raw=True,  # what cannot be read is shown to nobody: there are passwords in it
        )

    async def clusters(self, engine: str) -> Done[Sequence[StreamCluster]]:
        """Those of the project."""
        value = await self._get("listClusters", f"{self._engine(engine)}/list_clusters")
        rows = self._reading("listClusters").many(_ClusterReply, _rows(value, "clusters"))
        return Done([_cluster(engine, row) for row in rows])

    async def cluster(self, engine: str, name: str) -> Done[StreamCluster]:
        """One of them."""
        row = self._reading("getCluster").one(_ClusterReply, await self._seen(engine, name))
        return Done(_cluster(engine, row))

    async def access(self, engine: str, name: str) -> Done[StreamAccess | None]:
        """How to reach one: the protocol lets a look tell it, the documents say that none does."""
        return Done(_access(engine, name, await self._seen(engine, name)))

    async def extend(self, engine: str, name: str) -> Done[None]:
        """Let its time begin anew; however often, it ends a week after the last."""
        path = f"{self._engine(engine)}/extend/{segment(name, 'cluster')}"
        await self._session.send(Request(operation="extendCluster", method="POST", path=path, json={}))
        return Done(None)

    async def release(self, engine: str, name: str) -> Done[None]:
        """Delete it for good; one that is gone is fine."""
        path = f"{self._engine(engine)}/cluster/{segment(name, 'cluster')}"
        try:
            await self._session.send(Request(operation="releaseCluster", method="DELETE", path=path))
        except NotFound:
            await self.clusters(engine)  # there is no such cluster, but is there such an engine?
        return Done(None)

    def _engine(self, engine: str) -> str:
        return f"{ROOT}/{segment(engine, 'streaming engine')}"

    async def _seen(self, engine: str, name: str) -> object:
        path = f"{self._engine(engine)}/cluster/{segment(name, 'cluster')}"
        # Raw for the reason that a provision is.
        request = Request(operation="getCluster", method="GET", path=path, raw=True)
        return field(_unmasked((await self._session.send(request)).value), "cluster")

    async def _get(self, operation: str, path: str) -> object:
        return (await self._session.send(Request(operation=operation, method="GET", path=path))).value

    def _reading(self, operation: str) -> Reading:
        return Reading(self._session.label, operation)

    def _lost(self, operation: str) -> AmbiguousReply:
        return self._reading(operation).ambiguous("its credentials are not in the answer")


def _rows(value: object, name: str) -> object:
    found = field(value, name)
    return list[object]() if found is None else found  # proto3 leaves out a list that is empty


def _unmasked(body: bytes) -> object:
    """The value of a body with secrets in it, without the parser's error, which refers to all of it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _access(engine: str, name: str, told: object) -> StreamAccess | None:
    try:
        row = _AccessReply.model_validate(told)
    except ValidationError:
        return None
    urls = {"amqps": row.amqps, "management": row.management, "redis": row.redis}
    urls = {what: url for what, url in urls.items() if url}
    if not (row.username and row.password and urls):
        return None
    return StreamAccess(engine, name, row.username, row.password, urls)


def _state(ready: str, health: str) -> StreamState:
    synced = _READY.get(_letters(ready))
    state = _HEALTH.get(_letters(health), StreamState.UNKNOWN)
    if synced is None:
        return StreamState.UNKNOWN if ready else StreamState.PENDING
    return state if synced or state is StreamState.UNKNOWN else StreamState.PENDING


def _letters(word: str) -> str:
    return word.replace("_", "").replace(" ", "").casefold()


def _backend(row: _BackendReply) -> StreamBackend:
    options = tuple(
        StreamOption(
            name=text(field(each, "key")),
            description=text(field(each, "description")),
            least=number(field(each, "min")),
            most=number(field(each, "max")),
            default=number(field(each, "default")),
        )
        for each in row.options
    )
    return StreamBackend(row.engine, row.kind, row.description, options)


def _cluster(engine: str, row: _ClusterReply) -> StreamCluster:
    settings = {key: number(value) for key, value in row.settings.items()}
    return StreamCluster(
        engine=engine,
        name=row.name,
        kind=row.kind,
        state=_state(row.sync, row.health),
        health=row.health,
        ready=row.sync,
        seconds_left=number(row.lifetime.get("secondsRemaining")),
        settings={key: value for key, value in settings.items() if value is not None},
    )
