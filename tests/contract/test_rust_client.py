"""The IRI client in Rust, made from an earlier v1 document, against the local facility."""

from __future__ import annotations

import json
import time

import iri_client
import pytest

from iri_local_facility import LocalFacility

# Its document had events below incidents; the uploads of its generated operations have no body.
NOT_OF_TODAY = {"getEventsByIncident", "getEventByIncident", "upload"}
PLACES = {
    *("getFacility", "getSites", "getSite", "getResources", "getResource", "getIncidents", "getIncident"),
    *("getCapabilities", "getCapability", "getProjects", "getProject", "getProjectAllocationsByProject"),
    *("getProjectAllocationByProject", "getUserAllocationsByProjectAllocation"),
    "getUserAllocationByProjectAllocation",
}
JOBS = {"launchJob", "updateJob", "getJob", "getJobs", "cancelJob"}
FILES = {
    *("ls", "head", "tail", "view", "stat", "file", "checksum", "download", "mkdir", "chmod", "chown", "cp"),
    *("mv", "symlink", "compress", "extract", "rm"),
}
TASKS = {"getTask", "getTasks", "deleteTask"}


@pytest.fixture(scope="module")
def facility():
    with LocalFacility(nodes=1, kill_grace=0.3) as running:
        yield running


class Client:
    """Calls operations by name, and remembers which."""

    def __init__(self, facility: LocalFacility) -> None:
        self._client = iri_client.Client(base_url=facility.url, access_token=facility.token)
        self.called: set[str] = set()

    def __call__(self, operation: str, path=None, query=None, body=None):
        self.called.add(operation)
        texts = [None if part is None else json.dumps(part) for part in (path, query, body)]
        answer = self._client.call_operation(operation, *texts)
        return json.loads(answer) if answer else None


@pytest.fixture
def call(facility: LocalFacility) -> Client:
    return Client(facility)


def ended(look, *states: str):
    deadline = time.monotonic() + 60
    while (seen := look())["status"] not in states:
        assert time.monotonic() < deadline, seen
        time.sleep(0.01)
    return seen


def test_the_operations_below_are_all_it_has() -> None:
    known = {each.operation_id for each in iri_client.Client.operations()}
    assert known == PLACES | JOBS | FILES | TASKS | NOT_OF_TODAY


def test_places_and_accounts(facility: LocalFacility, call: Client) -> None:
    incident = facility.incident(resource="scratch", status="degraded")
    resources = call("getResources")
    types = [call("getResource", {"resource_id": each["id"]})["resource_type"] for each in resources]
    assert types == ["compute", "storage"]
    site = call("getSite", {"site_id": call("getSites")[0]["id"]})
    assert site["resource_uris"] == [each["self_uri"] for each in resources]
    assert call("getFacility")["self_uri"] == f"{facility.url}/api/v1/facility"
    assert call("getIncident", {"incident_id": incident["id"]}) in call("getIncidents")
    capability = call("getCapabilities", query={"name": "nodes"})[0]
    assert call("getCapability", {"capability_id": capability["id"]})["units"] == ["node_hours"]
    project = {"project_id": call("getProjects")[0]["id"]}
    assert call("getProject", project)["name"] == "demo"
    granted = {**project, "project_allocation_id": call("getProjectAllocationsByProject", project)[0]["id"]}
    assert call("getProjectAllocationByProject", granted)["entries"][0]["unit"] == "node_hours"
    share = call("getUserAllocationsByProjectAllocation", granted)[0]
    shared = {**granted, "user_allocation_id": share["id"]}
    assert call("getUserAllocationByProjectAllocation", shared)["user_id"] == "alice"
    assert call.called == PLACES


def test_a_job(facility: LocalFacility, call: Client) -> None:
    machine = {"resource_id": Client(facility)("getResources")[0]["id"]}
    held = {"custom_attributes": {"hold": "true"}}
    spec = {"executable": "/bin/sleep", "arguments": ["60"], "attributes": held}
    here = {**machine, "job_id": call("launchJob", machine, body=spec)["id"]}
    assert here["job_id"] in [each["id"] for each in call("getJobs", machine, body={})]
    assert call("updateJob", here, body={"name": "renamed"})["status"]["meta_data"]["name"] == "renamed"
    call("cancelJob", here)
    assert call("getJob", here, {"historical": True})["status"]["state"] == "canceled"
    assert call.called == JOBS


def test_files(facility: LocalFacility, call: Client) -> None:
    resources = Client(facility)("getResources", query={"resource_type": "storage"})
    storage = {"resource_id": resources[0]["id"]}

    def run(operation: str, query=None, body=None):
        task = {"task_id": call(operation, storage, query, body)["task_id"]}
        done = ended(lambda: call("getTask", task), "completed", "failed")
        assert done["status"] == "completed", (operation, done)
        assert task["task_id"] in [each["id"] for each in call("getTasks")]
        call("deleteTask", task)
        return done["result"]["output"]

    place = facility.scratch / "rust & co"
    run("mkdir", body={"path": str(place)})
    (place / "a").write_text("one\ntwo\n")
    path, packed = str(place / "a"), str(facility.scratch / "packed")
    one = {"path": path}
    assert run("head", {**one, "lines": 1})["content"] == "one\n"
    assert run("tail", {**one, "bytes": 4})["content"] == "two\n"
    assert run("view", {**one, "size": 2, "offset": 4})["content"] == "tw"
    assert run("stat", {**one, "dereference": True})["size"] == 8
    assert [run("download", one), run("file", one)] == ["b25lCnR3bwo=", "ASCII text"]
    assert run("checksum", one)["algorithm"] == "SHA-256"
    assert run("chmod", body={**one, "mode": "600"})["permissions"] == "rw-------"
    run("chown", body={**one, "owner": "alice"})
    run("cp", body={**one, "target_path": f"{path}2"})
    run("mv", body={"path": f"{path}2", "target_path": f"{path}3"})
    run("symlink", body={**one, "link_path": str(place / ".l")})
    listed = run("ls", {"path": str(place), "showHidden": True})
    assert [entry["name"] for entry in listed] == [".l", "a", "a3"]
    run("compress", body={"path": str(place), "target_path": packed})
    run("extract", body={"path": packed, "target_path": str(place / "out")})
    run("rm", {"path": str(place)})
    assert not place.exists()
    assert call.called == FILES | TASKS


def test_an_error_is_told_with_its_status(call: Client) -> None:
    with pytest.raises(RuntimeError, match=r"404.*not-found"):
        call("getSite", {"site_id": "nowhere"})
