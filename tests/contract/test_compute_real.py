"""Globus Compute against the local facility's face: once over lost replies and kills, and the truth."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from compute_world import World, note
from globus_world import until

from iri_common import (
    AuthError,
    ComputeFailed,
    ComputeState,
    ComputeTask,
    FileLedger,
    FunctionCall,
    GlobusCredential,
    JobKey,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    ResourceDown,
    ShellCall,
    SpecChanged,
    SubmitUncertain,
    UsageError,
    WaitTimeout,
)
from iri_common.apis.globus.credentials import given_token
from iri_common.apis.globus.login import Login
from iri_common.apis.globus.rules import Needs, compute_scopes, transfer_scope
from iri_common.jobside.calls import REMOTE
from iri_common.policy.retry import Limits
from iri_local_facility import LocalFacility

KEY = JobKey.of("scan", 12)
HASTY = Limits(attempts=3, total=10.0, first_delay=0.02, longest_delay=0.1)


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as running:
        yield running


@pytest.fixture
def world(place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # An identity is open once in a process; another environment is another identity.
    monkeypatch.setenv("GLOBUS_SDK_TEST", str(tmp_path))
    monkeypatch.setattr("iri_common.apis.globus.client.Limits", lambda: HASTY)
    monkeypatch.setattr("iri_common.policy.asking.send_pause", lambda _: 0.0)
    place.clear_faults()
    place.put_endpoint(id=place.compute_endpoint, online=True)
    place.reset_requests()
    return World(place, tmp_path)


def noting(world: World) -> FunctionCall:
    return FunctionCall.of(note, world.log)


# --------------------------------------------------------------------------------------------- once


def test_work_is_done_once_for_a_key(world: World) -> None:
    compute = world.compute()
    task = compute.run(noting(world), key=KEY)
    assert (task.state, task.value, task.ok) == (ComputeState.SUCCEEDED, 1, True)
    assert compute.start(noting(world), key=KEY) == task.task_id
    asked = world.asked()
    assert (asked["globusSubmitBatch"], asked["globusRegisterFunction"], asked["globusToken"]) == (1, 1, 1)
    assert compute.run(noting(world), key=KEY.next()).value == 2
    with pytest.raises(UsageError, match="in the past"):
        compute.start(noting(world), key=KEY)
    with pytest.raises(SpecChanged, match="used for another task"):
        compute.start(FunctionCall.of(note, "elsewhere"), key=KEY.next())
    assert world.asked()["globusSubmitBatch"] == 2


@pytest.mark.parametrize("fault", ["lose_reply", "after", "empty", "html", "cut"])
def test_of_two_tasks_one_works(world: World, fault: str) -> None:
    orders: dict[str, tuple[str, dict[str, Any]]] = {
        "lose_reply": ("lose_reply", {}),
        "after": ("status", {"status": 502, "when": "after"}),
        "empty": ("garble", {"body": "empty"}),
        "html": ("garble", {"body": "html"}),
        "cut": ("cut", {}),
    }
    kind, options = orders[fault]
    world.place.order(kind, "globusSubmitBatch", times=1, **options)
    task = world.compute().run(noting(world), key=KEY)
    assert (task.value, world.marks()) == (1, 1)
    assert world.asked()["globusSubmitBatch"] == 2


def test_what_never_arrived_is_sent_again(world: World) -> None:
    world.place.order("status", "globusSubmitBatch", status=502, times=2)
    before = len(world.place.compute_tasks())
    assert world.compute().run(noting(world), key=KEY).value == 1
    assert world.asked()["globusSubmitBatch"] == 3
    assert (len(world.place.compute_tasks()) - before, world.marks()) == (1, 1)


def test_a_double_is_followed_to_the_task_that_works(world: World) -> None:
    words = f"printf x >> {world.log}; while [ ! -e {world.state}/go ]; do sleep 0.05; done; echo done"
    first = world.compute().start(ShellCall(words), key=KEY)
    # As if by another machine, whose ledger knows nothing.
    other = world.compute(ledger=FileLedger(world.state / "other"))
    seen: list[ComputeTask] = []

    async def both() -> ComputeTask:
        await until(lambda: world.marks() == 1)
        double = await other.aio.start(ShellCall(words), key=KEY)
        waiting = asyncio.create_task(other.aio.wait(double, on_change=seen.append))
        await until(lambda: any(each.double_of == first for each in seen))
        (world.state / "go").touch()
        return await waiting

    task = asyncio.run(both())
    assert task.shell is not None
    assert (task.task_id, task.shell.stdout, world.marks()) == (first, "done\n", 1)
    assert other.run(ShellCall(words), key=KEY).task_id == first


def test_what_a_task_did_whose_id_is_not_told_is_told_after_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = REMOTE.replace('os.environ.get("GC_TASK_UUID")', "None")  # as at an old endpoint
    monkeypatch.setattr("iri_common.apis.globus.compute.REMOTE", old)
    words = f"printf x >> {world.log}; while [ ! -e {world.state}/go ]; do sleep 0.05; done; echo done"
    call = ShellCall(words)
    other, compute = world.compute(ledger=FileLedger(world.state / "other")), world.compute()
    first = other.start(call, key=KEY)
    asyncio.run(until(lambda: world.marks() == 1))
    with pytest.raises(ComputeFailed, match="does not tell which: its result is told to whoever asks"):
        compute.run(call, key=KEY)
    (world.state / "go").touch()
    other.wait(first)
    shell = compute.run(call, key=KEY).shell
    assert shell is not None
    assert (shell.stdout, world.marks()) == ("done\n", 1)


KILLED = """
    import os, signal, sys
    from iri_common import Compute, FileLedger, FunctionCall, GlobusCredential, JobKey, Stage
    from pathlib import Path
    from compute_world import note
    client, secret, endpoint, state, key, stage, when = sys.argv[1:]
    write = FileLedger._write
    def written(self, record, owner):
        if record.stage == stage and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = write(self, record, owner)
        if record.stage == stage:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    FileLedger._write = written
    compute = Compute(endpoint, credential=GlobusCredential(client, lambda: secret),
                      ledger=FileLedger(Path(state) / "ledger"), root=state + "/keys")
    compute.start(FunctionCall.of(note, state + "/log"), key=JobKey.parse(key))
"""


@pytest.mark.parametrize(
    ("stage", "when", "sends"),
    [("intent", "after", 1), ("sent", "after", 1), ("accepted", "before", 2), ("accepted", "after", 1)],
)
def test_work_is_done_once_over_kills(world: World, stage: str, when: str, sends: int) -> None:
    place = world.place
    words = [place.globus_client_id, place.globus_client_secret, place.compute_endpoint]
    words += [str(world.state), str(KEY), stage, when]
    script = [sys.executable, "-c", textwrap.dedent(KILLED), *words]
    done = subprocess.run(script, check=False, cwd=Path(__file__).parent)  # where compute_world is
    assert done.returncode == -9
    task = world.compute().run(noting(world), key=KEY)
    assert (task.value, world.marks()) == (1, 1)
    assert world.asked()["globusSubmitBatch"] == sends


def test_what_the_service_has_registered_is_not_sent_twice(world: World) -> None:
    call = FunctionCall(registered=world.registered(noting(world)), args=[world.log])
    assert world.compute().run(call).value == 1
    world.place.order("lose_reply", "globusSubmitBatch", times=1)
    with pytest.raises(SubmitUncertain, match="no list in which a task could be found") as caught:
        world.compute().start(call, key=KEY)
    assert caught.value.key == KEY
    with pytest.raises(SubmitUncertain, match="If a second task does no harm"):
        world.compute().start(call, key=KEY)
    assert world.asked()["globusSubmitBatch"] == 2
    assert world.compute().start(call, key=KEY.next())


def test_what_certainly_did_nothing_is_sent_again(world: World) -> None:
    world.place.order("status", "globusSubmitBatch", status=429, times=1, retry_after=0)
    world.place.order("status", "globusSubmitBatch", status=401, times=1)
    assert world.compute().run(noting(world), key=KEY).value == 1
    assert (world.asked()["globusSubmitBatch"], world.marks()) == (3, 1)


# ---------------------------------------------------------------------------------------- the truth


def fails() -> None:
    raise RuntimeError("the beam is off")


def complicated() -> complex:
    return 1j


def test_what_fails_there_is_told_here(world: World) -> None:
    compute = world.compute()
    with pytest.raises(ComputeFailed, match="RuntimeError: the beam is off") as caught:
        compute.run(FunctionCall.of(fails), key=KEY)
    assert 'raise RuntimeError("the beam is off")' in caught.value.task.trouble
    with pytest.raises(ComputeFailed, match="the beam is off"):  # the same ask is the same task
        compute.run(FunctionCall.of(fails), key=KEY)
    with pytest.raises(ComputeFailed, match="ended with 4: no room") as caught:
        compute.run(ShellCall("echo no room >&2; exit 4"))
    assert caught.value.task.shell is not None
    with pytest.raises(ComputeFailed, match="took longer than its seconds"):
        compute.run(ShellCall(["sleep", "60"], seconds=0.2))
    assert compute.run(FunctionCall.of(complicated)).packed.startswith("00\n")


def test_a_command_runs_as_it_is_asked_to(world: World) -> None:
    call = ShellCall('echo "$A"; pwd', str(world.state), {"A": "b  c"}, stdout=world.log)
    shell = world.compute().run(call, key=KEY).shell
    assert shell is not None
    assert (shell.stdout, shell.stdout_path) == (f"b  c\n{world.state}\n", world.log)


def test_a_result_that_was_dropped_is_said_to_be(world: World) -> None:
    compute = world.compute()
    task_id = compute.run(noting(world), key=KEY).task_id
    world.place.drop_results()
    assert compute.status(task_id).state is ComputeState.DROPPED
    again = compute.run(noting(world), key=KEY)
    assert (again.value, again.task_id) == (1, task_id)  # the endpoint has it still
    shutil.rmtree(world.root)
    with pytest.raises(ComputeFailed, match="nor the endpoint has what came of it"):
        compute.run(noting(world), key=KEY)
    assert (world.marks(), Path(world.root).exists()) == (1, False)
    call = FunctionCall(registered=world.registered(noting(world)), args=[world.log])
    compute.run(call, key=KEY.next())
    world.place.drop_results()
    with pytest.raises(ComputeFailed, match="nor the endpoint"):
        compute.run(call, key=KEY.next())
    assert world.marks() == 2


def test_many_wait_together(world: World) -> None:
    compute = world.compute().aio

    async def all_of_them() -> list[Any]:
        calls = (compute.run(ShellCall(f"sleep 0.4; echo {number}")) for number in range(6))
        return [task.shell.stdout for task in await asyncio.gather(*calls)]

    assert asyncio.run(all_of_them()) == [f"{number}\n" for number in range(6)]
    looks = [each for each in world.place.requests() if each["operation"] == "globusGetBatchStatus"]
    seconds = looks[-1]["time"] - looks[0]["time"]
    assert (
        len(looks) <= seconds / 0.02 + 10
    )  # of one poller, whose pause is 0.04 s at least; six have six times that


def test_an_endpoint_that_is_away_is_told_before_anything_is_sent(world: World) -> None:
    world.place.put_endpoint(id=world.place.compute_endpoint, online=False)
    compute = world.compute()
    assert (compute.endpoint().online, compute.endpoint().status) == (False, "offline")
    assert world.place.compute_endpoint in {each.id for each in compute.endpoints()}
    with pytest.raises(ResourceDown, match="cluster is offline"):
        compute.start(noting(world), key=KEY)
    assert world.asked()["globusSubmitBatch"] == 0
    task_id = compute.start(noting(world), key=KEY, queue=True)
    assert compute.start(noting(world), key=KEY) == task_id
    assert compute.status(task_id).state is ComputeState.WAITING
    with pytest.raises(WaitTimeout, match="it goes on"):
        compute.wait(task_id, timeout=0.1)
    with pytest.raises(NotOffered, match="ends no task"):
        compute.cancel(task_id)
    world.place.put_endpoint(id=world.place.compute_endpoint, online=True)
    assert compute.wait(task_id, timeout=60).value == 1


def test_endpoints_that_are_choosy_are_understood(world: World) -> None:
    assured = world.place.put_endpoint(name="assured", high_assurance=True)
    assert world.compute(endpoint=assured).run(noting(world), key=KEY).value == 1
    picky = world.place.put_endpoint(name="picky", allowed_functions=["none"])
    with pytest.raises(PermissionDenied, match="not permitted on endpoint"):
        world.compute(endpoint=picky).start(noting(world), key=KEY.next())
    with pytest.raises(NotFound, match="could not be resolved"):
        world.compute(endpoint="00000000-0000-0000-0000-000000000000").start(noting(world))
    with pytest.raises(NotFound, match="sees no task"):
        world.compute().status("00000000-0000-0000-0000-000000000000")
    with pytest.raises(Refused):
        world.compute().start(FunctionCall(registered="nobody's"))


# ---------------------------------------------------------------------------------------- who asks


def test_a_login_has_to_be_for_compute(world: World) -> None:
    credential = replace(world.person(), login=f"iri globus login --client {world.person().client_id}")
    login = Login(credential, [transfer_scope()], Needs())
    login.finish(world.place.globus_login(login.url))
    with pytest.raises(AuthError, match="is not for Globus Compute; run: iri globus login") as caught:
        world.compute(credential).start(noting(world), key=KEY)
    assert compute_scopes()[0] in str(caught.value)
    login = Login(credential, compute_scopes(), Needs())
    login.finish(world.place.globus_login(login.url))
    assert world.compute(credential).run(noting(world), key=KEY).value == 1


def test_credentials_that_do_not_do_are_said_to(world: World) -> None:
    with pytest.raises(NotOffered, match="Globus Compute itself takes a client"):
        world.compute(given_token("x")).start(noting(world), key=KEY)
    wrong = GlobusCredential(world.place.globus_client_id, lambda: "wrong")
    with pytest.raises(AuthError, match="check its id and secret"):
        world.compute(wrong).start(noting(world), key=KEY)
    world.place.order("refuse_tokens")
    with pytest.raises(AuthError):
        world.compute().start(noting(world), key=KEY)
    assert world.marks() == 0
