"""Every operation of the served OpenAPI document against what the document says, by schemathesis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from iri_local_facility import LocalFacility

SEED = os.environ.get("SCHEMATHESIS_SEED", "1")

# All checks of schemathesis are on. What is expected beyond its defaults, and why:
CONFIG = """
base-url = "{url}"
headers = {{ Authorization = "Bearer {token}" }}
parameters = {{ resource_id = "{cluster}", job_id = "{job}" }}

[generation]
max-examples = 15

# A scheduler refuses jobs that are well-formed: no such queue or account, more nodes than there are, nothing
# to execute, a path that is not the user's (400). No schema can say so.
[[operations]]
include-operation-id = "launchJob"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 501{key_used}]
# The API's answer for what a facility does not offer is 501; here that is containers.
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 501]

# The same, and what is settled once a job is submitted (400) or has ended (409).
[[operations]]
include-operation-id = "updateJob"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 409{key_used}]

# A number "in place of" a file is sent as a part whose bytes are its digits: a perfectly good file.
[[operations]]
include-operation-id = "upload"
checks.negative_data_rejection.enabled = false
"""

V1_CONFIG = """
# Exactly one of bytes and lines: a schema can say so of a body, and not of a query.
[[operations]]
include-operation-id = ["head", "tail"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400]
"""

# By version: where its document is, how many operations it has, how a key that comes back with another body
# is answered (generated keys do come back), and what is expected beyond the other version.
VERSIONS = {
    "v1": ("/openapi.json", 45, "", V1_CONFIG),
    "v2": ("/api/v2/openapi.json", 48, ", 422", ""),
}


def call(facility: LocalFacility, path: str, body: object = None, token: str | None = None):
    request = urllib.request.Request(
        facility.base_url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {token or facility.token}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_operation_keeps_what_the_document_promises(version: str, tmp_path: Path) -> None:
    document, operations, key_used, more = VERSIONS[version]
    with LocalFacility(nodes=1, kill_grace=0.2) as facility:
        facility.incident()  # the lists of incidents and events are 404 while they are empty
        cluster = next(r["id"] for r in call(facility, "/status/resources") if r["name"] == "cluster")
        # Somebody else's job takes the only node: generated jobs are accepted but never run.
        sleep = {"executable": "/bin/sleep", "arguments": ["600"], "attributes": {"duration": 600}}
        blocker = call(facility, f"/compute/job/{cluster}", sleep, facility.new_token("bob"))
        held = {"executable": "/bin/true", "attributes": {"custom_attributes": {"hold": "true"}}}
        job = call(facility, f"/compute/job/{cluster}", held)["id"]
        config = tmp_path / "schemathesis.toml"
        facts = {"url": facility.url, "token": facility.token, "cluster": cluster, "job": job}
        config.write_text(CONFIG.format(**facts, key_used=key_used) + more)
        facility.reset_requests()
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                *("--config-file", str(config)),
                *("run", facility.url + document, "--continue-on-failure", "--seed", SEED),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=140,
            check=False,
        )
        started = [entry["id"] for entry in facility.jobs() if entry["started"]]
        asked = set(facility.summary()) - {"-"}
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    assert started == [blocker["id"]]
    assert len(asked) == operations
