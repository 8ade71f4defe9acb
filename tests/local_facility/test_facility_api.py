from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

import iri_local_facility
from iri_local_facility import LocalFacility

pytest_plugins = ["iri_local_facility.pytest_plugin"]


def test_exported_names() -> None:
    assert iri_local_facility.__all__ == ["LocalFacility"]
    assert all(hasattr(iri_local_facility, name) for name in iri_local_facility.__all__)
    with pytest.raises(AttributeError):
        _ = iri_local_facility.Nothing


def test_importing_is_light() -> None:
    program = "import sys, iri_local_facility; sys.exit('fastapi' in sys.modules or 'sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_fixture_for_others(local_facility: LocalFacility) -> None:
    assert httpx.get(f"{local_facility.base_url}/facility", trust_env=False).status_code == 200


def test_ids_are_the_same_everywhere_and_names_differ(alice, client_of) -> None:
    with LocalFacility(name="other") as other, LocalFacility() as same:
        assert client_of(other).cluster != alice.cluster
        assert client_of(same).cluster == alice.cluster


def test_requests_are_recorded(client_of) -> None:
    with LocalFacility() as facility:
        client = client_of(facility)
        facility.reset_requests()
        answer = client.upload("x", b"12345")
        client.http.get("/facility?a=b")
        client.http.get("/nope")
        upload, unknown, nope = facility.requests()
        assert (upload["operation"], upload["principal"], upload["status"]) == ("upload", "alice", 200)
        assert upload["request_id"] == answer.headers["x-request-id"]
        assert upload["bytes_in"] > 5
        assert upload["bytes_out"] == len(answer.content)
        assert (unknown["query"], unknown["status"], unknown["principal"]) == ("a=b", 422, None)
        assert (nope["operation"], nope["path"]) == (None, "/api/v2/nope")
        assert facility.requests("upload") == [upload]
        assert facility.summary() == {"upload": {"200": 1}, "getFacility": {"422": 1}, "-": {"404": 1}}


def test_control_is_for_this_machine_only(facility: LocalFacility) -> None:
    url = f"{facility.url}/_facility/jobs"
    assert httpx.get(url, trust_env=False).status_code == 200
    assert httpx.get(url, headers={"Host": "rebound.example.org"}, trust_env=False).status_code == 403


def test_status_is_quick_and_idling_is_free(alice, facility: LocalFacility) -> None:
    job = alice.sh("sleep 20")
    alice.wait(job, "active")
    durations = []
    for _ in range(50):
        began = time.perf_counter()
        alice.status(job)
        durations.append(time.perf_counter() - began)
    assert min(durations) < 0.02
    server = psutil.Process(facility.pid)
    spent = []
    for _ in range(3):
        before = sum(server.cpu_times()[:2])
        time.sleep(0.5)
        spent.append(sum(server.cpu_times()[:2]) - before)
    assert min(spent) < 0.1
    alice.cancel(job)


def test_starts_quickly(tmp_path: Path) -> None:
    took = []
    for attempt in range(3):
        began = time.monotonic()
        with LocalFacility(tmp_path / str(attempt)):
            took.append(time.monotonic() - began)
    assert min(took) < 10
