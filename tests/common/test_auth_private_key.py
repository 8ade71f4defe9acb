"""A client's private key: found where people keep it, read anew, used for RFC 7523, and never shown."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm

from iri_common.auth.client_key import key_from_env, key_from_file
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.private_key_jwt import PrivateKeyJwt
from iri_common.model.errors import AuthError, Unreachable, UsageError
from iri_common.model.ports import WireReply, WireRequest

URL = "https://oidc.example/c2id/token"
CLIENT = "abcdefghijklm"
OTHER = "nopqrstuvwxyz"
NOW = 1_000_000.0


def pem_of(private, locked: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(locked) if locked else serialization.NoEncryption()
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption
    ).decode()


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = pem_of(KEY)
JWK = json.loads(RSAAlgorithm.to_jwk(KEY))
SECRETS = [*PEM.split("\n")[1:-2], JWK["d"]]


def kept(folder: Path, name: str, text: str, mode: int = 0o600) -> Path:
    file = folder / name
    file.write_text(text)
    file.chmod(mode)
    return file


class Endpoint:
    def __init__(self, status: int = 200, answer: object = None) -> None:
        body = {"access_token": "abc", "expires_in": 600, "token_type": "Bearer", "scope": ""}
        self.reply = WireReply(status, {}, json.dumps(body if answer is None else answer).encode())
        self.seen: list[WireRequest] = []

    async def __call__(self, request: WireRequest) -> WireReply:
        self.seen.append(request)
        return self.reply

    def claims(self) -> dict[str, object]:
        assertion = self.seen[-1].form["client_assertion"]
        options = {"verify_exp": False, "verify_iat": False}
        return jwt.decode(assertion, KEY.public_key(), ["RS256"], audience=URL, options=options)


def source(path: Path, client_id: str | None = None) -> PrivateKeyJwt:
    return PrivateKeyJwt(URL, key_from_file(path, client_id), clock=lambda: NOW)


# Where keys are: the files of one folder, and the path that a profile names.
HOMES = {
    "pem with the id before it": ({"nersc.pem": f"{CLIENT}\n{PEM}"}, "nersc.pem"),
    "blanks and lines around the id": ({"a.pem": f"\n  {CLIENT}  \r\n\n{PEM}\n"}, "a.pem"),
    "json with a jwk": ({"a.json": json.dumps({"client_id": CLIENT, "secret": JWK})}, "a.json"),
    "json with a jwk as text": (
        {"a.json": json.dumps({"client_id": CLIENT, "secret": json.dumps(JWK)})},
        "a.json",
    ),
    "json with a pem": ({"a.json": json.dumps({"client_id": CLIENT, "secret": PEM})}, "a.json"),
    "pem beside its id": ({"priv_key.pem": PEM, "clientid.txt": f"{CLIENT}\n"}, "priv_key.pem"),
    "jwk beside its id": ({"priv_key.jwk": json.dumps(JWK), "clientid.txt": CLIENT}, "priv_key.jwk"),
    "the folder, the key in both forms": (
        {"priv_key.pem": PEM, "priv_key.jwk": json.dumps(JWK), "clientid.txt": CLIENT},
        "",
    ),
    "the folder": ({"priv_key.pem": PEM, "clientid.txt": CLIENT, "note.txt": "hello"}, ""),
}


@pytest.mark.parametrize(("files", "name"), HOMES.values(), ids=HOMES)
async def test_a_key_signs_what_the_endpoint_asks_for(tmp_path: Path, files, name: str) -> None:
    for each, text in files.items():
        kept(tmp_path, each, text)
    endpoint = Endpoint()
    token = await source(tmp_path / name).fetch(endpoint)
    assert (token.value, token.expires_at) == ("abc", NOW + 600)
    (sent,) = endpoint.seen
    assert (sent.method, sent.url) == ("POST", URL)
    assert set(sent.form) == {"grant_type", "client_assertion_type", "client_assertion"}
    assert sent.form["grant_type"] == "client_credentials"
    assert sent.form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    header = jwt.get_unverified_header(sent.form["client_assertion"])
    assert (header["alg"], header["typ"]) == ("RS256", "JWT")
    claims = endpoint.claims()
    assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT, CLIENT, URL)
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 600)


async def test_no_two_assertions_are_the_same(tmp_path: Path) -> None:
    door, endpoint = source(kept(tmp_path, "a.pem", f"{CLIENT}\n{PEM}")), Endpoint()
    names = set()
    for _ in range(3):
        await door.fetch(endpoint)
        names.add(endpoint.claims()["jti"])
    assert len(names) == 3


async def test_the_id_of_a_profile_counts_where_the_key_has_none(tmp_path: Path) -> None:
    endpoint = Endpoint()
    await source(kept(tmp_path, "a.pem", PEM), CLIENT).fetch(endpoint)
    assert endpoint.claims()["sub"] == CLIENT


async def test_a_key_that_was_replaced_is_used_for_the_next_token(tmp_path: Path) -> None:
    file = kept(tmp_path, "a.pem", f"{CLIENT}\n{PEM}")
    door, endpoint = source(file), Endpoint()
    keeper = TokenKeeper(door, endpoint, lambda: NOW)
    old = await keeper.token()
    kept(tmp_path, "a.pem", f"{OTHER}\n{PEM}")
    keeper.refused(old)
    await keeper.token()
    assert (endpoint.claims()["sub"], door.client_id) == (OTHER, OTHER)


async def test_a_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    door, endpoint = PrivateKeyJwt(URL, key_from_env("TEST_KEY")), Endpoint()
    with pytest.raises(AuthError, match="TEST_KEY"):
        await door.fetch(endpoint)
    monkeypatch.setenv("TEST_KEY", f"{CLIENT}\n{PEM}")
    assert (await door.fetch(endpoint)).value == "abc"
    assert "TEST_KEY" in door.identity


UNUSABLE = {
    "no key": (f"{CLIENT}\nhello", "no private key"),
    "a public key": (f"{CLIENT}\n" + PEM.replace("PRIVATE", "PUBLIC"), "no private key"),
    "cut": (f"{CLIENT}\n{PEM[:400]}", "no private key"),
    "broken": (f"{CLIENT}\n" + PEM.replace(PEM.split("\n")[3], "A" * 64), "no RSA key"),
    "locked": (f"{CLIENT}\n" + pem_of(KEY, b"secret"), "no RSA key"),
    "of another kind": (f"{CLIENT}\n" + pem_of(ec.generate_private_key(ec.SECP256R1())), "no RSA key"),
    "a public jwk": (
        json.dumps({"client_id": CLIENT, "secret": {"kty": "RSA", "n": JWK["n"], "e": JWK["e"]}}),
        "no RSA key",
    ),
    "a broken jwk": (
        json.dumps({"client_id": CLIENT, "secret": {"kty": "RSA", "d": JWK["d"]}}),
        "no RSA key",
    ),
    "json cut": (json.dumps({"client_id": CLIENT, "secret": JWK})[:-9], "no private key"),
    "nested": ("[" * 100_000, "no private key"),
    "no id": (PEM, "clientid.txt"),
    "two words": (f"my client\n{PEM}", "clientid.txt"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), UNUSABLE.values(), ids=UNUSABLE)
async def test_what_is_no_key_is_said_without_showing_it(tmp_path: Path, text: str, words: str) -> None:
    endpoint = Endpoint()
    with pytest.raises(AuthError, match=words) as caught:
        await source(kept(tmp_path, "a.pem", text)).fetch(endpoint)
    assert not endpoint.seen
    assert "a.pem" in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:  # parsers keep all of the text in their errors
        assert not [each for each in SECRETS if each in f"{error!r} {vars(error)}"]
        error = error.__context__


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
async def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = kept(tmp_path, "a.pem", f"{CLIENT}\n{PEM}", mode)
    with pytest.raises(AuthError, match=f"chmod 600 {file}"):
        await source(file).fetch(Endpoint())


async def test_which_key_of_a_folder_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="there: none"):
        await source(tmp_path).fetch(Endpoint())
    for name in ("a.pem", "b.json"):
        kept(tmp_path, name, f"{CLIENT}\n{PEM}")
    with pytest.raises(AuthError, match=r"a\.pem, b\.json"):
        await source(tmp_path).fetch(Endpoint())
    with pytest.raises(AuthError, match="No such file"):
        await source(tmp_path / "c.pem").fetch(Endpoint())


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refusal_tells_of_clients_that_die(tmp_path: Path, status: int) -> None:
    file = kept(tmp_path, "a.pem", f"{CLIENT}\n{PEM}")
    with pytest.raises(AuthError, match="invalid_client") as caught:
        await source(file).fetch(Endpoint(status, {"error": "invalid_client"}))
    for words in (CLIENT, "expired", "Iris", str(file)):
        assert words in str(caught.value)
    with pytest.raises(Unreachable):
        await source(file).fetch(Endpoint(503, {}))


async def test_without_the_libraries_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(UsageError, match=r"iri-common\[superfacility\]"):
        await source(kept(tmp_path, "a.pem", f"{CLIENT}\n{PEM}")).fetch(Endpoint())


async def test_nothing_shows_the_key(tmp_path: Path) -> None:
    file = kept(tmp_path, "a.pem", f"{CLIENT}\n{PEM}")
    door, endpoint = source(file), Endpoint(401, {"error": "x"})
    key = await asyncio.to_thread(key_from_file(file).read)
    with pytest.raises(AuthError) as caught:
        await door.fetch(endpoint)
    shown = [repr(door), door.identity, repr(key), repr(key_from_file(file)), repr(caught.value)]
    shown += [repr(endpoint.seen)]
    assert not [each for each in SECRETS if any(each in text for text in shown)]
    assert endpoint.seen[0].form["client_assertion"] not in repr(endpoint.seen)
    for each in (door, key):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(each)


def test_what_mends_a_client_tells_whether_its_key_is_read_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KEY", PEM)
    readers = (key_from_file(tmp_path / "key.pem"), key_from_env("KEY"))
    ends = ["; it is read again by itself", " and start again"]
    for reader, end in zip(readers, ends, strict=True):
        assert PrivateKeyJwt(URL, reader).facts().mend.endswith(f"and replace {reader.origin}{end}")


class StrictEndpoint:
    """Believes no assertion from the future, and tells the time."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.seen = 0

    async def __call__(self, request: WireRequest) -> WireReply:
        self.seen += 1
        claims = jwt.decode((request.form or {})["client_assertion"], options={"verify_signature": False})
        good = claims["iat"] <= self.now <= claims["exp"]
        body = {"access_token": "abc", "expires_in": 600} if good else {"error": "invalid_client"}
        date = formatdate(self.now, usegmt=True)
        return WireReply(200 if good else 401, {"date": date}, json.dumps(body).encode())


@pytest.mark.parametrize(("ahead", "first"), [(-300, 1), (0, 1), (300, 2), (86_400, 2), (-86_400, 2)])
async def test_a_clock_that_is_off_costs_one_request_once(tmp_path: Path, ahead: float, first: int) -> None:
    key = key_from_file(kept(tmp_path, "key.pem", f"{CLIENT}\n{PEM}"))
    source, endpoint = PrivateKeyJwt(URL, key, clock=lambda: NOW + ahead), StrictEndpoint(NOW)
    token = await source.fetch(endpoint)
    assert token.expires_at == NOW + ahead + 600, "by our own clock, by which it will be renewed"
    assert endpoint.seen == first
    await source.fetch(endpoint)
    assert endpoint.seen == first + 1, "what was learned is kept"


async def test_a_refusal_that_no_clock_explains_is_told_at_once(tmp_path: Path) -> None:
    key = key_from_file(kept(tmp_path, "key.pem", f"{CLIENT}\n{PEM}"))
    for date in (formatdate(NOW - 5, usegmt=True), "yesterday", ""):
        endpoint = Endpoint(401, {"error": "invalid_client"})
        endpoint.reply = replace(endpoint.reply, headers={"date": date} if date else {})
        with pytest.raises(AuthError):
            await PrivateKeyJwt(URL, key, clock=lambda: NOW).fetch(endpoint)
        assert len(endpoint.seen) == 1
