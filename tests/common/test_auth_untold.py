"""No source tells a secret: not what it reads, sends and gets, in logs, errors, texts, facts or pickles."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from secret_kit import parts_left

from iri_common.auth.keeper import TokenKeeper
from iri_common.facility.credentials import Client, Secret, client_tokens
from iri_common.facility.standing import facts_of
from iri_common.model.errors import IriError
from iri_common.model.ports import TokenSource, WireReply, WireRequest
from iri_common.policy.classify import NotSent, ReplyLost

URL = "https://login.invalid/token"
JWK = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
HELD = {
    "SRC_TOKEN": "qX7vT0keN2zWp9Lr",
    "SRC_SECRET": "wK3sEcr8tYb5Hd1M",
    "SRC_PASSWORD": "jP6pAss4vCn0Zs8G",
    "SRC_REFRESH": "uR9rEfr3xDk7Ft2B",
    "SRC_KEY": json.dumps({"client_id": "app", "secret": JWK}),
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "oB5bEar1rLm4Qy6N",
}
GIVEN = {"access_token": "eA4aCce2gUi8Ov3C", "refresh_token": "iN1nEwr7hXe5Sw0T", "value": "aV2vAlu6kZg9Jq4D"}
ENDPOINT = {"id": "app", "token_url": URL}
WORDS: dict[str, dict[str, object]] = {
    "secret": {**ENDPOINT, "secret": {"env": "SRC_SECRET"}},
    "shared": {**ENDPOINT, "secret": {"env": "SRC_SECRET"}, "share": True},
    "key": {"token_url": URL, "key": {"env": "SRC_KEY"}},
    "shared key": {"token_url": URL, "key": {"env": "SRC_KEY"}, "share": True},
    "password": {**ENDPOINT, "user": "alice", "password": {"env": "SRC_PASSWORD"}},
    "refresh": {**ENDPOINT, "refresh": {"env": "SRC_REFRESH"}, "secret": {"env": "SRC_SECRET"}},
    "application": {
        **{**ENDPOINT, "user": "alice"},
        **{"password": {"env": "SRC_PASSWORD"}, "secret": {"env": "SRC_SECRET"}},
    },
    "exchange": {**ENDPOINT, "exchange": {"env": "SRC_TOKEN"}, "secret": {"env": "SRC_SECRET"}},
    "github": {"token_url": URL, "exchange": {"github": "https://login.invalid"}},
    "shared github": {"token_url": URL, "exchange": {"github": "https://login.invalid"}, "share": True},
}
IN_HAND = {
    "client": {"secret": "SRC_SECRET"},
    "login": {"refresh": "SRC_REFRESH", "secret": "SRC_SECRET"},
    "exchanged": {"exchange": "SRC_TOKEN", "secret": "SRC_SECRET"},
    "person": {"password": "SRC_PASSWORD"},
    "signing": {"key": "SRC_KEY"},
}


def in_hand(words: dict[str, str]) -> TokenSource:
    """As an engine's store gives them."""
    held = {name: HELD[secret] for name, secret in words.items()}
    who = {"user": "alice"} if "password" in held else {}
    return client_tokens("a store", id="app", token_url=URL, **who, **held)


SOURCES: dict[str, Callable[[], TokenSource]] = {
    name: lambda words=words: Client.model_validate(words).source() for name, words in WORDS.items()
}
SOURCES |= {f"{name} in hand": lambda words=words: in_hand(words) for name, words in IN_HAND.items()}
SOURCES |= {"token": lambda: Secret(env="SRC_TOKEN").reader()}


def repeating(status: int) -> Callable[[WireRequest], WireReply]:
    """An endpoint that says all that it was sent, and gives tokens with a success."""

    def answer(request: WireRequest) -> WireReply:
        sent = json.dumps([request.form, dict(request.headers), request.url])
        said = {"error": "invalid", "error_description": f"{sent} {quote(sent)}"}
        return WireReply(status, {}, json.dumps({**said, **GIVEN} if status == 200 else said).encode())

    return answer


def malformed(request: WireRequest) -> WireReply:
    """A success that is none, with all that it was sent where a token and its end should be."""
    sent = [request.form, dict(request.headers)]
    return WireReply(200, {}, json.dumps({"access_token": sent, "expires_in": sent, "value": sent}).encode())


def lost(error: Exception) -> Callable[[WireRequest], WireReply]:
    def answer(_: WireRequest) -> WireReply:
        raise error

    return answer


ANSWERS = {
    "given": repeating(200),
    "refused": repeating(401),
    "away": repeating(503),
    "not sent": lost(NotSent("no route")),
    "lost": lost(ReplyLost("gone")),
    "malformed": malformed,
    "cut": lambda request: WireReply(200, {}, repeating(200)(request).body[:-20]),
    "nonsense": lambda _: WireReply(200, {}, b"<html>"),
}


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://runner.invalid/token?api-version=2")
    for name, value in HELD.items():
        monkeypatch.setenv(name, value)


def told_by(value: object) -> Iterator[str]:
    yield f"{value!r} {value}"
    try:
        yield pickle.dumps(value).decode("latin-1")
    except Exception as error:
        yield "".join(traceback.format_exception(error))


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
async def test_no_source_tells_a_secret(make: Callable[[], TokenSource], answer, caplog) -> None:
    async def send(request: WireRequest) -> WireReply:
        told.append(f"{request!r}")
        return answer(request)

    caplog.set_level(logging.DEBUG)
    source, told = make(), list[str]()
    for _ in range(2):  # the second time may meet what the first one left
        keeper = TokenKeeper(source, send)
        try:
            told += told_by(await keeper.token())
        except IriError as error:
            told += [
                *traceback.format_exception(error),
                *told_by(error),
                f"{vars(error)} {error.__context__}",
            ]
    told += [*told_by(source), source.identity, *told_by(facts_of(source)), *told_by(keeper), caplog.text]
    secrets = [*HELD.values(), *GIVEN.values(), JWK["d"], JWK["p"]]
    assert not [each for each in secrets for text in told if each in text or quote(each) in text]
    short = [each for each in [*HELD.values(), *GIVEN.values()] if len(each) == 16]
    assert not [left for each in short for text in told if (left := parts_left(each, text))]
