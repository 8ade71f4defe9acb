"""Any operation of any service under any grant: what is sent is allowed, and what is refused was not sent.

Whether it is allowed is judged here in another way than by the table of operations: by what each call does,
and by the names in what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import unquote

import pytest
from fuzz_doors import DOORS, FuzzDoor, any_reply
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

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
from iri_common.model.network import PathEnd, PathIntent
from iri_common.model.ports import ByteReply
from iri_common.model.transfer import PartsUpload
from iri_common.policy.operations import OPERATIONS
from iri_common.policy.retry import Limits

# What a call does, in plain words; one that is missing here is a mistake of this test, and says so.
DOES: Mapping[Verb, str] = {
    Verb.LOOK: """
        jobs.status jobs.list jobs.output_paths files.ls files.checksum files.file_type files.stat behalf.look
        networks.status networks.find networks.verification networks.manifest networks.profiles
        streaming.backends streaming.clusters streaming.cluster
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
        streaming.provision streaming.access streaming.extend streaming.release""",
}
VERB = {name: verb for verb, names in DOES.items() for name in names.split()}
FREE = {"jobs.submit_request", "flows.origin", "compute.origin"}  # which asks nobody

PLACES = ("machine-a", "machine-b")
FOLDERS = ("/zone-a", "/zone-b")
FLOW_OF = {"run-a": "machine-a", "run-b": "machine-b"}  # as the service knows it

UPLOAD = DOORS["firecrest"].upload or PartsUpload("/", 1, 1, ())

names = st.sampled_from(PLACES)
paths = st.sampled_from(
    ["/zone-a", "/zone-a/x", "/zone-b/y/z", "/zone-a/../zone-b", "//zone-b//x", "zone-a/x"]
)
maybe = st.one_of(st.none(), st.frozensets(names), st.frozensets(names, min_size=1))
GRANTS = st.builds(
    Grant,
    verbs=st.none() | st.frozensets(st.sampled_from(Verb)),
    resources=maybe,
    accounts=st.none() | st.frozensets(st.sampled_from(["acct-a", "acct-b"]), min_size=1),
    queues=st.none() | st.frozensets(st.sampled_from(["queue-a", "queue-b"]), min_size=1),
    nodes=st.none() | st.integers(1, 4),
    node_hours=st.none() | st.sampled_from([0.5, 2.0, 8.0]),
    paths=st.none() | st.frozensets(st.sampled_from(FOLDERS), min_size=1),
)
JOBS = st.fixed_dictionaries(
    {"executable": st.just("/bin/true"), "name": st.just("n.0123456789abcdef-1"), "directory": paths},
    optional={
        "stdout_path": st.sampled_from(["out", "/zone-b/out"]),
        "resources": st.fixed_dictionaries({"node_count": st.integers(1, 6)}),
        "attributes": st.fixed_dictionaries(
            {"duration": st.sampled_from([600, 3600, 7200])},
            optional={
                "account": st.sampled_from(["acct-a", "acct-b"]),
                "queue_name": st.sampled_from(["queue-a", "queue-b"]),
            },
        ),
    },
)
TASKS = st.builds(
    TaskRequest,
    endpoint=names,
    function=st.none() | st.just("registered"),
    args=st.tuples(
        st.fixed_dictionaries(
            {"command": st.just("true"), "directory": st.none() | paths, "root": st.just("~/.iri")},
            optional={"stdout": st.sampled_from(["out", "/zone-b/out"])},
        )
    ),
)


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


def values(draw: Any, name: str) -> Any:
    """Something for a parameter; one of a new name must be told of here."""
    simple: dict[str, Any] = {
        **dict.fromkeys(("job_id", "task_id", "lease_id", "intent_id", "label", "owner", "group"), "7"),
        **dict.fromkeys(("engine", "kind", "name", "alias", "command", "pattern"), "n"),
        **dict.fromkeys(("historical", "names", "force", "all_visible", "hidden", "recursive"), False),
        **dict.fromkeys(("size", "lines", "limit"), 1),
        "idempotency_key": None,
        "offset": 0,
        "since": 0.0,
        "mode": 0o640,
        "content": b"",
        "etags": ("e",),
        "settings": {},
        "task_ids": ["t"],
        "pieces": None,
        "compression": Compression.GZIP,
        "intent": PathIntent((PathEnd("urn:a"), PathEnd("urn:b")), mbps=1),
    }
    drawn: dict[str, Any] = {
        **dict.fromkeys(("resource_id", "endpoint", "flow_id"), names),
        **dict.fromkeys(("path", "source", "target", "link"), paths),
        "spec": JOBS,
        "changes": st.fixed_dictionaries({"stdout_path": st.sampled_from(["/zone-a/o", "/zone-b/o"])}),
        "upload": paths.map(lambda path: replace(UPLOAD, path=path)),
        "collections": st.tuples(names, names),
        "run_ids": st.lists(st.sampled_from([*FLOW_OF]), min_size=1, max_size=2),
        "run_id": st.sampled_from([*FLOW_OF]),
        "run": st.builds(FlowRun, st.just("r"), names, st.just(RunState.INACTIVE)),
    }
    return simple[name] if name in simple else draw(drawn[name])


def arguments(draw: Any, port: str, operation: str) -> dict[str, Any]:
    wanted = list(inspect.signature(getattr(PORTS[port], operation)).parameters.values())[1:]
    given = [each.name for each in wanted if each.default is inspect.Parameter.empty]
    special = {
        "flows": st.builds(RunRequest, names, st.just({"x": "/zone-b"}), st.just("l")),
        "compute": TASKS,
    }
    return {
        name: draw(special[port]) if name == "request" else values(draw, name)
        for name in given
    }  # fmt: skip


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
    named += [words["upload"].path] if "upload" in words else []
    if isinstance(request, TaskRequest):
        call = request.args[0] if request.function is None else {}
        named += [call.get("directory") or "nowhere"]
        named += [call["stdout"]] if call.get("stdout", "out") != "out" else []
    if grant.paths is not None and not all(inside(each, grant.paths) for each in named):
        return False
    return small(grant, spec) if "spec" in words or isinstance(request, TaskRequest) else True


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

# To explain a failure it looks at files while the loop runs, which is taken for one of ours that blocks.
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
ANY = settings(max_examples=80, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])


def test_each_operation_is_judged() -> None:
    judged = {each.partition(".")[0] for each in VERB}
    assert judged >= {
        "jobs",
        "files",
        "parts",
        "ranges",
        "networks",
        "streaming",
        "flows",
        "compute",
        "behalf",
    }
    assert set(VERB) | FREE == {f"{port}.{name}" for port in judged for name in OPERATIONS[port]}


def operations(made: Any) -> list[tuple[str, str]]:
    """What can be asked of a dialect."""
    ports = {port: getattr(made, port, None) for port in PORTS}
    pairs = [(port, name) for port, api in ports.items() if api is not None for name in OPERATIONS[port]]
    return [(port, name) for port, name in pairs if f"{port}.{name}" in VERB and hasattr(ports[port], name)]


@pytest.mark.parametrize("name", DOORS)
@ANY
@given(grant=GRANTS, seed=st.integers(0, 2**32), data=st.data())
def test_of_a_facility_nothing_is_asked_outside_of_a_grant(name: str, grant: Grant, seed: int, data) -> None:
    wires = Wires(DOORS[name], random.Random(seed))
    made = dialect(DOORS[name], wires)
    gated = GrantedDialect(made, Gate(grant))
    port, operation = data.draw(st.sampled_from(operations(made)))
    words = arguments(data.draw, port, operation)
    passed = asyncio.run(tried(getattr(gated, port), operation, words))
    assert passed == may(grant, f"{port}.{operation}", words)
    assert passed or not wires.sent
    assert all(allowed_to_leave(grant, each) for each in wires.sent)


@pytest.mark.parametrize("port", ["flows", "compute"])
@ANY
@given(grant=GRANTS, data=st.data())
def test_of_globus_nothing_is_asked_outside_of_a_grant(port: str, grant: Grant, data) -> None:
    service = Asked()
    operation = data.draw(st.sampled_from([each for each in OPERATIONS[port] if f"{port}.{each}" in VERB]))
    words = arguments(data.draw, port, operation)
    offered = Gate(grant, names=service.flow_of).port(port, service)
    passed = asyncio.run(tried(offered, operation, words))
    assert passed == may(grant, f"{port}.{operation}", words)
    assert passed == bool(service.sent)
    assert not service.looked_up or grant.resources is not None


@ANY
@given(grant=GRANTS, data=st.data())
def test_of_a_collection_nothing_is_asked_outside_of_a_grant(grant: Grant, data) -> None:
    client: Any = Asked()
    wire: Any = None
    made = GlobusDialect(client, wire)
    offered = [(port, name) for port in ("files", "ranges") for name in OPERATIONS[port]]
    port, operation = data.draw(st.sampled_from(offered))
    words = arguments(data.draw, port, operation)
    passed = asyncio.run(tried(getattr(GrantedDialect(made, Gate(grant)), port), operation, words))
    assert passed == may(grant, f"{port}.{operation}", words)
    assert passed or not client.sent
