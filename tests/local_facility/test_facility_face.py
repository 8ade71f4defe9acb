from __future__ import annotations

import httpx
import pytest

from iri_local_facility import LocalFacility

# Verb, path, operationId, success, whether it needs a token: the API as published.
FS = (
    "chmod chown file stat mkdir symlink ls head view tail checksum rm compress extract mv cp download upload"
)
CREATES = {"mkdir", "symlink", "compress", "extract", "mv", "cp"}
GRANTS = "/account/projects/{project_id}/project_allocations"
OPERATIONS = [
    ("get", "/facility", "getFacility", 200, False),
    ("get", "/facility/sites", "getSites", 200, False),
    ("get", "/facility/sites/{site_id}", "getSite", 200, False),
    ("get", "/status/resources", "getResources", 200, False),
    ("get", "/status/resources/{resource_id}", "getResource", 200, False),
    ("get", "/status/incidents", "getIncidents", 200, False),
    ("get", "/status/incidents/{incident_id}", "getIncident", 200, False),
    ("get", "/status/events", "getEventsByIncident", 200, False),
    ("get", "/status/events/{event_id}", "getEventByIncident", 200, False),
    ("get", "/account/capabilities", "getCapabilities", 200, False),
    ("get", "/account/capabilities/{capability_id}", "getCapability", 200, False),
    ("get", "/account/whoami", "whoami", 200, True),
    ("get", "/account/projects", "getProjects", 200, True),
    ("get", "/account/projects/{project_id}", "getProject", 200, True),
    ("get", GRANTS, "getProjectAllocationsByProject", 200, True),
    ("get", f"{GRANTS}/{{project_allocation_id}}", "getProjectAllocationByProject", 200, True),
    (
        "get",
        f"{GRANTS}/{{project_allocation_id}}/user_allocations",
        "getUserAllocationsByProjectAllocation",
        200,
        True,
    ),
    (
        "get",
        f"{GRANTS}/{{project_allocation_id}}/user_allocations/{{user_allocation_id}}",
        "getUserAllocationByProjectAllocation",
        200,
        True,
    ),
    ("get", "/compute/resources", "getComputeResources", 200, False),
    ("post", "/compute/job/{resource_id}", "launchJob", 200, True),
    ("put", "/compute/job/{resource_id}/{job_id}", "updateJob", 200, True),
    ("get", "/compute/status/{resource_id}/{job_id}", "getJob", 200, True),
    ("post", "/compute/status/{resource_id}", "getJobs", 200, True),
    ("delete", "/compute/cancel/{resource_id}/{job_id}", "cancelJob", 204, True),
    ("post", "/filesystem/resources", "getFilesystemResources", 200, False),
    *(
        ("post", f"/filesystem/{name}/{{resource_id}}", name, 201 if name in CREATES else 200, True)
        for name in FS.split()
    ),
    ("get", "/storage/locations/{resource_id}", "getStorageLocations", 200, True),
    ("get", "/storage/access-endpoints/{resource_id}", "getStorageAccessEndpoints", 200, True),
    ("get", "/task/{task_id}", "getTask", 200, True),
    ("delete", "/task/{task_id}", "deleteTask", 200, True),
    ("get", "/task", "getTasks", 200, True),
]


def test_the_served_document_has_exactly_the_published_operations(alice) -> None:
    document = alice.http.get("/openapi.json").json()
    served = {
        (verb, path, operation["operationId"], "security" in operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    }
    assert served == {(verb, f"/api/v2{path}", name, private) for verb, path, name, _, private in OPERATIONS}
    for verb, path, _, success, _ in OPERATIONS:
        responses = document["paths"][f"/api/v2{path}"][verb]["responses"]
        assert [status for status in responses if status.startswith("2")] == [str(success)]


@pytest.mark.parametrize(("verb", "path", "name", "success", "private"), OPERATIONS)
def test_public_and_private(facility: LocalFacility, verb, path, name, success, private) -> None:
    answer = httpx.request(verb, facility.base_url + path, trust_env=False)
    assert (answer.status_code == 401) == private
    assert facility.requests(name)[-1]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/status/resources?nope=1", 422),
        ("/status/resources?name=a&name=b", 422),
        ("/status/resources?capability=urn:doe-iri:allocation:a&capability=urn:doe-iri:allocation:b", 200),
        ("/status/resources?resource_type=urn:doe-iri:resource", 400),
        ("/status/resources?resource_type=compute", 400),
        ("/status/resources?limit=1001", 400),
        ("/status/resources?limit=x", 400),
        ("/status/resources?offset=-1", 400),
        ("/status/resources?current_status=UP", 400),
        ("/status/resources?name=", 400),
        ("/status/resources?modified_since=yesterday", 400),
        ("/status/resources?modified_since=2026-02-30T00:00:00Z", 400),
        ("/status/resources?modified_since=2026-01-01T00:00:00%2B01:00", 200),
        ("/status/incidents?resource_uris=x&offset=1000", 404),
        ("/status/events?offset=1000", 404),
        ("/facility/sites?name=elsewhere", 404),
        ("/facility/sites/nope", 404),
        ("/account/capabilities?offset=1001", 400),
        ("/account/projects?x=1", 422),
        ("/task?x=1", 200),
        ("/nope", 404),
    ],
)
def test_query_parameters(alice, path: str, status: int) -> None:
    answer = alice.http.get(path)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert ("invalid_params" in problem) == (status == 400 and problem["title"] != "Error")


@pytest.mark.parametrize("value", ["1", "yes", "", "0"])
def test_only_true_and_false_are_booleans(alice, value: str) -> None:
    job = alice.launch("/bin/true")
    url = f"/compute/status/{alice.cluster}/{job}"
    assert alice.http.get(url, params={"historical": value}).status_code == 400
    assert alice.http.get(url, params={"historical": "True"}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"executable": ""},
        {"executable": 1},
        {"unknown": 1},
        {"arguments": None},
        {"environment": {"A": 1}},
        {"inherit_environment": "true"},
        {"resources": {"node_count": 0}},
        {"resources": {"node_count": 1.5}},
        {"attributes": {"duration": "PT1M"}},
        {"attributes": {"custom_attributes": None}},
        [],
        None,
    ],
)
def test_malformed_jobs_name_the_parameter(alice, body) -> None:
    answer = alice.http.post(f"/compute/job/{alice.cluster}", json=body)
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("/problems/invalid-parameter")
    assert answer.json()["invalid_params"][0]["reason"]


def test_unknown_keys_deeper_down_are_dropped(alice) -> None:
    body = {"executable": "/bin/true", "attributes": {"dration": 1}, "resources": {"nodes": 3}}
    job = alice.http.post(f"/compute/job/{alice.cluster}", json=body).json()["id"]
    spec = alice.http.get(f"/compute/status/{alice.cluster}/{job}?include_spec=true").json()["job_spec"]
    assert spec == {"executable": "/bin/true", "attributes": {}, "resources": {}}


def test_methods(alice) -> None:
    answer = alice.http.head("/facility")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert alice.http.post("/task/x").headers["allow"] == "DELETE, GET"
    assert alice.http.get("/status/resources/").status_code == 307


def test_resources_by_type_status_and_unit(alice) -> None:
    def names(**params) -> list[str]:
        return [r["name"] for r in alice.http.get("/status/resources", params=params).json()]

    assert names(resource_type="urn:doe-iri:resource:compute") == ["cluster"]
    assert names(resource_type="urn:doe-iri:resource:comp") == []
    assert names(capability="urn:doe-iri:allocation:storage:bytes") == ["scratch"]
    assert names(description="JOBS") == ["cluster"]
    assert names(limit=1, offset=1) == ["scratch"]
    assert names(modified_since="2999-01-01T00:00:00Z") == []


def test_not_modified(alice) -> None:
    answer = alice.http.get("/facility?modified_since=2999-01-01T00:00:00Z")
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["last-modified"].endswith("GMT")


def test_links_follow_the_name_the_client_used(alice) -> None:
    plain = alice.http.get("/facility").json()
    assert plain["self_uri"] == plain["_links"]["self"]["href"] == f"{alice.facility.base_url}/facility"
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "iri.example.org",
        "X-Forwarded-Prefix": "/here/",
    }
    seen = alice.http.get("/facility", headers=forwarded).json()
    assert seen["self_uri"] == "https://iri.example.org/here/api/v2/facility"


def test_incidents_come_and_go(client_of) -> None:
    with LocalFacility() as facility:
        client = client_of(facility)
        assert [client.http.get(f"/status/{kind}").status_code for kind in ("incidents", "events")] == [
            404,
            404,
        ]
        incident = facility.incident(status="down", name="Power")
        with pytest.raises(ValueError, match="not found"):
            facility.incident(resource="nope")
        assert client.http.get(f"/status/resources/{client.cluster}").json()["current_status"] == "down"
        assert client.http.get("/status/incidents?resolution=unresolved").json()[0]["id"] == incident["id"]
        assert client.http.get("/status/incidents?to=2999-01-01T00:00:00Z").status_code == 404
        facility.resolve_incident(incident["id"])
        assert client.http.get(f"/status/resources/{client.cluster}").json()["current_status"] == "up"
        assert len(client.http.get("/status/incidents?to=2999-01-01T00:00:00Z").json()[0]["event_uris"]) == 2
        first = client.http.get("/status/events").json()[0]
        assert client.http.get("/status/events", params={"time": first["occurred_at"]}).json() == [first]


def test_storage_locations(alice, bob) -> None:
    def paths(client, **params) -> list[str]:
        answer = client.http.get(f"/storage/locations/{client.scratch}", params=params)
        return [place["logical_name"] for place in answer.json()] if answer.status_code == 200 else [answer]

    assert paths(alice) == ["home", "scratch", "project", "project"]
    assert paths(alice, intent="staging") == ["scratch"]
    assert paths(alice, project="beamline", logicalpath="project") == ["project"]
    assert paths(bob, project="beamline")[0].status_code == 403
    assert paths(alice, logicalpath="archive")[0].status_code == 404
