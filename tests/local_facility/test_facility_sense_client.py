"""ESnet's own client, unmodified, against the SENSE face: the life of a path, what there is to ask for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sense.client.discover_api import DiscoverApi
from sense.client.logging_api import LoggingApi
from sense.client.profile_api import ProfileApi
from sense.client.requestwrapper import RequestWrapper
from sense.client.workflow_combined_api import WorkflowCombinedApi

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(sense_step=0.04) as running:
        yield running


def config(place: LocalFacility, **words: Any) -> dict[str, Any]:
    return {
        "AUTH_ENDPOINT": place.sense_token_url,
        "API_ENDPOINT": place.sense_url,
        "CLIENT_ID": place.sense_client,
        "SECRET": place.client_secret,
        "USERNAME": place.sense_user,
        "PASSWORD": place.sense_password,
        "verify": True,
        **words,
    }


@pytest.fixture
def wrapper(place: LocalFacility) -> RequestWrapper:
    place.reset_requests()
    return RequestWrapper(config(place))


def intent(place: LocalFacility, alias: str, **bandwidth: str) -> str:
    ends = [{"uri": uri, "vlan_tag": "any"} for uri in place.sense_ports[:2]]
    capacity = {"qos_class": "guaranteedCapped", "capacity": "1000", **bandwidth}
    connection = {"name": "Connection 1", "terminals": ends, "bandwidth": capacity}
    ask = {"name": "Connection 1", "start": "now", "end-before": "+1h"}
    return json.dumps(
        {
            "service": "dnc",
            "alias": alias,
            "data": {"type": "Multi-Path P2P VLAN", "connections": [connection]},
            "queries": [{"ask": "total-block-maximum-bandwidth", "options": [ask]}],
        }
    )


def until(flow: WorkflowCombinedApi, state: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        configured = flow.instance_get_status(si_uuid=flow.si_uuid, status="configstate")
        if (seen := (flow.instance_get_status(si_uuid=flow.si_uuid), configured)) == (state, "STABLE"):
            return
        assert time.monotonic() < deadline, seen
        time.sleep(0.01)


def test_the_life_of_a_path(place: LocalFacility, wrapper: RequestWrapper) -> None:
    flow = WorkflowCombinedApi(req_wrapper=wrapper)
    flow.instance_new()
    told = flow.instance_create(intent(place, "life"))
    assert told["service_uuid"] == flow.si_uuid
    assert told["queries"][0]["results"][0]["bandwidth"] == "100000000000"
    assert flow.instance_get_status(si_uuid=flow.si_uuid) == "CREATE - COMPILED"
    flow.instance_operate("provision", sync="true")
    assert flow.instance_get_status(si_uuid=flow.si_uuid) in {"CREATE - COMMITTED", "CREATE - READY"}
    until(flow, "CREATE - READY")
    flow.instance_modify(intent(place, "life", capacity="2000"), sync="true", proceed="true")
    until(flow, "MODIFY - READY")
    template = {"ports": [{"port": "?terminal?", "tag": "VLAN ?vlan?", "mac": "?mac?", "sparql": "SELECT …"}]}
    ports = json.loads(flow.manifest_create(json.dumps(template))["jsonTemplate"])["ports"]
    assert [each["port"] for each in ports] == place.sense_ports[:2]
    assert [each.keys() for each in ports] == [{"port", "tag", "mac"}] * 2
    assert ports[0]["tag"].startswith("VLAN 36")
    flow.instance_operate("cancel", sync="true")
    until(flow, "CANCEL - READY")
    flow.instance_operate("reprovision", sync="true")
    until(flow, "REINSTATE - READY")
    flow.instance_operate("cancel", sync="false", force="true")
    until(flow, "CANCEL - READY")
    flow.instance_delete()
    with pytest.raises(ValueError, match=r"404 .* was not found"):
        flow.instance_get_status(si_uuid=flow.si_uuid)
    assert "-" not in place.summary(), "every operation has a name"


def test_what_is_there_to_ask_for(place: LocalFacility, wrapper: RequestWrapper) -> None:
    discover = DiscoverApi(req_wrapper=RequestWrapper(config(place), noauth=True))
    domains = discover.discover_domains_get()["domains"]
    assert [each["domain_name"] for each in domains] == ["ESnet", "NERSC", "Fermilab"]
    points = discover.discover_domain_id_get(domains[0]["domain_uri"])["edge_points"]
    assert [each["stp"]["uri"] for each in points] == place.sense_ports[:2]
    profiles = ProfileApi(req_wrapper=wrapper)
    [listed] = profiles.profile_list()
    described = profiles.profile_describe(listed["uuid"])
    flow = WorkflowCombinedApi(req_wrapper=wrapper)
    flow.instance_new()
    edit = {"ask": "edit", "options": [{described["edit"][0]["path"]: "2000"}]}
    named = {"service_profile_uuid": listed["uuid"], "alias": "by profile", "queries": [edit]}
    flow.instance_create(json.dumps(named))
    found = DiscoverApi(req_wrapper=wrapper).discover_service_instances_get(search="by profile")
    assert [each["referenceUUID"] for each in found["instances"]] == [flow.si_uuid]
    assert LoggingApi(req_wrapper=wrapper).instance_get_logging(si_uuid=flow.si_uuid) == []
    edit["options"] = [{"data.type": "x"}]
    with pytest.raises(ValueError, match="not editable"):
        flow.instance_create(json.dumps(named))


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda flow: flow.instance_operate("provision"), "was not found"),
        (lambda flow: flow.instance_create(json.dumps({"data": {}})), "malformed"),
    ],
)
def test_what_it_refuses(
    place: LocalFacility, wrapper: RequestWrapper, act: Callable[[Any], object], words: str
) -> None:
    flow = WorkflowCombinedApi(req_wrapper=wrapper)
    flow.instance_new()
    with pytest.raises(ValueError, match=words):
        act(flow)


def test_more_than_there_is_has_no_path(place: LocalFacility, wrapper: RequestWrapper) -> None:
    first, second = WorkflowCombinedApi(req_wrapper=wrapper), WorkflowCombinedApi(req_wrapper=wrapper)
    for flow in (first, second):
        flow.instance_new()
        flow.instance_create(intent(place, "greedy", capacity="60000"))
    first.instance_operate("provision", sync="true")
    with pytest.raises(ValueError, match="cannot find feasible path"):
        second.instance_create(intent(place, "greedy", capacity="60000"))
    second.instance_create(intent(place, "greedy", capacity="40000"))
    with pytest.raises(ValueError, match=r"cannot provision instance .* in state"):
        first.instance_operate("provision")
    with pytest.raises(ValueError, match=r"cannot cancel instance .* in state"):
        second.instance_operate("cancel")
    with pytest.raises(ValueError, match="Returned code"):  # its fallback is no path of the API any more
        first.instance_delete()
    first.instance_operate("cancel", force="true")
    until(first, "CANCEL - READY")
    for flow in (first, second):
        flow.instance_delete()


def test_a_token_that_ended_is_refreshed(place: LocalFacility, wrapper: RequestWrapper) -> None:
    flow = WorkflowCombinedApi(req_wrapper=wrapper)
    assert place.revoke(wrapper.token["access_token"])
    assert flow.instance_new()
    assert [each["status"] for each in place.requests("senseNew")] == [401, 200]
    assert len(place.requests("senseToken")) == 2


def test_the_token_of_another_issuer_is_exchanged(place: LocalFacility) -> None:
    words = {"FOREIGN_TOKEN": place.new_token("bob"), "FOREIGN_TOKEN_ISSUER": "elsewhere"}
    flow = WorkflowCombinedApi(req_wrapper=RequestWrapper(config(place, **words)))
    assert flow.instance_new()
    assert place.requests("senseNew")[-1]["user"] == "bob"


@pytest.mark.parametrize("wrong", [{"PASSWORD": "guess"}, {"SECRET": "guess"}, {"USERNAME": "nobody"}])
def test_a_wrong_login_gets_no_token(place: LocalFacility, wrong: dict[str, str]) -> None:
    with pytest.raises(Exception, match=r"(?i)token|credentials|auth"):
        RequestWrapper(config(place, **wrong))


def test_a_path_outlives_the_orchestrator(place: LocalFacility, wrapper: RequestWrapper) -> None:
    flow = WorkflowCombinedApi(req_wrapper=wrapper)
    flow.instance_new()
    flow.instance_create(intent(place, "lasting"))
    flow.instance_operate("provision")
    place.restart()
    until(flow, "CREATE - READY")
    flow.instance_operate("cancel")
    until(flow, "CANCEL - READY")
    flow.instance_delete()


def test_orders_strike_in_its_own_words(place: LocalFacility, wrapper: RequestWrapper) -> None:
    flow = WorkflowCombinedApi(req_wrapper=wrapper)
    flow.instance_new()
    place.order("status", "senseCompute", status=503, job="struck")
    flow.instance_create(intent(place, "other"))
    with pytest.raises(ValueError, match="503") as caught:
        flow.instance_create(intent(place, "struck"))
    assert caught.value.json.keys() == {"exception"}
    flow.instance_create(intent(place, "struck"))
    place.order("path_unclean", "senseCancel", seconds=60)
    flow.instance_operate("provision", sync="true")
    flow.instance_operate("cancel", force="true")
    assert flow.instance_get_status(si_uuid=flow.si_uuid) == "CANCEL - READY"
    assert flow.instance_get_status(si_uuid=flow.si_uuid, status="configstate") == "UNSTABLE"
    flow.instance_delete()
    [path] = [each for each in place.paths() if each["id"] == flow.si_uuid]
    assert path["left"], "whoever deletes too early leaves something behind"
