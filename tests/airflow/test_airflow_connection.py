"""An ``iri`` connection, however it was written down, leads to the facility."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from airflow_connections import connection_to

from airflow_provider_iri import IriHook
from iri_common import AuthError, Facility, GrantExceeded, ProfileError, UsageError


def opened(conn_id: str = "iri_test") -> Facility:
    return IriHook(conn_id).facility


def test_from_json(facility, connect) -> None:
    connect("iri_test", {"conn_type": "iri", "host": facility.base_url, "password": facility.token})
    assert opened().url == facility.base_url
    assert opened().name == "iri_test"
    assert opened().accounts.whoami() == facility.user


def test_from_a_uri(facility, connect) -> None:
    host, _, port = facility.base_url.removeprefix("http://").partition("/")[0].partition(":")
    connect(
        "iri_test", f"iri://http://:{facility.token}@{host}:{port}/api/v2?resource=cluster&poll_seconds=0.5"
    )
    assert opened().url == facility.base_url
    assert opened().accounts.whoami() == facility.user


def test_survives_airflows_own_uri(facility, connect) -> None:
    """Airflow hands connections from one process to another as URIs."""
    from airflow.sdk import Connection

    from airflow_provider_iri.connection import facility_of

    extra = json.dumps({"resource": "cluster", "directory": "/scratch/a b", "poll_seconds": 3})
    first = Connection(
        conn_id="c", conn_type="iri", host=facility.base_url, password=facility.token, extra=extra
    )
    second = Connection.from_uri(first.get_uri(), conn_id="c")
    assert facility_of(second).url == facility.base_url
    assert facility_of(second).accounts.whoami() == facility.user


@pytest.mark.parametrize(
    ("words", "url"),
    [
        ({"host": "api.example.org", "schema": "api/v2"}, "https://api.example.org/api/v2"),
        ({"host": " https://api.example.org/v2/ \n"}, "https://api.example.org/v2"),
        ({"host": "https://api.example.org/v2", "port": 8443}, "https://api.example.org:8443/v2"),
        ({"host": "http://[::1]", "port": 8000, "schema": "v2"}, "http://[::1]:8000/v2"),
        ({"host": "http://[::1]:8000/v2", "port": 8000}, "http://[::1]:8000/v2"),
        ({"host": "api.example.org", "port": 0}, "https://api.example.org"),
    ],
)
def test_a_base_url_may_be_given_in_parts_and_with_blanks(connect, words: dict[str, Any], url: str) -> None:
    connect("iri_test", {"conn_type": "iri", **words, "extra": {"account": " m1 "}})
    assert (opened().url, opened().account) == (url, "m1")


def test_a_name_may_be_a_number(facility, connect) -> None:
    words = {"account": 1234, "queue": 7, "resource": 5}
    connect("iri_test", {**connection_to(facility), "extra": words})
    assert opened().account == "1234"
    with pytest.raises(UsageError, match="no resource '5'"):
        opened().jobs.preview({"executable": "x"})
    assert "'7'" in repr(opened().jobs.preview({"executable": "x"}, resource="cluster"))


def test_another_api_than_iris(facility, connect) -> None:
    words = {"conn_type": "iri", "host": facility.firecrest_url, "password": facility.token}
    connect("iri_test", {**words, "extra": {"dialect": "firecrest", "directory": str(facility.home)}})
    assert opened().accounts.whoami() == facility.user
    ref = opened().jobs.submit({"executable": "/bin/true"})
    assert (ref.dialect, opened().jobs.wait(ref).succeeded) == ("firecrest", True)


def test_client_credentials(facility, connect) -> None:
    words = {"login": facility.client_id, "password": facility.client_secret}
    connect(
        "iri_test",
        {"conn_type": "iri", "host": facility.base_url, **words, "extra": {"token_url": facility.token_url}},
    )
    assert opened().accounts.whoami() == facility.user


def test_the_private_key_of_a_client(facility, connect) -> None:
    extra = {
        "dialect": "superfacility",
        "credential": "key",
        "token_url": facility.superfacility_token_url,
    }
    words = {"host": facility.superfacility_url, "password": Path(facility.superfacility_key).read_text()}
    connect("iri_test", {"conn_type": "iri", **words, "extra": extra})
    assert opened().accounts.whoami() == facility.user


def test_a_person_s_password(facility, connect) -> None:
    extra = {"credential": "person", "token_url": facility.token_url, "client_id": "StackV"}
    words = {"host": facility.base_url, "login": "somebody", "password": "hunter2"}
    connect("iri_test", {"conn_type": "iri", **words, "extra": extra})
    with pytest.raises(AuthError, match="gave user somebody no token") as caught:
        opened().accounts.whoami()
    assert "hunter2" not in str(caught.value)


def test_a_login_and_another_s_token_are_kept_in_the_worker_s_home(
    facility, connect, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    endpoint = {"token_url": facility.sense_token_url}
    words = {"conn_type": "iri", "host": facility.base_url, "login": facility.sense_public_client}
    secrets = {"login": facility.sense_login(), "exchange": facility.token}
    for share, (credential, secret) in zip((True, "true"), secrets.items(), strict=True):
        extra = {**endpoint, "credential": credential, "share": share}
        connect("iri_test", {**words, "password": secret, "extra": extra})
        assert opened().accounts.whoami() == facility.user
    kept = [each.read_text() for each in (tmp_path / "iri" / "tokens").glob("*.json")]
    assert len(kept) == len(secrets)
    assert not [text for text in kept for secret in secrets.values() if secret in text]


def test_a_profile_is_shared_with_scripts(facility, connect, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_DESK_URL", facility.base_url)
    monkeypatch.setenv("IRI_FACILITY_DESK_TOKEN", facility.token)
    connect("iri_test", {"conn_type": "iri", "extra": {"profile": "desk", "resource": "", "queue": None}})
    assert opened().name == "desk"
    assert opened().accounts.whoami() == facility.user


@pytest.mark.parametrize("written", [{"nodes": 2}, '{"nodes": 2}'])
def test_a_connection_may_be_good_for_little(facility, connect, written) -> None:
    words = {"host": facility.base_url, "password": facility.token}
    connect("iri_test", {"conn_type": "iri", **words, "extra": {"grant": written, "audit": "off"}})
    with pytest.raises(GrantExceeded, match="the grant of iri_test does not allow 3 nodes"):
        opened().jobs.submit({"executable": "/bin/true", "resources": {"node_count": 3}})


def test_a_connection_narrows_the_grant_of_its_profile(facility, connect, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_DESK_URL", facility.base_url)
    monkeypatch.setenv("IRI_FACILITY_DESK_GRANT_VERBS", "look")
    extra = {"profile": "desk", "grant": {"verbs": ["look", "submit"]}}
    connect("iri_test", {"conn_type": "iri", "extra": extra})
    with pytest.raises(GrantExceeded, match="does not allow to submit"):
        opened().jobs.submit({"executable": "/bin/true"})


def test_a_profile_that_does_not_exist_names_those_that_do(facility, connect, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_DESK_URL", facility.base_url)
    connect("iri_test", {"conn_type": "iri", "extra": {"profile": "dusk"}})
    with pytest.raises(ProfileError, match=r"'iri_test' cannot be used: .*'dusk'.*exist: desk"):
        opened()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "needs a base URL"),
        ({"host": "ftp://example.org"}, "not an http"),
        ({"host": "example.org", "extra": {"resorce": "x"}}, "unknown extras: resorce .known: resource,"),
        ({"host": "example.org", "extra": {"poll_seconds": "often"}}, "number of seconds, not 'often'"),
        ({"host": "example.org", "extra": {"poll_seconds": -1}}, "more than 0"),
        ({"host": "example.org", "extra": "[1]"}, "no JSON object"),
        (
            {"host": "example.org", "extra": {"resource": ["cluster"]}},
            r"resource is a text, not \['cluster'\]",
        ),
        ({"host": "example.org", "extra": {"profile": True}}, "profile is a text, not True"),
        (
            {"host": "example.org", "extra": {"job_page": "javascript:x"}},
            "job_page is a URL, not 'javascript",
        ),
        ({"host": "example.org", "extra": {"grant": "nodes = 2"}}, "a grant is a table of limits"),
        (
            {"host": "example.org", "extra": {"token_url": "https://example.org/t"}},
            "needs a secret.*id is the login, secret the password",
        ),
        (
            {"host": "example.org", "extra": {"credential": "keys"}},
            "token, client, key, person, login, exchange",
        ),
        (
            {"host": "example.org", "extra": {"credential": "login"}},
            "needs .*id is the login, refresh the password",
        ),
        ({"host": "example.org", "extra": {"token_url": "https://t", "share": "often"}}, "true or false"),
        ({"host": "example.org", "extra": {"credential": "person"}, "login": "me"}, "belong together"),
        ({"host": "example.org", "login": "me", "password": "hunter2"}, "a token has no login.*person"),
    ],
)
def test_what_makes_no_sense_is_said(connect, words: dict[str, Any], says: str) -> None:
    connect("iri_test", {"conn_type": "iri", **words})
    with pytest.raises(UsageError, match=says) as caught:
        opened()
    assert "iri_test" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_password_that_cannot_be_a_token_is_not_repeated(connect) -> None:
    connect("iri_test", {"conn_type": "iri", "host": "example.org", "password": "two words"})
    with pytest.raises(AuthError) as caught:
        opened()
    assert "two words" not in str(caught.value)


def test_opens_on_an_event_loop(facility, connect) -> None:
    connect("iri_test", {"conn_type": "iri", "host": facility.base_url, "password": facility.token})

    async def whoami() -> str:
        opened = await IriHook("iri_test").open()
        return await opened.aio.accounts.whoami()

    assert asyncio.run(whoami()) == facility.user


def test_the_test_button_tells_who_what_and_how_much(demo) -> None:
    works, says = IriHook().test_connection()
    assert works
    assert f"{demo.user} at {demo.base_url}" in says
    assert "; the credential is ok, until when is not told; " in says
    assert "cluster up" in says
    assert re.search(r"left in demo: [0-9,.]+ node-hours, 1,000,000,000,000 bytes", says)


def test_the_test_button_tells_until_when(demo, connect) -> None:
    key = Path(demo.superfacility_key).read_text()
    extra = {"dialect": "superfacility", "credential": "key", "token_url": demo.superfacility_token_url}
    connect("iri_test", {"conn_type": "iri", "host": demo.superfacility_url, "password": key, "extra": extra})
    works, says = IriHook("iri_test").test_connection()
    assert works
    until = IriHook("iri_test").facility.accounts.credential().until
    assert f"; the credential is renewable until {until:%Y-%m-%d %H:%M} UTC; " in says


def test_the_test_button_tells_why_not(demo, connect) -> None:
    connect("iri_test", {"conn_type": "iri", "host": demo.base_url, "password": "nobody"})
    works, says = IriHook("iri_test").test_connection()
    assert not works
    assert "token" in says
    assert "nobody" not in says
