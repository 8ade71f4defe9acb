"""Globus Flows, as the unmodified globus-sdk sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import globus_sdk
import pytest
from flows_kit import MOVE, await_run, flow_client, flows_client, quick
from globus_sdk.gare import to_gare
from globus_sdk.scopes import FlowsScopes, GCSCollectionScopes, SpecificFlowScopes, TransferScopes

from iri_local_facility import LocalFacility

STAMP = {"Type": "Pass", "Parameters": {"name.$": "$.names[1]", "by": "flow"}, "ResultPath": "$.made"}
SCHEMA = {"type": "object", "required": ["names"], "properties": {"names": {"type": "array"}}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFacility]:
    beam = tmp_path_factory.mktemp("beam")
    with LocalFacility(data_access=True, collections={"beam": beam}) as running:
        running.beam = beam
        yield running


@pytest.fixture(autouse=True)
def _environment(place: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    place.reset_requests()
    yield
    place.clear_faults()


@pytest.fixture
def flows(place: LocalFacility, _environment: None) -> globus_sdk.FlowsClient:
    return flows_client(place)


def made(flows: globus_sdk.FlowsClient, *states: dict, schema: dict | None = None) -> str:
    return flows.create_flow("A flow", quick(*states), schema or {})["id"]


def test_data_goes_from_state_to_state(flows: globus_sdk.FlowsClient, place: LocalFacility) -> None:
    flow_id = made(flows, STAMP, {"Type": "Wait", "Seconds": 0.2}, {"Type": "Succeed"}, schema=SCHEMA)
    assert flow_id in {each["id"] for each in flows.list_flows()}
    assert flows.get_flow(flow_id)["globus_auth_scope"] == str(SpecificFlowScopes(flow_id).user)
    flow = flow_client(place, flow_id)
    begun = time.monotonic()
    answer = flow.run_flow({"names": ["a", "b"]}, label="two  words", tags=["x"])
    assert (answer.http_status, answer["status"], answer["label"]) == (201, "ACTIVE", "two words")
    run = await_run(flows, answer["run_id"])
    assert time.monotonic() - begun >= 0.2
    assert run["details"]["code"] == "FlowSucceeded"
    assert run["details"]["output"] == {"names": ["a", "b"], "made": {"name": "b", "by": "flow"}}
    assert (run["tags"], run["user_role"], run["flow_id"]) == (["x"], "run_owner", flow_id)
    log = list(flows.paginated.get_run_logs(answer["run_id"], limit=2).items())
    steps = ["PassStarted", "PassCompleted", "WaitStarted", "WaitCompleted", "SucceedStarted"]
    assert [each["code"] for each in log] == ["FlowStarted", *steps, "FlowSucceeded"]
    newest = flows.get_run_logs(answer["run_id"], limit=1, reverse_order=True)
    assert (newest["entries"][0]["code"], newest["has_next_page"]) == ("FlowSucceeded", True)
    assert flows.get_run_definition(answer["run_id"])["flow_id"] == flow_id


def test_runs_are_listed_by_flow_label_and_status(flows: globus_sdk.FlowsClient, place) -> None:
    flow_id, other = made(flows, STAMP), made(flows, {"Type": "Wait", "Seconds": 60})
    labels = [f"job-{number}" for number in range(22)]
    for label in labels:
        flow_client(place, flow_id).run_flow({"names": [0, 1]}, label=label)
    waits = flow_client(place, other).run_flow({})["run_id"]
    mine = list(flows.paginated.list_runs(filter_flow_id=flow_id).items())
    assert [each["label"] for each in mine] == labels[::-1]
    assert [each["run_id"] for each in flows.list_runs(filter_flow_id=[other])] == [waits]
    (found,) = flows.list_runs(query_params={"filter_label": "job-17"})
    assert found["label"] == "job-17"
    active = flows.list_runs(filter_flow_id=other, query_params={"filter_status": "ACTIVE,INACTIVE"})
    assert [each["run_id"] for each in active] == [waits]
    assert flows.cancel_run(waits)["details"]["code"] == "FlowCanceled"


def test_a_run_that_lives_is_not_released(flows: globus_sdk.FlowsClient, place: LocalFacility) -> None:
    run_id = flow_client(place, made(flows, {"Type": "Wait", "Seconds": 60})).run_flow({})["run_id"]
    with pytest.raises(globus_sdk.FlowsAPIError, match="must have status") as caught:
        flows.delete_run(run_id)
    assert (caught.value.http_status, caught.value.code) == (409, "STATE_CONFLICT")
    for _ in range(2):
        assert flows.cancel_run(run_id)["status"] == "FAILED"
    assert flows.delete_run(run_id)["status"] == "FAILED"
    with pytest.raises(globus_sdk.FlowsAPIError) as gone:
        flows.get_run(run_id)
    assert (gone.value.http_status, gone.value.code) == (404, "NOT_FOUND")
    assert run_id in {each["id"] for each in place.flow_runs()}


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({"Type": "Fail", "Error": "Mine", "Cause": "because"}, "Mine"),
        ({**STAMP, "Parameters": {"a.$": "$.nothing.here"}}, "States.Runtime"),
        ({**MOVE, "Parameters": {"source_endpoint": "nowhere"}}, "ActionUnableToRun"),
    ],
)
def test_runs_fail_with_a_reason(flows, place, state: dict, error: str) -> None:
    run_id = flow_client(place, made(flows, state)).run_flow({})["run_id"]
    details = await_run(flows, run_id, "FAILED")["details"]
    assert (details["code"], details["details"]["error"]) == ("FlowFailed", error)
    assert details["description"]


def test_an_action_moves_files_once_somebody_consents(flows, place: LocalFacility) -> None:
    flow_id = made(flows, MOVE, {"Type": "Pass", "Parameters": {"n.$": "$.moved.details.files_transferred"}})
    (place.home / "scan").write_bytes(b"slices")
    ends = {"from": place.collection, "to": place.collection_of("beam")}
    body = {**ends, "path": str(place.home / "scan"), "target": "/scan"}
    run_id = flow_client(place, flow_id).run_flow(body)["run_id"]
    waits = await_run(flows, run_id, "INACTIVE")
    needs = to_gare(waits["details"])
    assert needs is not None
    (scope,) = needs.authorization_parameters.required_scopes
    transfer = TransferScopes.all.with_dependency(
        GCSCollectionScopes(place.collection).data_access.with_optional(True)
    )
    assert scope == str(SpecificFlowScopes(flow_id).user.with_dependency(transfer))
    assert flow_client(place, flow_id).resume_run(run_id)["status"] == "ACTIVE"  # still without it
    await_run(flows, run_id, "INACTIVE")
    flow_client(place, flow_id, scope).resume_run(run_id)
    run = await_run(flows, run_id)
    assert (run["status"], run["details"]["output"]) == ("SUCCEEDED", {"n": 1})
    assert (place.beam / "scan").read_bytes() == b"slices"
    assert len([each for each in place.transfers() if each["label"] == "S0"]) == 1


def test_what_is_canceled_ends_its_transfer(flows, place: LocalFacility) -> None:
    place.order("transfer_stuck", "globusSubmitTransfer", code="FILE_NOT_FOUND", times=1)
    flow_id = made(flows, MOVE)
    ends = {"from": place.collection_of("beam"), "to": place.collection_of("beam")}
    run_id = flow_client(place, flow_id).run_flow(
        {**ends, "path": "/none", "target": "/there"}, label="stuck"
    )["run_id"]
    deadline = time.monotonic() + 60
    while not (tasks := [each for each in place.transfers() if each["label"] == "stuck"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    flows.cancel_run(run_id)
    while tasks[0]["status"] == "ACTIVE":
        assert time.monotonic() < deadline
        tasks = [each for each in place.transfers() if each["label"] == "stuck"]
    assert tasks[0]["fatal"]["code"] == "CANCELED"


def test_lost_replies_make_further_runs(flows: globus_sdk.FlowsClient, place: LocalFacility) -> None:
    flow_id = made(flows, {"Type": "Succeed"})
    place.order("lose_reply", "globusRunFlow", times=2)
    flow_client(place, flow_id).run_flow({})  # with the retries that the SDK has by itself
    assert len([each for each in place.flow_runs() if each["flow"] == flow_id]) == 3


def test_what_makes_no_sense_is_refused(flows: globus_sdk.FlowsClient, place: LocalFacility) -> None:
    for definition, schema, where in (
        ({"StartAt": "x", "States": {}}, {}, "StartAt"),
        (quick({"Type": "Choice"}), {}, "Type is one of"),
        (quick({"Type": "Pass", "Catch": []}), {}, "Catch is not known"),
        (quick({"Type": "Action", "ActionUrl": "https://example.org/"}), {}, "ActionUrl"),
        (quick({"Type": "Wait"}), {}, "Seconds"),
        (quick({"Type": "Succeed"}), {"allOf": []}, "allOf"),
    ):
        with pytest.raises(globus_sdk.FlowsAPIError, match=where) as caught:
            flows.create_flow("Wrong", definition, schema)
        assert (caught.value.http_status, caught.value.code) == (422, "UNPROCESSABLE_ENTITY")
    flow = flow_client(place, made(flows, STAMP, schema={**SCHEMA, "additionalProperties": False}))
    assert flow.validate_run({"names": []})["message"]
    for body, words in (
        ({}, "required property"),
        ({"names": 1}, "not of type"),
        ({"names": [], "x": 1}, "x"),
    ):
        for ask in (flow.validate_run, flow.run_flow):
            with pytest.raises(globus_sdk.FlowsAPIError, match=words) as caught:
                ask(body)
            assert (caught.value.http_status, caught.value.code) == (400, "FLOW_INPUT_ERROR")
    with pytest.raises(globus_sdk.FlowsAPIError, match="64"):
        flow.run_flow({"names": []}, label="x" * 65)


def test_tokens_are_for_one_service_and_scope(flows: globus_sdk.FlowsClient, place: LocalFacility) -> None:
    flow_id, other = made(flows, {"Type": "Succeed"}), made(flows, {"Type": "Succeed"})
    astray = flow_client(place, flow_id, str(SpecificFlowScopes(other).user))
    with pytest.raises(globus_sdk.FlowsAPIError) as caught:
        astray.run_flow({})
    assert (caught.value.http_status, caught.value.code) == (401, "AUTHENTICATION_ERROR")
    run_id = flow_client(place, flow_id).run_flow({})["run_id"]
    looker = flows_client(place, str(FlowsScopes.run_status))
    await_run(looker, run_id)
    with pytest.raises(globus_sdk.FlowsAPIError, match="run_manage") as caught:
        looker.delete_run(run_id)
    assert (caught.value.http_status, caught.value.code) == (403, "MISSING_SCOPE")
    with pytest.raises(globus_sdk.AuthAPIError, match="Unknown Scope"):
        flow_client(place, "00000000-0000-0000-0000-000000000000")


def test_a_restart_goes_on_with_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalFacility(root=tmp_path / "place") as place:
        for name, value in place.globus_env.items():
            monkeypatch.setenv(name, value)
        flows, flow_id = (
            flows_client(place),
            made(flows_client(place), {"Type": "Wait", "Seconds": 0.1}, MOVE),
        )
        (place.home / "scan").write_bytes(b"slices")
        ends = dict.fromkeys(("from", "to"), place.collection)
        body = {**ends, "path": str(place.home / "scan"), "target": str(place.home / "there")}
        place.order("transfer_slow", "globusSubmitTransfer", seconds=0.5)
        run_id = flow_client(place, flow_id).run_flow(body)["run_id"]
        deadline = time.monotonic() + 60
        while not place.transfers():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        place.kill()
        place.restart()
        assert await_run(flows, run_id)["status"] == "SUCCEEDED"
        codes = [each["code"] for each in flows.get_run_logs(run_id)]
        assert len(place.transfers()) == 1
    steps = ["WaitStarted", "WaitCompleted", "ActionStarted", "ActionCompleted"]
    assert codes == ["FlowStarted", *steps, "FlowSucceeded"]
