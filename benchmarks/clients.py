"""Each client as its own documentation uses it: submit, look once, wait."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

TERMINAL = frozenset({"completed", "failed", "canceled"})


class Client(Protocol):
    """A peer of ours, blocking. An error of its own is the caller's to see."""

    def submit(self, name: str, script: str) -> str:
        """Run a shell script as a job; gives the job's id."""
        ...

    def look(self, job_id: str) -> str:
        """The job's state, in lower case, by one request."""
        ...

    def wait(self, job_id: str, interval: float) -> str:
        """Wait for the job's end, asking every so many seconds; gives its state."""
        ...


class _Polling:
    """For the clients that leave waiting to the caller."""

    def look(self, job_id: str) -> str:
        raise NotImplementedError

    def wait(self, job_id: str, interval: float) -> str:
        """Look, sleep, look again: the loop of every example."""
        while (state := self.look(job_id)) not in TERMINAL:
            time.sleep(interval)
        return state


class Amscrot:
    """amscrot-py: the facility client of its README (``facility.resource(...).submit(...).wait()``)."""

    def __init__(
        self,
        root: str,
        token: str | None,
        resource_id: str,
        token_provider: Callable[[], str] | None = None,
    ) -> None:
        from amscrot.facility.client import FacilityClient
        from amscrot.facility.models import Resource

        logging.getLogger("amscrot").setLevel(logging.CRITICAL)
        # By id: what its discovery costs, once a session, is not compared.
        facility = FacilityClient(root, token=token, token_provider=token_provider)
        facility._logger.setLevel(logging.CRITICAL)
        self._resource = Resource({"id": resource_id}, facility)

    def submit(self, name: str, script: str) -> str:
        """As its README does."""
        job = self._resource.submit(executable="/bin/sh", arguments=["-c", script], name=name, duration=300)
        return job.id

    def look(self, job_id: str) -> str:
        """``Job.refresh``."""
        return self._resource.job(job_id).refresh().lower()

    def wait(self, job_id: str, interval: float) -> str:
        """``Job.wait`` with its poll interval."""
        job = self._resource.job(job_id)
        return job.wait(timeout=3600, poll_interval=interval).state.lower()


def amscrot_files(root: str, token: str, resource_id: str) -> Any:
    """``Resource.fs`` of amscrot-py, for a file system by its id."""
    return Amscrot(root, token, resource_id)._resource.fs


class NerscIri(_Polling):
    """nersc-iri: the generated client, with the retries that it comes with (urllib3's)."""

    def __init__(self, root: str, token: str, resource_id: str) -> None:
        import nersc_iri

        logging.getLogger("urllib3").setLevel(logging.ERROR)  # a pool smaller than the callers is a warning
        configuration = nersc_iri.Configuration(host=root, access_token=token)
        self._api = nersc_iri.ComputeApi(nersc_iri.ApiClient(configuration))
        self._spec: Any = nersc_iri.JobSpecInput
        self._attributes: Any = nersc_iri.JobAttributes
        self._resource_id = resource_id

    def submit(self, name: str, script: str) -> str:
        """``ComputeApi.launch_job``."""
        attributes = self._attributes(duration=300)
        spec = self._spec(executable="/bin/sh", arguments=["-c", script], name=name, attributes=attributes)
        return self._api.launch_job(self._resource_id, spec).id

    def look(self, job_id: str) -> str:
        """``ComputeApi.get_job``."""
        return self._api.get_job(self._resource_id, job_id, historical=True).status.state.value


class IriClient(_Polling):
    """iri-client: operations by name, JSON texts in and out."""

    def __init__(self, root: str, token: str, resource_id: str) -> None:
        from iri_client import Client as Core

        self._core = Core(base_url=root, access_token=token)
        self._resource_id = resource_id

    def submit(self, name: str, script: str) -> str:
        """``launchJob``."""
        answer = self._core.call_operation(
            "launchJob",
            path_params_json=json.dumps({"resource_id": self._resource_id}),
            body_json=json.dumps(spec_of(name, script)),
        )
        return json.loads(answer)["id"]

    def look(self, job_id: str) -> str:
        """``getJob``."""
        answer = self._core.call_operation(
            "getJob",
            path_params_json=json.dumps({"resource_id": self._resource_id, "job_id": job_id}),
            query_json=json.dumps({"historical": "true"}),
        )
        return json.loads(answer)["status"]["state"]


class Httpx(_Polling):
    """What one writes without a client: httpx, and a loop that tries again on 429, 5xx and broken wires."""

    TRIES = 4
    FIRST_PAUSE = 0.5

    def __init__(self, root: str, token: str, resource_id: str) -> None:
        import httpx

        self._httpx = httpx
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=f"{root}/api/v2", headers=headers, timeout=30)
        self._resource_id = resource_id

    def submit(self, name: str, script: str) -> str:
        """POST, again where it failed."""
        reply = self._again(
            lambda: self._client.post(f"/compute/job/{self._resource_id}", json=spec_of(name, script))
        )
        return reply["id"]

    def look(self, job_id: str) -> str:
        """GET."""
        path = f"/compute/status/{self._resource_id}/{job_id}"
        return self._again(lambda: self._client.get(path, params={"historical": "true"}))["status"]["state"]

    def _again(self, ask: Callable[[], Any]) -> Any:
        for attempt in range(self.TRIES):
            last = attempt == self.TRIES - 1
            try:
                reply = ask()
                if last or not (reply.status_code == 429 or reply.status_code >= 500):
                    return reply.raise_for_status().json()
            except self._httpx.TransportError:
                if last:
                    raise
            time.sleep(self.FIRST_PAUSE * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


def spec_of(name: str, script: str) -> dict[str, Any]:
    """The job every client asks for."""
    return {
        "executable": "/bin/sh",
        "arguments": ["-c", script],
        "name": name,
        "attributes": {"duration": 300},
    }


PEERS: dict[str, Callable[[str, str, str], Client]] = {
    "amscrot-py": Amscrot,
    "nersc-iri": NerscIri,
    "iri-client": IriClient,
    "httpx": Httpx,
}
