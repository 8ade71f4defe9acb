"""The v1 face: what it does in another way than v2. What both share is tested with v2."""

from __future__ import annotations

import json
import time
import uuid

import httpx
import pytest
from test_facility_face import OPERATIONS

from iri_local_facility import LocalFacility

NOT_THERE = {"whoami", "getStorageLocations", "getStorageAccessEndpoints"}
QUERIED = {"ls", "head", "tail", "view", "checksum", "file", "stat", "download"}
VERBS = {
    **dict.fromkeys([*QUERIED, "getFilesystemResources"], "get"),
    **{"rm": "delete", "chmod": "put", "chown": "put"},
}
OPERATIONS_OF_V1 = [
    (VERBS.get(name, verb), path, name, success, private)
    for verb, path, name, success, private in OPERATIONS
    if name not in NOT_THERE
]


@pytest.fixture
def http(facility: LocalFacility):
    bearer = {"Authorization": f"Bearer {facility.token}"}
    with httpx.Client(
        base_url=f"{facility.url}/api/v1", headers=bearer, trust_env=False, timeout=10
    ) as client:
        yield client


@pytest.fixture
def cluster(http: httpx.Client) -> str:
    return http.get("/compute/resources").json()[0]["id"]


def test_the_document_is_at_the_root_and_has_exactly_the_published_operations(
    facility: LocalFacility,
) -> None:
    document = httpx.get(f"{facility.url}/openapi.json", trust_env=False).json()
    served = {
        (verb, path, operation["operationId"], "security" in operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    }
    assert served == {
        (verb, f"/api/v1{path}", name, private) for verb, path, name, _, private in OPERATIONS_OF_V1
    }
    for verb, path, _, success, _ in OPERATIONS_OF_V1:
        operation = document["paths"][f"/api/v1{path}"][verb]
        assert [status for status in operation["responses"] if status.startswith("2")] == [str(success)]
        assert "Idempotency-Key" not in {each["name"] for each in operation.get("parameters", [])}
    schemas = document["components"]["schemas"]
    having = {name for name, schema in schemas.items() if "attributes" in schema.get("properties", {})}
    assert having == {"JobSpec"}
    assert "urn:doe-iri" not in json.dumps(document)


@pytest.mark.parametrize(("verb", "path", "name", "success", "private"), OPERATIONS_OF_V1)
def test_public_and_private(facility: LocalFacility, verb, path, name, success, private) -> None:
    answer = httpx.request(verb, f"{facility.url}/api/v1{path}", trust_env=False)
    assert (answer.status_code == 401) == private


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/openapi.json", 404),
        ("GET", "/account/whoami", 404),
        ("GET", "/storage/locations/{cluster}", 404),
        ("POST", "/filesystem/resources", 405),
        ("POST", "/filesystem/ls/{cluster}", 405),
        ("POST", "/filesystem/rm/{cluster}", 405),
        ("GET", "/status/resources?resource_type=urn:doe-iri:resource:compute", 400),
        ("GET", "/status/resources?capability=urn:doe-iri:allocation:storage:bytes", 400),
        ("GET", "/status/resources?resource_type=network", 200),
        ("GET", "/status/resources?capability=inodes&capability=bytes", 200),
        ("GET", "/status/resources?x=1", 422),
        ("GET", "/filesystem/ls/{cluster}", 400),
        ("GET", "/filesystem/ls/{cluster}?path=.&x=1", 200),
        ("GET", "/filesystem/ls/{cluster}?path=.&showHidden=perhaps", 400),
        ("GET", "/filesystem/ls/nope?path=.", 404),
        ("GET", "/filesystem/head/{cluster}?path=.", 400),
        ("GET", "/filesystem/head/{cluster}?path=.&lines=1&bytes=1", 400),
        ("GET", "/filesystem/head/{cluster}?path=.&lines=-1", 200),
        ("GET", "/filesystem/tail/{cluster}?path=.&lines=0", 400),
        ("GET", "/filesystem/view/{cluster}?path=.&size=0", 400),
        ("GET", "/filesystem/view/{cluster}?path=.&size=5242881", 400),
        ("GET", "/filesystem/view/{cluster}?path=.&offset=-1", 400),
    ],
)
def test_what_is_asked_for_and_how(
    http: httpx.Client, cluster: str, verb: str, path: str, status: int
) -> None:
    answer = http.request(verb, path.format(cluster=cluster))
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("word", "status"), [("gzip", 201), ("urn:doe-iri:compression:gzip", 400), ("zip", 400)]
)
def test_a_compression_is_a_word(http: httpx.Client, cluster: str, word: str, status: int) -> None:
    body = {"path": "a", "target_path": "b", "compression": word}
    for name in ("compress", "extract"):
        assert http.post(f"/filesystem/{name}/{cluster}", json=body).status_code == status


def test_objects_have_words_and_neither_links_nor_attributes(
    facility: LocalFacility, http: httpx.Client
) -> None:
    incident = facility.incident()
    lists = [
        "/status/resources",
        "/facility/sites",
        "/account/capabilities",
        "/status/incidents",
        "/status/events",
    ]
    ones = ["/facility", f"/status/incidents/{incident['id']}"]
    objects = [each for path in lists for each in http.get(path).json()] + [
        http.get(path).json() for path in ones
    ]
    assert not [each for each in objects if {"_links", "attributes"} & set(each)]
    assert all(each["self_uri"].startswith(f"{facility.url}/api/v1/") for each in objects)
    assert "urn:" not in json.dumps(objects)
    facility.resolve_incident(incident["id"])


def test_an_option_in_snake_case_has_no_effect(
    facility: LocalFacility, http: httpx.Client, cluster: str
) -> None:
    (facility.home / "lines").write_text("one\ntwo\nthree\n")

    def head(option: str) -> str:
        answer = http.get(f"/filesystem/head/{cluster}?path=lines&lines=1&{option}=true").json()
        assert answer["task_uri"] == f"{facility.url}/api/v1/task/{answer['task_id']}"
        deadline = time.monotonic() + 60
        while (task := http.get(f"/task/{answer['task_id']}").json())["status"] in ("pending", "active"):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return task["result"]["output"]["content"]

    assert (head("skip_trailing"), head("skipTrailing")) == ("one\n", "one\ntwo\n")


def test_a_key_is_not_even_looked_at(facility: LocalFacility, http: httpx.Client, cluster: str) -> None:
    header = {"Idempotency-Key": str(uuid.uuid4())}
    ids = set()
    for arguments in ([], [], ["another body"]):
        spec = {"executable": "/bin/true", "arguments": arguments}
        answer = http.post(f"/compute/job/{cluster}", json=spec, headers=header)
        assert (answer.status_code, "idempotency-key-reply" in answer.headers) == (200, False)
        ids.add(answer.json()["id"])
    assert len(ids) == 3
    # The same key is new to the other face, where keys count.
    spec = {"executable": "/bin/true"}
    for reply in ("miss", "hit"):
        answer = http.post(f"{facility.base_url}/compute/job/{cluster}", json=spec, headers=header)
        assert answer.headers["idempotency-key-reply"] == reply


def test_both_faces_show_the_same_jobs_and_tasks(
    facility: LocalFacility, http: httpx.Client, cluster: str
) -> None:
    spec = {"executable": "/bin/sleep", "arguments": ["60"]}
    job = http.post(f"/compute/job/{cluster}", json=spec).json()["id"]
    assert http.get(f"{facility.base_url}/compute/status/{cluster}/{job}").json()["id"] == job
    assert http.delete(f"{facility.base_url}/compute/cancel/{cluster}/{job}").status_code == 204
    task = http.get(f"/filesystem/stat/{cluster}?path=.").json()["task_id"]
    assert http.get(f"{facility.base_url}/task/{task}").status_code == 200
