"""Starts runs of flows, each once, before a service that knows no key but finds a run by its label."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from iri_common.jobs.asks import Ask, asked_once
from iri_common.model.flows import FlowsApi, RunRequest
from iri_common.model.key import JobKey
from iri_common.model.ports import Ledger

LABEL = "Globus Flows"
DIALECT = "globus-flows"


@dataclass(frozen=True, slots=True)
class RunStarter:
    """Starts runs as one identity.

    Attributes:
        flows: The service.
        ledger: Where intents are kept; not that of jobs.
    """

    flows: FlowsApi
    ledger: Ledger

    async def start(self, key: JobKey, request: RunRequest, *, search: bool = False) -> str:
        """Make sure that the run of this key is there, and that there is one; gives its id.

        Args:
            key: Who asks.
            request: What for.
            search: Somebody may have asked under this key and label with another ledger.

        Raises:
            SpecChanged: if the key was used for another flow or another input.
            SubmitUncertain: if it was asked for and its fate cannot be settled.
            IriError: if it certainly does not run.
        """

        async def send() -> str:
            return (await self.flows.start(request)).value

        async def find(label: str) -> str | None:
            found = (await self.flows.find(request.flow_id, label)).value
            return found[-1].run_id if found else None

        body = json.dumps([request.flow_id, request.body], sort_keys=True)
        ask = Ask(
            key,
            LABEL,
            "run",
            DIALECT,
            origin=(await self.flows.origin()).value,
            target=request.flow_id,
            name=request.label,
            digest=hashlib.sha256(body.encode()).hexdigest(),
            send=send,
            search=search,
            find=find,  # nothing that a run does could tell whether it is a double
        )
        return await asked_once(self.ledger, ask)
