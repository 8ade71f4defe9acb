"""Globus Compute, as the unmodified globus-sdk sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
from flows_kit import await_run, flow_client, flows_client, quick, token
from globus_sdk import AccessTokenAuthorizer, ComputeClientV2, ComputeClientV3
from globus_sdk.scopes import ComputeScopes, TransferScopes

from iri_local_facility import LocalFacility

DOUBLE = "def double(x, *, more=0):\n    return 2 * x + more\n"
NOTE = "def note(path):\n    open(path, 'a').write('x')\n"
SLOW = "def slow(path):\n    import time\n    open(path, 'a').write('x')\n    time.sleep(60)\n"
NOBODY = "00000000-0000-0000-0000-000000000000"
CALL = {"Type": "Action", "ActionUrl": "https://compute.actions.globus.org/v3", "ResultPath": "$.called"}


class Client:
    """Both versions of the SDK's client, and the formats of the SDK of Compute that are plain text."""

    def __init__(self, place: LocalFacility, scope: str = "") -> None:
        authorizer = AccessTokenAuthorizer(token(place, scope or str(ComputeScopes.all)))
        self.v2, self.v3 = ComputeClientV2(authorizer=authorizer), ComputeClientV3(authorizer=authorizer)
        self.endpoint = place.compute_endpoint

    def registered(self, source: str, **more: Any) -> str:
        name = source.partition("(")[0].removeprefix("def ")
        code = f"st\n{name}:{source}"
        document = {"function_name": name, "function_code": f"{len(code)}\n{code}", **more}
        return self.v3.register_function(document)["function_uuid"]

    def submitted(self, function: str, *args: Any, endpoint: str = "", **more: Any) -> dict[str, Any]:
        document = {"tasks": {function: [payload(*args)]}, "result_serializers": ["x.JSONData"], **more}
        return self.v3.submit(endpoint or self.endpoint, document).data

    def over(self, task: str, seconds: float = 20) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (seen := self.v2.get_task(task).data)["status"] not in ("success", "failed"):
            assert time.monotonic() < deadline, seen
            time.sleep(0.02)
        return seen


def payload(*args: Any, **kwargs: Any) -> str:
    pieces = [f"11\n{json.dumps(args)}", f"11\n{json.dumps(kwargs)}"]
    return "".join(f"{len(each)}\n{each}" for each in pieces)


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility() as running:
        yield running


@pytest.fixture
def client(place: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    place.clear_faults()
    yield Client(place)
    place.put_endpoint(id=place.compute_endpoint, online=True)


def test_functions_run_and_tell(client: Client) -> None:
    function = client.registered(DOUBLE)
    tasks = {function: [payload(1), payload(2, more=3), payload("a", "b")]}
    reply = client.v3.submit(client.endpoint, {"tasks": tasks, "result_serializers": ["x.JSONData"]})
    first, second, wrong = reply["tasks"][function]
    assert client.over(first)["result"] == "11\n2"
    assert client.over(second)["result"] == "11\n7"
    failed = client.over(wrong)
    assert failed["status"] == "failed"
    assert "TypeError" in failed["exception"]
    found = client.v2.get_task_batch([first, second, NOBODY])["results"]
    assert {each: found[each]["status"] for each in found} == {first: "success", second: "success"}
    group = client.v2.get_task_group(reply["task_group_id"])
    assert [each["id"] for each in group["tasks"]] == [first, second, wrong]


def test_task_groups_are_made_by_the_service(client: Client) -> None:
    function = client.registered(DOUBLE)
    group = client.submitted(function, 1)["task_group_id"]
    assert client.submitted(function, 2, task_group_id=group)["task_group_id"] == group
    assert len(client.v2.get_task_group(group)["tasks"]) == 2
    with pytest.raises(globus_sdk.GlobusAPIError) as refused:
        client.submitted(function, 3, task_group_id=NOBODY)
    assert (refused.value.http_status, refused.value.code) == (404, "TASK_GROUP_NOT_FOUND")


def test_functions_come_in_several_formats(client: Client) -> None:
    document = {"function_name": "double", "function_code": DOUBLE, "serialized": False}
    plain = client.v2.register_function(document)["function_uuid"]
    assert client.v2.get_function(plain)["function_code"] == DOUBLE
    bad = f"xx\ndouble:{DOUBLE}"
    packed = f"99\n?{len(bad)}"
    several = f"st\ndouble:{DOUBLE}"
    several = f"12\n{len(bad)}\n{bad}{len(several)}\n{several}"
    for code, status in (
        (f"{len(several)}\n{several}", "success"),
        (f"{len(bad)}\n{bad}", "failed"),
        (packed, "failed"),
    ):
        document = {"function_name": "double", "function_code": code}
        function = client.v3.register_function(document)["function_uuid"]
        (task,) = client.submitted(function, 4)["tasks"][function]
        assert client.over(task)["status"] == status, code
    client.v2.delete_function(plain)
    with pytest.raises(globus_sdk.GlobusAPIError):
        client.v2.get_function(plain)


def test_tasks_wait_for_an_endpoint(client: Client, place: LocalFacility) -> None:
    assert client.v2.get_endpoint_status(client.endpoint)["status"] == "online"
    place.put_endpoint(id=client.endpoint, online=False)
    assert client.v2.get_endpoint_status(client.endpoint)["status"] == "offline"
    function = client.registered(DOUBLE)
    (task,) = client.submitted(function, 5)["tasks"][function]
    assert client.v2.get_task(task)["status"] == "waiting-for-ep"
    place.put_endpoint(id=client.endpoint, online=True)
    assert client.over(task)["result"] == "11\n10"
    place.drop_results()
    assert client.v2.get_task(task)["reason"]


def test_endpoints_choose_their_functions(client: Client, place: LocalFacility) -> None:
    function, other = client.registered(DOUBLE), client.registered(NOTE)
    picky = place.put_endpoint(name="picky", allowed_functions=[function])
    assured = place.put_endpoint(name="assured", high_assurance=True)
    foreign = place.put_endpoint(name="foreign", owner="bob")
    assert client.v3.get_endpoint_allowlist(picky)["functions"] == [function]
    names = {each["name"] for each in client.v2.get_endpoints()}
    assert {"cluster", "picky", "assured"} <= names
    assert "foreign" not in names
    assert foreign in {each["uuid"] for each in client.v2.get_endpoints(role="any")}
    assert client.submitted(function, 1, endpoint=picky)
    for endpoint, wrong in ((picky, other), (assured, function), (foreign, function)):
        with pytest.raises(globus_sdk.GlobusAPIError) as refused:
            client.submitted(wrong, 1, endpoint=endpoint)
        assert refused.value.http_status == 403
    bound = client.registered(DOUBLE, ha_endpoint_id=assured)
    assert client.v2.get_endpoint(assured)["high_assurance"]
    assert client.submitted(bound, 1, endpoint=assured)


def test_what_makes_no_sense_is_refused(client: Client) -> None:
    function = client.registered(DOUBLE)
    for status, ask in (
        (404, lambda: client.submitted(NOBODY)),
        (404, lambda: client.submitted(function, endpoint=NOBODY)),
        (404, lambda: client.v2.get_task(NOBODY)),
        (404, lambda: client.v2.get_task_group(NOBODY)),
        (404, lambda: client.v2.get_endpoint_status(NOBODY)),
        (422, lambda: client.v3.submit(client.endpoint, {"tasks": {}})),
        (422, lambda: client.v3.submit(client.endpoint, {"tasks": {function: [7]}})),
        (422, lambda: client.v3.register_function({"function_name": "f"})),
        (422, lambda: client.v2.post("/v2/batch_status", data={})),
    ):
        with pytest.raises(globus_sdk.GlobusAPIError) as refused:
            ask()
        assert refused.value.http_status == status
        assert refused.value.raw_json["reason"]


def test_tokens_are_for_compute_alone(place: LocalFacility, client: Client) -> None:
    with pytest.raises(globus_sdk.GlobusAPIError) as refused:
        Client(place, str(TransferScopes.all)).v2.get_endpoints()
    assert refused.value.http_status == 401


def test_lost_replies_make_further_tasks(client: Client, place: LocalFacility) -> None:
    function = client.registered(DOUBLE)
    place.order("lose_reply", "globusSubmitBatch", times=2)
    client.submitted(function, 1)  # with the retries that the SDK has by itself
    assert len([each for each in place.compute_tasks() if each["function"] == function]) == 3


def test_a_flow_has_tasks_run(client: Client, place: LocalFacility) -> None:
    flows = flows_client(place)
    parameters = {
        "endpoint_id.$": "$.where",
        "tasks": [
            {"function_id.$": "$.what", "args": [20], "kwargs": {"more": 2}},
            {"function_id.$": "$.what"},
        ],
    }
    for tasks, state, words in ((1, "SUCCEEDED", "42"), (2, "FAILED", "missing 1 required positional")):
        action = {**CALL, "Parameters": {**parameters, "tasks": parameters["tasks"][:tasks]}}
        flow = flows.create_flow("Calls", quick(action), {})["id"]
        body = {"where": client.endpoint, "what": client.registered(DOUBLE)}
        run = await_run(flows, flow_client(place, flow).run_flow(body)["run_id"], seconds=30)
        assert run["status"] == state
        assert words in json.dumps(run["details"])
        if state == "SUCCEEDED":
            called = run["details"]["output"]["called"]
            assert (called["status"], called["details"]["result"]) == ("SUCCEEDED", [42])
    wrong = flows.create_flow(
        "Calls", quick({**CALL, "Parameters": {"endpoint_id": NOBODY, "tasks": [{}]}}), {}
    )
    run = await_run(flows, flow_client(place, wrong["id"]).run_flow({})["run_id"])
    assert run["details"]["details"]["error"] == "ActionUnableToRun"


def test_a_task_ends_with_the_facility_and_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalFacility(root=tmp_path / "place") as place:
        for name, value in place.globus_env.items():
            monkeypatch.setenv(name, value)
        client = Client(place)
        slow, quick = client.registered(SLOW), client.registered(NOTE)
        client.submitted(slow, str(place.home / "slow"))
        (task,) = client.submitted(quick, str(place.home / "quick"))["tasks"][quick]
        client.over(task)
        _await((place.home / "slow").exists)
        place.kill()
        place.restart()
        _await(lambda: (place.home / "slow").read_text() == "xx")
        assert (place.home / "quick").read_text() == "x"
        assert [each["begun"] for each in place.compute_tasks()] == [2, 1]
        assert client.v2.get_task(task)["status"] == "success"


def _await(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
