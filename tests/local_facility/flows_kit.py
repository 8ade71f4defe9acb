"""Flows to be run, and the unmodified Globus SDK to run them with."""

from __future__ import annotations

import time
from typing import Any

import globus_sdk
from globus_kit import auth_client
from globus_sdk import AccessTokenAuthorizer, FlowsClient, SpecificFlowClient
from globus_sdk.scopes import FlowsScopes, SpecificFlowScopes

from iri_local_facility import LocalFacility

TRANSFER_URL = "https://transfer.actions.globus.org/transfer"
OVER = ("SUCCEEDED", "FAILED", "ENDED")


def quick(*states: dict[str, Any]) -> dict[str, Any]:
    """A definition whose states follow one another."""
    names = [f"S{number}" for number in range(len(states))]
    chained = {
        name: {**state, **({} if state["Type"] in ("Fail", "Succeed") else _next(names, number))}
        for number, (name, state) in enumerate(zip(names, states, strict=True))
    }
    return {"StartAt": names[0], "States": chained}


def _next(names: list[str], number: int) -> dict[str, Any]:
    return {"Next": names[number + 1]} if number + 1 < len(names) else {"End": True}


MOVE = {
    "Type": "Action",
    "ActionUrl": TRANSFER_URL,
    "Parameters": {
        "source_endpoint.$": "$.from",
        "destination_endpoint.$": "$.to",
        "DATA": [{"source_path.$": "$.path", "destination_path.$": "$.target"}],
    },
    "ResultPath": "$.moved",
}


def token(facility: LocalFacility, scope: str) -> str:
    reply = auth_client(facility).oauth2_client_credentials_tokens(scope)
    return reply.data["access_token"]


def flows_client(facility: LocalFacility, *scopes: str) -> FlowsClient:
    wanted = " ".join(scopes) or str(FlowsScopes.all)
    return FlowsClient(authorizer=AccessTokenAuthorizer(token(facility, wanted)))


def flow_client(facility: LocalFacility, flow_id: str, scope: str = "") -> SpecificFlowClient:
    wanted = scope or str(SpecificFlowScopes(flow_id).user)
    return SpecificFlowClient(flow_id, authorizer=AccessTokenAuthorizer(token(facility, wanted)))


def await_run(
    flows: globus_sdk.FlowsClient, run_id: str, *wanted: str, seconds: float = 15
) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (run := flows.get_run(run_id).data)["status"] not in (wanted or OVER):
        assert time.monotonic() < deadline, run
        time.sleep(0.02)
    return run
