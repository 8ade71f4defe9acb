"""``/olcf/open/v1alpha/streaming``: clusters of message brokers, as records; no broker runs."""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request

from iri_local_facility.facility import Facility

from .refusals import Refusal
from .tokens import STREAM, caller

_LIFETIME = 7 * 86400
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_KINDS = {"rabbitmq": "general", "redis": "valkey-general"}
# Least, most and default.
_OPTIONS = {"cpus": (1, 4, 2), "ram-gbs": (1, 16, 4), "nodes": (1, 3, 1)}


@dataclass(frozen=True)
class Cluster:
    """A cluster that somebody has asked for."""

    name: str
    kind: str
    settings: dict[str, int]
    provisioned: float
    extended: float

    def ready(self, setup: float) -> bool:
        """Whether it can be used, which takes so many seconds."""
        return time.time() >= self.provisioned + setup

    @property
    def remaining(self) -> int:
        """Seconds until it is deleted for good."""
        return int(self.extended + _LIFETIME - time.time())


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/olcf/open/v1alpha/streaming")

    @router.get("/list_backends", operation_id="s3mBackends")
    async def backends(request: Request) -> dict[str, Any]:
        caller(core, request, STREAM)
        options = [
            {"key": key, "description": key, "min": least, "max": most, "default": usual}
            for key, (least, most, usual) in _OPTIONS.items()
        ]
        return {
            "backends": [
                {
                    "engine": engine,
                    "kind": kind,
                    "description": engine,
                    "resourceOptions": options,
                    "featureFlags": [],
                }
                for engine, kind in _KINDS.items()
            ]
        }

    _add_clusters(router, core)
    return router


def _add_clusters(router: APIRouter, core: Facility) -> None:
    @router.post("/{engine}/provision_cluster", operation_id="s3mProvision")
    async def provision(request: Request, engine: str) -> dict[str, Any]:
        project = caller(core, request, STREAM).grant.project
        wanted = _wanted(engine, await _body(request))
        if any(each.name == wanted.name for each in _clusters(core, project, engine)):
            raise Refusal(409, f"cluster {wanted.name} exists already")
        core.store.insert(
            "s3m_clusters",
            project=project,
            engine=engine,
            name=wanted.name,
            kind=wanted.kind,
            settings=json.dumps(wanted.settings),
            provisioned=wanted.provisioned,
            extended=wanted.extended,
        )
        return _credentials(engine, wanted.name)

    @router.get("/{engine}/list_clusters", operation_id="s3mClusters")
    async def clusters(request: Request, engine: str) -> dict[str, Any]:
        project = caller(core, request, STREAM).grant.project
        return {"clusters": [_summary(core, each) for each in _clusters(core, project, engine)]}

    @router.get("/{engine}/cluster/{name}", operation_id="s3mCluster")
    async def cluster(request: Request, engine: str, name: str) -> dict[str, Any]:
        project = caller(core, request, STREAM).grant.project
        return {"cluster": _document(core, _cluster(core, project, engine, name))}

    @router.post("/{engine}/extend/{name}", operation_id="s3mExtend")
    async def extend(request: Request, engine: str, name: str) -> dict[str, Any]:
        project = caller(core, request, STREAM).grant.project
        _cluster(core, project, engine, name)
        core.store.run(
            "UPDATE s3m_clusters SET extended = ? WHERE project = ? AND engine = ? AND name = ?",
            time.time(),
            project,
            engine,
            name,
        )
        return {"lifetime": _lifetime(_cluster(core, project, engine, name))}

    @router.delete("/{engine}/cluster/{name}", operation_id="s3mRelease")
    async def release(request: Request, engine: str, name: str) -> dict[str, Any]:
        project = caller(core, request, STREAM).grant.project
        _cluster(core, project, engine, name)
        _delete(core, project, engine, name)
        return {"success": True}


def _clusters(core: Facility, project: str, engine: str) -> list[Cluster]:
    """The clusters of a project whose time is not over; the others go now.

    Raises:
        Refusal: No such engine.
    """
    if engine not in _KINDS:
        raise Refusal(404, f"engine {engine} not found")
    rows = core.store.rows(
        "SELECT * FROM s3m_clusters WHERE project = ? AND engine = ? ORDER BY provisioned", project, engine
    )
    found = [
        Cluster(row["name"], row["kind"], json.loads(row["settings"]), row["provisioned"], row["extended"])
        for row in rows
    ]
    for each in found:
        if each.remaining <= 0:
            _delete(core, project, engine, each.name)
    return [each for each in found if each.remaining > 0]


def _cluster(core: Facility, project: str, engine: str, name: str) -> Cluster:
    for each in _clusters(core, project, engine):
        if each.name == name:
            return each
    raise Refusal(404, f"cluster {name} not found")


def _delete(core: Facility, project: str, engine: str, name: str) -> None:
    core.store.run(
        "DELETE FROM s3m_clusters WHERE project = ? AND engine = ? AND name = ?", project, engine, name
    )
    core.store.insert("s3m_released", project=project, engine=engine, name=name)


def ever(core: Facility) -> list[dict[str, Any]]:
    """Every cluster that there ever was: those that are gone first."""
    facts = "project, engine, name"
    gone = core.store.rows(f"SELECT {facts} FROM s3m_released ORDER BY number")
    there = core.store.rows(f"SELECT {facts} FROM s3m_clusters ORDER BY provisioned")
    return [dict(row) | {"released": rows is gone} for rows in (gone, there) for row in rows]


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "proto: syntax error")
    return body


def _wanted(engine: str, body: dict[str, Any]) -> Cluster:
    """The cluster that a body describes.

    Raises:
        Refusal: There cannot be one like that.
    """
    name, kind = body.get("name"), body.get("kind")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise Refusal(400, "invalid name: at most 40 letters, digits and dashes (RFC 1123)")
    if engine not in _KINDS:
        raise Refusal(404, f"engine {engine} not found")
    if kind != _KINDS[engine]:
        raise Refusal(400, f"unknown kind {kind} of {engine}")
    settings = {key: usual for key, (_, _, usual) in _OPTIONS.items()}
    asked = body.get("resourceSettings") or {}
    if not isinstance(asked, dict):
        raise Refusal(400, "proto: syntax error")
    for key, value in asked.items():
        least, most, _ = _OPTIONS.get(key, (1, 0, 0))
        if not (isinstance(value, int) and least <= value <= most):
            raise Refusal(400, f"invalid resource setting {key}: {value}")
        settings[key] = value
    now = time.time()
    return Cluster(name, _KINDS[engine], settings, now, now)


def _credentials(engine: str, name: str) -> dict[str, Any]:
    """What is told once, and kept nowhere."""
    user, password = f"{name}-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    login = f"{quote(user)}:{quote(password)}"
    told = {"username": user, "password": password}
    if engine == "redis":
        return told | {"url": f"rediss://{login}@redis-{name}.facility.invalid:443"}
    host = f"rmq-{name}.facility.invalid"
    return told | {"amqpsUrl": f"amqps://{login}@{host}:443", "mgmtUrl": f"https://{host}"}


def _summary(core: Facility, cluster: Cluster) -> dict[str, Any]:
    ready = cluster.ready(core.settings.stream_setup)
    return {
        "kind": cluster.kind,
        "name": cluster.name,
        "syncStatus": "Synced" if ready else "OutOfSync",
        "healthStatus": "Healthy" if ready else "Progressing",
        "lifetime": _lifetime(cluster),
    }


def _document(core: Facility, cluster: Cluster) -> dict[str, Any]:
    return _summary(core, cluster) | {"resourceSettings": cluster.settings}


def _lifetime(cluster: Cluster) -> dict[str, Any]:
    return {
        "provisionedAt": _timestamp(cluster.provisioned),
        "extendedAt": _timestamp(cluster.extended),
        "secondsLifetime": _LIFETIME,
        "secondsRemaining": cluster.remaining,
    }


def _timestamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")
