"""Doors whose facility answers anything, and all operations that can be asked through them.

What there is to ask is read from the dialects, what nearly fits from their replies' models, and the words
that mean something from their code, so that no new operation, field or state is left out.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import importlib
import inspect
import json
import pkgutil
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args, get_origin

from firecrest_world import SYSTEM, TRANSFER_JOB, USERINFO

from iri_common.apis.firecrest.operations import TransferJob
from iri_common.apis.kind import ApiKind, ApiWords
from iri_common.apis.reading import WireModel
from iri_common.facility.dialects import DIALECTS, api_kind
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.files import Compression
from iri_common.model.network import PathEnd, PathIntent
from iri_common.model.outcome import Pending
from iri_common.model.ports import ByteReply, WireReply
from iri_common.model.reservation import NodesIntent
from iri_common.model.transfer import PartsUpload
from iri_common.policy.retry import Limits

JSON = "application/json"
PROBLEM = "application/problem+json"
KINDS = (*(JSON,) * 24, PROBLEM, "text/html", "text/plain", "application/octet-stream", "")
STATUSES = (201, 202, 204, 302, 400, 401, 403, 404, 408, 409, 413, 422, 424, 429, 500, 501, 503, 511, 99, 999)
LEASE = "7b1e6f0e-0000-4000-8000-000000000001"

# Strange as a state, a date, a number, a text of an error.
STRANGE: tuple[object, ...] = (
    *(None, True, False, 0, -1, 7, 10**30, -(10**30), 1.5, 1e308, float("inf"), float("nan"), "", " ", "7"),
    *(
        "²",
        "\x00",
        "\ud800",
        "é" * 300,
        "x" * 100_000,
        "1e400",
        "%j",
        "../..",
        "/p\n/q",
        "\\303",
        "YQ==",
        "YQ",
    ),
    *("RUNNING", "Completed", "COMPLETED", "F", "CANCELLED by 1", "CREATE - READY", "STABLE", "SUSPENDED"),
    *("OK", "ERROR", "ok", "new", "completed", "failed", "users", "slurm", "pbs", "s3", "lrwx", "3:0", LEASE),
    *("2026-01-01T00:00:00Z", "2026-01-01", "0000-99-99T99:99:99Z", "Infinity", "[1]", '{"status": "OK"}'),
    *([], {}, [[]], [None], {"": None}),
)
# Beside the fields of its own replies: what frames them, and what errors are told in.
FRAMES = ("jobs", "output", "entries", "result", "status", "error", "errors", "message", "detail", "systems")


@dataclass(frozen=True)
class FuzzDoor:
    """One API.

    Attributes:
        api: Its name.
        words: What a profile says of it.
        told: Bodies of what is asked before the thing itself, by the end of the path.
        pending: What may be under way there.
        task: The body of a task that has ended with a result; None where there are no tasks.
        upload: One that was begun.
        resource: An id.
    """

    api: str
    words: ApiWords = field(default_factory=ApiWords)
    told: Mapping[str, object] = field(default_factory=dict[str, object])
    pending: Pending[object] = field(default_factory=lambda: Pending("7", "ls", lambda result: result))
    task: Callable[[random.Random, object], object] | None = None
    upload: PartsUpload | None = None
    resource: str = "cluster"

    @property
    def kind(self) -> ApiKind:
        """What it tells of itself."""
        return api_kind(self.api)


def _iri_task(dice: random.Random, result: object) -> object:
    return {"id": "7", "status": "completed", "result": result}


def _superfacility_task(dice: random.Random, result: object) -> object:
    """A document in a text: of any sort, or what a command has written, in its frame."""
    if dice.random() < 0.6:
        written = result if isinstance(result, str) else json.dumps(result)
        output, error = (
            base64.encodebytes(_bytes(each)).decode() for each in (written, dice.choice(WRITTEN))
        )
        code = dice.choice((0, 0, 0, 1, 2, 127, 999))
        result = {"status": "ok", "output": f"noise {{ :iri:{output}:{code}:{error}:iri:", "error": None}
    return {"id": "7", "status": "completed", "result": json.dumps(result)}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


WRITTEN = ("", "No such file or directory", "Permission denied", "it says so")
MOVED = str(TransferJob("alps", "70", "/o", "/e"))
SPECIAL: Mapping[str, FuzzDoor] = {
    "iri": FuzzDoor("iri", task=_iri_task),
    "superfacility": FuzzDoor(
        "superfacility",
        told={"/account": {"name": "u"}},
        task=_superfacility_task,
    ),
    "firecrest": FuzzDoor(
        "firecrest",
        told={
            "/status/systems": {"systems": [SYSTEM]},
            "/userinfo": USERINFO,
            "/transfer/upload": {
                "transferJob": TRANSFER_JOB,
                "transferDirectives": {
                    "partsUploadUrls": ["https://s/1"],
                    "completeUploadUrl": "https://s/x",
                    "maxPartSize": 5,
                },
            },
        },
        pending=Pending(MOVED, "transfer/mv", lambda result: result),
        upload=PartsUpload("/p", 5, 5, (), None, {"job": MOVED, "complete": "https://s/x"}),
        resource="alps",
    ),
    "slurm": FuzzDoor("slurm", words=ApiWords(user="u", version="v0.0.41"), told={"/ping": {"pings": []}}),
    "sense": FuzzDoor("sense", words=ApiWords(user="u"), resource="urn:a"),
}


def _doors() -> dict[str, FuzzDoor]:
    found = {name: SPECIAL.get(name, FuzzDoor(name)) for name in DIALECTS}
    slurm = SPECIAL["slurm"]
    found["slurm, asked for its version"] = FuzzDoor("slurm", words=ApiWords(user="u"), told=slurm.told)
    found["s3m"] = FuzzDoor("slurm", words=ApiWords(site="s3m", version="v0.0.43"))
    return found


DOORS = _doors()


class Wire:
    """Answers anything; with ``kindly`` what is asked before the thing itself as the API does."""

    def __init__(self, door: FuzzDoor, dice: random.Random, kindly: bool) -> None:
        self._door = door
        self._dice = dice
        self._kindly = kindly

    async def send(self, request: Any) -> WireReply:
        known = (body for end, body in self._door.told.items() if request.url.endswith(end))
        if self._kindly and (body := next(known, None)) is not None:
            return WireReply(200, {"content-type": JSON}, json.dumps(body).encode())
        if self._kindly and self._door.task and "/task" in request.url:
            result = anything(self._dice, self._door.api)
            return WireReply(
                200, {"content-type": JSON}, json.dumps(self._door.task(self._dice, result)).encode()
            )
        return any_reply(self._dice, self._door.api)

    async def close(self) -> None: ...


class Links:
    """A store that answers anything, and whose bytes are any."""

    def __init__(self, dice: random.Random, api: str) -> None:
        self._dice = dice
        self._api = api

    async def put(self, *_: object, **__: object) -> WireReply:
        return any_reply(self._dice, self._api)

    async def post(self, *_: object, **__: object) -> WireReply:
        return any_reply(self._dice, self._api)

    @contextlib.asynccontextmanager
    async def get(self, *_: object, **__: object):
        reply = any_reply(self._dice, self._api)

        async def pieces():
            yield reply.body

        yield ByteReply(reply.status, reply.headers, pieces())

    async def close(self) -> None: ...


def dialect(door: FuzzDoor, dice: random.Random, kindly: bool = True) -> Any:
    """A dialect whose facility answers anything."""
    kind = door.kind
    session = Session(
        "https://door.example/api/v2",
        Wire(door, dice, kindly),
        None,
        Budget(per_second=1e9),
        rules=kind.rules,
        label="door",
        limits=Limits(attempts=1),
        links=Links(dice, door.api),
    )
    return kind.make(session, door.words)


# ------------------------------------------------------------------------------------------ what is asked


def operations(door: FuzzDoor) -> Iterator[tuple[str, str]]:
    """Every method of every service, by name."""
    made = dialect(door, random.Random(0))
    for service, api in services(made).items():
        for method, function in inspect.getmembers(api, callable):
            # One that gives the requests which would be sent, or what was promised before, asks nobody.
            if not method.startswith("_") and not method.endswith(("_request", "_requests", "promised")):
                assert inspect.iscoroutinefunction(function), f"{service}.{method}: how is it asked?"
                yield service, method


def services(made: Any) -> dict[str, Any]:
    """What a dialect consists of."""
    found = {name: getattr(made, name) for name in dir(made) if not name.startswith("_")}
    return {name: api for name, api in found.items() if type(api).__module__.startswith("iri_common.apis.")}


def arguments(door: FuzzDoor, function: Any, dice: random.Random) -> dict[str, Any]:
    """Something for each parameter; one of a new name must be told of here."""
    known: dict[str, Any] = {
        **dict.fromkeys(("job_id", "task_id", "project_id", "allocation_id", "incident_id"), "7"),
        **dict.fromkeys(("path", "source", "link"), "/p"),
        **dict.fromkeys(("name", "owner", "group", "engine", "kind", "alias", "label", "command"), "n"),
        **{name: dice.choice((None, "n")) for name in ("pattern", "protocol", "logical_name", "project")},
        **{name: dice.choice((1, 9)) for name in ("lines", "size", "limit")},
        "resource_id": door.resource,
        "target": "/q&",
        "mode": 0o640,
        "offset": dice.choice((0, 5)),
        "content": b"",
        "compression": dice.choice([*Compression]),
        "spec": {"executable": "/bin/true", "name": "n", **dice.choice(({}, {"directory": "/d"}))},
        "idempotency_key": dice.choice((None, "k")),
        "changes": dice.choice(({}, {"name": "m"})),
        "pending": door.pending,
        "upload": door.upload or PartsUpload("/p", 5, 5, ()),
        "since": 0.0,
        "etags": ["e"],
        "settings": {"nodes": 1},
        "collections": (LEASE, LEASE),
        "lease_id": LEASE,
        "intent_id": "i",
        "PathIntent": PathIntent((PathEnd("urn:a"), PathEnd("urn:b")), mbps=1),
        "NodesIntent": NodesIntent(1, 60),
        "start": datetime(2026, 1, 1, tzinfo=UTC),
        "client_id": "client-7",
    }
    if door.pending.task_id != "7":
        known["task_id"] = door.pending.task_id
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        optional = parameter.default is not parameter.empty
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue  # an absent service, which takes anything
        if isinstance(parameter.default, bool) or parameter.annotation == "bool":
            given[name] = dice.random() < 0.5
        elif not optional or dice.random() < 0.5:
            word = name if name != "intent" else parameter.annotation
            assert word in known, f"nobody has said what may be passed as {word!r}"
            given[name] = known[word]
    return given


# ------------------------------------------------------------------------------------------ what comes back


def any_reply(dice: random.Random, api: str) -> WireReply:
    """Mostly JSON that nearly fits; cut short, of another type, of another status, as deep as it gets."""
    body = _text(dice, api)
    cut = dice.random()
    if cut < 0.05:
        body = body[: len(body) // 2]
    elif cut < 0.1:
        body = dice.randbytes(dice.randrange(40))
    status = 200 if dice.random() < 0.75 else dice.choice(STATUSES)
    return WireReply(status, {"content-type": dice.choice(KINDS)}, body)


def _text(dice: random.Random, api: str) -> bytes:
    deep = dice.random()
    if deep < 0.02:
        return dice.choice((b"[", b'{"jobs": ')) * 100_000
    if deep < 0.06:
        word = json.dumps(dice.choice(WORDS[api]))
        return f"{{{word}: ".encode() * 300 + b"1" + b"}" * 300
    return json.dumps(anything(dice, api)).encode()


def anything(dice: random.Random, api: str, depth: int = 3) -> object:
    """Something odd, or what some reply of this API nearly looks like, framed in some way."""
    chance = dice.random()
    if depth == 0 or chance < 0.2:
        return dice.choice(STRANGE) if dice.random() < 0.7 else dice.choice(WORDS[api])
    if chance < 0.5:
        return _nearly(dice, api, dice.choice(MODELS[api]), depth)
    if chance < 0.75:  # as most lists come
        return {dice.choice(FRAMES): [anything(dice, api, depth - 1) for _ in range(dice.randrange(1, 4))]}
    if chance < 0.85:
        return [anything(dice, api, depth - 1) for _ in range(dice.randrange(3))]
    words = dice.sample(WORDS[api], dice.randrange(1, 4))
    return {word: anything(dice, api, depth - 1) for word in words}


def _nearly(dice: random.Random, api: str, model: type[WireModel], depth: int) -> dict[str, object]:
    """An object with the fields of a reply: some missing, some of another type."""
    return {
        _wire_name(name, about): _of_type(dice, api, about.annotation, depth - 1)
        if dice.random() < 0.8
        else anything(dice, api, depth - 1)
        for name, about in model.model_fields.items()
        if dice.random() < 0.9
    }


def _of_type(dice: random.Random, api: str, annotation: Any, depth: int) -> object:
    parts = [each for each in get_args(annotation) if each not in (type(None), Ellipsis)]
    if isinstance(annotation, type) and issubclass(annotation, WireModel):
        return _nearly(dice, api, annotation, depth) if depth > 0 else {}
    if get_origin(annotation) in (list, tuple):
        return [_of_type(dice, api, each, depth) for each in parts for _ in range(dice.randrange(3))]
    if parts and get_origin(annotation) is not dict:  # a union
        return _of_type(dice, api, dice.choice(parts), depth)
    plain = {
        str: dice.choice([each for each in STRANGE if isinstance(each, str)]),
        int: dice.choice((0, 1, 7, 10**30)),
        float: dice.choice((0.0, 1.5, 1e308)),
        bool: dice.random() < 0.5,
    }
    return plain.get(annotation, anything(dice, api, max(depth, 0)))


def _wire_name(name: str, about: Any) -> str:
    alias = about.validation_alias
    return str(alias.choices[0]) if hasattr(alias, "choices") else str(alias or name)


def _modules(api: str) -> list[Any]:
    package = importlib.import_module(f"iri_common.apis.{api}")
    names = [each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [importlib.import_module(name) for name in names]


def _models(api: str) -> list[type[WireModel]]:
    found = {each for module in _modules(api) for each in vars(module).values() if _is_reply(each)}
    return sorted(found, key=lambda model: model.__qualname__)


def _is_reply(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, WireModel) and bool(value.model_fields)


def _words(api: str, models: list[type[WireModel]]) -> list[str]:
    """The fields of its replies, and whatever else its code has a word for: states, other fields."""
    fields = {_wire_name(name, about) for model in models for name, about in model.model_fields.items()}
    trees = [ast.parse(inspect.getsource(module)) for module in _modules(api)]
    said = {each.value for tree in trees for each in ast.walk(tree) if isinstance(each, ast.Constant)}
    known = {each for each in said if isinstance(each, str) and re.fullmatch(r"[A-Za-z][\w -]{1,30}", each)}
    return [*FRAMES * 5, *sorted(fields) * 3, *sorted(known)]


MODELS = {api: _models(api) for api in DIALECTS}
WORDS = {api: _words(api, models) for api, models in MODELS.items()}
