"""Files, transfers and flows through a real Airflow whose workers and triggerers are killed meanwhile."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import globus_sdk
import pytest
from airflow_versions import FORGETS, needs_on_kill, needs_store
from globus_sdk import AccessTokenAuthorizer, FlowsClient
from globus_sdk.scopes import FlowsScopes

from iri_local_facility import LocalFacility

pytestmark = [pytest.mark.timeout(300), needs_store]

SIZE = 1_000_000
WAITED_OUT = "it is waited out in the triggerer"
COUNTING = "n=0; until [ -e go ]; do n=$((n+1)); echo line-$n-; sleep 0.2; done; echo $n > count"


@pytest.fixture
def between(facility: LocalFacility, slow_facility: LocalFacility) -> Iterator[tuple[Path, Path]]:
    """A directory of three files at one facility, and where they may go at another."""
    name = f"d{os.urandom(4).hex()}"
    source, target = facility.home / name, slow_facility.home / name
    source.mkdir()
    target.mkdir()
    for each in ("a", "b", "c"):
        (source / each).write_bytes(os.urandom(1000))
    yield source, target
    facility.clear_faults()


@pytest.fixture
def tasks(facility: LocalFacility) -> Callable[[], dict[str, str]]:
    """Of Globus Transfer, since the test began: how each stands."""
    before = {each["id"] for each in facility.transfers()}
    return lambda: {each["id"]: each["status"] for each in facility.transfers() if each["id"] not in before}


@pytest.fixture
def flow(facility: LocalFacility, slow_facility: LocalFacility, between, monkeypatch) -> str:
    """One that moves the first file to where its input says."""
    for name, value in facility.globus_env.items():
        monkeypatch.setenv(name, value)
    move = {
        "Type": "Action",
        "ActionUrl": "https://transfer.actions.globus.org/transfer",
        "Parameters": {
            "source_endpoint": facility.collection,
            "destination_endpoint": slow_facility.collection,
            "DATA": [{"source_path": f"{between[0]}/a", "destination_path.$": "$.target"}],
        },
        "ResultPath": "$.moved",
        "End": True,
    }
    auth = globus_sdk.ConfidentialAppAuthClient(facility.globus_client_id, facility.globus_client_secret)
    token = auth.oauth2_client_credentials_tokens(str(FlowsScopes.all)).data["access_token"]
    client = FlowsClient(authorizer=AccessTokenAuthorizer(token))
    return client.create_flow("A flow", {"StartAt": "Move", "States": {"Move": move}}, {})["id"]


def test_a_worker_killed_in_the_midst_of_staging_costs_one_file(
    start, facility, tmp_path, wait_until
) -> None:
    names = [f"{number}.dat" for number in range(5)]
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for each in names:
        (source / each).write_bytes(os.urandom(SIZE))
    facility.reset_requests()
    hangs = [facility.order("hang", operation, skip=2) for operation in ("upload", "download")]
    run = start("staged_in_worker", "cp -r in out", source=str(source), target=str(target))
    for third, done in zip(hangs, (facility.scratch / run.name / "in", target), strict=True):
        wait_until(lambda third=third: _struck(facility, third), 90, "the third file")
        whole = [each.name for each in done.iterdir() if each.name in names]
        assert len(whole) == 2
        os.kill(run.instance()["pid"], signal.SIGKILL)
    assert run.wait() == "success", run.log(run.instance()["try_number"])
    assert run.instance()["try_number"] == 3
    assert run.states() == ["completed"]
    assert len(facility.requests("launchJob")) == 1
    sent = [each["bytes_in"] for each in facility.requests("upload") if each["acted"]]
    fetched = [each["bytes_out"] for each in facility.requests("getTask") if each["bytes_out"] > SIZE]
    assert len(sent) == len(fetched) == len(names)  # what was cut short was not of a file that had arrived
    assert sum(sent) < (len(names) + 1) * SIZE
    assert _digests(target) == _digests(source)


def test_a_facility_that_goes_away_while_files_move_holds_no_worker(
    start, site, facility, tmp_path, wait_until
) -> None:
    """In the midst of what goes in, and again of what comes out; all of it is one try, and one job."""
    names = [f"{number}.dat" for number in range(5)]
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for each in names:
        (source / each).write_bytes(os.urandom(SIZE))
    facility.reset_requests()
    target_there = facility.scratch / f"put-{os.urandom(4).hex()}"
    away = facility.order("status", "upload", status=503, times=None, skip=2)
    put = start("put", "", source=str(source), target=str(target_there))
    staged = start("staged", "cp -r in out", source=str(source), target=str(target))
    for run in (put, staged):
        run.await_task("deferred")
        run.await_log(WAITED_OUT)
    assert staged.jobs() == []
    facility.clear_faults(away)
    away = facility.order("status", "download", status=503, times=None, skip=2)
    assert put.wait() == "success", put.log()
    wait_until(lambda: staged.log().count(WAITED_OUT) > 1, 120, "another outage")
    staged.await_task("deferred")
    facility.clear_faults(away)
    assert staged.wait() == "success", staged.log()
    assert [run.instance()["try_number"] for run in (put, staged)] == [1, 1]
    assert len(facility.requests("launchJob")) == 1
    sent = [each["bytes_in"] for each in facility.requests("upload") if each["acted"]]
    assert sum(sent) < (2 * len(names) + 1) * SIZE
    assert _digests(target) == _digests(target_there) == _digests(source)


def test_a_triggerer_killed_while_data_move_loses_nothing_and_asks_nothing_twice(
    start, site, facility, between, tasks, flow, tmp_path, wait_until
) -> None:
    source, target = between
    facility.reset_requests()
    stuck = facility.order("transfer_stuck", "*", times=None)
    held = facility.order("hold", job="CopyFiles")
    copied = start("copied", "", source=str(source), target=f"{source}-copied")
    whole = start("moved", "", source=str(source), target=f"{target}/whole")
    each = start("moved_each", "", source=str(source), target=str(target))
    flowing = start("flowing", "", flow=flow, target=f"{target}/flown")
    (tmp_path / "in").write_text("in")
    script = "until [ -e go ]; do sleep 0.2; done; cat in > out"
    staged = start("staged", script, source=str(tmp_path / "in"), target=str(tmp_path / "out"))
    followed = start("followed", COUNTING)
    _await_waits(whole, "the transfer is")
    _await_waits(flowing, "the run is")
    _await_waits(staged, "the job is active")
    _await_waits(followed, "line-3-")
    _await_waits(copied, "the facility still works on transfer/cp")
    wait_until(lambda: set(site.task_states(each.dag_id, each.run_id).values()) == {"deferred"}, 60)
    site.kill_component("triggerer")
    for run in (staged, followed):
        (facility.scratch / run.name / "go").touch()
        run.await_job(0, "completed")
    facility.clear_faults(stuck, held)
    wait_until(lambda: set(tasks().values()) == {"SUCCEEDED"}, 60, "the transfers")
    assert not (tmp_path / "out").exists()
    site.start_component("triggerer")
    for run in (copied, whole, each, flowing, staged, followed):
        assert run.wait() == "success", run.log()

    told = site.xcom(whole.dag_id, whole.run_id, "job")
    mapped = [site.xcom(each.dag_id, each.run_id, "job", map_index=index) for index in range(3)]
    assert (told["files"], told["bytes"]) == (3, 3000)
    assert [one["bytes"] for one in mapped] == [1000] * 3
    assert {one["task"] for one in (told, *mapped)} < tasks().keys()
    assert len(facility.requests("globusSubmitTransfer")) == 4
    assert len(tasks()) == 5  # with that of the flow
    assert _digests(target / "whole") == _digests(source)
    assert len(facility.requests("firecrestTransferCp")) == 1
    assert _digests(source.with_name(f"{source.name}-copied")) == _digests(source)
    (ran,) = [one for one in facility.flow_runs() if one["flow"] == flow]
    told = site.xcom(flowing.dag_id, flowing.run_id, "job")
    assert (told["run_id"], told["output"]["target"]) == (ran["id"], f"{target}/flown")
    assert (target / "flown").read_bytes() == (source / "a").read_bytes()
    assert staged.states() == followed.states() == ["completed"]
    assert (tmp_path / "out").read_text() == "in"
    lines = int((facility.scratch / followed.name / "count").read_text())
    log = followed.log()
    assert all(f"line-{number}-" in log for number in range(1, lines + 1))


@needs_on_kill
def test_a_person_ends_transfers_and_flows_with_their_tasks(
    start, site, facility, between, tasks, flow, wait_until
) -> None:
    source, target = between
    stuck = facility.order("transfer_stuck", "*", times=None)
    words = ("failed", "cleared")
    moved = [start("moved", "", source=str(source), target=f"{target}/{word}") for word in words]
    flowing = [start("flowing", "", flow=flow, target=f"{target}/flown-{word}") for word in words]
    for run in (*moved, *flowing):
        _await_waits(run, "the transfer is" if run in moved else "the run is")
    wait_until(lambda: len(tasks()) == 4, 60, "what the flows ask for")
    before = tasks().keys()
    for failed, cleared in (moved, flowing):
        site.mark(failed.dag_id, failed.run_id, "job", "failed")
        site.clear(cleared.dag_id, cleared.run_id, "job")
    wait_until(lambda: {tasks()[each] for each in before} == {"FAILED"}, 60, "the end of all four")
    wait_until(lambda: len(tasks()) == 6, 60, "what is asked for anew")
    facility.clear_faults(stuck)
    wait_until(lambda: sorted(tasks().values()) == ["FAILED"] * 4 + ["SUCCEEDED"] * 2, 60, "the end")
    assert sorted(each.name for each in target.iterdir()) == ["cleared", "flown-cleared"]
    assert [run.instance()["state"] for run in (moved[0], flowing[0])] == ["failed"] * 2
    runs = [each for each in facility.flow_runs() if each["flow"] == flow]
    assert len(runs) == 3 or FORGETS  # there a run may meet what the one before has not given up yet


def _await_waits(run, words: str) -> None:
    """Wait until the task's trigger has said this: before that nobody is called when a person ends it."""
    run.await_task("deferred")
    run.await_log(words)


def _struck(facility: LocalFacility, fault: str) -> int:
    return next(each["struck"] for each in facility.faults() if each["id"] == fault)


def _digests(top: Path) -> dict[str, str]:
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in top.iterdir()}
