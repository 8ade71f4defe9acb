"""A facility with Globus Flows, and the core's side of it: flows to run, faces to run them with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import globus_sdk
from globus_sdk import AccessTokenAuthorizer, FlowsClient
from globus_sdk.scopes import FlowsScopes

from iri_common import FileLedger, Flows, GlobusCredential
from iri_common.policy.globus_tasks import TaskPace
from iri_local_facility import LocalFacility

QUICK = TaskPace(0.05, 0.1)
QUIET = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


def moving(*names: str) -> dict[str, Any]:
    """A flow that moves a file between collections, for each name in its input."""
    states = {
        name: {
            "Type": "Action",
            "ActionUrl": "https://transfer.actions.globus.org/transfer",
            "Parameters": {
                "source_endpoint.$": f"$.{name}.from",
                "destination_endpoint.$": f"$.{name}.to",
                "DATA": [{"source_path.$": f"$.{name}.path", "destination_path.$": f"$.{name}.target"}],
            },
            "ResultPath": f"$.{name}.moved",
            **({"Next": names[number]} if number < len(names) else {"End": True}),
        }
        for number, name in enumerate(names, 1)
    }
    return {"StartAt": names[0], "States": states}


def waiting(seconds: float) -> dict[str, Any]:
    """A flow that does nothing for a while."""
    return {"StartAt": "Rest", "States": {"Rest": {"Type": "Wait", "Seconds": seconds, "End": True}}}


@dataclass
class World:
    """What the tests of one module share."""

    place: LocalFacility
    beam: Path
    state: Path

    def own(self) -> GlobusCredential:
        """A client that speaks for itself."""
        return GlobusCredential(self.place.globus_client_id, lambda: self.place.globus_client_secret)

    def person(self) -> GlobusCredential:
        """Whoever logged in."""
        return GlobusCredential(self.place.globus_native_client_id)

    def ledger(self) -> FileLedger:
        return FileLedger(self.state / "ledger")

    def flows(self, credential: GlobusCredential | None = None) -> Flows:
        return Flows(credential or self.own(), ledger=self.ledger(), pace=QUICK)

    def made(self, definition: dict[str, Any], schema: dict[str, Any] | None = None) -> str:
        """A new flow's id."""
        auth = globus_sdk.ConfidentialAppAuthClient(
            self.place.globus_client_id, self.place.globus_client_secret
        )
        token = auth.oauth2_client_credentials_tokens(str(FlowsScopes.all)).data["access_token"]
        client = FlowsClient(authorizer=AccessTokenAuthorizer(token))
        return client.create_flow("A flow", definition, schema or {})["id"]

    def began(self, flow: str) -> list[dict[str, Any]]:
        """All runs of a flow that there ever were."""
        return [each for each in self.place.flow_runs() if each["flow"] == flow]

    def asked(self) -> Counter[str]:
        """How often each operation was asked for."""
        return Counter(each["operation"] for each in self.place.requests())
