"""Collections: their HTTPS server, how the IRI API announces them, and what a facility may not have."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from globus_kit import auth_client, https_token, transfer_client
from globus_sdk.scopes import GCSCollectionScopes

from iri_local_facility import LocalFacility

URL, BUCKET, REGION = "http://127.0.0.1:9", "results", "us-east-1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFacility]:
    top = tmp_path_factory.mktemp("beamline").resolve()
    with LocalFacility(name="files", collections={"beamline": top}, s3=(URL, BUCKET, REGION)) as running:
        running.beamline = top
        yield running


@pytest.fixture
def web(place: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The HTTPS server of the beamline's collection."""
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    collection = place.collection_of("beamline")
    base = f"{place.url}/globus/https/{collection}"
    bearer = {"Authorization": f"Bearer {https_token(place, collection)}"}
    with httpx.Client(base_url=base, headers=bearer, trust_env=False, timeout=10) as client:
        yield client
    place.clear_faults()


@pytest.fixture
def iri(place: LocalFacility) -> Iterator[httpx.Client]:
    bearer = {"Authorization": f"Bearer {place.token}"}
    with httpx.Client(base_url=place.base_url, headers=bearer, trust_env=False, timeout=10) as client:
        yield client


@contextlib.contextmanager
def begun(web: httpx.Client, method: str, path: str, length: int = 0) -> Iterator[socket.socket]:
    """A request of which only the head is sent, with its path on the wire as it is written."""
    base = urlsplit(str(web.base_url))
    with socket.create_connection((base.hostname, base.port), timeout=10) as connection:
        head = [
            f"{method} {base.path.rstrip('/')}{path} HTTP/1.1",
            f"Host: {base.netloc}",
            f"Authorization: {web.headers['authorization']}",
            f"Content-Length: {length}",
            "Connection: close",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        yield connection


# -- HTTPS


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "a b",
        "-dash",
        "line\nend\n",
        "%2F",
        "100%",
        "q?x=1&y#z",
        "é€\U0001f600",
        "quote'\"",
        "a+b",
        "...",
    ],
)
def test_names_mean_themselves(place: LocalFacility, web: httpx.Client, name: str) -> None:
    content = os.urandom(1000)
    assert web.put(f"/{quote(name, safe='')}", content=content).status_code == 201
    assert (place.beamline / name).read_bytes() == content
    assert web.get(f"/{quote(name, safe='')}").content == content
    assert web.put(f"/{quote(name)}", content=b"").status_code == 200
    assert web.head(f"/{quote(name)}").headers["content-length"] == "0"


@pytest.mark.parametrize(
    ("wanted", "status", "piece"),
    [
        ("bytes=0-99", 206, slice(0, 100)),
        ("bytes=3000000-", 206, slice(3_000_000, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=100-99999999", 206, slice(100, None)),
        ("bytes=99999999-", 416, None),
        (None, 200, slice(None)),
    ],
)
def test_ranges(place, web, wanted: str | None, status: int, piece: slice | None) -> None:
    content = hashlib.shake_256(b"x").digest(3_500_000)
    (place.beamline / "ranged").write_bytes(content)
    answer = web.get("/ranged", headers={} if wanted is None else {"Range": wanted})
    assert answer.status_code == status
    if piece is not None:
        assert answer.content == content[piece]
        entry = place.requests("collectionGet")[-1]
        assert (entry["bytes_out"], entry["acted"]) == (len(content[piece]), True)


@pytest.mark.parametrize(
    "path",
    [
        "/../{secret}",
        "/%2e%2e/{secret}",
        "/sub/..%2f..%2f{secret}",
        "/out/{secret}",
        "/file-out",
        "//../{secret}",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_nothing_outside(place: LocalFacility, web: httpx.Client, path: str, method: str) -> None:
    secret = place.beamline.parent / "secret"
    secret.write_bytes(b"secret")
    for link, target in (("out", place.beamline.parent), ("file-out", secret)):
        if not (place.beamline / link).is_symlink():
            (place.beamline / link).symlink_to(target)
    with begun(web, method, path.format(secret=secret.name)) as connection:
        assert int(connection.recv(64).split()[1]) in (403, 404)
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/", 400),
        ("PUT", "/", 403),
        ("PUT", "/no/directory", 404),
        ("PUT", "/new/", 400),
        ("DELETE", "/plain", 405),
    ],
)
def test_what_cannot_be_done(web: httpx.Client, method: str, path: str, status: int) -> None:
    answer = web.request(method, path, content=b"" if method == "PUT" else None)
    assert (answer.status_code, bool(answer.json()["code"])) == (status, True)


def test_bytes_that_are_no_text(place: LocalFacility, web: httpx.Client) -> None:
    assert web.put("/caf%E9", content=b"latin").status_code == 201
    assert os.listdir(os.fsencode(place.beamline)).count(b"caf\xe9") == 1
    listed = transfer_client(place).operation_ls(place.collection_of("beamline"), "/")
    assert "\ufffdcafé" in [entry["name"] for entry in listed]


def test_only_tokens_of_the_collection(place: LocalFacility, web: httpx.Client) -> None:
    (place.beamline / "mine").write_bytes(b"x")
    for token in (place.token, https_token(place, place.collection), "nonsense"):
        answer = web.get("/mine", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "AuthenticationFailed")
    scope = str(GCSCollectionScopes(place.collection_of("beamline")).data_access)
    consent = auth_client(place).oauth2_client_credentials_tokens(scope)["access_token"]
    assert web.get("/mine", headers={"Authorization": f"Bearer {consent}"}).status_code == 403
    own = f"{place.https_base}{quote(str(place.home))}/f"
    bearer = {"Authorization": f"Bearer {https_token(place, place.collection)}"}
    assert httpx.put(own, content=b"own", headers=bearer, trust_env=False).status_code == 201
    assert (place.home / "f").read_bytes() == b"own"
    assert httpx.get(f"{place.base_url}/account/whoami", headers=bearer, trust_env=False).status_code == 401


def test_a_file_arrives_whole_or_not_at_all(place: LocalFacility, web: httpx.Client) -> None:
    target = place.beamline / "whole"
    target.write_bytes(b"old")
    with begun(web, "PUT", "/whole", 5_000_000) as connection:
        connection.sendall(b"x" * 3_000_000)
        until(lambda: any(path.name.endswith(".part") for path in place.beamline.iterdir()))
    until(lambda: not any(path.name.endswith(".part") for path in place.beamline.iterdir()))
    place.order("no_space", "collectionPut", times=1)
    answer = web.put("/whole", content=b"new")
    assert (answer.status_code, "No space left on device" in answer.text) == (507, True)
    assert target.read_bytes() == b"old"
    assert web.put("/whole", content=b"new").status_code == 200
    assert target.read_bytes() == b"new"


def test_orders_strike_here_too(place: LocalFacility, web: httpx.Client) -> None:
    (place.beamline / "struck").write_bytes(b"x" * 100_000)
    place.order("cut", "collectionGet")
    received: list[bytes] = []
    with web.stream("GET", "/struck") as answer, pytest.raises(httpx.RemoteProtocolError):
        received.extend(answer.iter_raw())
    assert 0 < sum(map(len, received)) <= 50_000
    fault = place.order("status", "collectionPut", status=429, retry_after=3)
    answer = web.put("/struck", content=b"never")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert place.requests("collectionPut")[-1]["faults"] == [fault]
    place.order("refuse_tokens", "collectionGet", times=1)
    assert [web.get("/struck").status_code for _ in range(2)] == [401, 200]


def until(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- what the IRI API says


def test_ways_in(place: LocalFacility, iri: httpx.Client) -> None:
    resources = {resource["name"]: resource for resource in iri.get("/status/resources").json()}

    def ways(name: str, **query: str) -> list[dict]:
        return iri.get(f"/storage/access-endpoints/{resources[name]['id']}", params=query).json()

    (globus,) = ways("scratch")
    assert (globus["protocol"], globus["endpoint_id"]) == ("globus", place.collection)
    assert (globus["uri"], globus["root_path"]) == (f"globus://{place.collection}/", "/")
    assert ways("scratch", protocol="globus", endpoint_id=place.collection) == [globus]
    assert ways("scratch", protocol="s3") == ways("scratch", endpoint_id="other") == []
    assert ways("cluster") == []  # it is no storage
    (s3,) = ways("objects")
    assert (s3["endpoint_url"], s3["bucket"], s3["region"]) == (URL, BUCKET, REGION)
    assert "endpoint_id" not in s3
    assert resources["objects"]["supported_endpoints"] == []
    listing = iri.post(f"/filesystem/ls/{resources['objects']['id']}", json={"path": "/"})
    assert listing.status_code == 404
    assert [resource["name"] for resource in iri.post("/filesystem/resources").json()] == [
        "cluster",
        "scratch",
    ]


@pytest.mark.parametrize(
    ("without", "statuses"),
    [
        (["filesystem"], {"ls": 404, "upload": 404, "checksum": 404}),
        (
            ["upload", "download", "checksum", "compress"],
            {"ls": 200, "upload": 501, "download": 501, "checksum": 501, "compress": 501, "extract": 201},
        ),
    ],
)
def test_what_a_facility_has_not(without: list[str], statuses: dict[str, int], client_of) -> None:
    with LocalFacility(without=without) as place:
        client = client_of(place)
        bodies = {packing: {"path": "x", "target_path": "y"} for packing in ("compress", "extract")}
        for name, status in statuses.items():
            url = f"/filesystem/{name}/{client.scratch}"
            if name == "upload":
                answer = client.upload("f", b"")
            else:
                answer = client.http.post(url, json=bodies.get(name, {"path": "."}))
            assert (name, answer.status_code) == (name, status)
        listed = client.http.post("/filesystem/resources").json()
        assert [resource["name"] for resource in listed] == (
            [] if "filesystem" in without else ["cluster", "scratch"]
        )
        assert client.wait(client.launch("/bin/true"))["state"] == "completed"
        client.http.close()


def test_a_misspelt_feature_is_no_feature(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such feature: donwload"):
        LocalFacility(tmp_path, without=["donwload"]).start()


@pytest.mark.parametrize("told", [True, False])
def test_output_goes_where_the_facility_wants_it(client_of, told: bool) -> None:
    with LocalFacility(without=["stdout_path", *([] if told else ["output_paths"])]) as place:
        client = client_of(place)
        wanted = {"stdout_path": str(place.home / "mine.out"), "stderr_path": str(place.home / "mine.err")}
        job = client.sh("echo said", **wanted)
        facts, output = client.wait(job)["meta_data"], place.home / f"job-{job}.out"
        paths = [facts.get("stdout_path"), facts.get("stderr_path")]
        assert paths == ([str(output)] * 2 if told else [None, None])
        assert output.read_text() == "said\n"
        assert not (place.home / "mine.out").exists()
        client.http.close()


def test_a_full_disk(alice, facility: LocalFacility) -> None:
    fault = facility.order("no_space")
    task = alice.task(alice.upload("full", b"x"))
    assert (task["status"], "No space left on device" in task["result"]["output"]) == ("failed", True)
    assert facility.requests("upload")[-1]["faults"] == [fault]
    assert alice.fs("ls", path=".")["status"] == "completed"
    facility.clear_faults(fault)
    assert alice.task(alice.upload("full", b"x"))["status"] == "completed"
