"""The unmodified pyfirecrest, and plain requests, pointed at a local facility."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import firecrest
import httpx

from iri_local_facility import LocalFacility

# The object store's server stands with the tests of the core's own transfers.
sys.path.append(str(Path(__file__).parents[1] / "contract"))

SYSTEM = "cluster"
MIB = 1024 * 1024
WAITING = {"PENDING", "RUNNING", "COMPLETING", "Q", "H", "R", "E"}


def authorization(facility: LocalFacility) -> firecrest.ClientCredentialsAuth:
    return firecrest.ClientCredentialsAuth(facility.client_id, facility.client_secret, facility.token_url)


class Plain:
    """Requests as they are on the wire."""

    def __init__(self, facility: LocalFacility, token: str | None = None) -> None:
        self.facility = facility
        bearer = {"Authorization": f"Bearer {token or facility.token}"}
        base = facility.firecrest_url
        self.http = httpx.Client(base_url=base, headers=bearer, trust_env=False, timeout=10)

    def submit(self, script: str, **job: Any) -> httpx.Response:
        described = {"workingDirectory": str(self.facility.home), "script": script, **job}
        return self.http.post(f"/compute/{SYSTEM}/jobs", json={"job": described})

    def submitted(self, script: str, **job: Any) -> str:
        answer = self.submit(f"#!/bin/sh\n{script}\n", **job)
        assert answer.status_code == 201, answer.text
        return answer.json()["jobId"]

    def listed(self, **query: Any) -> list[dict[str, Any]]:
        answer = self.http.get(f"/compute/{SYSTEM}/jobs", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["jobs"]

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/compute/{SYSTEM}/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()["jobs"][0]

    def cancel(self, job_id: str) -> httpx.Response:
        return self.http.delete(f"/compute/{SYSTEM}/jobs/{job_id}")

    def wait(self, job_id: str, *states: str, seconds: float = 20) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while True:
            found = self.job(job_id)
            state = found["status"]["state"]
            if state in states or (not states and state not in WAITING):
                return found
            assert time.monotonic() < until, f"job {job_id} is still {state}"
            time.sleep(0.01)

    def ops(self, method: str, operation: str, body: Any = None, **query: Any) -> httpx.Response:
        url = f"/filesystem/{SYSTEM}/ops/{operation}"
        return self.http.request(method, url, params=query, json=body)

    def upload(self, directory: Path, name: str, content: bytes) -> httpx.Response:
        url = f"/filesystem/{SYSTEM}/ops/upload"
        return self.http.post(url, params={"path": str(directory)}, files={"file": (name, content)})

    def transfer(self, operation: str, body: Any) -> httpx.Response:
        return self.http.post(f"/filesystem/{SYSTEM}/transfer/{operation}", json=body)


def plain(facility: LocalFacility) -> Iterator[Plain]:
    """The body of a fixture."""
    client = Plain(facility)
    yield client
    facility.clear_faults()
    client.http.close()


def error(answer: httpx.Response, status: int) -> str:
    """The message of an error that is one of FirecREST's."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert set(document) == {"errorType", "message", "causedBy", "data", "user"}
    return document["message"]
