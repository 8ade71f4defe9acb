"""How a token travels to Slurm and to S3M, and what a person is told of one."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from iri_common.apis.kind import ApiWords
from iri_common.apis.slurm import API, ProjectToken
from iri_common.model.ports import Token

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def jwt(claims: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.x"


def headers(token: str, **words: str) -> dict[str, str]:
    return dict(API.credential(ApiWords(**words))(Token(token)))


def test_slurm_wants_the_user_beside_the_token():
    token = jwt({"sun": "alice", "exp": 1})
    assert headers(token) == {"x-slurm-user-name": "alice", "x-slurm-user-token": token}
    assert headers(token, user="bob")["x-slurm-user-name"] == "bob"


@pytest.mark.parametrize(
    "token", ["opaque", "a.b.c", "a.é.c", jwt([1]), jwt({"sun": 5}), jwt({"sun": "a\nb"}), jwt({"sun": "ü"})]
)
def test_a_token_that_names_nobody_goes_alone(token):
    assert headers(token) == {"x-slurm-user-token": token}


def test_s3m_wants_no_scheme():
    assert headers("t", site="s3m") == {"authorization": "t"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"site": "nersc"}, "site is s3m or left out"),
        ({"version": "v0.0.37"}, "v0.0.38 or later"),
        ({"version": "44"}, "such as v0.0.44"),
        ({"site": "s3m", "version": "v0.0.43"}, None),
        ({}, None),
    ],
)
def test_words_of_a_profile(words, says):
    problem = API.problem(ApiWords(**words))
    assert problem is None if says is None else says in problem


@pytest.mark.parametrize(
    ("status", "body", "whose"),
    [
        (401, b"Authentication failure", "a slurmrestd"),
        (404, b"Unable find requested URL. Please view", "a slurmrestd"),
        (200, b'{"resources": []}', "S3M"),
        (200, b"{}", None),
        (200, b"<html>", None),
        (401, b'{"resources": []}', None),
    ],
)
def test_a_first_look_without_a_token(status, body, whose):
    assert API.recognise(status, body) == whose


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, None),
        ({"expires": NOW + timedelta(days=30)}, None),
        ({"expires": NOW + timedelta(days=1)}, "ends on 2026-11-02"),
        ({"begins": NOW + timedelta(days=1)}, "refused before"),
        ({"begins": NOW - timedelta(days=1)}, None),
        ({"one_time": True}, "one call"),
        ({"permissions": ("compute-ace-readonly",)}, "lacks the permission compute-ace"),
    ],
)
def test_what_a_person_should_know(words, says):
    token = ProjectToken(**{"user": "p_auser", "project": "P", "permissions": ("compute-ace",), **words})
    told = token.concerns(NOW)
    assert [says in each for each in told] == ([] if says is None else [True])
