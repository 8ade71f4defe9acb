"""Token exchange, at Authlib's server and in the words of a profile."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from oauth_server import EXCHANGE, RUNNER, SECRET, OAuthServer, oauth_server

from iri_common.facility.profiles import load_profile
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.errors import AuthError, IriError, ProfileError, Unreachable
from iri_common.model.ports import Token, TokenSource, WireReply, WireRequest
from iri_common.policy.classify import ReplyLost

SUBJECT = "subject-token-Jb47sXpe"
PREFIX = "IRI_FACILITY_CI_"
JWT = "urn:ietf:params:oauth:token-type:jwt"


@pytest.fixture(scope="module")
def server() -> Iterator[OAuthServer]:
    with oauth_server() as server:
        yield server


@pytest.fixture(autouse=True)
def door(server: OAuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.asked.clear()
    server.subjects[:] = [SUBJECT]
    monkeypatch.setenv(f"{PREFIX}URL", "http://127.0.0.1:1/api/v2")
    monkeypatch.setenv(f"{PREFIX}TOKEN_URL", server.url)


@pytest.fixture
def runner(server: OAuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of GitHub Actions that may ask for its token."""
    monkeypatch.setenv(
        "ACTIONS_ID_TOKEN_REQUEST_URL", f"{server.url.removesuffix('token')}github?api-version=2"
    )
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", RUNNER)


def source() -> TokenSource:
    found = load_profile("ci").token
    assert found is not None
    return found


async def fetched(asking: TokenSource) -> Token:
    transport = HttpxTransport(WireSettings(read_seconds=20.0))
    try:
        return await asking.fetch(transport.send)
    finally:
        await transport.close()


@pytest.mark.parametrize("place", ["", "_FILE", "_COMMAND"])
async def test_a_token_from_anywhere_is_exchanged(place: str, server, monkeypatch, tmp_path: Path) -> None:
    file = tmp_path / "subject"
    file.touch(0o600)
    file.write_text(SUBJECT)
    value = {"": SUBJECT, "_FILE": str(file), "_COMMAND": f"cat {file}"}[place]
    monkeypatch.setenv(f"{PREFIX}CLIENT_EXCHANGE{place}", value)
    token = await fetched(source())
    assert token.value in server.given
    assert token.expires_at is not None
    assert server.asked == [{"grant_type": EXCHANGE, "subject_token": SUBJECT, "subject_token_type": JWT}]


async def test_a_workflow_of_github_gives_what_github_says_of_it(runner, server, monkeypatch) -> None:
    monkeypatch.setenv(f"{PREFIX}CLIENT_EXCHANGE_GITHUB", "https://login.example.org/a b")
    monkeypatch.setenv(f"{PREFIX}CLIENT_ID", "app")
    monkeypatch.setenv(f"{PREFIX}CLIENT_SECRET", SECRET)
    monkeypatch.setenv(f"{PREFIX}CLIENT_AUDIENCE", "facility")
    monkeypatch.setenv(f"{PREFIX}CLIENT_SUBJECT", "id_token")
    monkeypatch.setenv(f"{PREFIX}SCOPE", "jobs files")
    asking = source()
    await fetched(asking)
    await fetched(asking)
    words = {"audience": "facility", "scope": "jobs files"}
    words["subject_token_type"] = "urn:ietf:params:oauth:token-type:id_token"
    assert [each["subject_token"] for each in server.asked] == [
        f"github-{number}-for-https://login.example.org/a b" for number in (1, 2)
    ], "they live for minutes: each is asked for when it is needed"
    assert all(words.items() <= each.items() for each in server.asked)


async def test_elsewhere_than_at_github_it_is_told_what_is_missing(monkeypatch) -> None:
    monkeypatch.setenv(f"{PREFIX}CLIENT_EXCHANGE_GITHUB", "https://login.example.org")
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL", raising=False)
    with pytest.raises(AuthError, match="id-token: write"):
        await fetched(source())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (WireReply(401, {}, b'{"message": "bad"}'), AuthError),
        (WireReply(200, {}, b'{"value": 5}'), AuthError),
        (WireReply(200, {}, b"[" * 100_000), AuthError),
        (WireReply(503, {}, b""), Unreachable),
        (ReplyLost("gone"), Unreachable),
    ],
)
async def test_github_gives_none(runner, monkeypatch, answer, error: type[IriError]) -> None:
    monkeypatch.setenv(f"{PREFIX}CLIENT_EXCHANGE_GITHUB", "https://login.example.org")

    async def send(_: WireRequest) -> WireReply:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(error, match="GitHub"):
        await source().fetch(send)


async def test_what_is_refused_tells_no_token(server: OAuthServer, monkeypatch) -> None:
    monkeypatch.setenv(f"{PREFIX}CLIENT_EXCHANGE", SUBJECT)
    server.subjects.clear()
    asking = source()
    with pytest.raises(AuthError, match="is not trusted here") as caught:
        await fetched(asking)
    told = f"{caught.value} {asking!r} {asking.identity} {vars(caught.value)}"
    assert SUBJECT not in told
    assert f"{PREFIX}CLIENT_EXCHANGE" in asking.identity
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(asking)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"CLIENT_EXCHANGE": "x", "CLIENT_EXCHANGE_GITHUB": "y"}, "name two secrets"),
        ({"CLIENT_EXCHANGE": "x", "CLIENT_KEY": "y"}, "no key goes with it"),
        ({"CLIENT_EXCHANGE": "x", "CLIENT_SECRET": "y"}, "needs an id"),
        ({"CLIENT_ID": "x", "CLIENT_SECRET": "y", "CLIENT_AUDIENCE": "z"}, "go with an exchange"),
    ],
)
def test_words_that_make_no_exchange_are_told(monkeypatch, words: dict[str, str], problem: str) -> None:
    for name, value in words.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    with pytest.raises(ProfileError, match=problem):
        source()


def test_an_exchange_needs_an_endpoint(monkeypatch) -> None:
    monkeypatch.delenv(f"{PREFIX}TOKEN_URL")
    monkeypatch.setenv(f"{PREFIX}CLIENT_EXCHANGE", "x")
    with pytest.raises(ProfileError, match="needs a token_url"):
        source()
