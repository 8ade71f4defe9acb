"""The Superfacility API of a local facility as plain HTTP, and what its clients sign."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import jwt

from iri_local_facility import LocalFacility

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def read_key(path: Path) -> tuple[str, str]:
    """Client id and private key of a file."""
    client, _, key = path.read_text().partition("\n")
    return client, key


def assertion(key: Path, audience: str, **changes: Any) -> str:
    """What a client signs; a change to ``None`` leaves a claim out."""
    client, private = read_key(key)
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 3600}
    claims = {**claims, "jti": uuid.uuid4().hex, **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, private, "RS256")


class Door:
    """The API as one user sees it."""

    def __init__(self, facility: LocalFacility, token: str | None = None) -> None:
        self.facility = facility
        bearer = {"Authorization": f"Bearer {token or facility.token}"}
        self.http = httpx.Client(
            base_url=facility.superfacility_url, headers=bearer, trust_env=False, timeout=10
        )

    def ask_token(self, signed: str, **fields: str) -> httpx.Response:
        form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION}
        form |= {"client_assertion": signed, **fields}
        return httpx.post(self.facility.superfacility_token_url, data=form, trust_env=False)

    def task(self, answer: httpx.Response, seconds: float = 10) -> dict[str, Any]:
        """The task that an answer speaks of, once it has ended; its result as the document that it is."""
        assert answer.json()["status"] == "OK", answer.text
        deadline = time.monotonic() + seconds
        while (task := self.http.get(f"/tasks/{answer.json()['task_id']}").json())["status"] == "new":
            assert time.monotonic() < deadline, task
            time.sleep(0.005)
        return {**task, "result": task["result"] and json.loads(task["result"])}

    def post_job(self, script: str, **fields: Any) -> httpx.Response:
        return self.http.post("/compute/jobs/perlmutter", data={"job": script, "isPath": "false", **fields})

    def submit(self, lines: str, **fields: Any) -> str:
        result = self.task(self.post_job(f"#!/bin/sh\n{lines}\n", **fields))["result"]
        assert result["status"] == "ok", result
        return result["jobid"]

    def rows(self, *options: str, sacct: bool = False, cached: bool = False) -> list[dict[str, str]]:
        query = [("sacct", str(sacct).lower()), ("cached", str(cached).lower())]
        query += [("kwargs", option) for option in options]
        answer = self.http.get("/compute/jobs/perlmutter", params=query).json()
        assert answer["status"] == "OK", answer
        return answer["output"]

    def record(self, job: str) -> dict[str, str]:
        """The row of a job itself in sacct."""
        return next(row for row in self.rows(f"jobid={job}", sacct=True) if row["jobid"] == job)

    def wait(self, job: str, seconds: float = 20) -> dict[str, str]:
        deadline = time.monotonic() + seconds
        while self.rows(f"jobid={job}"):
            assert time.monotonic() < deadline, self.rows(f"jobid={job}")
            time.sleep(0.01)
        return self.record(job)

    def command(self, line: str) -> dict[str, Any]:
        return self.task(self.http.post("/utilities/command/perlmutter", data={"executable": line}))["result"]
