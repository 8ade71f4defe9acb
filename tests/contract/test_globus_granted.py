"""The grant of the section ``[globus]``: its flows, endpoints and collections, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compute_world import note
from flows_world import QUICK, QUIET, World, waiting

from iri_common import (
    Compute,
    Flows,
    FunctionCall,
    GrantExceeded,
    JobKey,
    ProfileError,
    ShellCall,
    Transfers,
    UsageError,
)
from iri_common.facility.profiles import load_speaker
from iri_common.jobs.audit import AuditLog
from iri_common.model.grant import Audit, Grant, Verb
from iri_local_facility import LocalFacility

pytestmark = pytest.mark.timeout(120)

KEY = JobKey.of("portal", "scan 12")


@pytest.fixture(scope="module")
def with_beam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalFacility, Path]]:
    beam = tmp_path_factory.mktemp("beam")
    with LocalFacility(collections={"beam": beam}) as place:
        yield place, beam


@pytest.fixture
def world(with_beam: tuple[LocalFacility, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    place, beam = with_beam
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("GLOBUS_SDK_TEST", str(tmp_path))  # another environment is another identity
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))
    monkeypatch.setenv("OUR_SECRET", place.globus_client_secret)
    return World(place, beam, tmp_path)


def granted(world: World, **limits: Any) -> None:
    """What the section says from here on."""
    lines = [f"{word} = {json.dumps(value)}" for word, value in limits.items()]
    client = f'[globus.client]\nid = "{world.place.globus_client_id}"\nsecret = {{ env = "OUR_SECRET" }}\n'
    (world.state / "facilities.toml").write_text("\n".join([client, "[globus.grant]", *lines]))
    world.place.reset_requests()


def refused(world: World, *asks: Callable[[], object]) -> list[str]:
    """What was asked for, each of them in vain."""
    told = list[str]()
    for ask in asks:
        with pytest.raises(GrantExceeded, match="the grant of globus does not allow") as caught:
            ask()
        told.append(caught.value.asked)
    return told


def lines(world: World) -> list[dict[str, Any]]:
    return list(AuditLog(world.state / "state" / "iri" / "audit").entries())


def test_only_the_flows_that_are_named_are_used(world: World) -> None:
    ours, other = world.made(QUIET), world.made(waiting(600))
    theirs = world.flows().start(other, {}, key=KEY)
    granted(world, resources=[ours])
    flows = Flows(ledger=world.ledger(), pace=QUICK)
    asked = refused(
        world,
        lambda: flows.start(other, {}, key=JobKey.of("another")),
        lambda: flows.find(other, KEY),
        lambda: flows.status(theirs),
        lambda: flows.statuses([theirs]),
        lambda: flows.wait(theirs, timeout=60),
        lambda: flows.log(theirs),
        lambda: flows.cancel(theirs),
        lambda: flows.release(theirs),
    )
    assert asked[0] == f"flows start at {other}"
    assert asked[-1] == f"flows release at {other}"
    assert {each["method"] for each in world.place.requests() if "run" in each["path"]} == {"GET"}
    assert not world.asked()["globusRunFlow"]
    run = flows.run(ours, {"token": "hunter2-hunter2"}, key=KEY.next())
    flows.release(run.run_id)
    acts = [each for each in lines(world) if each.get("operation") == "flows start" and "key" in each]
    assert [(each["fate"], each["resource"], each["key"]) for each in acts][-1] == (
        "asked",
        ours,
        str(KEY.next()),
    )
    assert run.run_id in [each.get("task") for each in lines(world)]
    assert "hunter2" not in str(lines(world))
    world.flows().cancel(theirs)


def test_what_may_be_done_with_flows_is_said_by_the_verbs(world: World) -> None:
    flow = world.made(waiting(600))
    run = world.flows().start(flow, {}, key=KEY)
    granted(world, verbs=["read"])
    flows = Flows(ledger=world.ledger(), pace=QUICK)
    assert flows.status(run).flow_id == flow
    asked = refused(
        world,
        lambda: flows.start(flow, {}, key=KEY.next()),
        lambda: flows.resume(run),
        lambda: flows.cancel(run),
        lambda: flows.release(run),
    )
    assert [each.split()[1] for each in asked] == ["submit", "submit", "cancel", "delete"]
    assert {each["method"] for each in world.place.requests() if "run" in each["path"]} == {"GET"}
    narrower = Flows(world.own(), grant={"verbs": ["cancel"]}, audit="off", ledger=world.ledger())
    narrower.cancel(run)
    with pytest.raises(GrantExceeded, match="the grant of Globus Flows does not allow to delete"):
        narrower.release(run)


def test_only_the_endpoints_that_are_named_are_used_and_only_as_far_as_anybody_can_tell(world: World) -> None:
    endpoint, log = world.place.compute_endpoint, world.state / "log"
    words: dict[str, Any] = {"ledger": world.ledger(), "pace": QUICK, "root": str(world.state / "keys")}
    shell, function = ShellCall("true", str(world.state)), FunctionCall.of(note, str(log))
    outside = {
        "another endpoint": ({"resources": ["00000000-0000-4000-8000-000000000000"]}, function),
        "no submits": ({"verbs": ["cancel"]}, function),
        "so many nodes": ({"nodes": 1}, function),
        "so many hours": ({"node_hours": 1}, function),
        "an account": ({"accounts": ["m1"]}, function),
        "no directory": ({"paths": [str(world.state)]}, function),
        "another directory": ({"paths": [str(world.state)]}, ShellCall("true", "/tmp")),
        "output elsewhere": (
            {"paths": [str(world.state)]},
            ShellCall("true", str(world.state), stdout="../o"),
        ),
        "keys elsewhere": (
            {"paths": [str(world.state / "work")]},
            ShellCall("true", str(world.state / "work")),
        ),
    }
    for what, (limits, call) in outside.items():
        granted(world, **limits)
        compute = Compute(endpoint, **words)
        assert refused(world, lambda compute=compute, call=call: compute.run(call, key=KEY)), what
    assert not world.place.requests()
    granted(world, resources=[endpoint], verbs=["submit"], paths=[str(world.state)])
    assert Compute(endpoint, **words).run(shell, key=KEY).ok
    act = [each for each in lines(world) if each.get("operation") == "compute submit"][-1]
    assert (act["fate"], act["resource"], act["profile"]) == ("asked", endpoint, "globus")
    assert (act["key"], act["paths"][0]) == (str(KEY), str(world.state))


def test_only_the_collections_and_paths_that_are_named_are_moved_from_and_to(world: World) -> None:
    place, here = world.place, world.state / "x"
    own, beam = f"globus://{place.collection}", f"globus://{place.collection_of('beam')}"
    folder = place.home / world.state.name
    (folder / "granted").mkdir(parents=True)
    (folder / "secret").write_text("secret")
    (world.beam / "scan").write_text("scan")
    here.write_text("x")
    copy = Transfers().copy
    granted(world, resources=[place.collection], paths=[str(folder / "granted")])
    refused(
        world,
        lambda: copy(f"{own}{folder}/secret", world.state / "got"),
        lambda: copy(here, f"{own}{folder}/x"),
        lambda: copy(here, f"{own}{folder}/granted/../x"),
        lambda: copy(f"{beam}/scan", f"{own}{folder}/granted/"),
        lambda: copy(f"{own}{folder}/granted/", f"{beam}/back"),
        lambda: Transfers().sync(world.beam, f"{own}{folder}", delete=True),
    )
    assert not place.requests()
    copy(here, f"{own}{folder}/granted/x")
    assert (folder / "granted" / "x").read_text() == "x"
    granted(world, verbs=["read"])
    refused(
        world,
        lambda: copy(here, f"{own}{folder}/y"),
        lambda: copy(f"{beam}/scan", f"{own}{folder}/scan", road="globus"),
    )
    assert not place.requests("globusSubmitTransfer")
    copy(f"{own}{folder}/secret", world.state / "got")
    assert (world.state / "got").read_text() == "secret"
    done = [each for each in lines(world) if each.get("operation") == "transfer" and each["fate"] == "asked"]
    assert [(each["verb"], each["resource"]) for each in done] == [("write", place.collection)]


def test_variables_and_callers_only_narrow_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    granted(world, verbs=["read", "submit"], paths=["/a"])
    speaker = load_speaker()
    assert speaker is not None
    assert speaker.grant == Grant(verbs=["read", "submit"], paths=["/a"])
    assert speaker.audit is Audit.ACTS
    monkeypatch.setenv("IRI_GLOBUS_GRANT_VERBS", "submit,delete")
    monkeypatch.setenv("IRI_GLOBUS_AUDIT", "all")
    monkeypatch.setenv("IRI_GLOBUS_CLIENT_ID", "another")
    speaker = load_speaker()
    assert speaker is not None
    assert (speaker.credential.client_id, speaker.audit) == ("another", Audit.ALL)
    assert speaker.grant == Grant(verbs=[Verb.SUBMIT], paths=["/a"])
    flows = Flows(grant={"verbs": ["submit", "cancel"], "resources": []}, audit="off", ledger=world.ledger())
    refused(
        world,
        lambda: flows.cancel("00000000-0000-4000-8000-000000000000"),
        lambda: flows.start("00000000-0000-4000-8000-000000000000", {}),
    )
    assert lines(world)[-1]["fate"] == "denied"
    assert not world.place.requests()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("[globus.grant]\nfly = true", "unknown limits of a grant: fly"),
        ('[globus]\naudit = "some"', "audit is one of off, acts, all"),
        ("[globus]\ngrants = {}", "grants: no such setting"),
    ],
)
def test_a_grant_that_makes_no_sense_names_the_section(world: World, words: str, told: str) -> None:
    (world.state / "facilities.toml").write_text(words)
    with pytest.raises(ProfileError, match=rf"the section \[globus\].*{told}"):
        load_speaker()


def test_without_anybody_there_is_nobody_to_ask_for(world: World) -> None:
    with pytest.raises(UsageError, match="nobody speaks to Globus here"):
        Flows(ledger=world.ledger())
    with pytest.raises(UsageError, match="nobody speaks to Globus here"):
        Compute(world.place.compute_endpoint, ledger=world.ledger())
