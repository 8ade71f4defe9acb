"""The IRI API as single sites serve it: a layer before the face that refuses and changes what they do.

Written from the sites' published adapters; what they do with a request in detail stays theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .replies import Reply, catch

Document = dict[str, Any]
Refusal = tuple[int, str] | None

_JOBS = re.compile(r"/api/v\d/compute/job/[^/]+/?$")
_STATUS = re.compile(r"/api/v\d/compute/status/")


@dataclass(frozen=True)
class Site:
    """One site.

    Attributes:
        without: What it does not offer, as of every facility.
        absent: Paths that are not there (404).
        refused: Paths that nobody has built (501).
        admits: What is wrong with a job's specification; may change it.
        shows: Changes a job as it is shown.
        specs: It shows specifications: ``True``, refuses to, or ignores the wish.
        unknown: Status of the answer to a job that is not there.
    """

    without: frozenset[str] = frozenset()
    absent: Sequence[str] = ()
    refused: Sequence[str] = ()
    admits: Callable[[Document], Refusal] = lambda spec: None
    shows: Callable[[Document], None] = lambda job: None
    specs: bool | None = True
    unknown: int = 404


# ------------------------------------------------------------------------------------------------ ALCF

_UNBUILT = ("environment", "stdin_path", "pre_launch", "post_launch", "launcher")
_UNBUILT_RESOURCES = (
    "process_count",
    "processes_per_node",
    "cpu_cores_per_process",
    "gpu_cores_per_process",
)


def _alcf_admits(spec: Document) -> Refusal:
    for name in ("stdout_path", "stderr_path"):
        if not spec.get(name):
            return 400, f"{name} is required"
    resources, attributes = spec.get("resources") or {}, spec.get("attributes") or {}
    unbuilt = [name for name in _UNBUILT if spec.get(name)]
    unbuilt += [name for name in _UNBUILT_RESOURCES if resources.get(name)]
    unbuilt += ["reservation_id"] if attributes.get("reservation_id") else []
    unbuilt += ["exclusive_node_use"] if resources.get("exclusive_node_use") is False else []
    unbuilt += ["inherit_environment"] if spec.get("inherit_environment") is False else []
    if unbuilt:
        return 501, f"{', '.join(unbuilt)}: not implemented"
    # Texts are pasted into a GraphQL document as they are.
    if any(letter in text for text in _texts(spec) for letter in '"\\\n'):
        return 400, "GraphQL error: [{'message': 'Syntax Error: Expected Name'}]"
    return None


def _alcf_shows(job: Document) -> None:
    job["status"] |= {"time": None, "message": None, "meta_data": None}
    if job["status"]["state"] == "failed" and (job["status"].get("exit_code") or 0) > 0:
        job["status"]["state"] = "completed"  # PBS' word for a job that ended by itself, well or not


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _texts(each)]


# ------------------------------------------------------------------------------------------ OLCF, SLAC


def _olcf_admits(spec: Document) -> Refusal:
    return None if spec.get("directory") else (400, json.dumps({"message": "directory is required"}))


def _slac_admits(spec: Document) -> Refusal:
    attributes = spec.get("attributes") or {}
    if attributes.get("duration"):
        attributes["duration"] = max(60, attributes["duration"] // 60 * 60)
    if spec.get("environment"):
        spec["inherit_environment"] = False
        spec["environment"].setdefault("PATH", "")
    return None


def _slac_shows(job: Document) -> None:
    if job["status"]["state"] in {"SUSPENDED", "STOPPED"}:
        job["status"]["meta_data"] = {"slurm_state": job["status"]["state"]}
        job["status"]["state"] = "canceled"


SITES: Mapping[str, Site] = {
    "alcf": Site(
        without=frozenset(
            {
                *("rm", "tail", "upload", "download", "stat", "checksum", "file"),
                *("cp", "mv", "symlink", "compress", "extract"),
            }
        ),
        refused=("/account/",),
        admits=_alcf_admits,
        shows=_alcf_shows,
        specs=False,
        unknown=400,
    ),
    "nersc": Site(without=frozenset({"stdout_path"})),
    "olcf": Site(
        without=frozenset({"filesystem"}),
        absent=("/account/", "/task"),
        admits=_olcf_admits,
        specs=None,
    ),
    "slac": Site(admits=_slac_admits, shows=_slac_shows),
}


@dataclass
class AtSite:
    """A face of the IRI API behind the oddities of a site."""

    app: ASGIApp
    site: Site
    routes: list[Any] = field(default_factory=list[Any])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        tail = path.split("/api/", 1)[-1].partition("/")[2]
        body = await _body(receive)
        refusal = self._refused(f"/{tail}", method, scope, body)
        if refusal is None and method == "POST" and _JOBS.search(path):
            refusal, body = self._admitted(body)
        if refusal is not None:
            await _problem(path, *refusal).send(send)
            return
        reply = await catch(self.app, self._asked(scope, len(body)), _given(body, receive))
        if "/compute/" in path:
            reply = self._shown(path, reply)
        await reply.send(send)

    def _refused(self, tail: str, method: str, scope: Scope, body: bytes) -> Refusal:
        if tail.startswith(tuple(self.site.absent)):
            return 404, "Not Found"
        if tail.startswith(tuple(self.site.refused)):
            return 501, "not implemented"
        listing = method == "POST" and _STATUS.search(scope["path"])
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if self.site.specs is False and asked.get("include_spec") == ["true"]:
            return 501, "include_spec: not implemented"
        if self.site.specs is False and listing and body.strip() not in (b"", b"null", b"{}"):
            return 501, "filters: not implemented"
        return None

    def _admitted(self, body: bytes) -> tuple[Refusal, bytes]:
        try:
            spec = json.loads(body)
        except ValueError:
            return None, body  # the face says what is wrong with it
        if not isinstance(spec, dict):
            return None, body
        refusal = self.site.admits(spec)
        return refusal, json.dumps(spec).encode()

    def _asked(self, scope: Scope, length: int) -> Scope:
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        query = scope.get("query_string", b"")
        if self.site.specs is None:
            query = query.replace(b"include_spec=true", b"include_spec=false")
        return {
            **scope,
            "headers": [*headers, (b"content-length", str(length).encode())],
            "query_string": query,
        }

    def _shown(self, path: str, reply: Reply) -> Reply:
        if reply.status == 404 and _STATUS.search(path):
            number = path.rpartition("/")[2]
            return _problem(path, self.site.unknown, f"Job {number} not found.")
        if reply.status != 200 or not reply.body:
            return reply
        document: Any = json.loads(reply.body)
        for job in document if isinstance(document, list) else [document]:
            if isinstance(job, dict) and isinstance(job.get("status"), dict):
                self.site.shows(job)
        return reply.with_body(json.dumps(document).encode())


def at_site(face: FastAPI, name: str | None) -> ASGIApp:
    """The face as a site serves it; as it is where none is named."""
    return face if name is None else AtSite(face, SITES[name], face.routes)


def _problem(path: str, status: int, detail: str) -> Reply:
    document = {"type": "about:blank", "title": "Error", "status": status, "detail": detail, "instance": path}
    return Reply(status).with_body(json.dumps(document).encode(), "application/problem+json")


async def _body(receive: Receive) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _given(body: bytes, receive: Receive) -> Receive:
    unread = True

    async def replay() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay
