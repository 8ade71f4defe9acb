"""Endpoints, functions and tasks of Globus Compute as recorded."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from iri_local_facility.store import Store

from .refusals import Refusal

OVER = ("success", "failed")


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    Attributes:
        name: What it is called.
        owner: By user name; only they see it.
        online: Whether it works on tasks; those that come meanwhile wait.
        high_assurance: Whether it takes only functions that were registered for it.
        allowed_functions: The only ones that it takes, if there are any.
    """

    name: str
    owner: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    online: bool = True
    high_assurance: bool = False
    allowed_functions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Function:
    """A registered function; ``document`` is what was said of it, its code included."""

    id: str
    owner: str
    document: dict[str, Any]

    @property
    def code(self) -> str:
        """As endpoints get it: packed, in the format that its header tells."""
        code = self.document["function_code"]
        if self.document.get("serialized", True):
            return code
        piece = f"st\n{self.document['function_name']}:{code}"
        return f"{len(piece)}\n{piece}"


@dataclass(frozen=True)
class Call:
    """One task.

    Attributes:
        group: Its task group.
        payload: Its arguments, packed.
        serializers: How the endpoint is to write the result.
        begun: How often a process was started for it.
    """

    id: str
    group: str
    user: str
    endpoint: str
    function: str
    payload: str
    serializers: list[str]
    status: str
    result: str | None
    exception: str | None
    begun: int
    submitted: float
    completed: float | None

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.status in OVER


class ComputeTable:
    """All of it in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- endpoints

    def put(self, endpoint: Endpoint) -> Endpoint:
        """Record an endpoint, or what has become of it."""
        document = json.dumps(asdict(endpoint))
        self._store.run(
            "INSERT INTO globus_endpoints (id, document) VALUES (?, ?) "
            "ON CONFLICT (id) DO UPDATE SET document = excluded.document",
            endpoint.id,
            document,
        )
        return endpoint

    def endpoints(self) -> list[Endpoint]:
        """All endpoints, oldest first."""
        rows = self._store.rows("SELECT document FROM globus_endpoints ORDER BY rowid")
        return [Endpoint(**json.loads(row["document"])) for row in rows]

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """An endpoint.

        Raises:
            Refusal: There is none.
        """
        for endpoint in self.endpoints():
            if endpoint.id == endpoint_id:
                return endpoint
        raise Refusal(404, "ENDPOINT_NOT_FOUND", f"Endpoint {endpoint_id} could not be resolved")

    # -- functions

    def register(self, owner: str, document: dict[str, Any]) -> Function:
        """Record a function; the same text again is another function."""
        function = Function(str(uuid.uuid4()), owner, document)
        self._store.insert(
            "globus_functions", id=function.id, owner=owner, document=json.dumps(function.document)
        )
        return function

    def function(self, function_id: str) -> Function:
        """A function.

        Raises:
            Refusal: There is none.
        """
        row = self._store.row("SELECT * FROM globus_functions WHERE id = ?", function_id)
        if row is None:
            raise Refusal(404, "FUNCTION_NOT_FOUND", f"Function {function_id} could not be resolved")
        return Function(row["id"], row["owner"], json.loads(row["document"]))

    def forget(self, function_id: str) -> None:
        """Remove a function."""
        self._store.run("DELETE FROM globus_functions WHERE id = ?", function_id)

    # -- tasks

    def add(self, group: str, user: str, endpoint: str, function: str, payload: str, how: list[str]) -> Call:
        """Record a new task."""
        call = Call(
            id=str(uuid.uuid4()),
            group=group,
            user=user,
            endpoint=endpoint,
            function=function,
            payload=payload,
            serializers=how,
            status="waiting-for-ep",
            result=None,
            exception=None,
            begun=0,
            submitted=time.time(),
            completed=None,
        )
        values = {**asdict(call), "serializers": json.dumps(call.serializers), "grp": call.group}
        del values["group"]
        self._store.insert("globus_calls", **values)
        return call

    def begin(self, call: Call) -> None:
        """A process is about to be started for it."""
        self._store.run(
            "UPDATE globus_calls SET status = 'running', begun = begun + 1 "
            "WHERE id = ? AND status NOT IN ('success', 'failed')",
            call.id,
        )

    def end(self, call: Call, *, result: str | None = None, exception: str | None = None) -> None:
        """It is over: how is settled once."""
        self._store.run(
            "UPDATE globus_calls SET status = ?, result = ?, exception = ?, completed = ? "
            "WHERE id = ? AND status NOT IN ('success', 'failed')",
            "success" if exception is None else "failed",
            result,
            exception,
            time.time(),
            call.id,
        )

    def drop(self) -> None:
        """Forget all results, as if nobody had fetched them in time."""
        self._store.run("UPDATE globus_calls SET result = NULL, exception = NULL")

    def call(self, call_id: str) -> Call | None:
        """A task, if it is one."""
        return next(iter(self._where("id = ?", call_id)), None)

    def calls(self, group: str | None = None) -> list[Call]:
        """All tasks, or those of a group, oldest first."""
        return self._where("1") if group is None else self._where("grp = ?", group)

    def under_way(self) -> list[Call]:
        """Those that are not over."""
        return self._where("status NOT IN ('success', 'failed')")

    def _where(self, condition: str, *params: Any) -> list[Call]:
        rows = self._store.rows(f"SELECT * FROM globus_calls WHERE {condition} ORDER BY rowid", *params)
        return [_call(row) for row in rows]


def _call(row: sqlite3.Row) -> Call:
    values = dict(row)
    values["serializers"] = json.loads(values["serializers"])
    values["group"] = values.pop("grp")
    return Call(**values)
