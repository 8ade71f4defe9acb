from __future__ import annotations

import time

import httpx
import pytest

from iri_local_facility import LocalFacility


def whoami(facility: LocalFacility, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return httpx.get(f"{facility.base_url}/account/whoami", headers=headers, trust_env=False)


def grant(facility: LocalFacility, auth: tuple[str, str] | None = None, **form: str) -> httpx.Response:
    return httpx.post(facility.token_url, data=form, auth=auth, trust_env=False)


def test_who_is_who(facility: LocalFacility) -> None:
    assert whoami(facility, f"Bearer {facility.token}").json()["username"] == "alice"
    assert whoami(facility, f"bearer {facility.new_token('bob')}").json()["username"] == "bob"


@pytest.mark.parametrize(
    ("authorization", "detail"),
    [
        (None, "no token"),
        ("Bearer nonsense", "unknown token"),
        ("Bearer", "not of the form"),
        ("Basic YTpi", "not of the form"),
        ("raw-token", "not of the form"),
    ],
)
def test_refused_tokens(facility: LocalFacility, authorization: str | None, detail: str) -> None:
    answer = whoami(facility, authorization)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json()["detail"]


def test_expired_and_revoked(facility: LocalFacility) -> None:
    short, revoked = facility.new_token(lifetime=0.3), facility.new_token()
    assert whoami(facility, f"Bearer {short}").status_code == 200
    assert facility.revoke(revoked)
    assert not facility.revoke("nonsense")
    assert "revoked" in whoami(facility, f"Bearer {revoked}").json()["detail"]
    time.sleep(0.35)
    assert "expired" in whoami(facility, f"Bearer {short}").json()["detail"]


def test_who_is_asking_comes_before_what_is_asked(facility: LocalFacility) -> None:
    url = f"{facility.base_url}/compute/job/x?unknown=1"
    assert httpx.post(url, content=b"{not json", trust_env=False).status_code == 401


@pytest.mark.parametrize("in_header", [True, False])
def test_client_credentials(facility: LocalFacility, in_header: bool) -> None:
    facility.reset_requests()
    client = {"client_id": facility.client_id, "client_secret": facility.client_secret}
    auth = (facility.client_id, facility.client_secret) if in_header else None
    answer = grant(facility, auth, grant_type="client_credentials", **({} if in_header else client))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    assert whoami(facility, f"Bearer {token['access_token']}").json()["username"] == "alice"
    record = facility.requests("token")[0]
    assert (record["status"], record["principal"]) == (200, facility.client_id)


@pytest.mark.parametrize(
    ("form", "auth", "status", "error"),
    [
        ({"grant_type": "client_credentials"}, ("local-client", "wrong"), 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, ("other", "wrong"), 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, None, 401, "invalid_client"),
        ({"grant_type": "password"}, "right", 400, "unsupported_grant_type"),
        ({}, "right", 400, "invalid_request"),
    ],
)
def test_refused_grants(facility: LocalFacility, form: dict, auth, status: int, error: str) -> None:
    right = (facility.client_id, facility.client_secret)
    answer = grant(facility, right if auth == "right" else auth, **form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_short_lifetimes_and_restarts() -> None:
    with LocalFacility(token_lifetime=0.5) as facility:
        token, secret = facility.token, facility.client_secret
        answer = grant(facility, (facility.client_id, secret), grant_type="client_credentials").json()
        assert answer["expires_in"] == 0.5
        facility.restart()
        assert facility.client_secret == secret
        assert whoami(facility, f"Bearer {token}").status_code == 200
        time.sleep(0.5)
        assert whoami(facility, f"Bearer {answer['access_token']}").status_code == 401
        text = (facility.root / ".facility" / "facility.db").read_bytes()
        assert token.encode() not in text
