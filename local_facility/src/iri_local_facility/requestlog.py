"""The log of every request, kept so that a test can assert on what the facility saw."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .exchange import Exchange, current
from .store import Store


class RequestLog:
    """Reads the log."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def records(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Requests in order of arrival at the log, optionally of one operation only.

        ``status`` is what the client saw (0: nothing), ``acted`` whether the facility did what was asked,
        ``user`` whose token it was, ``job`` the job asked about, ``created`` the job made, ``faults`` the
        orders that struck.
        """
        if operation is None:
            rows = self._store.rows("SELECT * FROM requests ORDER BY number")
        else:
            rows = self._store.rows("SELECT * FROM requests WHERE operation = ? ORDER BY number", operation)
        return [_record(row) for row in rows]

    def summary(self) -> dict[str, dict[str, int]]:
        """How often each operation was answered with each status."""
        counts: dict[str, dict[str, int]] = {}
        for row in self._store.rows(
            "SELECT COALESCE(operation, '-') AS operation, status, COUNT(*) AS n FROM requests GROUP BY 1, 2"
        ):
            counts.setdefault(row["operation"], {})[str(row["status"])] = row["n"]
        return counts

    def note_created(self, request_id: str, job: int) -> None:
        """A request that was answered before has made this job."""
        self._store.run("UPDATE requests SET created = ? WHERE request_id = ?", str(job), request_id)

    def trim(self, keep: int) -> None:
        """Forget all but the last requests."""
        self._store.run(
            "DELETE FROM requests WHERE number <= (SELECT COALESCE(MAX(number), 0) FROM requests) - ?", keep
        )

    def reset(self) -> None:
        """Forget all requests so far."""
        self._store.run("DELETE FROM requests")


def _record(row: sqlite3.Row) -> dict[str, Any]:
    return {**dict(row), "acted": bool(row["acted"]), "faults": json.loads(row["faults"])}


class LogRequests:
    """ASGI middleware that gives every response an ``X-Request-Id`` and records it.

    The record is written before the last bytes leave: a client that has its answer finds it in the log.
    """

    def __init__(self, app: ASGIApp, store: Store, describe: Callable[[Scope], Exchange]) -> None:
        self._app = app
        self._store = store
        self._describe = describe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = self._describe(scope)
        entry = _Entry(scope, self._store, exchange)
        exchange.record = entry.record

        async def counted_receive() -> Message:
            message = await receive()
            entry.bytes_in += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            entry.see(message)
            await send(message)

        token = current.set(exchange)
        try:
            await self._app(scope, counted_receive, counted_send)
        finally:
            current.reset(token)
            entry.record()


class _Entry:
    def __init__(self, scope: Scope, store: Store, exchange: Exchange) -> None:
        self._scope = scope
        self._store = store
        self._exchange = exchange
        self._status = 0
        self._recorded = False
        self.bytes_in = 0
        self._bytes_out = 0

    def see(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            request_id = self._exchange.request_id.encode()
            message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id)]
        elif message["type"] == "http.response.body":
            self._bytes_out += len(message.get("body", b""))
            if not message.get("more_body", False):
                self.record()

    def record(self) -> None:
        path = self._scope["path"]
        if self._recorded or path.startswith("/_facility"):
            return  # looking at the facility is no use of it
        self._recorded = True
        exchange = self._exchange
        with contextlib.suppress(UnicodeEncodeError):
            self._store.insert(
                "requests",
                time=exchange.began,
                method=self._scope["method"],
                path=path,
                query=self._scope["query_string"].decode("latin-1"),
                operation=exchange.operation or getattr(self._scope.get("route"), "operation_id", None),
                status=self._status,
                principal=self._scope.get("principal"),
                request_id=exchange.request_id,
                bytes_in=self.bytes_in,
                bytes_out=self._bytes_out,
                seconds=time.time() - exchange.began,
                user=exchange.user,
                job=exchange.job,
                created=exchange.created,
                idempotency_key=exchange.idempotency_key,
                acted=exchange.acted,
                faults=json.dumps(exchange.faults),
            )
