from __future__ import annotations

import threading
import uuid

import httpx

from iri_local_facility import LocalFacility

REPLY = "Idempotency-Key-Reply"


def launch(client, body: dict, key: str | None, resource: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.http.post(f"/compute/job/{resource or client.cluster}", json=body, headers=headers)


def test_table(alice, bob, facility: LocalFacility) -> None:
    key, body = str(uuid.uuid4()), {"executable": "/bin/true"}
    first = launch(alice, body, key)
    assert (first.status_code, first.headers[REPLY]) == (200, "miss")
    alice.wait(first.json()["id"])
    again = launch(alice, body, key)
    assert (again.status_code, again.headers[REPLY]) == (200, "hit")
    assert again.json() == first.json()  # as it was at submission, not as it is now
    explicit = {**body, "arguments": [], "inherit_environment": True, "environment": {}}
    assert launch(alice, explicit, key).headers[REPLY] == "hit"
    other = launch(alice, {"executable": "/bin/false"}, key)
    assert other.status_code == 422
    assert other.headers["content-type"] == "application/problem+json"
    # The key is the user's and not bound to the resource.
    assert launch(alice, body, key, "no-such-resource").json() == first.json()
    assert launch(bob, body, key).headers[REPLY] == "miss"
    assert REPLY not in launch(alice, body, "").headers
    assert REPLY not in launch(alice, body, None).headers


def test_refusals_are_not_remembered(alice) -> None:
    key = str(uuid.uuid4())
    body = {"executable": "/bin/true", "attributes": {"queue_name": "none"}}
    assert [launch(alice, body, key).status_code for _ in range(2)] == [400, 400]
    assert launch(alice, {"executable": "/bin/true"}, key).headers[REPLY] == "miss"


def test_updates_have_keys_of_their_own(alice) -> None:
    key, held = str(uuid.uuid4()), {"custom_attributes": {"hold": "true"}}
    jobs = [launch(alice, {"executable": "x", "attributes": held}, None).json()["id"] for _ in range(2)]

    def rename(job: str, name: str) -> httpx.Response:
        url = f"/compute/job/{alice.cluster}/{job}"
        return alice.http.put(url, json={"name": name}, headers={"Idempotency-Key": key})

    assert rename(jobs[0], "a").headers[REPLY] == "miss"
    assert rename(jobs[0], "a").headers[REPLY] == "hit"
    assert rename(jobs[0], "b").status_code == 422
    assert rename(jobs[1], "a").headers[REPLY] == "miss"
    for job in jobs:
        alice.cancel(job)


def test_the_second_of_two_at_once_is_told_to_wait(client_of) -> None:
    with LocalFacility(submit_delay=0.5) as slow:
        clients = [client_of(slow), client_of(slow)]
        answers: list[httpx.Response] = []
        threads = [
            threading.Thread(target=lambda c=c: answers.append(launch(c, {"executable": "/bin/true"}, "k")))
            for c in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert launch(clients[0], {"executable": "/bin/true"}, "k").headers[REPLY] == "hit"
        assert len(slow.jobs()) == 1
        slow.restart()
        assert launch(clients[0], {"executable": "/bin/true"}, "k").headers[REPLY] == "hit"
        assert len(slow.jobs()) == 1
