"""A facility to test, a client of it, and the few things one does with both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from iri_local_facility import LocalFacility

FINISHED = ("completed", "failed", "canceled")


class Client:
    """An HTTP client of one user of a facility."""

    def __init__(self, facility: LocalFacility, token: str | None = None) -> None:
        self.facility = facility
        bearer = {"Authorization": f"Bearer {token or facility.token}"}
        self.http = httpx.Client(base_url=facility.base_url, headers=bearer, trust_env=False, timeout=10)
        resources = {r["name"]: r["id"] for r in self.http.get("/status/resources").json()}
        self.cluster, self.scratch = resources["cluster"], resources["scratch"]

    def launch(self, *command: str, **spec: Any) -> str:
        body = {"executable": command[0], "arguments": list(command[1:]), **spec}
        answer = self.http.post(f"/compute/job/{self.cluster}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def sh(self, script: str, **spec: Any) -> str:
        return self.launch("/bin/sh", "-c", script, **spec)

    def status(self, job: str) -> dict[str, Any]:
        return self.http.get(f"/compute/status/{self.cluster}/{job}").json()["status"]

    def wait(self, job: str, *states: str, seconds: float = 20) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (status := self.status(job))["state"] not in (states or FINISHED):
            assert time.monotonic() < deadline, f"job {job} is still {status}"
            time.sleep(0.005)
        return status

    def cancel(self, job: str) -> int:
        return self.http.delete(f"/compute/cancel/{self.cluster}/{job}").status_code

    def update(self, job: str, **spec: Any) -> httpx.Response:
        return self.http.put(f"/compute/job/{self.cluster}/{job}", json=spec)

    def task(self, answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code in (200, 201), answer.text
        deadline = time.monotonic() + 60
        while (task := self.http.get(answer.json()["task_uri"]).json())["status"] in ("pending", "active"):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return task

    def fs(self, operation: str, **body: Any) -> dict[str, Any]:
        return self.task(self.http.post(f"/filesystem/{operation}/{self.scratch}", json=body))

    def output(self, operation: str, **body: Any) -> Any:
        task = self.fs(operation, **body)
        assert task["status"] == "completed", task
        return task["result"]["output"]

    def upload(self, path: str, content: bytes) -> httpx.Response:
        url = f"/filesystem/upload/{self.scratch}"
        return self.http.post(url, params={"path": path}, files={"file": content})


@pytest.fixture(scope="session")
def facility() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.5, size_limit=100_000) as running:
        yield running


@pytest.fixture
def alice(facility: LocalFacility) -> Iterator[Client]:
    client = Client(facility)
    yield client
    client.http.close()


@pytest.fixture
def bob(facility: LocalFacility) -> Iterator[Client]:
    client = Client(facility, facility.new_token("bob"))
    yield client
    client.http.close()


@pytest.fixture
def client_of() -> type[Client]:
    return Client
