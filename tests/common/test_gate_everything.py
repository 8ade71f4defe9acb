"""Every operation of every service under random grants: what is sent is allowed, what is refused is not.

Whether it is allowed is judged here in another way than by the table of operations: by what each call does,
and by the names in what was sent.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import posixpath
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import unquote

import pytest
from fuzz_doors import DOORS, FuzzDoor, any_reply

from iri_common import Grant, GrantExceeded, IriError
from iri_common.apis.globus.dialect import GlobusDialect
from iri_common.facility.gateddialect import GrantedDialect
from iri_common.facility.granted import PORTS, Gate
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.model.compute import TaskRequest
from iri_common.model.files import Compression
from iri_common.model.flows import FlowRun, RunRequest, RunState
from iri_common.model.grant import Verb
from iri_common.model.network import PathEnd, PathIntent, Quality
from iri_common.model.ports import ByteReply
from iri_common.model.reservation import NodesIntent
from iri_common.model.transfer import PartsUpload
from iri_common.policy.operations import OPERATIONS
from iri_common.policy.retry import Limits

# What a call does, in plain words; one that is missing here is a mistake of this test, and says so.
DOES: Mapping[Verb, str] = {
    Verb.LOOK: """
        jobs.status jobs.list jobs.output_paths files.ls files.checksum files.file_type files.stat behalf.look
        networks.status networks.find networks.verification networks.manifest networks.profiles
        streaming.backends streaming.clusters streaming.cluster
        reservations.reservations reservations.nodes
        flows.find flows.runs flows.log compute.endpoint compute.endpoints compute.tasks""",
    Verb.SUBMIT: "jobs.submit jobs.update attaching.attach flows.start flows.resume compute.submit",
    Verb.CANCEL: "jobs.cancel flows.cancel",
    Verb.READ: "files.head files.tail files.view files.download parts.link ranges.read",
    Verb.WRITE: """
        files.upload files.chmod files.chown files.mkdir files.symlink files.cp files.mv files.compress
        files.extract parts.begin parts.again parts.arrived parts.finish parts.abandon parts.clear
        behalf.begin ranges.write""",
    Verb.DELETE: "files.rm flows.release",
    Verb.LEASE: """
        networks.new networks.compute networks.provision networks.modify networks.cancel networks.delete
        streaming.provision streaming.access streaming.extend streaming.release
        reservations.create reservations.delete""",
}
VERB = {name: verb for verb, names in DOES.items() for name in names.split()}
FREE = {  # which asks nobody
    "jobs.submit_request",
    "networks.provision_requests",
    "networks.modify_request",
    "streaming.provision_request",
    "flows.origin",
    "compute.origin",
}

PLACES = ("machine-a", "machine-b")
FOLDERS = ("/zone-a", "/zone-b")
FLOW_OF = {"run-a": "machine-a", "run-b": "machine-b"}  # as the service knows it

UPLOAD = DOORS["firecrest"].upload or PartsUpload("/", 1, 1, ())

Dice = random.Random
PATHS = ("/zone-a", "/zone-a/x", "/zone-b/y/z", "/zone-a/../zone-b", "//zone-b//x", "zone-a/x")
OUTPUTS = ("out", "/zone-b/out")
ENDS = ("urn:end-a", "urn:end-b", "urn:end-c")
HOURS = {"+1h": 1, "+3h": 3, "+2d": 48, "2026-12-01T12:00:00Z": None, None: None}
LIMITS: Mapping[str, Callable[[Dice], Any]] = {
    "verbs": lambda dice: dice.sample([*Verb], dice.randrange(4)),
    "resources": lambda dice: dice.sample(PLACES, dice.randrange(3)),
    "accounts": lambda dice: dice.sample(("acct-a", "acct-b"), 1),
    "queues": lambda dice: dice.sample(("queue-a", "queue-b"), 1),
    "nodes": lambda dice: dice.randrange(1, 5),
    "node_hours": lambda dice: dice.choice((0.5, 2.0, 8.0)),
    "paths": lambda dice: dice.sample(FOLDERS, dice.randrange(1, 3)),
    "ends": lambda dice: dice.sample(ENDS, 2),
    "mbps": lambda dice: dice.choice((10, 1000)),
    "path_hours": lambda dice: dice.choice((1, 48)),
}


def a_grant(dice: Dice) -> Grant:
    """Of few limits: of many at once each call breaks one, and nothing is learned of the others."""
    chosen = dice.sample([*LIMITS], dice.randrange(3))
    return Grant(**{each: LIMITS[each](dice) for each in chosen})


def a_job(dice: Dice) -> dict[str, Any]:
    attributes: dict[str, Any] = {"duration": dice.choice((600, 3600, 7200))}
    for word, letter in (("account", "acct"), ("queue_name", "queue")):
        if dice.random() < 0.6:
            attributes[word] = f"{letter}-{dice.choice('ab')}"
    spec: dict[str, Any] = {"executable": "/bin/true", "name": "n.0123456789abcdef-1"}
    spec |= {"directory": dice.choice(PATHS), "attributes": attributes if dice.random() < 0.8 else {}}
    spec |= {"stdout_path": dice.choice(OUTPUTS)} if dice.random() < 0.5 else {}
    return spec | ({"resources": {"node_count": dice.randrange(1, 7)}} if dice.random() < 0.5 else {})


def a_task(dice: Dice) -> TaskRequest:
    call = {"command": "true", "directory": dice.choice((None, *PATHS)), "root": "~/.iri"}
    call |= {"stdout": dice.choice(OUTPUTS)} if dice.random() < 0.5 else {}
    return TaskRequest(dice.choice(PLACES), dice.choice((None, "registered")), (call,))


def some_nodes(dice: Dice) -> NodesIntent:
    accounts = dice.sample(("acct-a", "acct-b"), dice.randrange(3))
    seconds, queue = dice.choice((600, 3600, 7200)), dice.choice((None, "queue-a", "queue-b"))
    return NodesIntent(dice.randrange(1, 7), seconds, queue=queue, accounts=accounts)


def a_path(dice: Dice) -> PathIntent:
    words = {"mbps": dice.choice((0, 10, 500)), "quality": dice.choice([*Quality])}
    if dice.random() < 0.2:
        return PathIntent(profile="a profile", **words)
    ends = [PathEnd(each) for each in dice.sample(ENDS, 2)]
    return PathIntent(ends, start=dice.choice(("now", "+1h")), end=dice.choice([*HOURS]), **words)


class Wires:
    """Takes anything down, and answers anything."""

    def __init__(self, door: FuzzDoor, dice: random.Random) -> None:
        self.sent: list[str] = []
        self._door, self._dice = door, dice

    def _took(self, *words: object) -> Any:
        said = json.dumps(words, default=lambda each: asdict(each) if hasattr(each, "method") else str(each))
        self.sent.append(unquote(said))
        return any_reply(self._dice, self._door.api)

    async def send(self, request: Any) -> Any:
        return self._took(request)

    async def put(self, *words: object, **more: object) -> Any:
        return self._took(words, more)

    post = put

    @contextlib.asynccontextmanager
    async def get(self, *words: object, **more: object):
        reply = self._took(words, more)

        async def pieces():
            yield reply.body

        yield ByteReply(reply.status, reply.headers, pieces())

    async def close(self) -> None: ...


class Asked:
    """A service of Globus, and its client: notes that it was asked, and knows whose a run is."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.looked_up: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        async def call(*words: Any, **more: Any) -> Any:
            self.sent.append(f"{name} {words} {more}")
            raise IriError("nothing comes of it")

        return call

    async def flow_of(self, name: str) -> list[str]:
        self.looked_up.append(name)
        return [FLOW_OF[name.removeprefix("run ")]] if name.startswith("run ") else []


def dialect(door: FuzzDoor, wires: Wires) -> Any:
    wire: Any = wires
    limits, base = Limits(attempts=1), "https://door.example/api/v2"
    words: dict[str, Any] = {"rules": door.kind.rules, "label": "d", "limits": limits, "links": wire}
    session = Session(base, wire, None, Budget(per_second=1e9), **words)
    return door.kind.make(session, door.words)


def values(dice: Dice) -> dict[str, Any]:
    """Something for each parameter; one of a new name must be told of here."""
    return {
        **dict.fromkeys(("job_id", "task_id", "lease_id", "intent_id", "label", "owner", "group"), "7"),
        **dict.fromkeys(("engine", "kind", "name", "alias", "command", "pattern"), "n"),
        **dict.fromkeys(("historical", "names", "force", "all_visible", "hidden", "recursive"), False),
        **dict.fromkeys(("size", "lines", "limit"), 1),
        **{name: dice.choice(PLACES) for name in ("resource_id", "endpoint", "flow_id")},
        **{name: dice.choice(PATHS) for name in ("path", "source", "target", "link")},
        "idempotency_key": None,
        "start": datetime(2026, 11, 23, tzinfo=UTC),
        "offset": 0,
        "since": 0.0,
        "mode": 0o640,
        "content": b"",
        "etags": ("e",),
        "settings": {},
        "task_ids": ["t"],
        "pieces": None,
        "compression": Compression.GZIP,
        "intent": a_path(dice),
        "spec": a_job(dice),
        "changes": {"stdout_path": dice.choice(("/zone-a/o", "/zone-b/o"))},
        "upload": replace(UPLOAD, path=dice.choice(PATHS)),
        "collections": (dice.choice(PLACES), dice.choice(PLACES)),
        "run_ids": dice.sample([*FLOW_OF], dice.randrange(1, 3)),
        "run_id": dice.choice([*FLOW_OF]),
        "run": FlowRun("r", dice.choice(PLACES), RunState.INACTIVE),
    }


def arguments(dice: Dice, port: str, operation: str) -> dict[str, Any]:
    wanted = list(inspect.signature(getattr(PORTS[port], operation)).parameters.values())[1:]
    known = values(dice)
    known["intent"] = some_nodes(dice) if port == "reservations" else known["intent"]
    known["request"] = a_task(dice) if port == "compute" else RunRequest(dice.choice(PLACES), {}, "l")
    return {each.name: known[each.name] for each in wanted if each.default is inspect.Parameter.empty}


# -------------------------------------------------------------------------------------------- the judgement


def leaves(value: Any) -> Iterator[str]:
    """All texts in what was asked with."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from leaves(each)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, (TaskRequest, RunRequest)):
        yield from leaves(asdict(value))


def inside(path: str, folders: frozenset[str]) -> bool:
    parts = [each for each in path.split("/") if each]
    return path.startswith("/") and ".." not in parts and f"/{parts[0]}" in folders


def may(grant: Grant, what: str, words: Mapping[str, Any]) -> bool:
    """Whether a grant allows a call."""
    if grant.verbs is not None and VERB[what] not in grant.verbs | {Verb.LOOK}:
        return False
    request = words.get("request")
    texts = [*leaves(words), getattr(request, "flow_id", ""), getattr(request, "endpoint", "")]
    places = {FLOW_OF.get(each, each) for each in texts} & set(PLACES)
    if grant.resources is not None and not places <= grant.resources:
        return False
    spec = words.get("spec") or words.get("changes") or {}
    named = [spec[each] for each in ("directory", "stdout_path") if each in spec and spec[each] != "out"]
    named += [value for name, value in words.items() if name in {"path", "source", "target", "link"}]
    if what == "files.symlink":  # which leads on from where it is
        named = [words["link"], posixpath.join(posixpath.dirname(words["link"]), words["target"])]
    named += [words["upload"].path] if "upload" in words else []
    if isinstance(request, TaskRequest):
        call = request.args[0] if request.function is None else {}
        named += [call.get("directory") or "nowhere"]
        named += [call["stdout"]] if call.get("stdout", "out") != "out" else []
    if grant.paths is not None and not all(inside(each, grant.paths) for each in named):
        return False
    if isinstance(intent := words.get("intent"), NodesIntent):
        (account,) = intent.accounts if len(intent.accounts) == 1 else (None,)
        told = {"duration": intent.seconds, "account": account, "queue_name": intent.queue}
        return small(grant, {"resources": {"node_count": intent.nodes}, "attributes": told})
    if isinstance(intent, PathIntent):
        return thin(grant, intent)
    return small(grant, spec) if "spec" in words or isinstance(request, TaskRequest) else True


def thin(grant: Grant, path: PathIntent) -> bool:
    """Whether a path is, and short, and between the right ends."""
    ends, hours = {each.uri for each in path.ends}, HOURS[path.end]
    told = path.mbps > 0 or path.quality is Quality.BEST_EFFORT
    takes = path.mbps if told and path.quality is not Quality.AVAILABLE and ends else 10**9
    lasts = hours - (path.start == "+1h") if hours else 10**9
    return (
        (grant.ends is None or (bool(ends) and ends <= grant.ends))
        and (grant.mbps is None or takes <= grant.mbps)
        and (grant.path_hours is None or lasts <= grant.path_hours)
    )


def small(grant: Grant, spec: Mapping[str, Any]) -> bool:
    """Whether a job is; of a task at an endpoint, which has no spec, nobody knows."""
    attributes = spec.get("attributes", {})
    nodes = spec.get("resources", {"node_count": 1})["node_count"] if spec else None
    hours = nodes * attributes["duration"] / 3600 if nodes and attributes else None
    return (
        (grant.accounts is None or attributes.get("account") in grant.accounts)
        and (grant.queues is None or attributes.get("queue_name") in grant.queues)
        and (grant.nodes is None or (nodes is not None and nodes <= grant.nodes))
        and (grant.node_hours is None or (hours is not None and hours <= grant.node_hours))
    )


def allowed_to_leave(grant: Grant, sent: str) -> bool:
    """Whether all names in what was sent are the grant's."""
    seen = {
        "resources": set(re.findall(r"machine-[ab]", sent)),
        "accounts": set(re.findall(r"acct-[ab]", sent)),
        "queues": set(re.findall(r"queue-[ab]", sent)),
        "paths": set(re.findall(r"/zone-[ab]", sent)),
    }
    limits = {name: getattr(grant, name) for name in seen}
    return all(limit is None or seen[name] <= limit for name, limit in limits.items())


async def tried(offered: Any, operation: str, words: dict[str, Any]) -> bool:
    """Whether a call was let pass, whatever came of it."""
    try:
        asked = getattr(offered, operation)(**words)
        if hasattr(asked, "__aenter__"):
            async with asked as pieces:
                async for _ in pieces:
                    pass
        else:
            await asked
    except GrantExceeded:
        return False
    except IriError:
        return True
    return True


# --------------------------------------------------------------------------------------------------- tests

ROUNDS = 25  # each asks for everything that there is


def test_each_operation_is_judged() -> None:
    assert set(VERB) | FREE == {f"{port}.{name}" for port, rows in OPERATIONS.items() for name in rows}


def operations(made: Any) -> list[tuple[str, str]]:
    """What can be asked of a dialect."""
    ports = {port: getattr(made, port, None) for port in PORTS}
    pairs = [(port, name) for port, api in ports.items() if api is not None for name in OPERATIONS[port]]
    return [(port, name) for port, name in pairs if f"{port}.{name}" in VERB and hasattr(ports[port], name)]


async def asked_for(offered: Any, grant: Grant, port: str, operation: str, dice: Dice) -> bool:
    """Whether a call was let pass, as it was judged here."""
    words = arguments(dice, port, operation)
    passed = await tried(offered, operation, words)
    assert passed == may(grant, f"{port}.{operation}", words), (grant, port, operation, words)
    return passed


@pytest.mark.parametrize("name", DOORS)
async def test_of_a_facility_nothing_is_asked_outside_of_a_grant(name: str) -> None:
    for seed in range(ROUNDS):
        dice = random.Random(seed)
        grant, wires = a_grant(dice), Wires(DOORS[name], dice)
        made = dialect(DOORS[name], wires)
        gated = GrantedDialect(made, Gate(grant))
        for port, operation in operations(made):
            wires.sent.clear()
            passed = await asked_for(getattr(gated, port), grant, port, operation, dice)
            assert passed or not wires.sent
            assert all(allowed_to_leave(grant, each) for each in wires.sent), (grant, wires.sent)


@pytest.mark.parametrize("port", ["flows", "compute"])
async def test_of_globus_nothing_is_asked_outside_of_a_grant(port: str) -> None:
    for seed in range(ROUNDS):
        dice = random.Random(seed)
        grant = a_grant(dice)
        for operation in (each for each in OPERATIONS[port] if f"{port}.{each}" in VERB):
            service = Asked()
            offered = Gate(grant, names=service.flow_of).port(port, service)
            passed = await asked_for(offered, grant, port, operation, dice)
            assert passed == bool(service.sent)
            assert not service.looked_up or grant.resources is not None


async def test_of_a_collection_nothing_is_asked_outside_of_a_grant() -> None:
    for seed in range(ROUNDS):
        dice = random.Random(seed)
        grant, wire = a_grant(dice), cast("Any", None)
        for port, operation in [(each, name) for each in ("files", "ranges") for name in OPERATIONS[each]]:
            client = Asked()
            gated = GrantedDialect(GlobusDialect(cast("Any", client), wire), Gate(grant))
            passed = await asked_for(getattr(gated, port), grant, port, operation, dice)
            assert passed or not client.sent
