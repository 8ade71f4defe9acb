"""The gate before each dialect: what it refuses reaches no wire, and what it lets pass is on record."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
from fuzz_doors import DOORS, FuzzDoor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iri_common import (
    AmbiguousReply,
    Grant,
    GrantExceeded,
    IriError,
    JobKey,
    NodesIntent,
    PathEnd,
    PathIntent,
    Refused,
)
from iri_common.facility.gateddialect import GrantedDialect
from iri_common.facility.granted import PORTS, Gate, speak_for
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.jobs.audit import AuditLog
from iri_common.model.grant import Audit, Verb
from iri_common.model.outcome import Done
from iri_common.model.transfer import PartsUpload
from iri_common.policy.grants import Ask
from iri_common.policy.operations import OPERATIONS

WHOSE = {
    "profile": "portal",
    "facility": "portal",
    "origin": "facility.example",
    "principal": "a given token",
}


# ---------------------------------------------------------------------------------- on the wires of all doors


class Deaf:
    """A wire that takes nothing: whatever reaches it got past the gate."""

    async def send(self, request: object) -> Any:
        raise AssertionError(f"it was sent: {request!r}")

    get = put = post = send

    async def close(self) -> None: ...


def granted_dialect(door: FuzzDoor, grant: Grant) -> GrantedDialect:
    wire: Any = Deaf()
    session = Session(
        "http://door.example/api", wire, None, Budget(), rules=door.kind.rules, label="door", links=wire
    )
    return GrantedDialect(door.kind.make(session, door.words), Gate(grant))


SPEC = {
    "executable": "/x",
    "directory": "/elsewhere",
    "name": "n.0123456789abcdef-1",
    "attributes": {"duration": 9},
}
A_PATH = PathIntent([PathEnd("urn:one"), PathEnd("urn:other")], mbps=1)
VALUES = {
    "spec": SPEC,
    "changes": {"attributes": {"duration": 9}},
    "upload": PartsUpload("/elsewhere/x", 1, 1, ("http://s/1",)),
    "collections": ("one", "other"),
    "mode": 0o600,
    "offset": 0,
    "limit": 1,
    "size": 1,
    "since": 1.0,
    "content": b"x",
    "etags": ("e",),
    "settings": {},
    "historical": False,
    "names": True,
    "force": True,
    "pieces": None,
}


def arguments(port: str, name: str) -> dict[str, Any]:
    wanted = list(inspect.signature(getattr(PORTS[port], name)).parameters.values())[1:]
    values = {**VALUES, "intent": A_PATH if port == "networks" else NodesIntent(1, 9)}
    return {
        each.name: values.get(each.name, "/elsewhere/x")
        for each in wanted
        if each.default is inspect.Parameter.empty
    }


async def called(operation: Any, words: dict[str, Any]) -> None:
    asked = operation(**words)
    if hasattr(asked, "__aenter__"):
        async with asked:
            return
    await asked


GRANTS = {
    "verbs": (Grant(verbs=["look"]), lambda row: row.verb not in {None, Verb.LOOK}),
    "resources": (Grant(resources=["other machine"]), lambda row: row.verb is not None and row.resource),
    "paths": (Grant(paths=["/granted"]), lambda row: row.paths),
    "hours": (Grant(node_hours=0.001), lambda row: row.spec or row.nodes),
}


@pytest.mark.parametrize("limit", GRANTS)
@pytest.mark.parametrize("name", DOORS)
async def test_nothing_outside_of_a_grant_reaches_the_wire(name: str, limit: str) -> None:
    grant, refused = GRANTS[limit]
    dialect, count = granted_dialect(DOORS[name], grant), 0
    for port, rows in OPERATIONS.items():
        offered = getattr(dialect, port, None)
        for operation, row in rows.items() if offered is not None else ():
            if refused(row):
                with pytest.raises(GrantExceeded):
                    await called(getattr(offered, operation), arguments(port, operation))
                count += 1
    assert count or (name, limit) in {("sense", "resources"), ("sense", "paths"), ("sense", "hours")}


# --------------------------------------------------------------------------------------- what passes


class Recorder:
    """A port that notes what it is asked for, and does nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        async def call(**words: Any) -> Done[None]:
            self.calls.append((name, words))
            return Done(None)

        return call


FILES = sorted(set(OPERATIONS["files"]) - {"symlink"})  # whose target may be relative: to the link
SOME_PATHS = st.sampled_from(["/a", "/a/b", "/a/bc", "/a/b/c", "/d/e", "/a/b/../c", "//a//b/x", "a/b"])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    operation=st.sampled_from(FILES),
    paths=st.tuples(SOME_PATHS, SOME_PATHS),
    verbs=st.frozensets(st.sampled_from(Verb)),
    prefix=st.sampled_from(["/a", "/a/b", "/d"]),
)
def test_what_reaches_the_facility_is_within_the_grant_and_else_nothing_does(
    operation, paths, verbs, prefix
) -> None:
    files, row = Recorder(), OPERATIONS["files"][operation]
    words: dict[str, Any] = {"resource_id": "machine", **dict(zip(row.paths, paths, strict=False))}
    words |= {name: value for name, value in arguments("files", operation).items() if name not in words}
    gated = Gate(Grant(verbs=verbs, paths=[prefix])).port("files", files)
    try:
        asyncio.run(called(getattr(gated, operation), words))
    except GrantExceeded:
        assert not files.calls
        return
    assert files.calls == [(operation, words)]
    assert row.verb in verbs | {Verb.LOOK}
    for path in paths[: len(row.paths)]:
        clean = "/" + "/".join(part for part in path.split("/") if part)
        assert ".." not in path
        assert path.startswith("/")
        assert f"{clean}/".startswith(f"{prefix}/")


async def test_a_resource_is_known_by_each_of_its_names() -> None:
    async def names(resource_id: str) -> list[str]:
        return ["Big"] if resource_id == "machine" else []

    gate = Gate(Grant(resources=["bIG"]), names=names)
    await gate.admit(Ask(Verb.LOOK, "jobs list", ("machine",)))
    with pytest.raises(GrantExceeded, match="jobs list at small; allowed: at bIG"):
        await gate.admit(Ask(Verb.LOOK, "jobs list", ("small",)))


# ----------------------------------------------------------------------------------------- on record


def gate(folder: Path, audit: Audit = Audit.ACTS, **limits: Any) -> Gate:
    return Gate(Grant.of(limits) or Grant(), audit, WHOSE, log=AuditLog(folder))


async def told(folder: Path) -> list[dict[str, Any]]:
    return await asyncio.to_thread(lambda: list(AuditLog(folder).entries()))


async def test_an_act_is_written_down_before_and_after(tmp_path: Path) -> None:
    speak_for(JobKey.of("airflow", "dag", 1))
    await gate(tmp_path).port("files", Recorder()).rm(resource_id="machine", path="/a/b")
    asked, done = await told(tmp_path)
    assert {**asked, **WHOSE, "key": "airflow/dag/1.1", "verb": "delete", "operation": "files rm"} == asked
    assert (asked["resource"], asked["paths"]) == ("machine", ["/a/b"])
    assert (done["act"], done["fate"]) == (asked["act"], "done")


@pytest.mark.parametrize(
    ("audit", "operations"),
    [(Audit.OFF, []), (Audit.ACTS, ["files rm"]), (Audit.ALL, ["files ls", "files view", "files rm"])],
)
async def test_what_is_written_down_is_said_by_the_profile(tmp_path: Path, audit, operations) -> None:
    files = gate(tmp_path, audit).port("files", Recorder())
    await files.ls(resource_id="machine", path="/a")
    await files.view(resource_id="machine", path="/a", size=1)
    await files.rm(resource_id="machine", path="/a")
    assert [each["operation"] for each in await told(tmp_path) if "operation" in each] == operations


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (Refused("no"), "refused"),
        (AmbiguousReply("lost"), "uncertain"),
        (asyncio.CancelledError(), "uncertain"),
    ],
)
async def test_what_went_wrong_is_written_down(tmp_path: Path, error, fate) -> None:
    class Failing:
        async def rm(self, resource_id: str, path: str) -> None:
            raise error

    with pytest.raises(type(error)):
        await gate(tmp_path).port("files", Failing()).rm("machine", "/a")
    last = (await told(tmp_path))[-1]
    assert last["fate"] == fate
    assert last.get("why", "") == (str(error) if isinstance(error, IriError) else "")


@pytest.mark.parametrize(
    ("port", "operation", "words"),
    [
        ("jobs", "update", {"changes": {"environment": {"KEY": "hunter2"}}, "idempotency_key": None}),
        ("attaching", "attach", {"command": "login hunter2"}),
    ],
)
async def test_what_a_facility_repeats_of_a_secret_is_masked(tmp_path: Path, port, operation, words) -> None:
    class Repeating:
        async def update(self, resource_id: str, job_id: str, **words: Any) -> None:
            raise Refused("KEY=hunter2 is no good")

        async def attach(self, resource_id: str, job_id: str, command: str) -> None:
            raise Refused(f"{command}: command not found")

    with pytest.raises(Refused):
        await getattr(gate(tmp_path).port(port, Repeating()), operation)("machine", "42", **words)
    lines = await told(tmp_path)
    assert "hunter2" not in str(lines)
    assert (lines[0]["job"], lines[1]["why"].count("********")) == ("42", 1)


async def test_a_refusal_is_written_down_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(GrantExceeded) as caught:
        await gate(tmp_path, verbs=["look"]).port("files", Recorder()).rm("machine", "/a")
    assert (caught.value.profile, caught.value.asked) == ("portal", "to delete (files rm)")
    (line,) = await told(tmp_path)
    assert (line["fate"], line["why"]) == ("denied", "to delete (files rm); allowed: to look")


async def test_a_transfer_is_one_act_and_what_it_takes_away_on_its_way_its_own(tmp_path: Path) -> None:
    limited, files = gate(tmp_path, verbs=["write"], paths=["/a"]), Recorder()
    result: dict[str, Any] = {}
    async with limited.transfer(Verb.WRITE, "machine", ["/a/1", "/a/2"], "/a", result):
        await limited.port("files", files).rm(resource_id="machine", path="/a/1.part")
        result["files"] = 2
    assert [each.get("operation") for each in await told(tmp_path)] == ["transfer", None]
    assert (await told(tmp_path))[-1]["files"] == 2
    with pytest.raises(GrantExceeded):
        await limited.port("files", files).rm(resource_id="machine", path="/a/1")
    with pytest.raises(GrantExceeded, match="'/b/2'"):
        async with limited.transfer(Verb.WRITE, "machine", ["/a/1", "/b/2"], "/a", {}):
            raise AssertionError("it was carried")
    assert len(files.calls) == 1
