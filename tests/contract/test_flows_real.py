"""Flows against the local facility's face: once over lost replies and kills; words where people must act."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flows_world import QUIET, World, moving, waiting
from globus_world import until

from iri_common import (
    AuthError,
    Conflict,
    FlowFailed,
    Flows,
    GlobusCredential,
    JobKey,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    RunState,
    SpecChanged,
    SubmitUncertain,
    UsageError,
    WaitTimeout,
)
from iri_common.apis.globus.credentials import given_token
from iri_common.apis.globus.login import Login
from iri_common.apis.globus.rules import Needs, flow_scope, runs_scopes, transfer_scope
from iri_common.policy.globus_tasks import TaskPace
from iri_common.policy.retry import Limits
from iri_local_facility import LocalFacility

KEY = JobKey.of("scan", 12)
HASTY = Limits(attempts=3, total=10.0, first_delay=0.02, longest_delay=0.1)


@pytest.fixture(scope="module")
def with_flows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalFacility, Path]]:
    beam = tmp_path_factory.mktemp("beam")
    with LocalFacility(data_access=True, collections={"beam": beam}) as place:
        yield place, beam


@pytest.fixture
def world(with_flows: tuple[LocalFacility, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    place, beam = with_flows
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # An identity is open once in a process; another environment is another identity.
    monkeypatch.setenv("GLOBUS_SDK_TEST", str(tmp_path))
    monkeypatch.setattr("iri_common.apis.globus.client.Limits", lambda: HASTY)
    place.clear_faults()
    place.reset_requests()
    return World(place, beam, tmp_path)


# --------------------------------------------------------------------------------------------- once


def test_a_run_is_started_once_for_a_key(world: World) -> None:
    flow = world.made({"StartAt": "A", "States": {"A": {"Type": "Pass", "ResultPath": "$.a", "End": True}}})
    world.place.reset_requests()
    run = world.flows().run(flow, {"x": 1}, key=KEY, label="  slices  of  scan 12 ", tags=["t"])
    assert (run.state, run.code, run.output) == (RunState.SUCCEEDED, "FlowSucceeded", {"x": 1, "a": {"x": 1}})
    assert run.label == f"slices of scan 12.{KEY.tag}"
    assert world.flows().start(flow, {"x": 1}, key=KEY, label="another") == run.run_id
    assert (world.asked()["globusRunFlow"], world.asked()["globusToken"]) == (1, 2)
    assert world.flows().start(flow, {"x": 1}, key=KEY.next()) != run.run_id
    with pytest.raises(UsageError, match="in the past"):
        world.flows().start(flow, {"x": 1}, key=KEY)
    with pytest.raises(SpecChanged, match="used for another run"):
        world.flows().start(flow, {"x": 2}, key=KEY.next())
    assert len(world.began(flow)) == 2


@pytest.mark.parametrize("fault", ["lose_reply", "after", "empty", "html", "cut"])
def test_a_lost_answer_is_looked_up(world: World, fault: str) -> None:
    flow = world.made(QUIET)
    orders = {
        "lose_reply": ("lose_reply", {}),
        "after": ("status", {"status": 502, "when": "after"}),
        "empty": ("garble", {"body": "empty"}),
        "html": ("garble", {"body": "html"}),
        "cut": ("cut", {}),
    }
    kind, options = orders[fault]
    world.place.order(kind, "globusRunFlow", times=None, **options)
    run_id = world.flows().start(flow, {}, key=KEY)
    assert [each["id"] for each in world.began(flow)] == [run_id]
    assert world.asked()["globusRunFlow"] == 1


def test_a_late_list_is_looked_at_again(world: World) -> None:
    flow = world.made(QUIET)
    world.place.order("lose_reply", "globusRunFlow")
    world.place.order("empty_list", "globusListRuns", times=1, skip=1)  # the first is for other ledgers
    run_id = world.flows().start(flow, {}, key=KEY)
    assert [each["id"] for each in world.began(flow)] == [run_id]
    assert world.asked()["globusListRuns"] == 3


def test_what_is_nowhere_is_not_sent_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iri_common.policy.asking.look_pause", lambda _: 0.0)
    flow = world.made(QUIET)
    world.place.order("status", "globusRunFlow", status=502, times=1)
    with pytest.raises(SubmitUncertain, match="whether Globus Flows began the run is unknown") as caught:
        world.flows().start(flow, {}, key=KEY)
    assert caught.value.key == KEY
    assert (world.asked()["globusRunFlow"], world.began(flow)) == (1, [])
    assert world.flows().start(flow, {}, key=KEY.next())


def test_what_certainly_did_nothing_is_sent_again(world: World) -> None:
    flow = world.made(QUIET)
    world.place.order("status", "globusRunFlow", status=429, times=1, retry_after=0)
    world.place.order("status", "globusRunFlow", status=401, times=1)
    world.flows().start(flow, {}, key=KEY)
    assert (world.asked()["globusRunFlow"], len(world.began(flow))) == (3, 1)


KILLED = """
    import os, signal, sys
    from iri_common import FileLedger, Flows, GlobusCredential, JobKey, Stage
    from pathlib import Path
    write = FileLedger._write
    def written(self, record, owner):
        if record.stage is Stage.ACCEPTED:
            os.kill(os.getpid(), signal.SIGKILL)  # it runs, and nothing here knows
        return write(self, record, owner)
    FileLedger._write = written
    credential = GlobusCredential(sys.argv[1], lambda: sys.argv[2])
    flows = Flows(credential, ledger=FileLedger(Path(sys.argv[3])))
    flows.start(sys.argv[4], {}, key=JobKey.parse(sys.argv[5]))
"""


def test_a_killed_starter_finds_its_run(world: World) -> None:
    flow = world.made(QUIET)
    words = [world.place.globus_client_id, world.place.globus_client_secret]
    words += [str(world.state / "ledger"), flow, str(KEY)]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), *words], check=False)
    assert done.returncode == -9
    (run,) = world.began(flow)
    assert world.flows().start(flow, {}, key=KEY, label="under another name") == run["id"]
    assert world.asked()["globusRunFlow"] == len(world.began(flow)) == 1
    assert world.flows().find(flow, KEY) == world.flows().status(run["id"])


def test_a_run_is_not_taken_for_that_of_a_key_like_it(world: World) -> None:
    flow, key = world.made(QUIET), JobKey.of("alike")
    twelfth = JobKey(key.identity, 12)
    run_id = world.flows().start(flow, {}, key=twelfth, label="scan")
    assert world.flows().find(flow, key, label="scan") is None
    found = world.flows().find(flow, twelfth, label="scan")
    assert found is not None
    assert found.run_id == run_id


async def test_many_starters_of_one_key_are_one_run(world: World) -> None:
    flow = world.made(QUIET)
    started = [world.flows().aio.start(flow, {}, key=KEY) for _ in range(8)]
    assert len(set(await asyncio.gather(*started))) == len(world.began(flow)) == 1


# -------------------------------------------------------------------------------------------- watch


async def test_many_who_wait_ask_together(world: World) -> None:
    flow = world.made(waiting(60))
    flows = world.flows()
    runs = [await flows.aio.start(flow, {}, key=JobKey.of("many", each)) for each in range(6)]
    world.place.reset_requests()
    calm = Flows(world.own(), ledger=world.ledger(), pace=TaskPace(0.4, 0.4))
    waits = [asyncio.create_task(calm.aio.wait(each)) for each in runs]
    await until(lambda: world.asked()["globusListRuns"] > 3)
    assert world.asked()["globusGetRun"] < world.asked()["globusListRuns"]  # who is due alone asks alone
    for run_id in runs:
        await flows.aio.cancel(run_id)
    assert {run.code for run in await asyncio.gather(*waits)} == {"FlowCanceled"}


def test_changes_are_told_and_troubles_waited_out(world: World) -> None:
    flow = world.made(waiting(0.5))
    told = []
    run_id = world.flows().start(flow, {}, key=KEY)
    world.place.order("status", "globusGetRun", status=503, times=7)
    world.place.order("garble", "globusGetRun", body="html", times=1)
    run = world.flows().wait(run_id, on_change=told.append)
    assert (told[-1], run.state) == (run, RunState.SUCCEEDED)
    codes = [each.code for each in world.flows().log(run_id)]
    assert codes == ["FlowStarted", "WaitStarted", "WaitCompleted", "FlowSucceeded"]
    assert [each.code for each in world.flows().log(run_id, limit=1)] == ["FlowSucceeded"]
    with pytest.raises(UsageError, match="1 to 100"):
        world.flows().log(run_id, limit=101)


def test_a_run_is_canceled_and_released(world: World) -> None:
    flows = world.flows()
    run_id = flows.start(world.made(waiting(60)), {}, key=KEY)
    with pytest.raises(WaitTimeout, match="it goes on"):
        flows.wait(run_id, timeout=0.2)
    with pytest.raises(Conflict, match="must have status"):
        flows.release(run_id)
    for _ in range(2):
        flows.cancel(run_id)
    assert (flows.wait(run_id).state, flows.wait(run_id).code) == (RunState.FAILED, "FlowCanceled")
    for _ in range(2):
        flows.release(run_id)
    for look in (flows.status, flows.wait):
        with pytest.raises(NotFound, match="was released"):
            look(run_id)


def test_a_failure_is_told_as_ours(world: World) -> None:
    broken = {"Type": "Fail", "Error": "Beam", "Cause": "the beam is off"}
    flow = world.made({"StartAt": "No", "States": {"No": broken}})
    with pytest.raises(FlowFailed, match="FlowFailed: the beam is off") as caught:
        world.flows().run(flow, {}, key=KEY)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.run.state, str(again)) == (RunState.FAILED, str(caught.value))


# ------------------------------------------------------------------------------------------- people


def a_move(world: World, name: str, source: str | None = None) -> dict[str, str]:
    """Of a new file to the beamline's collection."""
    (world.place.home / name).write_bytes(b"slices")
    ends = {"from": source or world.place.collection, "to": world.place.collection_of("beam")}
    path = f"/{name}" if source else str(world.place.home / name)
    return {**ends, "path": path, "target": f"/{name}"}


def test_a_client_consents_for_itself_to_one_after_the_other(world: World) -> None:
    vault = world.place.add_collection("vault", world.place.home, data_access=True)
    body = {"one": a_move(world, "one"), "two": a_move(world, "two", vault)}
    run = world.flows().run(world.made(moving("one", "two")), body, key=KEY, timeout=60)
    assert [run.output[name]["moved"]["details"]["files_transferred"] for name in body] == [1, 1]
    assert [(world.beam / name).read_bytes() for name in body] == [b"slices"] * 2
    assert (world.asked()["globusResumeRun"], world.asked()["globusRunFlow"]) == (2, 1)


def log_in(world: World, *scopes: str) -> None:
    login = Login(world.person(), [transfer_scope(), *scopes], Needs())
    login.finish(world.place.globus_login(login.url))


def test_a_person_is_told_once_what_to_run(world: World) -> None:
    flow, flows = world.made(moving("it")), world.flows(world.person())
    with pytest.raises(AuthError, match=r"nobody|is not for the flow .*; run: iri globus login --scope"):
        flows.start(flow, {"it": a_move(world, "of a person")}, key=KEY)
    assert world.began(flow) == []
    log_in(world, flow_scope(flow), *runs_scopes())
    run_id = flows.start(flow, {"it": a_move(world, "of a person")}, key=KEY)
    with pytest.raises(AuthError, match="Missing required data_access consent") as caught:
        flows.wait(run_id, timeout=60)
    command = (
        f"run: iri globus login --scope '{flow_scope(flow)}[{transfer_scope([world.place.collection])}]'"
    )
    assert command in str(caught.value)
    assert "--collection" not in str(caught.value)
    assert flows.status(run_id).state is RunState.INACTIVE
    log_in(world, f"{flow_scope(flow)}[{transfer_scope([world.place.collection])}]", *runs_scopes())
    assert flows.wait(run_id, timeout=60).state is RunState.SUCCEEDED
    assert len(world.began(flow)) == 1


def test_a_login_without_the_scope_is_told_which(world: World) -> None:
    flow, flows = world.made(QUIET), world.flows(world.person())
    log_in(world, flow_scope(flow), runs_scopes()[1])
    run_id = flows.start(flow, {}, key=KEY)
    assert flows.wait(run_id).state is RunState.SUCCEEDED
    with pytest.raises(AuthError, match=r"run: iri globus login --scope .*run_manage"):
        flows.release(run_id)


def test_credentials_that_cannot_are_told_at_once(world: World) -> None:
    flow = world.made(QUIET)
    with pytest.raises(NotOffered, match=r"for Transfer alone; the flow .* itself takes"):
        world.flows(given_token("x")).start(flow, {}, key=KEY)
    wrong = GlobusCredential(world.place.globus_client_id, lambda: "wrong")
    with pytest.raises(AuthError, match="check its id and secret"):
        world.flows(replace(wrong)).start(flow, {}, key=KEY)
    assert world.asked()["globusRunFlow"] == 0
    world.place.order("refuse_tokens")
    with pytest.raises((AuthError, PermissionDenied)):
        world.flows().start(flow, {}, key=KEY)
    assert world.began(flow) == []


def test_what_makes_no_sense_is_refused_with_the_reason(world: World) -> None:
    schema = {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}}
    flow = world.made(QUIET, schema)
    with pytest.raises(Refused, match="'x' is a required property"):
        world.flows().start(flow, {}, key=KEY)
    assert world.flows().start(flow, {"x": 1}, key=KEY)  # what was refused has not used the key
    for wrong, words in ((("no-id", {}), "UUID"), ((flow, {"x": object()}), "plain JSON")):
        with pytest.raises(UsageError, match=words):
            world.flows().start(*wrong)
    with pytest.raises(NotFound):
        world.flows().status("00000000-0000-0000-0000-000000000000")
    with pytest.raises(Refused, match=r"Unknown Scope: .*/00000000-0000-0000-0000-000000000000/"):
        world.flows().start("00000000-0000-0000-0000-000000000000", {})
