"""Flows as recorded."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from iri_local_facility.store import Store

from .refusals import Refusal


@dataclass(frozen=True)
class Flow:
    """One flow.

    Attributes:
        owner: Who made it, by user name.
        document: What was said of it: title, definition, input schema, who may start it, ….
    """

    id: str
    owner: str
    document: dict[str, Any]
    created: float
    updated: float

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """The states of its definition, by name."""
        return self.document["definition"]["States"]

    @property
    def begin(self) -> str:
        """Where a run starts."""
        return self.document["definition"]["StartAt"]

    def may_start(self, user: str, identity: str) -> bool:
        """Whether somebody may run it."""
        starters = self.document.get("flow_starters") or []
        principals = {"all_authenticated_users", f"urn:globus:auth:identity:{identity}"}
        return user == self.owner or bool(principals & set(starters))


class FlowTable:
    """Flows in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, owner: str, document: dict[str, Any]) -> Flow:
        """Record a new flow."""
        flow = Flow(str(uuid.uuid4()), owner, document, time.time(), time.time())
        self._store.insert(
            "globus_flows",
            id=flow.id,
            owner=owner,
            document=json.dumps(document),
            created=flow.created,
            updated=flow.updated,
        )
        return flow

    def get(self, flow_id: str) -> Flow:
        """A flow.

        Raises:
            Refusal: There is none.
        """
        for flow in self.all():
            if flow.id == flow_id:
                return flow
        raise Refusal(404, "NOT_FOUND", f"No flow exists with id value {flow_id}")

    def remove(self, flow_id: str) -> None:
        """Forget a flow; its runs stay."""
        self._store.run("DELETE FROM globus_flows WHERE id = ?", flow_id)

    def all(self) -> list[Flow]:
        """All flows, newest first."""
        rows = self._store.rows("SELECT * FROM globus_flows ORDER BY rowid DESC")
        return [Flow(**{**dict(row), "document": json.loads(row["document"])}) for row in rows]
