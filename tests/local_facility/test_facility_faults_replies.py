"""Orders on requests and replies, seen by a client without any cleverness."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from iri_local_facility import LocalFacility

BODY = {"executable": "/bin/true", "name": "struck"}


@pytest.fixture(scope="module")
def upset() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.5) as running:
        yield running


@pytest.fixture
def client(upset: LocalFacility, client_of) -> Iterator[Any]:
    client = client_of(upset)
    upset.reset_requests()
    yield client
    upset.clear_faults()
    assert upset.faults() == []
    before = len(upset.requests())
    assert client.wait(client.launch("/bin/true"))["state"] == "completed"
    assert all(entry["faults"] == [] for entry in upset.requests()[before:])
    client.http.close()


def launch(client, **headers: str) -> httpx.Response:
    return client.http.post(f"/compute/job/{client.cluster}", json=BODY, headers=headers)


def jobs_made(facility: LocalFacility) -> int:
    return sum(entry["created"] is not None for entry in facility.requests("launchJob"))


def struck(facility: LocalFacility, fault: str) -> int:
    return next(order["struck"] for order in facility.faults() if order["id"] == fault)


@pytest.mark.parametrize(
    ("kind", "options", "error", "acted"),
    [
        ("lose_reply", {}, httpx.RemoteProtocolError, True),
        ("reset", {}, httpx.ReadError, False),
        ("cut", {}, httpx.RemoteProtocolError, True),
        ("hang", {"seconds": 0.2}, httpx.RemoteProtocolError, False),
        ("hang", {"seconds": 0.2, "when": "after"}, httpx.RemoteProtocolError, True),
    ],
)
def test_broken_connections(client, upset, kind, options, error, acted) -> None:
    fault = upset.order(kind, "launchJob", **options)
    with pytest.raises(error):
        launch(client)
    (entry,) = upset.requests("launchJob")
    assert (entry["acted"], entry["faults"], entry["user"]) == (acted, [fault], "alice")
    assert entry["status"] == (200 if kind == "cut" else 0)
    assert (entry["created"] is not None) is acted
    assert any(job["id"] == entry["created"] for job in upset.jobs()) is acted
    assert struck(upset, fault) == 1
    assert launch(client).status_code == 200
    assert jobs_made(upset) == 1 + acted


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("status", [401, 403, 408, 409, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("body", ["problem", "html", "plain", "empty"])
def test_statuses(client, upset, when, status, body) -> None:
    fault = upset.order("status", "launchJob", status=status, when=when, body=body, retry_after=7)
    answer = launch(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
    shapes = {
        "problem": lambda: answer.json()["status"] == status,
        "html": lambda: "text/html" in answer.headers["content-type"] and f"<h1>{status}" in answer.text,
        "plain": lambda: "<" not in answer.text and answer.text,
        "empty": lambda: answer.content == b"",
    }
    assert shapes[body]()
    (entry,) = upset.requests("launchJob")
    assert (entry["status"], entry["acted"], entry["faults"]) == (status, when == "after", [fault])
    assert jobs_made(upset) == (when == "after")


def test_retry_after_only_if_ordered_and_in_any_words(client, upset) -> None:
    upset.order("status", "launchJob", status=429)
    upset.order("status", "launchJob", status=429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    assert "retry-after" not in launch(client).headers
    assert launch(client).headers["retry-after"].startswith("Wed")


@pytest.mark.parametrize("body", ["truncated", "html", "plain", "empty"])
def test_garbled_bodies(client, upset, body) -> None:
    upset.order("garble", "launchJob", body=body)
    answer = launch(client)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert (body == "empty") == (answer.content == b"")
    assert jobs_made(upset) == 1
    upset.order("status", "launchJob", status=500, when="after", body="truncated")
    assert (launch(client).status_code, jobs_made(upset)) == (500, 2)


def test_a_delay_before_acting_acts_for_a_client_that_is_gone(client, upset) -> None:
    upset.order("delay", "launchJob", seconds=0.6)
    upset.order("delay", "launchJob", seconds=0.6, when="after", skip=1)
    with pytest.raises(httpx.ReadTimeout):
        client.http.post(f"/compute/job/{client.cluster}", json=BODY, timeout=0.2)
    assert jobs_made(upset) == 0
    time.sleep(0.8)
    assert jobs_made(upset) == 1
    began = time.monotonic()
    assert launch(client).status_code == 200
    assert time.monotonic() - began > 0.6


def test_a_slow_body_is_whole_in_the_end(client, upset) -> None:
    fault = upset.order("slow_body", "launchJob", seconds=0.6)
    began = time.monotonic()
    with client.http.stream("POST", f"/compute/job/{client.cluster}", json=BODY) as answer:
        pieces = list(answer.iter_raw())
    assert time.monotonic() - began > 0.5
    assert len(pieces) > 5
    assert json.loads(b"".join(pieces))["id"] == upset.requests("launchJob")[0]["created"]
    assert struck(upset, fault) == 1


def test_a_hang_ends_when_the_client_gives_up(client, upset) -> None:
    upset.order("hang", "getJobs")
    with pytest.raises(httpx.ReadTimeout):
        client.http.post(f"/compute/status/{client.cluster}", timeout=0.2)
    deadline = time.monotonic() + 60
    while not upset.requests("getJobs"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert upset.requests("getJobs")[0]["seconds"] < 20


def test_an_adapter_that_raises_after_accepting_forgets_the_key(client, upset) -> None:
    key = str(uuid.uuid4())
    fault = upset.order("adapter_error", "launchJob")
    header = {"Idempotency-Key": key}
    replies = [launch(client, **header) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [500, 200, 200]
    assert [reply.headers.get("Idempotency-Key-Reply") for reply in replies] == [None, "miss", "hit"]
    entries = upset.requests("launchJob")
    assert [entry["idempotency_key"] for entry in entries] == [key] * 3
    assert [entry["faults"] for entry in entries] == [[fault], [], []]
    assert jobs_made(upset) == 2


def test_a_lost_reply_is_found_again_by_its_key(client, upset) -> None:
    upset.order("lose_reply", "launchJob")
    with pytest.raises(httpx.RemoteProtocolError):
        launch(client, **{"Idempotency-Key": "found-again"})
    again = launch(client, **{"Idempotency-Key": "found-again"})
    assert again.headers["Idempotency-Key-Reply"] == "hit"
    assert [entry["created"] for entry in upset.requests("launchJob")] == [again.json()["id"], None]
    assert jobs_made(upset) == 1


def test_an_empty_list(client, upset) -> None:
    job = client.launch("/bin/sleep", "20")
    upset.order("empty_list", "getJobs")
    lists = [client.http.post(f"/compute/status/{client.cluster}").json() for _ in range(2)]
    assert lists[0] == []
    assert job in {entry["id"] for entry in lists[1]}
    client.cancel(job)


def test_whom_orders_strike(client, upset, client_of) -> None:
    bob = client_of(upset, upset.new_token("bob"))
    job, other = client.launch("/bin/true", name="one"), client.launch("/bin/true", name="two")
    once = {"status": 503, "times": None}
    orders = {
        "user": upset.order("status", "getProjects", user="bob", **once),
        "job": upset.order("status", "getJob", job=job, **once),
        "name": upset.order("status", ["getJob", "launchJob"], job="two", **once),
        "resource": upset.order("status", "*", resource="scratch", **once),
    }
    url = f"/compute/status/{client.cluster}"
    seen = {
        "user": [c.http.get("/account/projects").status_code for c in (client, bob)],
        "job": [client.http.get(f"{url}/{job}").status_code, client.http.get("/facility").status_code],
        "name": [
            client.http.get(f"{url}/{other}").status_code,
            client.http.post(f"/compute/job/{client.cluster}", json={**BODY, "name": "two"}).status_code,
            launch(client).status_code,
        ],
        "resource": [
            client.http.get(f"/status/resources/{r}").status_code for r in (client.cluster, client.scratch)
        ],
    }
    assert seen == {"user": [200, 503], "job": [503, 200], "name": [503, 503, 200], "resource": [200, 503]}
    assert {name: struck(upset, order) for name, order in orders.items()} == {
        "user": 1,
        "job": 1,
        "name": 2,
        "resource": 1,
    }
    upset.clear_faults(*orders.values())
    bob.http.close()


def test_of_two_orders_on_a_reply_each_has_its_request(client, upset) -> None:
    first = upset.order("lose_reply", "launchJob")
    late = upset.order("delay", "launchJob", seconds=0.3, times=2)
    second = upset.order("status", "launchJob", status=503)
    with pytest.raises(httpx.RemoteProtocolError):
        launch(client)
    assert launch(client).status_code == 503
    assert [entry["faults"] for entry in upset.requests("launchJob")] == [[first, late], [late, second]]
    assert all(entry["seconds"] > 0.3 for entry in upset.requests("launchJob"))


def test_v1_and_the_token_endpoint_are_struck_as_well(client, upset) -> None:
    fault = upset.order("status", ["getFacility", "token"], status=502, times=None)
    assert httpx.get(f"{upset.url}/api/v1/facility", trust_env=False).status_code == 502
    assert httpx.post(upset.token_url, data={"grant_type": "x"}, trust_env=False).status_code == 502
    assert struck(upset, fault) == 2


def test_what_a_face_refuses_is_not_done(client, upset) -> None:
    url = f"/compute/job/{client.cluster}"
    assert client.http.post(url, json={**BODY, "attributes": {"queue_name": "none"}}).status_code == 400
    assert client.http.post(url, json=BODY, headers={"Authorization": "Bearer nobody"}).status_code == 401
    upset.order("lose_reply", "launchJob")
    with pytest.raises(httpx.RemoteProtocolError):
        client.http.post(url, json={"nonsense": 1})
    facts = [(entry["acted"], entry["created"], entry["user"]) for entry in upset.requests("launchJob")]
    assert facts == [(False, None, "alice"), (False, None, None), (False, None, "alice")]


def test_a_server_that_dies_after_accepting(client_of) -> None:
    with LocalFacility() as facility:
        client = client_of(facility)
        fault = facility.order("crash", "launchJob", when="after")
        before = facility.order("crash", "launchJob", when="before")
        for expected in (1, 1):
            with pytest.raises(httpx.TransportError):
                launch(client)
            facility.restart()
            assert len(facility.jobs()) == expected
        assert [entry["faults"] for entry in facility.requests("launchJob")] == [[fault], [before]]
        assert launch(client).status_code == 200


@pytest.mark.parametrize(
    "order",
    [{"kind": "nothing"}, {"kind": "reset", "tims": 2}, {"kind": "delay"}, {"kind": "reset", "chance": "x"}],
)
def test_orders_that_are_refused(client, upset, order) -> None:
    assert httpx.post(f"{upset.url}/_facility/faults", json=order, trust_env=False).status_code == 422
    with pytest.raises(ValueError, match="seconds"):
        upset.order("delay")
    with pytest.raises(ValueError, match="not found"):
        upset.clear_faults("reset-0")
    with pytest.raises(ValueError, match="not found"):
        upset.order("maintenance", resource="nowhere")
    assert upset.faults() == []
