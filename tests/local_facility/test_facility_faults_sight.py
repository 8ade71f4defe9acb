"""Orders on what is seen of jobs, on tokens, on the clock and on whole resources."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def upset() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.5, default_duration=3) as running:
        yield running


@pytest.fixture
def client(upset: LocalFacility, client_of) -> Iterator[Any]:
    client = client_of(upset)
    yield client
    upset.clear_faults()
    upset.reset_requests()
    assert client.wait(client.launch("/bin/true"))["state"] == "completed"
    assert {r["current_status"] for r in client.http.get("/status/resources").json()} == {"up"}
    assert all(entry["faults"] == [] for entry in upset.requests())
    client.http.close()


def look(client, job: str) -> int:
    return client.http.get(f"/compute/status/{client.cluster}/{job}").status_code


def listed(client, **params: Any) -> dict[str, dict[str, Any]]:
    answer = client.http.post(f"/compute/status/{client.cluster}", params={"historical": "true", **params})
    return {job["id"]: job["status"] for job in answer.json()}


def eventually(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_job_is_missing_though_it_runs(client, upset) -> None:
    job, other = client.launch("/bin/sleep", "0.3"), client.launch("/bin/true")
    fault = upset.order("missing", job=job)
    assert (look(client, job), look(client, other)) == (404, 200)
    assert (job in listed(client), other in listed(client)) == (False, True)
    assert client.cancel(job) == 404
    time.sleep(0.5)
    assert look(client, job) == 404
    assert next(entry["state"] for entry in upset.jobs() if entry["id"] == job) == "completed"
    assert [order["struck"] for order in upset.faults()] == [5]
    upset.clear_faults(fault)
    assert look(client, job) == 200


def test_missing_for_a_time_a_number_of_looks_or_one_operation(client, upset) -> None:
    job = client.launch("/bin/true")
    upset.order("missing", job=job, lasts=0.3)
    assert look(client, job) == 404
    eventually(lambda: look(client, job) == 200)
    upset.order("missing", job=job, times=2)
    assert [look(client, job) for _ in range(3)] == [404, 404, 200]
    upset.order("missing", "getJobs", job=job)
    assert (look(client, job), job in listed(client)) == (200, False)


def test_all_new_jobs_are_missing_or_late(client, upset) -> None:
    old = client.launch("/bin/true")
    upset.order("missing")
    new = client.launch("/bin/true")
    assert (look(client, old), look(client, new)) == (200, 404)
    upset.clear_faults()
    upset.order("late", seconds=0.4)
    for _ in range(2):
        new = client.launch("/bin/true")
        assert (look(client, new), new in listed(client), look(client, old)) == (404, False, 200)
        eventually(lambda new=new: look(client, new) == 200, 2)
        assert new in listed(client)


def test_states_nobody_knows(client, upset) -> None:
    job = client.launch("/bin/sleep", "20")
    client.wait(job, "active")
    upset.order("unknown_state", job=job, word="SUSPENDED", times=2)
    assert [client.status(job)["state"] for _ in range(3)] == ["SUSPENDED", "SUSPENDED", "active"]
    upset.order("unknown_state", "getJobs", job=job, word="?", lasts=0.3)
    assert listed(client)[job]["state"] == "?"
    assert listed(client, historical="false")[job]["state"] == "?"
    assert client.status(job)["state"] == "active"
    eventually(lambda: listed(client)[job]["state"] == "active")
    upset.order("unknown_state", job=job)
    assert client.cancel(job) == 204
    eventually(lambda: next(j["state"] for j in upset.jobs() if j["id"] == job) == "canceled")


def test_a_job_that_waits_is_canceled_whatever_word_is_shown(client, upset) -> None:
    job = client.launch("/bin/true", attributes={"custom_attributes": {"hold": "true"}})
    upset.order("unknown_state", job=job, times=1)
    assert client.cancel(job) == 204
    assert client.status(job)["state"] == "canceled"


def test_stale_lists_show_what_was(client, upset) -> None:
    client.wait(job := client.launch("/bin/sleep", "0.4"))
    upset.order("stale", "getJobs", seconds=0.3)
    shown = listed(client, historical="false")[job]
    assert (shown["state"], shown.get("exit_code"), shown["meta_data"]["end_time"]) == ("active", None, None)
    assert client.status(job)["state"] == "completed"
    upset.clear_faults()
    upset.order("stale", seconds=3600)
    assert listed(client) == {}
    assert look(client, job) == 404


@pytest.mark.parametrize("seconds", [-3600, 7200])
def test_a_clock_that_is_wrong(client, upset, seconds) -> None:
    fault = upset.order("skew", seconds=seconds)
    spec = {"executable": "/bin/true"}
    answers = [client.http.post(f"/compute/job/{client.cluster}", json=spec)]
    answers.append(client.http.get(f"/compute/status/{client.cluster}/{answers[0].json()['id']}"))
    for answer in answers:
        status = answer.json()["status"]
        moments = [parsedate_to_datetime(answer.headers["date"]).timestamp(), status["time"]]
        moments.append(status["meta_data"]["submit_time"])
        assert all(abs(moment - time.time() - seconds) < 5 for moment in moments)
    assert [order["struck"] for order in upset.faults()] == [2]
    upset.clear_faults(fault)
    right = client.http.get("/facility").headers["date"]
    assert abs(parsedate_to_datetime(right).timestamp() - time.time()) < 3


def test_all_tokens_are_refused_for_a_while(client, upset) -> None:
    job = client.launch("/bin/true")
    upset.order("refuse_tokens", lasts=2.0)
    upset.order("status", "getJob", status=403, skip=1)
    refused = client.http.get(f"/compute/status/{client.cluster}/{job}")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert client.http.get("/facility").status_code == 200
    fresh = {"Authorization": f"Bearer {upset.new_token()}"}
    assert httpx.get(f"{upset.base_url}/account/whoami", headers=fresh, trust_env=False).status_code == 401
    time.sleep(2.0)
    assert [look(client, job) for _ in range(2)] == [403, 200]


def test_maintenance_holds_jobs_and_refuses_new_ones(client, upset) -> None:
    running = client.launch("/bin/sleep", "1")
    client.wait(running, "active")
    order = upset.order("maintenance", api="refuse")
    resource = client.http.get(f"/status/resources/{client.cluster}").json()
    assert resource["current_status"] == "down"
    (incident,) = client.http.get("/status/incidents", params={"resolution": "unresolved"}).json()
    assert (incident["type"], incident["status"]) == ("planned", "down")
    refused = client.http.post(f"/compute/job/{client.cluster}", json={"executable": "/bin/true"})
    assert refused.status_code == 400
    assert "maintenance" in refused.json()["detail"]
    assert upset.requests("launchJob")[-1]["faults"] == [order]
    assert client.wait(running)["state"] == "completed"
    upset.clear_faults(order)
    closed = client.http.get(f"/status/incidents/{incident['id']}").json()
    assert (closed["resolution"], closed["end"] is not None) == ("completed", True)


def test_maintenance_that_is_announced(client, upset) -> None:
    upset.order("maintenance", starts_in=2.0, seconds=2.0)
    (incident,) = client.http.get("/status/incidents", params={"resolution": "pending"}).json()
    assert incident["start"] < incident["end"]
    short = client.launch("/bin/true", attributes={"duration": 3})
    assert client.status(short)["state"] in ("new", "queued")  # it would not be over in time
    assert client.http.get(f"/status/resources/{client.cluster}").json()["current_status"] == "up"
    deadline = time.monotonic() + 60
    while client.http.get(f"/status/resources/{client.cluster}").json()["current_status"] != "down":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.status(short)["message"] == "waiting for the end of maintenance"
    assert client.wait(short)["state"] == "completed"
    assert [order["live"] for order in upset.faults()] == [False]
    far = upset.order("maintenance", starts_in=60)
    assert client.wait(client.launch("/bin/true"))["state"] == "completed"
    upset.clear_faults(far)
    assert client.http.get("/status/incidents").json()[-1]["resolution"] == "cancelled"


def test_maintenance_may_close_the_api_and_outlives_a_restart(client_of) -> None:
    with LocalFacility() as facility:
        client = client_of(facility)
        order = facility.order("maintenance", api="unavailable", retry_after=30)
        for _ in range(2):
            closed = client.http.get("/status/resources")
            assert (closed.status_code, closed.headers["retry-after"]) == (503, "30")
            facility.restart()
        facility.clear_faults(order)
        assert {r["current_status"] for r in client.http.get("/status/resources").json()} == {"up"}
        assert len(client.http.get("/status/incidents").json()) == 1
