"""Tokens: one fetch for all callers, ahead of expiry, and never shown."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.auth.client_credentials import ClientCredentials
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.password import PasswordGrant
from iri_common.auth.static import StaticToken, TokenReader, token_from_env, token_from_file
from iri_common.model.errors import AuthError, IriError, TransientError, Unreachable
from iri_common.model.ports import Token, WireReply, WireRequest
from iri_common.policy.classify import NotSent, ReplyLost

SECRET = "hunter2/s3cr:t"


async def no_wire(_: WireRequest) -> WireReply:
    raise AssertionError("this source needs no wire")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Tokens ``t1``, ``t2``, … that live ``life`` seconds; ``error`` is raised instead while it is set."""

    identity = "the test's source"

    def __init__(self, clock: Clock, life: float | None, renewable: bool = True) -> None:
        self.clock, self.life, self.renewable = clock, life, renewable
        self.fetched = 0
        self.error: Exception | None = None

    async def fetch(self, send) -> Token:
        self.fetched += 1
        await asyncio.sleep(0.01)
        if self.error:
            raise self.error
        return Token(f"t{self.fetched}", None if self.life is None else self.clock.now + self.life)


def keep(life: float | None = None, renewable: bool = True) -> tuple[TokenKeeper, Source, Clock]:
    clock = Clock()
    source = Source(clock, life, renewable)
    return TokenKeeper(source, no_wire, clock), source, clock


async def test_fifty_callers_share_one_fetch() -> None:
    keeper, source, _ = keep()
    tokens = await asyncio.gather(*(keeper.token() for _ in range(50)))
    assert {token.value for token in tokens} == {"t1"}
    assert source.fetched == 1


@pytest.mark.parametrize("error", [Unreachable("idp is down"), AuthError("refused"), OSError("disk")])
async def test_fifty_callers_share_one_failure_and_the_next_one_tries_again(error: Exception) -> None:
    keeper, source, _ = keep()
    source.error = error
    ends = await asyncio.gather(*(keeper.token() for _ in range(50)), return_exceptions=True)
    assert source.fetched == 1, "a dead token service must not be waited for fifty times in a row"
    assert {type(end) for end in ends} == {type(error) if isinstance(error, IriError) else AuthError}
    assert len({id(end) for end in ends}) == 50, "a shared exception would collect everyone's traceback"
    source.error = None
    assert (await keeper.token()).value == "t2"


async def test_a_cancelled_caller_does_not_take_the_others_down() -> None:
    keeper, source, _ = keep()
    callers = [asyncio.create_task(keeper.token()) for _ in range(3)]
    await asyncio.sleep(0)
    callers[0].cancel()
    ends = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(ends[0], asyncio.CancelledError)
    assert [end.value for end in ends[1:]] == ["t2", "t2"]  # type: ignore[union-attr]
    assert source.fetched == 2


@given(st.floats(0.5, 10**7))
def test_a_token_is_renewed_before_it_ends_and_not_all_the_time(life: float) -> None:
    async def main() -> None:
        keeper, source, clock = keep(life)
        await keeper.token()
        start = clock.now
        clock.now = start + life * 0.49
        await keeper.token()
        assert source.fetched == 1, "half of a life is used at least"
        clock.now = max(start + life / 2, start + life - max(5.0, life * 0.1)) + life * 1e-6
        await keeper.token()
        assert source.fetched == 2
        clock.now = start + life
        await keeper.token()

    asyncio.run(main())


@pytest.mark.parametrize("life", [0.0, -100.0])
async def test_a_token_that_is_born_old_is_still_handed_out(life: float) -> None:
    keeper, _, _ = keep(life)
    assert (await keeper.token()).value == "t1"
    assert (await keeper.token()).value == "t2"


async def test_without_expiry_or_renewal_a_token_is_kept() -> None:
    for keeper, source, clock in (keep(None), keep(10.0, renewable=False)):
        await keeper.token()
        clock.now += 10**9
        await keeper.token()
        assert source.fetched == 1
        assert keeper.renewable is source.renewable


async def test_a_failed_early_renewal_uses_what_is_left_and_asks_seldom() -> None:
    keeper, source, clock = keep(3600.0)
    first = await keeper.token()
    clock.now += 3300
    source.error = Unreachable("idp restarts")
    for _ in range(10):
        assert await keeper.token() is first
    assert source.fetched == 2
    clock.now += 31
    assert await keeper.token() is first
    assert source.fetched == 3
    clock.now += 270
    with pytest.raises(TransientError):
        await keeper.token()
    source.error = None
    assert (await keeper.token()).value == f"t{source.fetched}"


async def test_a_refused_early_renewal_is_told_at_once() -> None:
    keeper, source, clock = keep(3600.0)
    await keeper.token()
    clock.now += 3300
    source.error = AuthError("the client has expired")
    with pytest.raises(AuthError):
        await keeper.token()


async def test_a_refusal_of_an_old_token_does_not_drop_the_new_one() -> None:
    keeper, source, _ = keep()
    old = await keeper.token()
    keeper.refused(old)
    new = await keeper.token()
    keeper.refused(old)
    assert await keeper.token() is new
    assert source.fetched == 2


async def test_what_is_asked_for_anew_is_the_one_to_use() -> None:
    keeper, source, _ = keep()
    assert (await keeper.token()).value == "t1"
    new = await keeper.anew()
    assert (new.value, await keeper.token()) == ("t2", new)
    source.error = AuthError("the secret was replaced by a wrong one")
    with pytest.raises(AuthError):
        await keeper.anew()


@pytest.mark.parametrize("value", ["", "a b", "a\n", "é", "\x7f"])
async def test_what_is_no_bearer_token_does_not_reach_the_wire(value: str) -> None:
    class Odd:
        identity, renewable = "an odd source", True

        async def fetch(self, send) -> Token:
            return Token(value)

    with pytest.raises(AuthError, match="an odd source") as caught:
        await TokenKeeper(Odd(), no_wire).token()
    assert not value.strip() or value not in str(caught.value).replace("a bearer", "")


@pytest.mark.parametrize("given_as", ["abc", "  abc\n", "Bearer abc", " Bearer  abc ", "bearer abc"])
async def test_a_given_token_is_cleaned(given_as: str) -> None:
    assert (await StaticToken(given_as).fetch(no_wire)).value == "abc"


@pytest.mark.parametrize("given_as", ["", "  ", "Bearer ", "two words", "a\nb", "tökn", "a\x00"])
def test_what_is_no_token_is_refused_without_being_repeated(given_as: str) -> None:
    with pytest.raises(AuthError, match="the test") as caught:
        StaticToken(given_as, "the test")
    assert not given_as.strip() or given_as not in str(caught.value)


def test_equal_tokens_have_equal_identities() -> None:
    assert StaticToken("abc", "x").identity == StaticToken(" Bearer abc", "x").identity
    assert StaticToken("abc", "x").identity != StaticToken("abd", "x").identity


async def test_a_token_in_the_environment_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    source = token_from_env("TEST_TOKEN")
    keeper = TokenKeeper(source, no_wire)
    with pytest.raises(AuthError, match="TEST_TOKEN"):
        await keeper.token()
    monkeypatch.setenv("TEST_TOKEN", "one\n")
    first = await keeper.token()
    monkeypatch.setenv("TEST_TOKEN", "two")
    assert await keeper.token() is first
    keeper.refused(first)
    assert (await keeper.token()).value == "two"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
async def test_a_token_file_that_others_may_read_is_refused_with_the_way_out(
    tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(mode)
    with pytest.raises(AuthError, match="chmod 600") as caught:
        await token_from_file(file).fetch(no_wire)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
async def test_a_token_file_of_ones_own_is_read(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    file.chmod(mode)
    assert (await token_from_file(str(file)).fetch(no_wire)).value == SECRET


async def test_a_token_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with pytest.raises(AuthError, match="No such file"):
        await token_from_file(file).fetch(no_wire)
    file.write_bytes(b"\xff\xfe")
    file.chmod(0o600)
    with pytest.raises(AuthError, match="no text"):
        await token_from_file(file).fetch(no_wire)


class TokenEndpoint:
    def __init__(self, status: int, answer: object) -> None:
        self.reply = WireReply(
            status, {}, answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        )
        self.seen: list[WireRequest] = []

    async def __call__(self, request: WireRequest) -> WireReply:
        self.seen.append(request)
        return self.reply


def client(**kwargs: object) -> ClientCredentials:
    return ClientCredentials("https://idp/token", "me:1", SECRET, clock=lambda: 100.0, **kwargs)  # type: ignore[arg-type]


async def test_client_credentials_ask_as_rfc_6749_says() -> None:
    wire = TokenEndpoint(200, {"access_token": "abc", "expires_in": 60, "token_type": "Bearer"})
    token = await client(scope="read write").fetch(wire)
    assert token == Token("abc", 160.0)
    (sent,) = wire.seen
    assert (sent.method, sent.url) == ("POST", "https://idp/token")
    assert sent.form == {"grant_type": "client_credentials", "scope": "read write"}
    kind, _, pair = sent.headers["authorization"].partition(" ")
    name, _, secret = base64.b64decode(pair).decode().partition(":")
    assert (kind, unquote(name), unquote(secret)) == ("Basic", "me:1", SECRET)
    assert SECRET not in repr(sent)


async def test_a_secret_is_read_when_it_is_needed() -> None:
    reads = []
    source = ClientCredentials("https://idp/token", "me", lambda: reads.append(1) or SECRET)
    assert not reads
    token = await source.fetch(wire := TokenEndpoint(200, {"access_token": "abc"}))
    assert token.expires_at is None
    assert reads == [1]
    assert wire.seen[0].form == {"grant_type": "client_credentials"}


@pytest.mark.parametrize(
    ("status", "answer", "kind", "words"),
    [
        (401, {"error": "invalid_client"}, AuthError, "invalid_client"),
        (400, {"error": "x", "error_description": "client expired"}, AuthError, "client expired"),
        (200, {"token": "abc"}, AuthError, "HTTP 200"),
        (200, b"<html>", AuthError, "HTTP 200"),
        (200, ["abc"], AuthError, "HTTP 200"),
        (302, b"", AuthError, "HTTP 302"),
        (500, {"error": "oops"}, Unreachable, "HTTP 500"),
        (503, b"", Unreachable, "HTTP 503"),
        (429, b"", Unreachable, "HTTP 429"),
    ],
)
async def test_a_refusal_names_client_and_reason(
    status: int, answer, kind: type[IriError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        await client().fetch(TokenEndpoint(status, answer))
    assert "https://idp/token" in str(caught.value)
    assert kind is Unreachable or "me:1" in str(caught.value)


@pytest.mark.parametrize("loss", [NotSent("refused"), ReplyLost("closed")])
async def test_a_token_endpoint_that_does_not_answer_is_unreachable(loss: Exception) -> None:
    async def wire(_: WireRequest) -> WireReply:
        raise loss

    with pytest.raises(Unreachable, match="idp"):
        await client().fetch(wire)


async def test_no_source_keeper_or_error_shows_a_secret(
    caplog: pytest.LogCaptureFixture, monkeypatch, tmp_path
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEST_TOKEN", "hunter2")
    file = tmp_path / "token"
    file.write_text("hunter2")
    file.chmod(0o600)
    sources = [StaticToken("hunter2"), token_from_env("TEST_TOKEN"), token_from_file(file),
               ClientCredentials("https://idp/token", "me", "hunter2"),
               TokenReader(lambda: "hunter2", "a reader")]  # fmt: skip
    shown = []
    for source in sources:
        keeper = TokenKeeper(source, TokenEndpoint(401, {"error": "invalid_client"}))
        try:
            shown.append(repr(await keeper.token()))
        except AuthError as error:
            shown += [str(error), repr(error), repr(vars(error))]
        shown += [repr(source), str(source), source.identity, repr(keeper), keeper.identity]
    assert not [each for each in [*shown, caplog.text] if "hunter2" in each]


@pytest.mark.parametrize(
    "source", [StaticToken(SECRET), ClientCredentials("https://idp/token", "me", SECRET)]
)
def test_a_credential_is_not_pickled(source: object) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(source)


async def test_a_person_s_password_is_read_when_it_is_needed_and_never_shown() -> None:
    seen: list[WireRequest] = []

    async def send(request: WireRequest) -> WireReply:
        seen.append(request)
        return WireReply(200, {}, b'{"access_token": "t", "expires_in": 300}')

    words = iter(["old hunter2", "new hunter2"])
    source = PasswordGrant("https://t", "app", "alice", lambda: next(words), lambda: "s3cret", "scope")
    token = await source.fetch(send)
    await source.fetch(send)
    assert token.value == "t"
    assert seen[0].form == {
        "grant_type": "password",
        "client_id": "app",
        "client_secret": "s3cret",
        "username": "alice",
        "password": "old hunter2",
        "scope": "scope",
    }
    assert seen[1].form is not None
    assert seen[1].form["password"] == "new hunter2"
    assert not [secret for secret in ("hunter2", "s3cret") if secret in repr((source, seen))]
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(source)


async def test_a_password_that_is_refused_is_told_without_it() -> None:
    async def send(request: WireRequest) -> WireReply:
        return WireReply(
            401, {}, b'{"error": "invalid_grant", "error_description": "wrong user or password"}'
        )

    with pytest.raises(AuthError, match="user alice no token: wrong user or password") as caught:
        await PasswordGrant("https://t", "app", "alice", lambda: "hunter2").fetch(send)
    assert "hunter2" not in str(caught.value)
