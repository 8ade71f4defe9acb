"""The token endpoint of the Superfacility face, and what its tokens are good for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from jwt import encode
from jwt.algorithms import RSAAlgorithm
from superfacility_kit import ASSERTION, Door, assertion, read_key

from iri_local_facility import LocalFacility
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store
from iri_local_facility.superfacility.clients import Clients, NoCrypto


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(token_lifetime=2.0) as running:
        yield running


@pytest.fixture(scope="module")
def door(place: LocalFacility) -> Iterator[Door]:
    door = Door(place)
    with door.http:
        yield door


def test_the_key_file_is_as_people_have_it(place: LocalFacility) -> None:
    key = place.superfacility_key
    client, private = read_key(key)
    assert len(client) == 13
    assert private.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert private.endswith("-----END PRIVATE KEY-----\n")
    assert key.stat().st_mode == 0o100600
    assert place.superfacility_key == key
    assert read_key(key)[0] == client
    assert place.new_superfacility_key() != key


def test_a_signature_gives_a_token(place: LocalFacility, door: Door) -> None:
    answer = door.ask_token(assertion(place.superfacility_key, place.superfacility_token_url))
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["token_type"], document["expires_in"]) == ("Bearer", 2)
    assert answer.headers["cache-control"] == "no-store"
    bearer = {"Authorization": f"Bearer {document['access_token']}"}
    user = httpx.get(f"{place.superfacility_url}/account/", headers=bearer, trust_env=False)
    assert user.json()["name"] == "alice"
    entry = place.requests("sfToken")[-1]
    assert entry["principal"] == read_key(place.superfacility_key)[0]
    deadline = time.monotonic() + 60
    while user.status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        user = httpx.get(f"{place.superfacility_url}/account/", headers=bearer, trust_env=False)
    assert user.status_code == 403
    assert "expired" in user.json()["detail"]


def test_a_client_acts_for_its_owner(place: LocalFacility, door: Door) -> None:
    key = place.new_superfacility_key("bob")
    token = door.ask_token(assertion(key, place.superfacility_token_url)).json()["access_token"]
    bob = Door(place, token)
    with bob.http:
        assert bob.http.get("/account/").json()["name"] == "bob"
        clients = bob.http.get("/account/clients").json()
    [ends] = [client["expiresAt"] for client in clients if client["clientId"] == read_key(key)[0]]
    left = datetime.fromisoformat(ends).timestamp() - time.time()
    assert left == pytest.approx(48 * 3600, abs=60)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://oidc.nersc.gov/c2id/token"},
        {"aud": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"jti": None},
        {"sub": "somebodyelse1"},
        {"sub": None},
        {"iss": "somebodyelse1"},
        {"iss": None},
        {"nbf": 9_999_999_999},
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items()),
)
def test_what_is_signed_must_be_right(place: LocalFacility, door: Door, changes: dict) -> None:
    answer = door.ask_token(assertion(place.superfacility_key, place.superfacility_token_url, **changes))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_an_assertion_is_good_once(place: LocalFacility, door: Door) -> None:
    signed = assertion(place.superfacility_key, place.superfacility_token_url)
    assert [door.ask_token(signed).status_code for _ in range(2)] == [200, 401]


def test_another_key_signs_for_nobody(place: LocalFacility, door: Door) -> None:
    client, _ = read_key(place.superfacility_key)
    other = place.new_superfacility_key("bob")
    signed = assertion(other, place.superfacility_token_url, iss=client, sub=client)
    assert door.ask_token(signed).status_code == 401


def test_no_algorithm_and_no_shared_secret_will_do(place: LocalFacility, door: Door) -> None:
    client, private = read_key(place.superfacility_key)
    claims = {"iss": client, "sub": client, "aud": place.superfacility_token_url}
    claims |= {"exp": int(time.time()) + 60, "jti": "once"}
    public = RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(private).public_key()
    secret = json.dumps(RSAAlgorithm.to_jwk(public))
    for signed in (encode(claims, None, "none"), encode(claims, secret, "HS256"), "no.token", ""):
        assert door.ask_token(signed).status_code == 401


def test_a_client_dies(place: LocalFacility, door: Door) -> None:
    key = place.new_superfacility_key(lifetime=0.0)
    answer = door.ask_token(assertion(key, place.superfacility_token_url))
    assert (answer.status_code, answer.json()["error_description"]) == (401, "the client has expired")


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [("", [200, 403, 403, 403]), ("jobs", [200, 200, 200, 403]), ("globus", [200, 403, 403, 200])],
)
def test_levels_of_clients(place: LocalFacility, door: Door, scope: str, statuses: list[int]) -> None:
    key = place.new_superfacility_key(scope=scope)
    answer = door.ask_token(assertion(key, place.superfacility_token_url)).json()
    assert answer["scope"] == scope
    low = Door(place, answer["access_token"])
    with low.http:
        asked = [
            low.http.get("/compute/jobs/perlmutter"),
            low.http.delete("/compute/jobs/perlmutter/999"),
            low.http.put("/utilities/upload/dtns/level", files={"file": b""}),
            low.http.get("/storage/globus/transfer/none"),
        ]
    assert [each.status_code for each in asked] == statuses


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_assertion_type": "secret"}, "invalid_client"),
    ],
)
def test_only_this_grant_is_there(place: LocalFacility, door: Door, fields: dict, code: str) -> None:
    signed = assertion(place.superfacility_key, place.superfacility_token_url)
    assert door.ask_token(signed, **fields).json()["error"] == code


def test_the_fields_may_be_in_the_query(place: LocalFacility) -> None:
    signed = assertion(place.superfacility_key, place.superfacility_token_url)
    query = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION}
    query["client_assertion"] = signed
    assert httpx.post(place.superfacility_token_url, params=query, trust_env=False).status_code == 200


def test_tokens_are_refused_with_403(place: LocalFacility, door: Door) -> None:
    place.order("refuse_tokens", "sfGetUser", times=1)
    refused = [door.http.get("/account/") for _ in range(2)]
    assert [answer.status_code for answer in refused] == [403, 200]
    assert "refused" in refused[0].json()["detail"]
    for header in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}):
        bare = httpx.get(f"{place.superfacility_url}/tasks", headers=header, trust_env=False)
        assert (bare.status_code, set(bare.json())) == (403, {"detail"})
    assert httpx.get(f"{place.superfacility_url}/status/perlmutter", trust_env=False).status_code == 200


def test_what_signs_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".facility").mkdir()
    store = Store(tmp_path / ".facility" / "db")
    clients = Clients(Settings(root=tmp_path), store)
    monkeypatch.setitem(sys.modules, "jwt", None)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    for asked in (lambda: clients.key_of("alice"), lambda: clients.prove("signed", "here")):
        with pytest.raises(NoCrypto, match=r"install iri-local-facility\[superfacility\]"):
            asked()
    store.close()
