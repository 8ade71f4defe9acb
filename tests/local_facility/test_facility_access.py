"""Globus Auth, as the unmodified globus-sdk sees it: tokens, logins, consents."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import globus_sdk
import httpx
import pytest
from globus_kit import auth_client, await_task, request, transfer_client
from globus_sdk import AccessTokenAuthorizer, NativeAppAuthClient, TransferClient
from globus_sdk.gare import to_gare
from globus_sdk.scopes import GCSCollectionScopes, TransferScopes

from iri_local_facility import LocalFacility
from iri_local_facility.globus.idtokens import IdTokens, NoSigner
from iri_local_facility.store import Store

TRANSFER = "transfer.api.globus.org"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFacility]:
    with LocalFacility(name="access", data_access=True) as running:
        running.guest = running.add_collection("guest", tmp_path_factory.mktemp("guest"), kind="guest")
        running.strict = running.add_collection(
            "strict", tmp_path_factory.mktemp("strict"), high_assurance=True, domain="lab.invalid"
        )
        yield running


@pytest.fixture(autouse=True)
def _environment(place: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in place.globus_env.items():
        monkeypatch.setenv(name, value)
    place.reset_requests()


def log_in(place: LocalFacility, *scopes: object, user: str | None = None, refresh: bool = False):
    client = NativeAppAuthClient(place.globus_native_client_id)
    client.oauth2_start_flow([str(scope) for scope in scopes], refresh_tokens=refresh)
    code = place.globus_login(client.oauth2_get_authorize_url(), user)
    return client, client.oauth2_exchange_code_for_tokens(code)


def with_data_access(*collections: str):
    scope = TransferScopes.all
    for collection in collections:
        scope = scope.with_dependency(GCSCollectionScopes(collection).data_access.with_optional(True))
    return scope


def test_a_token_for_each_service(place: LocalFacility) -> None:
    https = str(GCSCollectionScopes(place.collection).https)
    answer = auth_client(place).oauth2_client_credentials_tokens([str(TransferScopes.all), "openid", https])
    assert set(answer.by_resource_server) == {TRANSFER, "auth.globus.org", place.collection}
    assert answer["resource_server"] == TRANSFER
    assert answer.by_scopes[https]["resource_server"] == place.collection
    assert answer.by_resource_server[TRANSFER]["refresh_token"] is None
    assert answer.decode_id_token()["preferred_username"] == "alice@facility.invalid"


def test_what_signs_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "db")
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(NoSigner, match=r"install iri-local-facility\[globus\]"):
        IdTokens(store).jwks()
    store.close()


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "https://auth.globus.org/scopes/nonsense/https",
        "urn:globus:auth:scope:transfer.api.globus.org:all[",
        "https://auth.globus.org/scopes/{guest}/data_access",
        "urn:globus:auth:scope:transfer.api.globus.org:all[*https://auth.globus.org/scopes/{strict}/data_access]",
    ],
)
def test_unknown_scopes(place: LocalFacility, scope: str) -> None:
    form = {"grant_type": "client_credentials", "scope": scope.format(guest=place.guest, strict=place.strict)}
    with pytest.raises(globus_sdk.AuthAPIError) as refused:
        auth_client(place).oauth2_token(form)
    assert (refused.value.http_status, refused.value.raw_json["error"]) == (400, "unknown_scope")


def test_wrong_clients(place: LocalFacility) -> None:
    for client in (
        globus_sdk.ConfidentialAppAuthClient(place.globus_client_id, "wrong"),
        globus_sdk.ConfidentialAppAuthClient(
            "11111111-2222-3333-4444-555555555555", place.globus_client_secret
        ),
    ):
        with pytest.raises(globus_sdk.AuthAPIError) as refused:
            client.oauth2_client_credentials_tokens(TransferScopes.all)
        assert (refused.value.http_status, refused.value.raw_json["error"]) == (401, "invalid_client")
    native = {
        "grant_type": "client_credentials",
        "client_id": place.globus_native_client_id,
        "scope": "openid",
    }
    answer = httpx.post(f"{place.url}/globus/auth/v2/oauth2/token", data=native, trust_env=False)
    assert answer.json()["error"] == "unsupported_grant_type"


def test_logging_in(place: LocalFacility) -> None:
    client, answer = log_in(place, "openid", TransferScopes.all, user="bob", refresh=True)
    assert answer.decode_id_token()["preferred_username"] == "bob@facility.invalid"
    tokens = answer.by_resource_server[TRANSFER]
    said = auth_client(place).oauth2_token_introspect(tokens["access_token"]).data
    assert (said["active"], said["scope"], said["username"]) == (
        True,
        str(TransferScopes.all),
        "bob@facility.invalid",
    )
    assert said["session_info"]["authentications"]
    again = client.oauth2_refresh_token(tokens["refresh_token"])
    assert "refresh_token" not in again.data  # the one that is there stays good
    assert again["access_token"] != tokens["access_token"]
    client.oauth2_revoke_token(tokens["refresh_token"])
    with pytest.raises(globus_sdk.AuthAPIError) as refused:
        client.oauth2_refresh_token(tokens["refresh_token"])
    assert (refused.value.http_status, refused.value.code) == (400, None)
    assert refused.value.raw_json["error"] == "invalid_grant"
    client.oauth2_revoke_token(again["access_token"])
    assert not auth_client(place).oauth2_token_introspect(again["access_token"])["active"]


def test_a_code_is_good_once_and_for_one_verifier(place: LocalFacility) -> None:
    client = NativeAppAuthClient(place.globus_native_client_id)
    client.oauth2_start_flow(str(TransferScopes.all))
    code = place.globus_login(client.oauth2_get_authorize_url())
    assert client.oauth2_exchange_code_for_tokens(code)["access_token"]
    with pytest.raises(globus_sdk.AuthAPIError, match="400"):
        client.oauth2_exchange_code_for_tokens(code)
    code = place.globus_login(client.oauth2_get_authorize_url())
    thief = NativeAppAuthClient(place.globus_native_client_id)
    thief.oauth2_start_flow(str(TransferScopes.all))
    with pytest.raises(globus_sdk.AuthAPIError, match="400"):
        thief.oauth2_exchange_code_for_tokens(code)


def test_a_browser_is_sent_back(place: LocalFacility) -> None:
    client = globus_sdk.ConfidentialAppAuthClient(place.globus_client_id, place.globus_client_secret)
    client.oauth2_start_flow("http://127.0.0.1:1/callback?x=1", str(TransferScopes.all), state="mine")
    answer = httpx.get(client.oauth2_get_authorize_url(), trust_env=False)
    target = httpx.URL(answer.headers["location"])
    assert (answer.status_code, target.host, target.params["state"]) == (302, "127.0.0.1", "mine")
    assert client.oauth2_exchange_code_for_tokens(target.params["code"])["resource_server"] == TRANSFER


def test_rotating_refresh_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalFacility(rotate_refresh_tokens=True, token_lifetime=0.5) as place:
        for name, value in place.globus_env.items():
            monkeypatch.setenv(name, value)
        client, answer = log_in(place, TransferScopes.all, refresh=True)
        first = answer["refresh_token"]
        second = client.oauth2_refresh_token(first)["refresh_token"]
        assert second != first
        with pytest.raises(globus_sdk.AuthAPIError):
            client.oauth2_refresh_token(first)
        place.restart()
        token = client.oauth2_refresh_token(second)["access_token"]
        transfer = TransferClient(authorizer=AccessTokenAuthorizer(token))
        assert transfer.get_submission_id()["value"]
        time.sleep(0.5)
        with pytest.raises(globus_sdk.TransferAPIError) as expired:
            transfer.get_submission_id()
        assert (expired.value.http_status, expired.value.code) == (401, "AuthenticationFailed")


def test_a_refused_token_is_renewed(place: LocalFacility) -> None:
    client = transfer_client(place)
    client.get_submission_id()
    place.order("refuse_tokens", "globusSubmissionId", times=1)
    assert client.get_submission_id()["value"]
    assert [entry["status"] for entry in place.requests("globusSubmissionId")] == [200, 401, 200]
    assert len(place.requests("globusToken")) == 2


# -- consents; each of these clients is another user's, so that what one was granted helps no other


def consented(place: LocalFacility, user: str, *collections: str) -> TransferClient:
    _, answer = log_in(place, with_data_access(*collections), user=user)
    return TransferClient(
        authorizer=AccessTokenAuthorizer(answer.by_resource_server[TRANSFER]["access_token"])
    )


def test_a_consent_is_asked_for(place: LocalFacility) -> None:
    client = consented(place, "bob")
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        client.operation_ls(place.collection)
    assert (refused.value.http_status, refused.value.code) == (403, "ConsentRequired")
    wanted = to_gare(refused.value).authorization_parameters.required_scopes
    assert wanted == [str(with_data_access(place.collection))]
    client.operation_ls(place.guest)  # no consent of its own
    consented(place, "bob", place.collection)
    client.operation_ls(place.collection)  # it is kept at the service, not in the token


def test_a_client_app_consents_by_itself(place: LocalFacility) -> None:
    (place.home / "f").write_bytes(b"x")
    careless = transfer_client(place)
    assert careless.get_endpoint(place.collection)["entity_type"] == "GCSv5_mapped_collection"
    careless.add_app_data_access_scope(place.collection)
    data = request(place.collection, place.guest, ("/~/f", "/f"))
    with pytest.raises(globus_sdk.TransferAPIError, match="ConsentRequired"):
        careless.submit_transfer(data)
    careful = transfer_client(place, auto_redrive_gares=True)
    assert await_task(careful, careful.submit_transfer(data)["task_id"])["status"] == "SUCCEEDED"


def test_consents_can_be_looked_up(place: LocalFacility) -> None:
    scope = with_data_access(place.collection)
    manage = "urn:globus:auth:scope:auth.globus.org:view_consents"
    _, answer = log_in(place, "openid", manage, scope)
    identity = answer.decode_id_token()["sub"]
    token = answer.by_resource_server["auth.globus.org"]["access_token"]
    auth = globus_sdk.AuthClient(authorizer=AccessTokenAuthorizer(token))
    forest = auth.get_consents(identity).to_forest()
    assert forest.meets_scope_requirements(scope)
    assert not forest.meets_scope_requirements(with_data_access(place.guest))


def test_high_assurance_asks_for_a_login(place: LocalFacility) -> None:
    endpoint = transfer_client(place).get_endpoint(place.strict)
    assert (endpoint["high_assurance"], endpoint["entity_type"]) == (True, "GCSv5_mapped_collection")
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        transfer_client(place).operation_ls(place.strict, path="/")
    wanted = to_gare(refused.value).authorization_parameters
    assert (refused.value.http_status, wanted.session_required_single_domain) == (403, ["lab.invalid"])
    assert consented(place, "alice").operation_ls(place.strict, path="/")["length"] == 0


def test_further_collections(place: LocalFacility, tmp_path: Path) -> None:
    for root, facts in (("/nowhere", {}), (tmp_path, {"id": "no-uuid"}), (tmp_path, {"colour": "red"})):
        with pytest.raises(ValueError, match="POST /collections"):
            place.add_collection("bad", root, **facts)
    (tmp_path / "seen").mkdir()
    (tmp_path / "hidden").mkdir()
    collection = place.add_collection("part", tmp_path, within=[str(tmp_path / "seen")], kind="guest")
    client = transfer_client(place)
    assert client.operation_ls(collection, "/seen")["length"] == 0
    with pytest.raises(globus_sdk.TransferAPIError, match="EndpointPermissionDenied"):
        client.operation_ls(collection, "/hidden")
    place.restart()
    assert place.collection_of("part") == collection
