"""A client of slurmrestd in one version, as small as it can be: it knows how that version writes things."""

from __future__ import annotations

import time
from typing import Any

import httpx

from iri_local_facility import LocalFacility

OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"}


def bare(value: Any) -> Any:
    """A number or a word without what later versions put around it."""
    if isinstance(value, dict) and value.keys() >= {"set", "number"}:
        return value["number"] if value["set"] else None
    return value[0] if isinstance(value, list) else value


class Daemon:
    def __init__(self, facility: LocalFacility, number: int, token: str | None = None) -> None:
        self.facility, self.number = facility, number
        self.plain = number < 40
        headers = {
            "X-SLURM-USER-NAME": facility.slurm_user,
            "X-SLURM-USER-TOKEN": facility.slurm_token if token is None else token,
        }
        self.http = httpx.Client(base_url=facility.slurm_url, headers=headers, trust_env=False, timeout=10)
        self.ctld, self.dbd = f"/slurm/v0.0.{number}", f"/slurmdb/v0.0.{number}"

    def described(self, **job: Any) -> dict[str, Any]:
        environment = {"PATH": "/usr/bin:/bin", "MINE": "a,b c"}
        listed = [f"{name}={value}" for name, value in environment.items()]
        return {
            "name": "n",
            "environment": environment if self.plain else listed,
            "current_working_directory": str(self.facility.home),
            **job,
        }

    def send(self, script: str, /, **job: Any) -> httpx.Response:
        body = {"script": f"#!/bin/sh\n{script}\n", "job": self.described(**job)}
        return self.http.post(f"{self.ctld}/job/submit", json=body)

    def submit(self, script: str, /, **job: Any) -> int:
        answer = self.send(script, **job)
        assert answer.status_code == 200, answer.text
        return answer.json()["job_id"]

    def job(self, number: int) -> dict[str, Any]:
        (found,) = self.http.get(f"{self.ctld}/job/{number}").json()["jobs"]
        return found

    def record(self, number: int) -> dict[str, Any]:
        (found,) = self.http.get(f"{self.dbd}/job/{number}").json()["jobs"]
        return found

    def state(self, number: int) -> str:
        words = self.job(number)["job_state"]
        return "COMPLETING" if "COMPLETING" in words else bare(words)

    def wait(self, number: int, *states: str, seconds: float = 20) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (state := self.state(number)) not in (states or OVER):
            assert time.monotonic() < deadline, state
            time.sleep(0.01)
        return self.job(number)

    def cancel(self, number: int, **query: Any) -> httpx.Response:
        return self.http.delete(f"{self.ctld}/job/{number}", params=query)

    def exit(self, job: dict[str, Any]) -> tuple[int, int]:
        """Exit status and signal."""
        said = job["exit_code"]
        if self.plain:
            return said >> 8, said & 0xFF
        return bare(said["return_code"]), bare(said["signal"]["id"]) or 0

    def errors(self, answer: httpx.Response) -> list[int | None]:
        return [each.get("error_number", each.get("error_code")) for each in answer.json()["errors"]]
