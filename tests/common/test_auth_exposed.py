"""A secret goes nowhere over plain http, except to this machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from iri_common import UsageError
from iri_common.auth.client_credentials import ClientCredentials
from iri_common.auth.endpoint import exposed
from iri_common.auth.exchange import ExchangeGrant
from iri_common.auth.password import PasswordGrant
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.auth.provider import safe
from iri_common.auth.refresh import RefreshGrant
from iri_common.auth.secret import secret_from_env
from iri_common.facility.credentials import client_tokens

READER = secret_from_env("NOBODY_SET_THIS")


@pytest.mark.parametrize(
    ("url", "is_"),
    [
        ("https://login.example/token", False),
        ("http://login.example/token", True),
        ("HTTP://login.example/token", True),
        ("http://10.0.0.1/token", True),
        ("http://localhost.example/token", True),
        ("http://127.0.0.1.example/token", True),
        ("http://[fe80::1]/token", True),
        ("http://user@login.example:8080/token", True),
        ("http://127.0.0.1:9000/token", False),
        ("http://127.8.0.1/token", False),
        ("http://[::1]:9000/token", False),
        ("http://LocalHost/token", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_who_could_read_what_goes_there(url: str, is_: bool) -> None:
    assert exposed(url) is is_
    if is_:
        assert safe(url) == ""


@pytest.mark.parametrize(
    "made",
    [
        lambda url: ClientCredentials(url, "me", READER),
        lambda url: PasswordGrant(url, "app", "me", READER),
        lambda url: RefreshGrant(url, "app", READER),
        lambda url: ExchangeGrant(url, "subject"),
        lambda url: PrivateKeyJwt(url, READER),
        lambda url: client_tokens("the connection x", id="me", token_url=url, secret="hunter2"),
    ],
    ids=["secret", "password", "login", "exchange", "key", "an engine's store"],
)
def test_no_source_is_made_that_would_send_one(made: Callable[[str], object]) -> None:
    made("http://127.0.0.1:9/token")
    with pytest.raises(UsageError, match=r"plain http.*use https://") as told:
        made("http://login.example/token?hunter2")
    assert "hunter2" not in str(told.value)
