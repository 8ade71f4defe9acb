"""`Idempotency-Key`: the answer to a repeated submission is the first one's."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import HTTPException
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from iri_local_facility.store import Store

REPLY = "Idempotency-Key-Reply"
_REMEMBERED_FOR = 24 * 3600.0


class Idempotency:
    """Remembers answers by user, operation and key; the resource is not part of that, as the API has it.

    Args:
        store: Where.
        lock: Seconds that a request without an answer, such as one that died with the server, keeps its key.
    """

    def __init__(self, store: Store, lock: float) -> None:
        self._store = store
        self._lock = lock

    async def answer(
        self, scope: str, key: str | None, body: BaseModel, act: Callable[[], Awaitable[dict[str, Any]]]
    ) -> Response:
        """Act, or repeat the answer that the key has had.

        Raises:
            HTTPException: 422 when the key came with another body, 409 while the first request is under way.
        """
        if not key:
            return JSONResponse(await act())
        # Of the validated body: leaving a default out and writing it down are the same request.
        digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
        known = self._begin(scope, key, digest)
        if known is not None:
            return JSONResponse(known, headers={REPLY: "hit"})
        try:
            document = await act()
        except BaseException:
            self._store.run("DELETE FROM idempotency WHERE scope = ? AND key = ?", scope, key)
            raise
        self._store.run(
            "UPDATE idempotency SET response = ? WHERE scope = ? AND key = ?",
            json.dumps(document),
            scope,
            key,
        )
        return JSONResponse(document, headers={REPLY: "miss"})

    def _begin(self, scope: str, key: str, digest: str) -> dict[str, Any] | None:
        now = time.time()
        self._store.run(
            "DELETE FROM idempotency WHERE scope = ? AND key = ? AND created < ? "
            "AND (response IS NULL OR created < ?)",
            scope,
            key,
            now - self._lock,
            now - _REMEMBERED_FOR,
        )
        row = self._store.row("SELECT * FROM idempotency WHERE scope = ? AND key = ?", scope, key)
        if row is None:
            self._store.insert("idempotency", scope=scope, key=key, body=digest, created=now)
            return None
        if row["body"] != digest:
            raise HTTPException(422, "this Idempotency-Key was used with another body")
        if row["response"] is None:
            raise HTTPException(409, "a request with this Idempotency-Key is under way")
        return json.loads(row["response"])
